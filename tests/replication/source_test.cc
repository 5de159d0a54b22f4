// Source against a real server: snapshot, changes, what is confirmed, and what stops it.

#include <thread>

#include <pgproto/pgoutput.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/replication/tables_stream.h"
#include "replication/source_support.h"

namespace pgsink {
namespace {

using namespace std::chrono_literals;
using test::lines_of;
using test::shared_server;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// So long a test waits for what must come.
constexpr auto kPatience = 60s;
/// So long for what must not.
constexpr auto kQuiet = 300ms;

class SourceTest : public testing::Test {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("source");
    options_ = test::source_options(shared_server(), database_);
    sql("CREATE TABLE t (id int PRIMARY KEY, name text)");
  }
  void TearDown() override {
    source_.reset();
    for (int i = 0; i < 100 && scalar("SELECT count(*) FROM pg_replication_slots WHERE active "
                                      "AND database = current_database()") != "0";
         ++i) {
      std::this_thread::sleep_for(20ms);
    }
    sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
        " WHERE database = current_database()");
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  std::string slots() {
    return scalar(
        "SELECT coalesce(string_agg(replace(slot_name, 'slot_' || current_database(), "
        "'S'), ' ' ORDER BY slot_name), '') FROM pg_replication_slots"
        " WHERE database = current_database()");
  }

  void open(uint64_t after = 0) {
    source_.reset();
    auto opened = Source::open(options_);
    ASSERT_TRUE(opened) << opened.error().to_string();
    source_ = std::move(*opened);
    const Status started = source_->start(after);
    ASSERT_TRUE(started) << started.error().to_string();
  }
  /// As open(), and waits until what is written from now on comes as changes.
  void stream() {
    open();
    wait_for("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'slot_" + database_ + "'",
             "1");
  }
  SourceBatch take() {
    for (const auto end = std::chrono::steady_clock::now() + kPatience;
         std::chrono::steady_clock::now() < end;) {
      auto batch = source_->next(100ms);
      if (!batch) {
        ADD_FAILURE() << batch.error().to_string();
        return {};
      }
      if (*batch) return std::move(**batch);
    }
    ADD_FAILURE() << "no batch came";
    return {};
  }
  /// The rows of the next batch, confirmed.
  std::vector<std::string> lines(bool confirm = true) {
    const SourceBatch batch = take();
    if (batch.rows.schema() == nullptr) return {};
    EXPECT_GT(batch.position, last_);
    last_ = batch.position;
    if (confirm) source_->confirm(batch.position);
    return lines_of(batch.rows);
  }
  void expect_quiet() {
    const auto batch = source_->next(kQuiet);
    ASSERT_TRUE(batch) << batch.error().to_string();
    EXPECT_FALSE(*batch);
  }
  Error take_error() {
    for (const auto end = std::chrono::steady_clock::now() + kPatience;
         std::chrono::steady_clock::now() < end;) {
      const auto batch = source_->next(100ms);
      if (!batch) return batch.error();
      if (*batch) ADD_FAILURE() << "rows came";
    }
    return {};
  }
  void wait_for(const std::string& query, const std::string& value) {
    std::string found;
    for (int i = 0; i < 400 && (found = scalar(query)) != value; ++i) {
      std::this_thread::sleep_for(50ms);
    }
    EXPECT_EQ(found, value) << query;
  }

