// Rows that are copied straight into their partitions: only where that does the same as through the
// table, and whatever happens to the partitions meanwhile.

#include <atomic>
#include <thread>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;
using testing::HasSubstr;

constexpr int64_t kRows = 10'000;  // Of a batch: 2,000 for each of five partitions.

struct Row {
  int64_t id = 0;
  std::optional<std::string> day;
  std::optional<int32_t> amount;
};

RecordBatch batch(std::vector<Row> rows) {
  return batch_of(std::move(rows), column("id", &Row::id), column("day", &Row::day),
                  column("amount", &Row::amount));
}

/// Rows from `first`, one day after the other and again.
std::vector<Row> interleaved(int64_t first, int64_t days = 5, int64_t count = kRows) {
  std::vector<Row> rows;
  for (int64_t id = first; id < first + count; ++id) {
    rows.push_back({id, "2026-01-0" + std::to_string(1 + id % days), static_cast<int32_t>(id % 7)});
  }
  return rows;
}

class LeavesTest : public testing::Test {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("leaves");
    sql("DO $$ BEGIN CREATE ROLE loader LOGIN; EXCEPTION WHEN duplicate_object THEN END $$");
    sql("CREATE TABLE t (id bigint, day date,"
        " amount int, doubled int GENERATED ALWAYS AS (amount * 2) STORED, note text DEFAULT "
        "'none')"
        " PARTITION BY RANGE (day); GRANT ALL ON ALL TABLES IN SCHEMA public TO loader");
    for (int day = 1; day <= 5; ++day) make_partition(day);
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "loader";
    options_.table = "t";
    options_.batch_size = 100'000;
    options_.partition_copy_min_rows = 1000;
    options_.retry_backoff_ms = 10;
  }

  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  static std::string bounds(int day) {
    const auto date = [](int of) { return "('2026-01-0" + std::to_string(of) + "')"; };
    return "FOR VALUES FROM " + date(day) + " TO " + date(day + 1);
  }
  void make_partition(int day) {
    const std::string name = "t" + std::to_string(day);
    sql("CREATE TABLE " + name + " PARTITION OF t " + bounds(day) + "; GRANT ALL ON " + name +
        " TO loader");
  }
  std::unique_ptr<Sink> open() {
    auto sink = Sink::open(options_, batch({}).schema());
    EXPECT_TRUE(sink) << (sink ? "" : sink.error().to_string());
    return sink ? std::move(*sink) : nullptr;
  }
  static Status write(Sink& sink, std::vector<Row> rows) {
    if (auto written = sink.write(batch(std::move(rows))); !written) return written;
    return sink.flush();
  }
  /// Whether rows come straight into a partition, whose own trigger then fires.
  bool straight(std::vector<Row> rows = interleaved(0), const std::string& leaf = "t2") {
    auto sink = open();
    sql("CREATE TABLE straight (); CREATE FUNCTION count_it() RETURNS trigger LANGUAGE plpgsql "
        "SECURITY DEFINER AS $$ BEGIN INSERT INTO straight DEFAULT VALUES; RETURN NULL; END $$; "
        "CREATE TRIGGER count_it AFTER INSERT ON " +
        leaf + " FOR EACH STATEMENT EXECUTE FUNCTION count_it()");
    const Status written = write(*sink, std::move(rows));
    EXPECT_TRUE(written) << written.error().to_string();
    const bool any = scalar("SELECT count(*) FROM straight") != "0";
    sql("DROP FUNCTION count_it CASCADE; DROP TABLE straight");
    return any;
  }
  /// All rows of [0, count) are there once, each as it was given.
  void expect_rows(int64_t count) {
    EXPECT_EQ(scalar("SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || coalesce(sum(id), 0)"
                     " FROM t"),
              std::to_string(count) + " " + std::to_string(count) + " " +
                  std::to_string(count * (count - 1) / 2));
    EXPECT_EQ(scalar("SELECT count(*) FROM t WHERE doubled <> 2 * amount OR amount <> id % 7"),
              "0");
  }

  std::string database_;
  SinkOptions options_;
};

