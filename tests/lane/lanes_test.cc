// Several lanes: rows of one key keep their order, a failing lane takes nothing of the others
// along.

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;

struct Row {
  int64_t id = 0;
  std::string name;
  int64_t number = 0;
};

RecordBatch batch(std::vector<Row> rows, uint64_t position = 0) {
  RecordBatch made = batch_of(std::move(rows), column("id", &Row::id), column("name", &Row::name),
                              column("number", &Row::number));
  made.position = position;
  return made;
}

std::vector<Row> rows(int64_t first, int64_t count, int64_t keys) {
  std::vector<Row> made;
  for (int64_t i = first; i < first + count; ++i) {
    made.push_back({.id = i % keys, .name = "n" + std::to_string(i % keys), .number = i});
  }
  return made;
}

class LanesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("lanes");
    sql("CREATE TABLE t (id bigint, name text, number bigint)");
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.parallelism = 4;
    options_.retry_backoff_ms = 10;
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  std::unique_ptr<Sink> open() {
    auto sink = Sink::open(options_, batch({}).schema());
    EXPECT_TRUE(sink) << (sink ? "" : sink.error().to_string());
    return sink ? std::move(*sink) : nullptr;
  }
  Error open_error() {
    auto sink = Sink::open(options_, batch({}).schema());
    EXPECT_FALSE(sink);
    return sink ? Error{} : sink.error();
  }

  std::string database_;
  SinkOptions options_;
};

TEST_F(LanesTest, EveryLaneHasASessionAndAllRowsArrive) {
  auto sink = open();
  EXPECT_EQ(scalar("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                   "application_name = 'pgsink/test'"),
            "4");
  for (int64_t i = 0; i < 50; ++i) ASSERT_TRUE(sink->write(batch(rows(i * 777, 777, 1000))));
  ASSERT_TRUE(sink->flush());
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || sum(number) FROM t"), "38850 754641825");
  EXPECT_EQ(sink->metrics().rows_written, 38'850U);
  EXPECT_EQ(sink->metrics().buffered_bytes, 0U);
  EXPECT_EQ(sink->metrics().connections_opened, 4U);
  ASSERT_TRUE(sink->close());
}

TEST_F(LanesTest, ByTurnsEveryLaneWrites) {
  // Which session wrote a row: its backend's pid.
  sql("ALTER TABLE t ADD writer int DEFAULT pg_backend_pid()");
  auto sink = open();
  ASSERT_TRUE(sink->write(batch(rows(0, 8000, 1000))));
  ASSERT_TRUE(sink->close());
  EXPECT_EQ(scalar("SELECT string_agg(n::text, ' ') FROM (SELECT count(*) n FROM t GROUP BY writer)"
                   " w"),
            "2000 2000 2000 2000");
}

TEST_F(LanesTest, AKeyStaysWithItsLane) {
  sql("ALTER TABLE t ADD writer int DEFAULT pg_backend_pid(), ADD arrival bigserial");
  options_.partition_by = "hash(id, name)";
  auto sink = open();
  for (int64_t i = 0; i < 20; ++i) ASSERT_TRUE(sink->write(batch(rows(i * 500, 500, 97))));
  ASSERT_TRUE(sink->close());
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "10000");
  EXPECT_EQ(scalar("SELECT count(DISTINCT writer) FROM t"), "4");
  EXPECT_EQ(scalar("SELECT max(n) FROM (SELECT count(DISTINCT writer) n FROM t GROUP BY id) k"),
            "1");
  EXPECT_EQ(scalar("SELECT count(*) FROM (SELECT number < lag(number) OVER (PARTITION BY id ORDER "
                   "BY arrival) AS wrong FROM t) o WHERE wrong"),
            "0");
}

TEST_F(LanesTest, UpsertsHashTheirKeysUnasked) {
  sql("ALTER TABLE t ADD PRIMARY KEY (id)");
  options_.write_mode = WriteMode::kUpsert;
  options_.batch_size = 50;
  auto sink = open();
  for (int64_t i = 0; i < 100; ++i) ASSERT_TRUE(sink->write(batch(rows(i * 100, 100, 61))));
  ASSERT_TRUE(sink->close());
  // The last number of each key is what a single writer would leave.
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || min(number) || ' ' || max(number) FROM t"),
            "61 9939 9999");
}

TEST_F(LanesTest, WhatWouldLoseTheOrderIsAnErrorAtOpen) {
  sql("ALTER TABLE t ADD PRIMARY KEY (id)");
  options_.write_mode = WriteMode::kUpsert;
  options_.partition_by = "round_robin";
  EXPECT_EQ(open_error().code, Errc::kOptionConflict);
  options_.partition_by = "hash(name)";
  EXPECT_EQ(open_error().code, Errc::kOptionConflict);
  options_.partition_by = "hash(nothing)";
  EXPECT_EQ(open_error().code, Errc::kNoSuchColumn);
  options_.partition_by = "hash(id)";
  sql("ALTER TABLE t ALTER id TYPE numeric");
  EXPECT_EQ(open_error().code, Errc::kColumnType);
  sql("CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); "
      "ALTER TABLE t DROP CONSTRAINT t_pkey, ALTER name TYPE text COLLATE ci, ADD PRIMARY KEY "
      "(name)");
  options_.partition_by = "hash(name)";
  EXPECT_EQ(open_error().code, Errc::kColumnType);
  options_.parallelism = 1;
  EXPECT_TRUE(open()->close());
}