  std::string database_;
  SinkOptions options_;
  std::unique_ptr<Source> source_;
  uint64_t last_ = 0;
};

TEST_F(SourceTest, YieldsTheTableThenItsChanges) {
  sql("INSERT INTO t VALUES (1, 'a'), (2, NULL), (3, E'tab\\t\\\\N\\n')");
  open();
  EXPECT_THAT(lines(false), ElementsAre("I 1 a", "I 2 NULL", "I 3 tab\t\\N\n"));
  EXPECT_EQ(slots(), "S_snapshot");
  sql("INSERT INTO t VALUES (4, 'd'), (5, 'e')");
  expect_quiet();  // Changes wait for the snapshot to be safe.
  source_->confirm(last_);
  EXPECT_THAT(lines(), ElementsAre("I 4 d", "I 5 e"));
  EXPECT_EQ(slots(), "S");
  sql("BEGIN; UPDATE t SET name = 'x' WHERE id = 4; DELETE FROM t WHERE id = 1;"
      "UPDATE t SET id = 6 WHERE id = 5; COMMIT");
  EXPECT_THAT(lines(), ElementsAre("U 4 x", "D 1 NULL", "D 5 NULL", "I 6 e"));
}

TEST_F(SourceTest, RowsSayWhereAndWhenTheyWereCommitted) {
  stream();
  sql("INSERT INTO t VALUES (1, 'a')");
  const SourceBatch batch = take();
  ASSERT_EQ(batch.rows.row_count(), 1U);
  ASSERT_EQ(batch.rows.schema()->size(), 5U);
  EXPECT_EQ(batch.rows.schema()->at(3).name, "_lsn");
  EXPECT_EQ(batch.rows.schema()->at(4).name, "_commit_ts");
  const auto lsn = pgproto::parse_lsn(test::text_at(batch.rows, 3, 0));
  ASSERT_TRUE(lsn);
  EXPECT_LT(*lsn, batch.position);
  EXPECT_EQ(batch.position, batch.rows.position);
  const std::string when = test::text_at(batch.rows, 4, 0);
  EXPECT_EQ(scalar("SELECT abs(extract(epoch FROM now() - '" + when + "'::timestamptz)) < 30"), "t")
      << when;
}

TEST_F(SourceTest, WhatWasNotConfirmedComesAgain) {
  stream();
  sql("INSERT INTO t VALUES (1, 'a')");
  EXPECT_THAT(lines(), ElementsAre("I 1 a"));
  sql("INSERT INTO t VALUES (2, 'b')");
  EXPECT_THAT(lines(false), ElementsAre("I 2 b"));
  last_ = 0;
  open();
  EXPECT_THAT(lines(), ElementsAre("I 2 b"));
  open();
  expect_quiet();
}

TEST_F(SourceTest, WhatTheConsumerHasIsLeftOut) {
  stream();
  sql("INSERT INTO t VALUES (1, 'a')");
  EXPECT_THAT(lines(false), ElementsAre("I 1 a"));
  sql("INSERT INTO t VALUES (2, 'b')");
  open(last_);
  EXPECT_THAT(lines(), ElementsAre("I 2 b"));
}

TEST_F(SourceTest, AnInterruptedSnapshotIsTakenAgainAndNothingOfBetweenIsLost) {
  sql("INSERT INTO t VALUES (1, 'a'), (2, 'b')");
  open();
  EXPECT_THAT(lines(false), ElementsAre("I 1 a", "I 2 b"));
  open();  // Not confirmed: as after a crash.
  EXPECT_EQ(slots(), "S_snapshot");
  sql("DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (3, 'c')");
  last_ = 0;
  open();
  EXPECT_THAT(lines(), ElementsAre("I 2 b", "I 3 c"));
  // The row that the first attempt may have brought to the target is deleted there too.
  std::vector<std::string> rest = lines();
  EXPECT_THAT(rest, ElementsAre("D 1 NULL", "I 3 c"));
  EXPECT_EQ(slots(), "S");
}

TEST_F(SourceTest, SnapshotsOfManyRowsComeInPieces) {
  sql("INSERT INTO t SELECT i, 'r' FROM generate_series(1, 25000) AS i");
  options_.buffer_bytes = 1 << 20;
  options_.batch_bytes = 1 << 17;
  open();
  size_t rows = 0;
  for (int batches = 0; rows < 25000 && batches < 100; ++batches) {
    const SourceBatch batch = take();
    EXPECT_TRUE(batch.snapshot);
    EXPECT_EQ(batch.position, last_ + 1);
    last_ = batch.position;
    rows += batch.rows.row_count();
    source_->confirm(batch.position);
  }
  EXPECT_EQ(rows, 25000U);
  EXPECT_GT(last_, 3U);
}

TEST_F(SourceTest, WithoutSnapshotOnlyChangesCome) {
  sql("INSERT INTO t VALUES (1, 'a')");
  options_.snapshot = false;
  stream();
  sql("INSERT INTO t VALUES (2, 'b')");
  EXPECT_THAT(lines(), ElementsAre("I 2 b"));
}

TEST_F(SourceTest, EmptyingTheTableIsABatchOfItsOwn) {
  stream();
  sql("INSERT INTO t VALUES (1, 'a')");
  EXPECT_THAT(lines(), ElementsAre("I 1 a"));
  sql("BEGIN; INSERT INTO t VALUES (2, 'gone'); TRUNCATE t; INSERT INTO t VALUES (3, 'c'); COMMIT");
  const SourceBatch emptied = take();
  EXPECT_TRUE(emptied.truncate);
  EXPECT_THAT(lines_of(emptied.rows), ElementsAre("T NULL NULL"));
  EXPECT_EQ(emptied.position, last_);  // More of the same transaction follows.
  EXPECT_THAT(lines(), ElementsAre("I 3 c"));
  sql("TRUNCATE t");
  const SourceBatch alone = take();
  EXPECT_TRUE(alone.truncate);
  EXPECT_GT(alone.position, last_);
}

TEST_F(SourceTest, OtherTablesOfThePublicationAreLeftOutAndConfirmedAllTheSame) {
  sql("CREATE TABLE other (id int); CREATE PUBLICATION pub FOR TABLE t, other");
  stream();
  sql("INSERT INTO t VALUES (1, 'a')");
  EXPECT_THAT(lines(), ElementsAre("I 1 a"));
  sql("INSERT INTO other SELECT generate_series(1, 1000)");
  expect_quiet();
  wait_for("SELECT confirmed_flush_lsn >= '" + scalar("SELECT pg_current_wal_lsn()") +
               "' FROM pg_replication_slots WHERE database = current_database()",
           "t");
}

TEST_F(SourceTest, TheSlotStaysWhereNothingIsConfirmed) {
  stream();
  sql("INSERT INTO t VALUES (1, 'a')");
  EXPECT_THAT(lines(false), ElementsAre("I 1 a"));
  const std::string before = scalar("SELECT pg_current_wal_lsn()");
  std::this_thread::sleep_for(kQuiet);
  EXPECT_EQ(scalar("SELECT confirmed_flush_lsn < '" + before +
                   "' FROM pg_replication_slots WHERE database = current_database()"),
            "t");
  source_->confirm(last_);
  wait_for("SELECT confirmed_flush_lsn >= '" + pgproto::format_lsn(last_) +
               "' FROM pg_replication_slots WHERE database = current_database()",
           "t");
}

TEST_F(SourceTest, PartitionsComeAsTheirTable) {
  sql("DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, name text) PARTITION BY RANGE (id);"
      "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10);"
      "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20);"
      "INSERT INTO t VALUES (1, 'a'), (11, 'b')");
  open();
  EXPECT_THAT(lines(), ElementsAre("I 1 a", "I 11 b"));
  sql("UPDATE t SET id = 12 WHERE id = 1");
  EXPECT_THAT(lines(), ElementsAre("D 1 NULL", "I 12 a"));
}

TEST_F(SourceTest, FiltersAndColumnListsOfThePublicationHoldInTheSnapshotToo) {
  if (shared_server().version() < 150000) return;
  sql("ALTER TABLE t ADD COLUMN secret text, ADD COLUMN twice int GENERATED ALWAYS AS (id * 2) "
      "STORED; CREATE PUBLICATION pub FOR TABLE t (id, name) WHERE (id > 1);"
      "INSERT INTO t VALUES (1, 'a', 's'), (2, 'b', 's')");
  open();
  EXPECT_THAT(lines(), ElementsAre("I 2 b"));
  sql("INSERT INTO t VALUES (0, 'no', 's'), (3, 'c', 's')");
  EXPECT_THAT(lines(), ElementsAre("I 3 c"));
}

// ---- large values ------------------------------------------------------------------------------

class LargeValueTest : public SourceTest {
 protected:
  void SetUp() override {
    SourceTest::SetUp();
    sql("ALTER TABLE t ADD COLUMN big text; ALTER TABLE t ALTER big SET STORAGE EXTERNAL;"
        "CREATE PUBLICATION pub FOR TABLE t");
  }
};

TEST_F(LargeValueTest, AnUpdateThatLeavesOneOutStopsTheSource) {
  stream();
  EXPECT_THAT(source_->warnings(), ElementsAre(HasSubstr("REPLICA IDENTITY FULL")));
  sql("INSERT INTO t VALUES (1, 'a', repeat('x', 5000))");
  EXPECT_EQ(lines().size(), 1U);
  sql("UPDATE t SET name = 'b'");
  const Error error = take_error();
  EXPECT_EQ(error.code, Errc::kReplication);
  EXPECT_THAT(error.message, AllOf(HasSubstr("connection \"src\": table public.t: "),
                                   HasSubstr("column \"big\""), HasSubstr("IDENTITY FULL")));
}

TEST_F(LargeValueTest, ItIsTakenFromTheRowAsItWas) {
  sql("ALTER TABLE t REPLICA IDENTITY FULL");
  stream();
  EXPECT_THAT(source_->warnings(), IsEmpty());
  sql("INSERT INTO t VALUES (1, 'a', repeat('x', 5000))");
  EXPECT_EQ(lines().size(), 1U);
  sql("UPDATE t SET name = 'b'; UPDATE t SET id = 2; DELETE FROM t");
  const std::string big(5000, 'x');
  EXPECT_THAT(lines(), ElementsAre("U 1 b " + big, "D 1 b " + big, "I 2 b " + big, "D 2 b " + big));
}

// ---- what changes under way --------------------------------------------------------------------

TEST_F(SourceTest, ANewColumnStopsItBehindWhatCameBefore) {
  stream();
  sql("INSERT INTO t VALUES (1, 'a')");
  sql("ALTER TABLE t ADD COLUMN extra int");
  sql("INSERT INTO t VALUES (2, 'b', 3)");
  EXPECT_THAT(lines(), ElementsAre("I 1 a"));
  Error error = take_error();
  EXPECT_EQ(error.code, Errc::kReplication);
  EXPECT_THAT(error.message, HasSubstr("column \"extra\" was added"));
  open();
  EXPECT_THAT(lines(), ElementsAre("I 2 b 3"));
  sql("ALTER TABLE t ALTER extra TYPE text; UPDATE t SET extra = 'x' WHERE id = 2");
  error = take_error();
  EXPECT_THAT(error.message, HasSubstr("column \"extra\" has another type"));
}

TEST_F(SourceTest, ALostConnectionIsMadeAnewWithoutGapOrRepetition) {
  stream();
  for (int i = 0; i < 3; ++i) {
    sql("INSERT INTO t VALUES (" + std::to_string(i) + ", 'x')");
    EXPECT_THAT(lines(false), ElementsAre("I " + std::to_string(i) + " x"));
    sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
        " WHERE active AND database = current_database()");
  }
  sql("INSERT INTO t VALUES (9, 'x')");
  EXPECT_THAT(lines(), ElementsAre("I 9 x"));
}