TEST_F(LeavesTest, RowsGoStraightIntoTheirPartitions) {
  EXPECT_TRUE(straight());
  expect_rows(kRows);
  for (const char* name : {"t1", "t2", "t3", "t4", "t5"}) {
    EXPECT_EQ(scalar("SELECT count(*) FROM " + std::string(name)), "2000");
  }
}

TEST_F(LeavesTest, OrNotIfTheOptionSaysSo) {
  options_.partition_copy_min_rows = 0;
  EXPECT_FALSE(straight());
}

TEST_F(LeavesTest, FewPartitionsAreLeftToTheTable) {
  EXPECT_TRUE(straight(interleaved(0, 4)));
  EXPECT_FALSE(straight(interleaved(0, 3)));
  EXPECT_FALSE(straight(interleaved(0, 1), "t1"));
}

TEST_F(LeavesTest, RowsWithoutAPartitionOfTheirOwnGoThroughTheTable) {
  sql("CREATE TABLE rest PARTITION OF t DEFAULT");
  auto sink = open();
  std::vector<Row> rows = interleaved(0);
  for (int64_t id = kRows; id < 2 * kRows; ++id) {
    rows.push_back({id, id % 2 == 0 ? std::optional<std::string>() : "2027-01-01",
                    static_cast<int32_t>(id % 7)});
  }
  ASSERT_TRUE(write(*sink, std::move(rows)));
  expect_rows(2 * kRows);
  EXPECT_EQ(scalar("SELECT count(*) FROM rest"), std::to_string(kRows));
}

TEST_F(LeavesTest, FewRowsOfManyPartitionsGoThroughTheTable) {
  EXPECT_FALSE(straight(interleaved(0, 5, 4995)));
}

TEST_F(LeavesTest, ListsOfValuesAndNull) {
  sql("DROP TABLE t; CREATE TABLE t (id bigint, day text, amount int) PARTITION BY LIST (day);"
      "CREATE TABLE a PARTITION OF t FOR VALUES IN ('2026-01-01', '2026-01-05');"
      "CREATE TABLE b PARTITION OF t FOR VALUES IN ('2026-01-02');"
      "CREATE TABLE c PARTITION OF t FOR VALUES IN ('2026-01-03');"
      "CREATE TABLE d PARTITION OF t FOR VALUES IN ('2026-01-04', NULL);"
      "GRANT ALL ON t, a, b, c, d TO loader");
  std::vector<Row> rows = interleaved(0);
  for (Row& row : rows) {
    if (row.day == "2026-01-04") row.day.reset();
  }
  EXPECT_TRUE(straight(rows, "b"));
  EXPECT_TRUE(straight(rows, "d"));
  EXPECT_EQ(scalar("SELECT (SELECT count(*) FROM a) || ' ' || (SELECT count(*) FROM d)"),
            "8000 4000");
}

TEST_F(LeavesTest, WhereItWouldNotBeTheSameTheTableIsUsed) {
  const std::vector<std::pair<std::string, std::string>> differences{
      {"CREATE TABLE calls (); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY "
       "DEFINER AS $$ BEGIN INSERT INTO calls DEFAULT VALUES; RETURN NULL; END $$; CREATE TRIGGER "
       "note AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION note()",
       "DROP TRIGGER note ON t"},
      {"CREATE TRIGGER note AFTER INSERT ON t2 FOR EACH STATEMENT EXECUTE FUNCTION note()",
       "DROP TRIGGER note ON t2"},
      {"CREATE TRIGGER note AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION note()",
       "DROP TRIGGER note ON t"},
      {"ALTER TABLE t2 ALTER note SET DEFAULT 'other'", "ALTER TABLE t2 ALTER note DROP DEFAULT"},
      {"ALTER TABLE t2 ALTER note SET DEFAULT 'none'; CREATE SEQUENCE s; GRANT ALL ON s TO loader;"
       " ALTER TABLE t ADD n bigint DEFAULT nextval('s')",
       "ALTER TABLE t DROP n"},
      {"ALTER TABLE t2 ENABLE ROW LEVEL SECURITY", "ALTER TABLE t2 DISABLE ROW LEVEL SECURITY"},
      {"REVOKE INSERT ON t2 FROM loader", "GRANT INSERT ON t2 TO loader"},
      {"ALTER TABLE t DETACH PARTITION t2; DROP TABLE t2; CREATE TABLE t2 PARTITION OF t " +
           bounds(2) + " PARTITION BY LIST (id); CREATE TABLE t22 PARTITION OF t2 DEFAULT",
       "DROP TABLE t2"},
  };
  EXPECT_TRUE(straight());
  for (const auto& [difference, mended] : differences) {
    sql(difference);
    sql("TRUNCATE t");
    EXPECT_FALSE(straight()) << difference;
    expect_rows(kRows);
    EXPECT_EQ(scalar("SELECT count(*) FROM t WHERE note <> 'none'"), "0") << difference;
    sql(mended);
  }
  EXPECT_EQ(scalar("SELECT count(*) FROM calls"), std::to_string(1 + kRows));
}

