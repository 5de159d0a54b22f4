// write_mode = 'replace' and delete_missing = true: what the table held goes in the transaction
// that brings the new rows.

#include <string>
#include <vector>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/patience.h"
#include "support/postgres_server.h"
#include "support/wire_proxy.h"

namespace pgsink::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

struct Row {
  int64_t id = 0;
  int64_t value = 0;
};

RecordBatch batch(std::vector<Row> rows) {
  return batch_of(std::move(rows), column("id", &Row::id), column("value", &Row::value));
}
RecordBatch many(int64_t from, int64_t to, int64_t value) {
  std::vector<Row> rows;
  for (int64_t id = from; id < to; ++id) rows.push_back({id, value});
  return batch(std::move(rows));
}

class WholeLoadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("whole");
    sql("CREATE TABLE t (id bigint PRIMARY KEY, value bigint CHECK (value < 1000))");
    sql("INSERT INTO t SELECT i, 0 FROM generate_series(1, 500) AS i");
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.retry_backoff_ms = 10;
    options_.batch_timeout_ms = 10;
    replace_ = options_;
    replace_.write_mode = WriteMode::kReplace;
    snapshot_ = options_;
    snapshot_.write_mode = WriteMode::kUpsert;
    snapshot_.delete_missing = true;
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  std::string table() {
    return scalar(
        "SELECT count(*) || ' ' || coalesce(min(id), 0) || ' ' || coalesce(max(id), 0) "
        "|| ' ' || coalesce(sum(value), 0) FROM t");
  }
  static std::unique_ptr<Sink> open(const SinkOptions& options) {
    auto sink = Sink::open(options, batch({}).schema());
    if (!sink) throw std::runtime_error(sink.error().to_string());
    return *std::move(sink);
  }
  static std::string refused(const SinkOptions& options) {
    const auto sink = Sink::open(options, batch({}).schema());
    return sink ? "" : sink.error().message;
  }

  static constexpr const char* kFormer = "500 1 500 0";
  std::string database_;
  SinkOptions options_, replace_, snapshot_;
};

TEST_F(WholeLoadTest, ReplaceKeepsTheFormerRowsUntilItEnds) {
  sql("CREATE VIEW v AS SELECT id FROM t; GRANT SELECT ON t TO PUBLIC; CREATE INDEX i ON t "
      "(value)");
  const std::string oid = scalar("SELECT 't'::regclass::oid");
  auto sink = open(replace_);
  for (int64_t i = 0; i < 50; ++i) {
    ASSERT_TRUE(sink->write(many(1000 * i, 1000 * (i + 1), 1)));
  }
  // The transaction has begun: its rows are on their way.
  ASSERT_TRUE(eventually([&] {
    return scalar(
               "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND mode = "
               "'ShareRowExclusiveLock'") == "1";
  }));
  EXPECT_EQ(table(), kFormer) << "a reader waits for nothing and sees the former rows";
  ASSERT_TRUE(sink->close());
  EXPECT_EQ(table(), "50000 0 49999 50000");
  EXPECT_EQ(scalar("SELECT 't'::regclass::oid"), oid);
  EXPECT_EQ(scalar("SELECT count(*) FROM v"), "50000");
  EXPECT_EQ(sink->metrics().rows_written, 50000U);
}

TEST_F(WholeLoadTest, ALoadThatIsGivenUpChangesNothing) {
  for (const SinkOptions* options : {&replace_, &snapshot_}) {
    auto sink = open(*options);
    for (int64_t i = 0; i < 20; ++i) {
      ASSERT_TRUE(sink->write(many(1000 * i, 1000 * (i + 1), 1)));
    }
    sink.reset();
    EXPECT_EQ(table(), kFormer);
  }
}

TEST_F(WholeLoadTest, ARowThatTheServerRefusesChangesNothing) {
  for (const SinkOptions* options : {&replace_, &snapshot_}) {
    auto sink = open(*options);
    for (int64_t i = 0; i < 20; ++i) {
      std::ignore = sink->write(many(1000 * i, 1000 * (i + 1), i == 15 ? 5000 : 1));
    }
    const Status closed = sink->close();
    ASSERT_FALSE(closed);
    EXPECT_THAT(closed.error().message, HasSubstr("0 rows are committed"));
    EXPECT_EQ(table(), kFormer);
  }
}

TEST_F(WholeLoadTest, ALoadWithoutRowsEmptiesTheTable) {
  for (const SinkOptions* options : {&replace_, &snapshot_}) {
    sql("INSERT INTO t VALUES (1, 0) ON CONFLICT DO NOTHING");
    auto sink = open(*options);
    const Status closed = sink->close();
    ASSERT_TRUE(closed) << closed.error().to_string();
    EXPECT_EQ(table(), "0 0 0 0");
  }
}