TEST_F(SourceTest, ASlowConsumerKeepsItsConnectionAndItsMemoryIsBounded) {
  sql("ALTER ROLE postgres IN DATABASE " + database_ + " SET wal_sender_timeout = '1s'");
  options_.buffer_bytes = 1 << 20;
  options_.batch_bytes = 1 << 17;
  stream();
  sql("INSERT INTO t VALUES (0, 'x')");
  EXPECT_EQ(lines().size(), 1U);
  const std::string query =
      "SELECT active_pid FROM pg_replication_slots"
      " WHERE database = current_database()";
  const std::string pid = scalar(query);
  for (int i = 1; i <= 60; ++i) {
    sql("INSERT INTO t VALUES (" + std::to_string(i) + ", repeat('y', 200000))");
  }
  std::this_thread::sleep_for(3s);
  EXPECT_EQ(scalar(query), pid);
  for (int i = 1; i <= 60; ++i) {
    const std::vector<std::string> row = lines();
    ASSERT_EQ(row.size(), 1U) << i;
    EXPECT_EQ(row[0].substr(0, 4), ("I " + std::to_string(i) + " yy").substr(0, 4));
  }
  EXPECT_EQ(scalar(query), pid);
}

TEST_F(SourceTest, ATransactionThatMemoryDoesNotHoldIsAnErrorThatSaysWhatToDo) {
  options_.buffer_bytes = 1 << 20;
  options_.batch_bytes = 1 << 17;
  stream();
  sql("INSERT INTO t SELECT i, repeat('z', 1000) FROM generate_series(1, 1000) AS i");
  const Error error = take_error();
  EXPECT_EQ(error.code, Errc::kReplication);
  EXPECT_THAT(error.message, HasSubstr("raise buffer_bytes"));
  options_.buffer_bytes = 8 << 20;
  open();
  EXPECT_EQ(lines().size(), 1000U);
}

