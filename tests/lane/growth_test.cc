// Without a transaction_size, a transaction takes what waits; after a rejected row transactions are
// small, and grow again.

#include <algorithm>
#include <array>
#include <iterator>
#include <sstream>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>

#include "pgsink/sink.h"
#include "support/patience.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;
using ::testing::ElementsAre;

struct Row {
  int64_t id = 0;
  std::string note;
};

constexpr int64_t kBatch = 1000;
/// Only the server's parser knows that XML has no attribute twice.
constexpr std::string_view kBad = "<bad a='' a=''/>";

RecordBatch batch(int64_t first, const std::vector<int64_t>& bad = {}) {
  std::vector<Row> rows;
  for (int64_t i = first; i < first + kBatch; ++i) {
    rows.push_back({.id = i, .note = std::string(std::ranges::count(bad, i) > 0 ? kBad : "good")});
  }
  RecordBatch made = batch_of(std::move(rows), column("id", &Row::id), column("note", &Row::note));
  made.position = static_cast<uint64_t>(first + kBatch);
  return made;
}

class GrowthTest : public ::testing::TestWithParam<WriteMode> {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("growth");
    sql("CREATE TABLE t (id bigint PRIMARY KEY, note xml)");
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.write_mode = GetParam();
    options_.batch_timeout_ms = 600'000;
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }

  /// Writes `batches` while no transaction can proceed, then lets all of them.
  void write(int64_t batches, const std::vector<int64_t>& bad = {}) {
    auto sink = Sink::open(options_, batch(0).schema());
    ASSERT_TRUE(sink) << sink.error().to_string();
    const std::unique_ptr<PGconn, decltype(&PQfinish)> holder(
        PQconnectdb(shared_server().conninfo(database_).c_str()), PQfinish);
    PQclear(PQexec(holder.get(), "BEGIN; LOCK TABLE t"));
    for (int64_t i = 0; i < batches; ++i) {
      ASSERT_TRUE((*sink)->write(batch(i * kBatch, bad)));
      // The first one is on the way alone: all others wait together.
      if (i > 0 || options_.transaction_size != 0) continue;
      ASSERT_TRUE(test::eventually([&] {
        return scalar(
                   "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND"
                   " datname = current_database()") == "1";
      }));
    }
    PQclear(PQexec(holder.get(), "COMMIT"));
    const Status flushed = (*sink)->flush();
    ASSERT_TRUE(flushed) << flushed.error().to_string();
    ASSERT_TRUE((*sink)->close());
  }
  /// The rows of each transaction that began after a row, in the order of their first rows.
  std::vector<int64_t> sizes(int64_t after = -1) {
    std::istringstream text(scalar(
        "SELECT string_agg(n::text, ' ' ORDER BY first) FROM (SELECT count(*) n, min(id) first "
        "FROM t GROUP BY xmin) x WHERE first > " +
        std::to_string(after)));
    return {std::istream_iterator<int64_t>(text), {}};
  }

  std::string database_;
  SinkOptions options_;
};

TEST_P(GrowthTest, ATransactionTakesWhatWaits) {
  write(30);
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || sum(id) FROM t"), "30000 449985000");
  const std::vector<int64_t> seen = sizes();
  EXPECT_LE(seen.size(), 4U);
  EXPECT_GE(std::ranges::max(seen), 10 * kBatch);
}

TEST_P(GrowthTest, WithATransactionSizeItDoesNotGrow) {
  options_.transaction_size = 2 * kBatch;
  write(6);
  EXPECT_THAT(sizes(), ElementsAre(2000, 2000, 2000));
}

TEST_P(GrowthTest, AfterARejectedRowTransactionsAreSmallAndGrowAgain) {
  options_.dead_letter_table = "letters";
  write(60, {20'500});
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "59999");
  EXPECT_EQ(scalar("SELECT string_agg((\"row\"->>'id') || ' ' || input_row, ',') FROM letters"),
            "20500 20501");
  // From the batch of the rejected row on: small at first, and each at most four times the one
  // before, as far as that one is known to be committed.
  const std::vector<int64_t> seen = sizes(19'999);
  ASSERT_GE(seen.size(), 3U) << ::testing::PrintToString(sizes());
  EXPECT_LE(seen[0], 4 * kBatch);
  EXPECT_LE(seen[1], 16 * kBatch);
  EXPECT_GE(std::ranges::max(seen), 4 * kBatch);
}

TEST_P(GrowthTest, EveryRejectedRowIsALetterOnce) {
  options_.dead_letter_table = "letters";
  std::vector<int64_t> bad;
  for (int64_t i = 0; i < 40; ++i) bad.push_back(i * 997 + 13);
  bad.insert(bad.end(), {0, 999, 1000, 39'999});
  write(40, bad);
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || count(DISTINCT id) FROM t"),
            std::to_string(40'000 - bad.size()) + " " + std::to_string(40'000 - bad.size()));
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || count(DISTINCT input_row) FROM letters"),
            std::to_string(bad.size()) + " " + std::to_string(bad.size()));
  EXPECT_EQ(scalar("SELECT count(*) FROM letters WHERE (\"row\"->>'id')::bigint + 1 <> input_row"),
            "0");
}

/// Many times what a flight of arrays takes, in one batch: the last row of each flight goes beyond.
TEST(ArraysGrowthTest, NoFlightOutgrowsItsArrays) {
  struct Number {
    int64_t id = 0;
    std::array<char, 240> unused{};  // Its memory counts; no power of two, so that no flight fits.
  };
  const std::string database = shared_server().create_database("growth");
  shared_server().sql("CREATE TABLE t (id bigint PRIMARY KEY)", database);
  SinkOptions options;
  options.connection_name = "test";
  options.host = shared_server().socket_dir();
  options.port = std::to_string(shared_server().port());
  options.database = database;
  options.username = "postgres";
  options.table = "t";
  options.write_mode = WriteMode::kUpsert;
  std::vector<Number> rows(80'000);
  for (size_t i = 0; i < rows.size(); ++i) rows[i].id = static_cast<int64_t>(i);
  RecordBatch numbers = batch_of(std::move(rows), column("id", &Number::id));
  ASSERT_GT(numbers.memory_bytes(), size_t{16} << 20);
  auto sink = Sink::open(options, numbers.schema());
  ASSERT_TRUE(sink) << sink.error().to_string();
  ASSERT_TRUE((*sink)->write(std::move(numbers)));
  ASSERT_TRUE((*sink)->close());
  for (const StatementMetrics& statement : (*sink)->metrics().statements) {
    EXPECT_FALSE(statement.text.starts_with("COPY")) << statement.text;
  }
  EXPECT_EQ(shared_server().scalar("SELECT count(*) || ' ' || max(id) FROM t", database),
            "80000 79999");
}

INSTANTIATE_TEST_SUITE_P(Modes, GrowthTest,
                         ::testing::Values(WriteMode::kInsert, WriteMode::kUpsert),
                         [](const auto& mode) {
                           return mode.param == WriteMode::kInsert ? "Insert" : "Upsert";
                         });

}  // namespace
}  // namespace pgsink