// Equal keys of these types may differ in their bytes: 'KEY1' and 'key1' are one row.
TEST_F(LanesTest, EqualKeysTakeOneLaneWhateverTheirBytes) {
  sql("CREATE EXTENSION citext; CREATE DOMAIN citext_domain AS citext; CREATE COLLATION ci ("
      "provider = icu, locale = 'und-u-ks-level2', deterministic = false); CREATE DOMAIN ci_domain "
      "AS text COLLATE ci");
  options_.write_mode = WriteMode::kUpsert;
  options_.batch_size = 50;
  for (const std::string_view type : {"citext", "citext_domain", "text COLLATE ci", "ci_domain"}) {
    for (const bool composite : {false, true}) {
      sql("DROP TABLE t; CREATE TABLE t (id bigint, name " + std::string(type) +
          ", number bigint, writer int, PRIMARY KEY (name" + (composite ? ", id" : "") +
          ")); CREATE OR REPLACE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN "
          "NEW.writer := pg_backend_pid(); RETURN NEW; END'; CREATE TRIGGER note BEFORE INSERT ON "
          "t FOR EACH ROW EXECUTE FUNCTION note()");
      auto sink = open();
      ASSERT_EQ(sink->warnings().size(), 1U);
      EXPECT_NE(sink->warnings()[0].find("\"name\" may be equal"), std::string::npos)
          << sink->warnings()[0];
      for (int64_t i = 0; i < 40; ++i) {
        std::vector<Row> made = rows(i * 100, 100, 50);
        for (Row& row : made) row.name = (row.number / 50 % 2 == 0 ? "KEY" : "key") + row.name;
        ASSERT_TRUE(sink->write(batch(std::move(made))));
      }
      const Status closed = sink->close();
      ASSERT_TRUE(closed) << closed.error().to_string();
      EXPECT_EQ(scalar("SELECT count(*) || ' ' || min(number) || ' ' || max(number) FROM t"),
                "50 3950 3999")
          << type;
      // The other key columns still spread the rows.
      EXPECT_EQ(scalar("SELECT count(DISTINCT writer) > 1 FROM t"), composite ? "t" : "f");
    }
  }
}

TEST_F(LanesTest, AFailingLaneStopsTheSinkAndTheOthersWriteWhatTheyHave) {
  sql("ALTER TABLE t ADD CHECK (number <> 1500)");
  options_.batch_timeout_ms = 60'000;
  auto sink = open();
  ASSERT_TRUE(sink->write(batch(rows(0, 4000, 4000))));
  const Status closed = sink->close();
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().sqlstate.view(), "23514");
  EXPECT_NE(closed.error().message.find("(input row 1501)"), std::string::npos)
      << closed.error().message;
  EXPECT_NE(closed.error().message.find("rows 1001 to 2000 were one transaction and were rolled "
                                        "back"),
            std::string::npos)
      << closed.error().message;
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || count(*) FILTER (WHERE number BETWEEN 1000 AND 1999) "
                   "FROM t"),
            "3000 0");
}

TEST_F(LanesTest, ThePositionIsDurableOnceEveryLaneIs) {
  options_.partition_by = "hash(id)";
  auto sink = open();
  for (uint64_t i = 1; i <= 40; ++i) {
    ASSERT_TRUE(sink->write(batch(rows(static_cast<int64_t>(i), 1, 1000), i)));
    if (i % 10 != 0) continue;
    ASSERT_TRUE(sink->flush());
    EXPECT_EQ(sink->durable_position(), i);
    EXPECT_EQ(scalar("SELECT count(*) FROM t"), std::to_string(i));
  }
  ASSERT_TRUE(sink->write(batch({}, 41)));
  ASSERT_TRUE(sink->flush());
  EXPECT_EQ(sink->durable_position(), 41U);
}

TEST_F(LanesTest, AFailureSaysWhatAllLanesHaveWritten) {
  sql("ALTER TABLE t ADD CHECK (number <> 5555)");
  options_.batch_size = 100;
  for (const auto mode : {WriteMode::kInsert, WriteMode::kUpsert}) {
    if (mode == WriteMode::kUpsert) sql("TRUNCATE t; ALTER TABLE t ADD PRIMARY KEY (id)");
    options_.write_mode = mode;
    auto sink = open();
    Status told = sink->write(batch(rows(0, 10'000, 1'000'000)));
    if (told) told = sink->flush();
    const Status closed = sink->close();
    ASSERT_FALSE(told);
    ASSERT_FALSE(closed);
    const std::string count = scalar("SELECT count(*) FROM t");
    EXPECT_NE(closed.error().message.find(". " + count + " rows are committed"), std::string::npos)
        << count << " in: " << closed.error().message;
    EXPECT_EQ(closed.error().message.find("accepted after"), std::string::npos)
        << closed.error().message;
  }
}

}  // namespace
}  // namespace pgsink