// ---- what cannot be ----------------------------------------------------------------------------

TEST_F(SourceTest, ASlotThatIsGoneIsNeverMadeAnewSilently) {
  stream();
  sql("INSERT INTO t VALUES (1, 'a')");
  EXPECT_EQ(lines().size(), 1U);
  source_.reset();
  wait_for(
      "SELECT count(*) FROM pg_replication_slots WHERE active AND database = "
      "current_database()",
      "0");
  sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
      " WHERE database = current_database()");
  open(last_);
  const Error error = take_error();
  EXPECT_EQ(error.code, Errc::kReplication);
  EXPECT_THAT(error.message, HasSubstr("is gone, and with it the changes"));
  EXPECT_EQ(slots(), "");
}

TEST_F(SourceTest, ASecondReaderOfTheSlotIsToldWhoHasIt) {
  stream();
  sql("INSERT INTO t VALUES (1, 'a')");
  EXPECT_EQ(lines().size(), 1U);
  options_.max_retries = 1;
  auto second = Source::open(options_);
  ASSERT_TRUE(second);
  ASSERT_TRUE((*second)->start());
  std::swap(source_, *second);
  const Error error = take_error();
  EXPECT_EQ(error.sqlstate, "55006");
  EXPECT_THAT(error.message, HasSubstr("is active for PID"));
}

