// Several sinks write the same keys: they must never deadlock where rows go together, must get over
// it where each has a statement of its own, and nothing may be lost.

#include <algorithm>
#include <atomic>
#include <chrono>
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

/// How many rows one flight of these inserts or updates together: one for each key, unless the last
/// row of the key deletes it. An update depends on what the others have deleted: 0.
int64_t upserted_together(const std::vector<Change>& rows, WriteMode mode) {
  if (mode == WriteMode::kUpdate) return 0;
  std::map<int64_t, bool> last;
  for (const Change& row : rows) {
    last[row.id] = mode == WriteMode::kUpsert || row.op != "D";
  }
  return std::ranges::count_if(last, [](const auto& entry) { return entry.second; });
}

/// The same of rows one by one.
int64_t upserted_one_by_one(const std::vector<Change>& rows, WriteMode mode) {
  if (mode == WriteMode::kUpdate) return 0;
  return std::ranges::count_if(
      rows, [&](const Change& row) { return mode == WriteMode::kUpsert || row.op != "D"; });
}

class ContentionTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    database_ = server_.create_database("contention");
    server_.sql("CREATE TABLE t (id bigint PRIMARY KEY, amount bigint)", database_);
    // Deadlocks are found sooner: the tests wait less, and meet more of them.
    server_.sql("ALTER DATABASE " + database_ + " SET deadlock_timeout = '20ms'");
  }
  std::string scalar(const std::string& text) { return server_.scalar(text, database_); }

  SinkOptions options(int number) {
    // Half of them upsert, a quarter updates, a quarter applies changes with deletes.
    static constexpr WriteMode kModes[] = {WriteMode::kUpsert, WriteMode::kUpdate,
                                           WriteMode::kUpsert, WriteMode::kChangelog};
    SinkOptions options;
    options.connection_name = "sink" + std::to_string(number);
    options.host = server_.socket_dir();
    options.port = std::to_string(server_.port());
    options.database = database_;
    options.username = "postgres";
    options.table = "t";
    options.write_mode = kModes[number % 4];
    options.batch_size = 100;
    options.transaction_size = 100;
    options.copy_batch_size = 100;
    options.buffer_bytes = 64 << 10;
    options.batch_bytes = 64 << 10;
    options.retry_backoff_ms = 10;
    options.max_retries = 1000;
    if (GetParam()) options.use_copy = true;
    return options;
  }

  using Upserted = int64_t (*)(const std::vector<Change>& rows, WriteMode mode);
  /// Has so many sinks write. Returns how many rows each upserted; 0: not known.
  std::vector<int64_t> write(int sinks, std::chrono::seconds time, Upserted upserted) {
    const auto until = std::chrono::steady_clock::now() + time;
    std::vector<int64_t> expected(static_cast<size_t>(sinks));
    std::vector<std::thread> writers;
    writers.reserve(expected.size());
    for (int number = 0; number < sinks; ++number) {
      writers.emplace_back([&, number] {
        const SinkOptions own = options(number);
        const bool with_op = own.write_mode == WriteMode::kChangelog;
        auto sink = Sink::open(own, changes({}, with_op).schema());
        ASSERT_TRUE(sink) << sink.error().to_string();
        std::mt19937_64 random(static_cast<uint64_t>(number));
        while (std::chrono::steady_clock::now() < until) {
          std::vector<Change> rows;
          for (int i = 0; i < 100; ++i) {
            rows.push_back({.op = random() % 4 == 0 ? "D" : "U",
                            .id = static_cast<int64_t>(random() % kKeys),
                            .amount = 1});
          }
          expected[static_cast<size_t>(number)] += upserted(rows, own.write_mode);
          ASSERT_TRUE((*sink)->write(changes(std::move(rows), with_op)));
        }
        const Status closed = (*sink)->close();
        EXPECT_TRUE(closed) << closed.error().to_string();
        failed_writes_ += (*sink)->metrics().failed_writes;
      });
    }
    for (std::thread& writer : writers) writer.join();
    return expected;
  }

  test::PostgresServer& server_ = shared_server();
  std::string database_;
  std::atomic<uint64_t> failed_writes_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Paths, ContentionTest, ::testing::Values(false, true),
                         [](const auto& instance) { return instance.param ? "Staged" : "Arrays"; });

TEST_P(ContentionTest, EightSinksOnTheSameKeysNeverDeadlock) {
  const std::vector<int64_t> expected = write(kSinks, duration(), upserted_together);
  EXPECT_EQ(failed_writes_, 0U);
  EXPECT_EQ(scalar("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"),
            "0");
  // The server's counters are written when a session ends, and count the updates' rows too.
  int64_t sum = 0;
  for (const int64_t rows : expected) sum += rows;
  EXPECT_GT(sum, 10'000);
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  int64_t counted = 0;
  while (counted < sum && std::chrono::steady_clock::now() < patience) {
    counted = std::stoll(scalar("SELECT n_tup_ins + n_tup_upd FROM pg_stat_user_tables"));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_GE(counted, sum);
}

TEST_P(ContentionTest, SinksThatGoRowByRowLoseNothingToDeadlocks) {
  // A trigger counts every write of a row, so that lost ones show; so rows go one by one.
  server_.sql(
      "CREATE TABLE written (sink text, n bigint); "
      "CREATE FUNCTION count_rows() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
      "INSERT INTO written SELECT current_setting('application_name'), count(*) FROM changed; "
      "RETURN NULL; END $$; "
      "CREATE TRIGGER i AFTER INSERT ON t REFERENCING NEW TABLE AS changed "
      "FOR EACH STATEMENT EXECUTE FUNCTION count_rows(); "
      "CREATE TRIGGER u AFTER UPDATE ON t REFERENCING NEW TABLE AS changed "
      "FOR EACH STATEMENT EXECUTE FUNCTION count_rows();",
      database_);
  const std::vector<int64_t> expected = write(4, std::chrono::seconds(1), upserted_one_by_one);
  for (size_t number = 0; number < expected.size(); ++number) {
    const int64_t counted =
        std::stoll(scalar("SELECT coalesce(sum(n), 0) FROM written WHERE sink = 'pgsink/sink" +
                          std::to_string(number) + "'"));
    if (expected[number] > 0) {
      EXPECT_EQ(counted, expected[number]) << "sink" << number;
    }
  }
}

}  // namespace
}  // namespace pgsink