// A partition that is the table's no more takes no row, whatever has its name.
TEST_F(LeavesTest, PartitionsThatChangeUnderTheSink) {
  const std::string twin = " (LIKE t INCLUDING ALL); GRANT ALL ON t2 TO loader; ";
  const std::vector<std::string> changes{
      "ALTER TABLE t DETACH PARTITION t2; ALTER TABLE t2 RENAME TO lost; CREATE TABLE t2 PARTITION "
      "OF t " +
          bounds(2),
      "ALTER TABLE t DETACH PARTITION t2; CREATE TABLE new2 PARTITION OF t " + bounds(2),
      "DROP TABLE t2; CREATE TABLE t2" + twin + "CREATE TABLE new2 PARTITION OF t " + bounds(2),
      "ALTER TABLE t2 RENAME TO other2; CREATE TABLE t2" + twin,
      "ALTER TABLE t DETACH PARTITION t2; ALTER TABLE t DETACH PARTITION t1; ALTER TABLE t ATTACH "
      "PARTITION t2 " +
          bounds(1) + "; ALTER TABLE t ATTACH PARTITION t1 " + bounds(2),
      "DROP TABLE t2; CREATE TABLE t22 PARTITION OF t " + bounds(2),
  };
  for (const std::string& change : changes) {
    auto sink = open();
    ASSERT_TRUE(write(*sink, interleaved(0)));
    sql("TRUNCATE t");
    sql(change);
    for (int64_t n = 0; n < 3; ++n) {
      const Status written = write(*sink, interleaved(n * kRows));
      EXPECT_TRUE(written) << change << ": " << written.error().to_string();
    }
    expect_rows(3 * kRows);
    EXPECT_EQ(sink->metrics().possible_duplicates, 0U);
    sql("DROP TABLE t; DROP TABLE IF EXISTS t1, t2, t22, lost, new2; CREATE TABLE t (id bigint, "
        "day date, amount int, doubled int GENERATED ALWAYS AS (amount * 2) STORED, note text "
        "DEFAULT 'none') PARTITION BY RANGE (day); GRANT ALL ON t TO loader");
    for (int day = 1; day <= 5; ++day) make_partition(day);
  }
}

TEST_F(LeavesTest, PartitionsComeAndGoUnderLoad) {
  options_.parallelism = 2;
  options_.max_retries = 1000;
  auto sink = open();
  std::atomic<bool> done = false;
  // None of them meets the sink in a deadlock: all lock the table before its partitions.
  std::thread changing([&] {
    while (!done) {
      sql("ALTER TABLE t DETACH PARTITION t2; ALTER TABLE t ATTACH PARTITION t2 " + bounds(2));
      sql("ALTER TABLE t3 RENAME TO old");
      sql("ALTER TABLE t DETACH PARTITION old; ALTER TABLE t ATTACH PARTITION old " + bounds(3));
      sql("ALTER TABLE old RENAME TO t3");
    }
  });
  for (int64_t n = 0; n < 40; ++n) {
    const Status written = sink->write(batch(interleaved(n * kRows)));
    EXPECT_TRUE(written) << written.error().to_string();
  }
  const Status flushed = sink->flush();
  EXPECT_TRUE(flushed) << flushed.error().to_string();
  done = true;
  changing.join();
  expect_rows(40 * kRows);
}