TEST_F(WholeLoadTest, ASnapshotUpdatesInsertsAndDeletes) {
  sql("CREATE TABLE log (op text); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
      "'BEGIN INSERT INTO log VALUES (TG_OP); RETURN NULL; END'");
  sql("CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION "
      "note()");
  auto sink = open(snapshot_);
  ASSERT_TRUE(sink->write(many(401, 451, 1)));
  ASSERT_TRUE(sink->write(many(501, 511, 2)));
  ASSERT_TRUE(sink->write(batch({{510, 3}})));  // The last row of a key counts.
  const Status closed = sink->close();
  ASSERT_TRUE(closed) << closed.error().to_string();
  EXPECT_EQ(table(), "60 401 510 71");
  EXPECT_EQ(scalar("SELECT string_agg(op || ' ' || n, ', ' ORDER BY op) FROM (SELECT op, count(*) "
                   "AS n FROM log GROUP BY op) AS s"),
            "DELETE 450, INSERT 10, UPDATE 50");
}

TEST_F(WholeLoadTest, ASmallSnapshotWithARefusedRowDeletesNothing) {
  auto sink = open(snapshot_);
  ASSERT_TRUE(sink->write(batch({{1, 1}, {2, 5000}})));
  EXPECT_FALSE(sink->close());
  EXPECT_EQ(table(), kFormer);
}

TEST_F(WholeLoadTest, RejectedRowsOfAReplaceAreDeadLetters) {
  replace_.dead_letter_table = "rejected";
  auto sink = open(replace_);
  ASSERT_TRUE(sink->write(batch({{1, 1}, {2, 5000}, {3, 1}})));
  const Status closed = sink->close();
  ASSERT_TRUE(closed) << closed.error().to_string();
  EXPECT_EQ(table(), "2 1 3 2");
  EXPECT_EQ(scalar("SELECT count(*) FROM rejected"), "1");
}

TEST_F(WholeLoadTest, FlushEndsTheLoad) {
  auto sink = open(replace_);
  ASSERT_TRUE(sink->write(batch({{1, 1}})));
  ASSERT_TRUE(sink->flush());
  EXPECT_EQ(table(), "1 1 1 1");
  const Status late = sink->write(batch({{2, 1}}));
  ASSERT_FALSE(late);
  EXPECT_THAT(late.error().message, HasSubstr("ended with flush()"));
  ASSERT_TRUE(sink->close());
  EXPECT_EQ(table(), "1 1 1 1");
}

TEST_F(WholeLoadTest, ALostAnswerToCommitIsFoundOut) {
  WireProxy proxy(shared_server().socket_dir(), shared_server().port());
  replace_.host = "127.0.0.1";
  replace_.port = std::to_string(proxy.port());
  replace_.ssl_mode = "disable";
  auto sink = open(replace_);
  ASSERT_TRUE(sink->write(batch({{7, 7}})));
  proxy.call_before("COMMIT", [&] {
    proxy.set_rule({.side = WireProxy::Side::kBackend, .type = 'C', .nth = 1});
  });
  const Status closed = sink->close();
  ASSERT_TRUE(closed) << closed.error().to_string();
  EXPECT_TRUE(proxy.fired());
  EXPECT_EQ(table(), "1 7 7 7");
}

TEST_F(WholeLoadTest, RefusesWhatIsNotOneTransaction) {
  SinkOptions lanes = replace_;
  lanes.parallelism = 2;
  EXPECT_THAT(refused(lanes), AllOf(HasSubstr("write_mode = 'replace'"), HasSubstr("parallelism")));
  SinkOptions exactly = snapshot_;
  exactly.delivery = Delivery::kExactlyOnce;
  EXPECT_THAT(refused(exactly), HasSubstr("delete_missing = true and delivery"));
  SinkOptions letters = snapshot_;
  letters.dead_letter_table = "rejected";
  EXPECT_THAT(refused(letters), HasSubstr("would count as missing"));
  SinkOptions plain = options_;
  plain.delete_missing = true;
  EXPECT_THAT(refused(plain), HasSubstr("write_mode = 'upsert'"));
}

TEST_F(WholeLoadTest, RefusesARoleThatMayNotDelete) {
  shared_server().create_role("inserts", "");
  sql("GRANT USAGE, CREATE ON SCHEMA public TO inserts; GRANT INSERT, SELECT, UPDATE ON t TO "
      "inserts");
  for (SinkOptions options : {replace_, snapshot_}) {
    options.username = "inserts";
    EXPECT_THAT(refused(options), HasSubstr("lacks DELETE"));
  }
}

}  // namespace
}  // namespace pgsink::test
