// Several sinks write the same keys: they must never deadlock, and the sums must be right.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <thread>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;

struct Change {
  std::string op;
  int64_t id = 0;
  int64_t amount = 0;
};

RecordBatch changes(std::vector<Change> rows, bool with_op) {
  auto id = column("id", &Change::id);
  auto amount = column("amount", &Change::amount);
  if (!with_op) return batch_of(std::move(rows), id, amount);
  return batch_of(std::move(rows), column("_op", &Change::op), id, amount);
}

/// PGSINK_CONTENTION_SECONDS asks for longer than a commit can wait for.
std::chrono::seconds duration() {
  const char* asked = std::getenv("PGSINK_CONTENTION_SECONDS");
  return std::chrono::seconds(asked != nullptr ? std::strtol(asked, nullptr, 10) : 6);
}

constexpr int kSinks = 8;
constexpr int64_t kKeys = 400;

/// How many rows one flight of these inserts or updates: one for each key, unless the last row of
/// the key deletes it. An update depends on what the others have deleted: 0.
int64_t upserts(const std::vector<Change>& rows, WriteMode mode) {
  if (mode == WriteMode::kUpdate) return 0;
  std::map<int64_t, bool> last;
  for (const Change& row : rows) {
    last[row.id] = mode == WriteMode::kUpsert || row.op != "D";
  }
  return std::ranges::count_if(last, [](const auto& entry) { return entry.second; });
}

class ContentionTest : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Paths, ContentionTest, ::testing::Values(false, true),
                         [](const auto& instance) { return instance.param ? "Staged" : "Arrays"; });

TEST_P(ContentionTest, EightSinksOnTheSameKeysNeverDeadlock) {
  auto& server = shared_server();
  const std::string database = server.create_database("contention");
  // Every write of a row is counted by a trigger, so that lost ones show.
  server.sql(
      "CREATE TABLE t (id bigint PRIMARY KEY, amount bigint); "
      "CREATE TABLE written (sink text, n bigint); "
      "CREATE FUNCTION count_rows() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
      "INSERT INTO written SELECT current_setting('application_name'), count(*) FROM changed; "
      "RETURN NULL; END $$; "
      "CREATE TRIGGER i AFTER INSERT ON t REFERENCING NEW TABLE AS changed "
      "FOR EACH STATEMENT EXECUTE FUNCTION count_rows(); "
      "CREATE TRIGGER u AFTER UPDATE ON t REFERENCING NEW TABLE AS changed "
      "FOR EACH STATEMENT EXECUTE FUNCTION count_rows();",
      database);
  const auto until = std::chrono::steady_clock::now() + duration();
  std::vector<int64_t> expected(kSinks);  // What the trigger has to count; 0: not known.
  std::vector<std::thread> writers;
  for (int number = 0; number < kSinks; ++number) {
    writers.emplace_back([&, number] {
      // Half of them upsert, a quarter updates, a quarter applies changes with deletes.
      static constexpr WriteMode kModes[] = {WriteMode::kUpsert, WriteMode::kUpdate,
                                             WriteMode::kUpsert, WriteMode::kChangelog};
      SinkOptions options;
      options.connection_name = "sink" + std::to_string(number);
      options.host = server.socket_dir();
      options.port = std::to_string(server.port());
      options.database = database;
      options.username = "postgres";
      options.table = "t";
      options.write_mode = kModes[number % 4];
      options.batch_size = 100;
      options.transaction_size = 100;
      options.copy_batch_size = 100;
      options.buffer_bytes = 64 << 10;
      options.batch_bytes = 64 << 10;
      if (GetParam()) options.use_copy = true;
      const bool with_op = options.write_mode == WriteMode::kChangelog;
      auto sink = Sink::open(options, changes({}, with_op).schema());
      ASSERT_TRUE(sink) << sink.error().to_string();
      std::mt19937_64 random(static_cast<uint64_t>(number));
      while (std::chrono::steady_clock::now() < until) {
        std::vector<Change> rows;
        for (int i = 0; i < 100; ++i) {
          rows.push_back({.op = random() % 4 == 0 ? "D" : "U",
                          .id = static_cast<int64_t>(random() % kKeys),
                          .amount = 1});
        }
        expected[static_cast<size_t>(number)] += upserts(rows, options.write_mode);
        ASSERT_TRUE((*sink)->write(changes(std::move(rows), with_op)));
      }
      const Status closed = (*sink)->close();
      EXPECT_TRUE(closed) << closed.error().to_string();
      EXPECT_EQ((*sink)->metrics().failed_writes, 0U) << (*sink)->metrics().last_error;
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(server.scalar("SELECT deadlocks FROM pg_stat_database WHERE datname = "
                          "current_database()",
                          database),
            "0");
  int64_t sum = 0;
  for (size_t number = 0; number < kSinks; ++number) {
    const int64_t counted = std::stoll(
        server.scalar("SELECT coalesce(sum(n), 0) FROM written WHERE sink = 'pgsink/sink" +
                          std::to_string(number) + "'",
                      database));
    if (expected[number] > 0) {
      EXPECT_EQ(counted, expected[number]) << "sink" << number;
    }
    sum += counted;
  }
  EXPECT_GT(sum, 10'000);
  std::printf("%lld rows upserted and updated\n", static_cast<long long>(sum));
}

}  // namespace
}  // namespace pgsink