TEST_F(LeavesTest, BadRowsBecomeDeadLetters) {
  sql("CREATE UNIQUE INDEX ON t (id, day); ALTER TABLE t2 ADD CHECK (amount < 100); "
      "GRANT CREATE ON SCHEMA public TO loader");
  options_.dead_letter_table = "rejected";
  auto sink = open();
  std::vector<Row> rows = interleaved(0);
  rows[1001].amount = 1000;                                       // the check of t2
  rows[2000].day = "2026-05-05";                                  // no partition
  rows[3000].day = "no date";                                     // the encoder
  rows[4002] = {.id = 3999, .day = rows[3999].day, .amount = 2};  // there already
  const Status written = write(*sink, std::move(rows));
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), std::to_string(kRows - 4));
  EXPECT_EQ(scalar("SELECT string_agg(input_row::text || ' ' || sqlstate, ', ' ORDER BY input_row)"
                   " FROM rejected"),
            "1002 23514, 2001 23514, 3001 22007, 4003 23505");
  EXPECT_EQ(sink->metrics().rows_written, static_cast<uint64_t>(kRows - 4));
}

TEST_F(LeavesTest, AnErrorNamesTheInputsRow) {
  options_.max_retries = 0;
  sql("ALTER TABLE t2 ADD CHECK (amount < 100)");
  auto sink = open();
  std::vector<Row> rows = interleaved(0);
  rows[1001].amount = 1000;
  const Status written = write(*sink, std::move(rows));
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, HasSubstr("input row 1002"));
  EXPECT_THAT(written.error().message, HasSubstr("rows 1 to 10000 were one transaction"));
}

TEST_F(LeavesTest, ExactlyOnceAndTwoPhaseCommitAreServedAlike) {
  sql("GRANT CREATE ON SCHEMA public TO loader");
  for (const bool two_phase : {false, true}) {
    options_.sink_id = "leaves";
    options_.use_2pc = two_phase;
    options_.delivery = two_phase ? Delivery::kAtLeastOnce : Delivery::kExactlyOnce;
    options_.parallelism = 2;
    options_.partition_by = "hash(id)";
    options_.max_retries = 1000;
    auto sink = open();
    ASSERT_TRUE(sink);
    for (int64_t n = 0; n < 6; ++n) {
      RecordBatch rows = batch(interleaved(n * 3 * kRows, 5, 3 * kRows));
      rows.position = static_cast<uint64_t>(n) + 1;
      ASSERT_TRUE(sink->write(std::move(rows)));
      sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'loader' AND "
          "datname = current_database() AND random() < 0.5");
    }
    const Status closed = sink->close();
    ASSERT_TRUE(closed) << closed.error().to_string();
    expect_rows(18 * kRows);
    sql("TRUNCATE t");
  }
}

TEST_F(LeavesTest, CreatedPartitionsAreUsedAtOnce) {
  sql("DROP TABLE t1, t2, t3, t4, t5; ALTER TABLE t OWNER TO loader; GRANT CREATE ON SCHEMA public "
      "TO "
      "loader");
  options_.partition_column = "day";
  options_.partition_type = PartitionType::kRange;
  options_.create_partitions = true;
  auto sink = open();
  ASSERT_TRUE(write(*sink, interleaved(0)));
  // It fires where COPY goes straight; through the table it does not.
  sql("CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO straight "
      "DEFAULT VALUES; RETURN NULL; END $$; CREATE TABLE straight (); GRANT ALL ON straight TO "
      "loader; CREATE TRIGGER note AFTER INSERT ON t_20260102 FOR EACH STATEMENT EXECUTE FUNCTION "
      "note()");
  const Status written = write(*sink, interleaved(kRows));
  EXPECT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(scalar("SELECT count(*) FROM straight"), "1");
  expect_rows(2 * kRows);
}

}  // namespace
}  // namespace pgsink
