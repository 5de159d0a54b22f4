// Rejected rows where several lanes share a batch: each lane has some of its rows only, and the row
// that becomes a dead letter must be the one that was rejected.

#include <stdexcept>
#include <string>
#include <vector>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;

constexpr int64_t kBatchRows = 700;
constexpr int64_t kBatches = 6;
constexpr int64_t kRows = kBatches * kBatchRows;

struct Row {
  int64_t id = 0;
  int64_t amount = 0;  // The column is a smallint …
  int64_t part = 0;    // … and this one must not be negative.
};

struct Case {
  const char* name;
  WriteMode mode;
  bool use_copy;
  const char* partition_by;
  Delivery delivery = Delivery::kAtLeastOnce;
};

class RejectedInLanes : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("lanes");
    shared_server().sql(
        "CREATE TABLE t (id bigint PRIMARY KEY, amount smallint, part bigint CHECK (part >= 0))",
        database_);
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.dead_letter_table = "rejected";
    options_.parallelism = 3;
    options_.retry_backoff_ms = 10;
    options_.write_mode = GetParam().mode;
    options_.use_copy = GetParam().use_copy;
    options_.partition_by = GetParam().partition_by;
    options_.delivery = GetParam().delivery;
    if (options_.delivery == Delivery::kExactlyOnce) options_.sink_id = "lanes";
  }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }

  /// Writes rows 1 to kRows, each n-th of them too large for its column and each m-th refused by
  /// the server's check; 0: none.
  SinkMetrics write(int64_t too_large, int64_t refused) {
    const auto batch = [](std::vector<Row> rows) {
      return batch_of(std::move(rows), column("id", &Row::id), column("amount", &Row::amount),
                      column("part", &Row::part));
    };
    auto sink = Sink::open(options_, batch({}).schema());
    if (!sink) throw std::runtime_error(sink.error().to_string());
    for (int64_t n = 0; n < kBatches; ++n) {
      std::vector<Row> rows;
      for (int64_t id = n * kBatchRows + 1; id <= (n + 1) * kBatchRows; ++id) {
        rows.push_back({.id = id, .amount = id % 100, .part = id % 10});
        if (too_large != 0 && id % too_large == 0) rows.back().amount = 40'000;
        if (refused != 0 && id % refused == 0) rows.back().part = -1;
      }
      RecordBatch made = batch(std::move(rows));
      made.position = static_cast<uint64_t>(n) + 1;
      const Status written = (*sink)->write(std::move(made));
      if (!written) throw std::runtime_error(written.error().to_string());
    }
    const Status closed = (*sink)->close();
    EXPECT_TRUE(closed) << closed.error().to_string();
    return (*sink)->metrics();
  }
  /// The rows for which `bad` holds are dead letters with the SQLSTATE, and no others.
  void expect_letters(const std::string& bad, const std::string& sqlstate) {
    const std::string wanted =
        "SELECT id FROM generate_series(1, " + std::to_string(kRows) + ") AS id WHERE " + bad;
    const std::string found =
        "SELECT (\"row\" ->> 'id')::bigint FROM rejected WHERE sqlstate = '" + sqlstate + "'";
    EXPECT_EQ(scalar("SELECT count(*) FROM (" + wanted + " EXCEPT ALL " + found + ") AS missing"),
              "0");
    EXPECT_EQ(scalar("SELECT count(*) FROM (" + found + " EXCEPT ALL " + wanted + ") AS wrong"),
              "0");
  }
  /// The rows for which `bad` does not hold are in the table as they were given, and no others.
  void expect_rows(const std::string& bad) {
    const std::string wanted = "SELECT id, (id % 100)::smallint, id % 10 FROM generate_series(1, " +
                               std::to_string(kRows) + "::bigint) AS id WHERE NOT (" + bad + ")";
    EXPECT_EQ(scalar("SELECT count(*) FROM (" + wanted + " EXCEPT ALL TABLE t) AS missing"), "0");
    EXPECT_EQ(scalar("SELECT count(*) FROM (TABLE t EXCEPT ALL " + wanted + ") AS wrong"), "0");
    EXPECT_EQ(scalar("SELECT count(*) FROM rejected WHERE input_row <> (\"row\" ->> 'id')::bigint"),
              "0");
  }

  std::string database_;
  SinkOptions options_;
};

INSTANTIATE_TEST_SUITE_P(Modes, RejectedInLanes,
                         ::testing::Values(Case{"CopyInTurns", WriteMode::kInsert, true, ""},
                                           Case{"CopyByHash", WriteMode::kInsert, true, "hash(id)"},
                                           Case{"ArraysInTurns", WriteMode::kInsert, false, ""},
                                           Case{"ArraysByHash", WriteMode::kInsert, false,
                                                "hash(id)"},
                                           Case{"UpsertArrays", WriteMode::kUpsert, false, ""},
                                           Case{"UpsertStaged", WriteMode::kUpsert, true, ""},
                                           Case{"CopyExactlyOnce", WriteMode::kInsert, true,
                                                "hash(id)", Delivery::kExactlyOnce}),
                         [](const auto& instance) { return instance.param.name; });

TEST_P(RejectedInLanes, TheEncodersRowsAreTheRightOnes) {
  const SinkMetrics metrics = write(7, 0);
  expect_letters("id % 7 = 0", "22003");
  expect_rows("id % 7 = 0");
  EXPECT_EQ(metrics.rejected_rows, static_cast<uint64_t>(kRows / 7));
  EXPECT_EQ(metrics.rows_written, static_cast<uint64_t>(kRows - kRows / 7));
}

TEST_P(RejectedInLanes, TheServersRowsAmongThemAreTheRightOnesToo) {
  // 600 of the encoder, five of the server alone.
  const SinkMetrics metrics = write(7, 701);
  expect_letters("id % 7 = 0", "22003");
  expect_letters("id % 701 = 0 AND id % 7 <> 0", "23514");
  expect_rows("id % 7 = 0 OR id % 701 = 0");
  EXPECT_EQ(metrics.rows_written + metrics.rejected_rows, static_cast<uint64_t>(kRows));
}

}  // namespace
}  // namespace pgsink