TEST_F(SourceTest, WhatIsMissingIsSaidAtOpen) {
  SinkOptions options = options_;
  options.publication.clear();
  auto refused = Source::open(options);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("publication"));
  options = options_;
  options.table = "nothing";
  EXPECT_EQ(Source::open(options).error().code, Errc::kNoSuchTable);
  sql("CREATE VIEW v AS SELECT 1 AS a");
  options.table = "v";
  EXPECT_THAT(Source::open(options).error().message, HasSubstr("cannot be published"));
  shared_server().create_role("reader");
  sql("GRANT SELECT ON t TO reader; CREATE PUBLICATION pub FOR TABLE t");
  options = options_;
  options.username = "reader";
  refused = Source::open(options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kPrivilege);
  EXPECT_THAT(refused.error().message, HasSubstr("ALTER ROLE … REPLICATION"));
  EXPECT_EQ(Source::test(options).error().message, refused.error().message);
  EXPECT_TRUE(Source::test(options_));
  sql("DROP OWNED BY reader");
}

// ---- the stream alone --------------------------------------------------------------------------

TEST(CommitTime, IsWrittenAsPostgresDoes) {
  EXPECT_EQ(commit_time(0), "2000-01-01 00:00:00.000000+00");
  EXPECT_EQ(commit_time(-1), "1999-12-31 23:59:59.999999+00");
  EXPECT_EQ(commit_time(848'452'116'123'456), "2026-11-20 01:08:36.123456+00");
}

TEST(TablesStream, RefusesWhatCannotFollow) {
  SourceTable table{.schema = "public", .name = "t", .oid = 1, .columns = {{"id", 23, true}}};
  const auto schema = text_schema({"id", "_op", "_lsn", "_commit_ts"});

  const std::string begin = std::string("B") + std::string(20, '\0');
  const std::string commit = std::string("C") + std::string(25, '\0');
  const std::string relation =
      std::string("R\0\0\0\1public\0t\0d\0\1\1id\0\0\0\0\x17\xff\xff\xff\xff", 29);
  const std::string two = std::string("I\0\0\0\1N\0\2nn", 10);
  TablesStream stream(1000);
  stream.add_table(table, schema, 0);
  EXPECT_EQ(stream.take(pgproto::as_bytes(commit)).error().code, Errc::kProtocol);
  ASSERT_TRUE(stream.take(pgproto::as_bytes(begin)));
  EXPECT_EQ(stream.take(pgproto::as_bytes(begin)).error().code, Errc::kProtocol);
  const Status described = stream.take(pgproto::as_bytes(relation));
  ASSERT_TRUE(described) << described.error().message;
  EXPECT_EQ(stream.take(pgproto::as_bytes(two)).error().code, Errc::kProtocol);
  EXPECT_EQ(stream.take(pgproto::as_bytes("S\0\0\0\1\1")).error().code, Errc::kProtocol);
}

}  // namespace
}  // namespace pgsink
