#include "pgsink/sink.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include "support/patience.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;

struct Event {
  int64_t id = 0;
  std::optional<std::string> name;
  double value = 0;
};

std::vector<Event> events(int64_t first, int64_t count) {
  std::vector<Event> rows;
  for (int64_t i = first; i < first + count; ++i) {
    rows.push_back({.id = i, .name = "n" + std::to_string(i), .value = static_cast<double>(i) / 4});
    if (i % 5 == 0) rows.back().name.reset();
  }
  return rows;
}

RecordBatch batch(std::vector<Event> rows) {
  return batch_of(std::move(rows), column("id", &Event::id), column("name", &Event::name),
                  column("value", &Event::value));
}

class SinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("sink");
    sql("CREATE TABLE t (id bigint PRIMARY KEY, name text, value float8)");
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.retry_backoff_ms = 10;
  }

  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  std::unique_ptr<Sink> open() {
    auto sink = Sink::open(options_, batch({}).schema());
    EXPECT_TRUE(sink) << (sink ? "" : sink.error().to_string());
    return sink ? std::move(*sink) : nullptr;
  }
  Error open_error(const RecordBatch& like) {
    auto sink = Sink::open(options_, like.schema());
    EXPECT_FALSE(sink);
    return sink ? Error{} : sink.error();
  }
  /// Waits, bounded, until a query on the server says `expected`.
  bool wait_for(const std::string& query, const std::string& expected) {
    return test::eventually([&] { return scalar(query) == expected; });
  }
  // Only the sink's own sessions.
  std::vector<int> sink_pids() {
    std::vector<int> pids;
    for (const auto& row : shared_server().sql(
             "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgsink/test' AND "
             "datname = '" +
             database_ + "'")) {
      pids.push_back(std::stoi(*row[0]));
    }
    return pids;
  }

  std::string database_;
  SinkOptions options_;
};

TEST_F(SinkTest, MetricsTellSinceWhenRowsWait) {
  options_.batch_timeout_ms = 600'000;
  auto sink = open();
  EXPECT_EQ(sink->metrics().waiting_since_wall_us, 0);
  ASSERT_TRUE(sink->write(batch(events(1, 1))));
  const int64_t since = sink->metrics().waiting_since_wall_us;
  EXPECT_GT(since, 0) << "nothing was committed yet";
  ASSERT_TRUE(sink->write(batch(events(2, 1))));
  EXPECT_EQ(sink->metrics().waiting_since_wall_us, since) << "the first row still waits";
  ASSERT_TRUE(sink->flush());
  EXPECT_EQ(sink->metrics().waiting_since_wall_us, 0);
  ASSERT_TRUE(sink->close());
}

TEST_F(SinkTest, WritesEveryRowWithItsNulls) {
  options_.transaction_size = 1000;
  auto sink = open();
  ASSERT_TRUE(sink->write(batch(events(1, 10'500))));
  ASSERT_TRUE(sink->flush());
  EXPECT_EQ(
      scalar("SELECT count(*) || ' ' || count(name) || ' ' || sum(id) || ' ' || sum(value) FROM t"),
      "10500 8400 55130250 13782562.5");
  EXPECT_EQ(scalar("SELECT name FROM t WHERE id = 9999"), "n9999");
  const SinkMetrics metrics = sink->metrics();
  EXPECT_EQ(metrics.rows_written, 10'500U);
  EXPECT_EQ(metrics.rows_accepted, 10'500U);
  EXPECT_EQ(metrics.batches_sent, 11U);
  EXPECT_EQ(metrics.write_latency.count, 11U);
  EXPECT_EQ(metrics.buffered_bytes, 0U);
  EXPECT_EQ(metrics.in_flight_rows, 0U);
  EXPECT_EQ(metrics.failed_writes, 0U);
  ASSERT_TRUE(sink->close());
}

TEST_F(SinkTest, CutsTransactionsAtTransactionSize) {
  options_.batch_size = 10;
  options_.transaction_size = 25;
  auto sink = open();
  ASSERT_TRUE(sink->write(batch(events(1, 100))));
  ASSERT_TRUE(sink->close());
  EXPECT_EQ(scalar("SELECT count(*) FROM (SELECT xmin, count(*) FROM t GROUP BY 1) g"), "4");
}

TEST_F(SinkTest, ALonelyRowArrivesWithinTheBatchTimeout) {
  options_.batch_timeout_ms = 50;
  auto sink = open();
  ASSERT_TRUE(sink->write(batch(events(1, 1))));
  ASSERT_TRUE(wait_for("SELECT count(*) FROM t", "1")) << "without flush()";
  ASSERT_TRUE(sink->write(batch(events(2, 1))));
  ASSERT_TRUE(wait_for("SELECT count(*) FROM t", "2"));
}

TEST_F(SinkTest, FlushCommitsAnIncompleteBatchAtOnce) {
  options_.batch_timeout_ms = 600'000;
  options_.transaction_size = 1'000'000;
  auto sink = open();
  for (int i = 1; i <= 20; ++i) {
    ASSERT_TRUE(sink->write(batch(events(i, 1))));
    ASSERT_TRUE(sink->flush());
    ASSERT_EQ(scalar("SELECT count(*) FROM t"), std::to_string(i));
  }
}

TEST_F(SinkTest, ReportsTheDurablePosition) {
  auto sink = open();
  for (uint64_t i = 1; i <= 5; ++i) {
    RecordBatch next = batch(events(static_cast<int64_t>(i) * 1000, 700));
    next.position = i * 10;
    ASSERT_TRUE(sink->write(std::move(next)));
  }
  ASSERT_TRUE(sink->flush());
  EXPECT_EQ(sink->durable_position(), 50U);
}

TEST_F(SinkTest, GivesMemoryBackOnlyWhenDurable) {
  sql("CREATE FUNCTION wait_a_moment() RETURNS trigger LANGUAGE plpgsql AS "
      "'BEGIN PERFORM pg_sleep(2); RETURN NULL; END'");
  sql("CREATE TRIGGER slow AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION wait_a_moment()");
  auto sink = open();
  const auto rows = events(1, 10);
  std::atomic<bool> released = false;
  RecordBatch lent = batch_of(std::span<const Event>(rows), column("id", &Event::id),
                              column("name", &Event::name), column("value", &Event::value));
  RecordBatch counted(lent.schema(), {lent.columns().begin(), lent.columns().end()}, 10, 100,
                      [&] { released = true; });
  auto same_schema = Sink::open(options_, counted.schema());
  ASSERT_TRUE(same_schema) << same_schema.error().to_string();
  ASSERT_TRUE((*same_schema)->write(std::move(counted)));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_FALSE(released);
  ASSERT_TRUE((*same_schema)->flush());
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "10");
  ASSERT_TRUE((*same_schema)->close());
  EXPECT_TRUE(released);
}

TEST_F(SinkTest, BoundsWhatIsAcceptedAndNotDurable) {
  options_.buffer_bytes = 1 << 20;
  options_.batch_bytes = 1 << 18;
  options_.batch_size = 100;
  auto sink = open();
  std::atomic<bool> done = false;
  std::atomic<uint64_t> most = 0;
  std::thread watcher([&] {
    while (!done) most = std::max<uint64_t>(most, sink->metrics().buffered_bytes);
  });
  for (int64_t i = 0; i < 400; ++i) ASSERT_TRUE(sink->write(batch(events(i * 1000, 1000))));
  ASSERT_TRUE(sink->flush());
  done = true;
  watcher.join();
  EXPECT_LE(most, uint64_t{1} << 20);
  EXPECT_GT(most, uint64_t{100'000});
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "400000");
}

TEST_F(SinkTest, AHostThatMustNotWaitIsToldThatThereIsNoRoom) {
  options_.buffer_bytes = 1 << 20;
  options_.batch_bytes = 1 << 18;
  options_.batch_size = 1'000'000;  // What is accepted goes only because its memory is wanted.
  options_.batch_timeout_ms = 3'600'000;
  auto sink = open();
  size_t refused = 0;
  for (int64_t i = 0; i < 400; ++i) {
    RecordBatch next = batch(events(i * 1000, 1000));
    ASSERT_TRUE(test::eventually([&] {
      const auto taken = sink->try_write(next);
      if (!taken) throw std::runtime_error(taken.error().to_string());
      if (*taken) return true;
      EXPECT_EQ(next.row_count(), 1000U);
      ++refused;
      return false;
    })) << "the lanes do not hurry to make room";
    EXPECT_EQ(next.row_count(), 0U);
  }
  EXPECT_GT(refused, 0U);
  ASSERT_TRUE(sink->close());
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "400000");
}

TEST_F(SinkTest, ManyProducersLoseNothing) {
  options_.batch_size = 777;
  auto sink = open();
  std::vector<std::thread> producers;
  std::atomic<int> failures = 0;
  for (int64_t p = 0; p < 8; ++p) {
    producers.emplace_back([&, p] {
      for (int64_t i = 0; i < 50; ++i) {
        if (!sink->write(batch(events(p * 1'000'000 + i * 100, 100)))) ++failures;
        if (i % 10 == 9 && !sink->flush()) ++failures;
      }
    });
  }
  for (auto& producer : producers) producer.join();
  EXPECT_EQ(failures, 0);
  ASSERT_TRUE(sink->close());
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "40000");
}

// ---- refusals at open --------------------------------------------------------------------------

TEST_F(SinkTest, NamesEveryColumnFaultAtOnce) {
  sql("CREATE TABLE f (id bigint NOT NULL, \"Name\" text, needed int NOT NULL, "
      "twice int GENERATED ALWAYS AS (id * 2) STORED)");
  options_.table = "f";
  struct Row {
    int64_t id = 0;
    int64_t nane = 0;
    int32_t twice = 0;
  };
  const Error error =
      open_error(batch_of(std::vector<Row>{}, column("id", &Row::id), column("nane", &Row::nane),
                          column("twice", &Row::twice)));
  for (const char* part : {"no column \"nane\"", "did you mean \"Name\"", "\"needed\" is NOT NULL",
                           "\"twice\" is generated", "public.f", "\"test\""}) {
    EXPECT_NE(error.message.find(part), std::string::npos) << part << " in: " << error.message;
  }
}

TEST_F(SinkTest, ATestOfTheConnectionChecksTheOptionsToo) {
  options_.url = "postgresql://127.0.0.1/analytics";
  const Status tested = test_connection(options_);
  ASSERT_FALSE(tested);
  EXPECT_EQ(tested.error().code, Errc::kOptionConflict) << tested.error().to_string();
}

TEST_F(SinkTest, AMaterializedViewIsRefusedWhenItIsOpened) {
  sql("DROP TABLE t; CREATE MATERIALIZED VIEW t AS SELECT 1::bigint AS id, 'a' AS name,"
      " 0::float8 AS value");
  const Error error = open_error(batch({}));
  EXPECT_EQ(error.code, Errc::kOptionConflict);
  EXPECT_NE(error.message.find("is a materialized view"), std::string::npos) << error.message;
}

TEST_F(SinkTest, OpensWhileTheTableIsChanged) {
  std::atomic<bool> ends = false;
  std::atomic<int> changes = 0;
  std::thread changer([&] {
    PGconn* const owner = PQconnectdb(shared_server().conninfo(database_).c_str());
    while (!ends) {
      PQclear(PQexec(owner, "ALTER TABLE t ADD more int, ADD other text"));
      PQclear(PQexec(owner, "ALTER TABLE t ALTER value TYPE numeric"));
      PQclear(PQexec(owner, "ALTER TABLE t ALTER value TYPE float8, DROP more, DROP other"));
      PQclear(PQexec(owner,
                     "BEGIN; DROP TABLE t; CREATE TABLE t (value text, id bigint PRIMARY KEY,"
                     " name text, unused int); COMMIT"));
      PQclear(PQexec(owner, "ALTER TABLE t ALTER value TYPE float8 USING value::float8"));
      PQclear(PQexec(owner,
                     "BEGIN; CREATE DOMAIN shown AS text; ALTER TABLE t ALTER name TYPE shown;"
                     " COMMIT"));
      PQclear(PQexec(owner, "ALTER TABLE t ALTER name TYPE text; DROP DOMAIN shown"));
      ++changes;
    }
    PQfinish(owner);
  });
  for (int i = 0; i < 40 || changes < 5; ++i) {
    const auto sink = Sink::open(options_, batch({}).schema());
    EXPECT_TRUE(sink) << sink.error().to_string();
  }
  ends = true;
  changer.join();
}

TEST_F(SinkTest, MatchesColumnsWithoutCaseOnlyIfThatIsUnambiguous) {
  sql("CREATE TABLE one (\"Id\" bigint); CREATE TABLE two (\"ID\" bigint, \"Id\" bigint)");
  struct Row {
    int64_t id = 7;
  };
  options_.table = "one";
  auto sink = Sink::open(options_, batch_of(std::vector<Row>{}, column("id", &Row::id)).schema());
  ASSERT_TRUE(sink) << sink.error().to_string();
  options_.table = "two";
  const Error error = open_error(batch_of(std::vector<Row>{}, column("id", &Row::id)));
  EXPECT_EQ(error.code, Errc::kColumnAmbiguous);
}

TEST_F(SinkTest, LeavesColumnsThatTheInputLacksToTheirDefaults) {
  sql("CREATE TABLE d (id bigint, made timestamptz DEFAULT '2020-01-01', n int GENERATED BY "
      "DEFAULT "
      "AS IDENTITY, double_id bigint GENERATED ALWAYS AS (id * 2) STORED)");
  options_.table = "d";
  struct Row {
    int64_t id = 21;
  };
  const auto like = batch_of(std::vector<Row>{}, column("id", &Row::id));
  auto sink = Sink::open(options_, like.schema());
  ASSERT_TRUE(sink) << sink.error().to_string();
  ASSERT_TRUE((*sink)->write(batch_of(std::vector<Row>(1), column("id", &Row::id))));
  ASSERT_TRUE((*sink)->close());
  EXPECT_EQ(scalar("SELECT id || ' ' || made::date || ' ' || n || ' ' || double_id FROM d"),
            "21 2020-01-01 1 42");
}

TEST_F(SinkTest, AMisspeltTableIsAnErrorAtOpen) {
  options_.table = "tt";
  const Error error = open_error(batch({}));
  EXPECT_EQ(error.code, Errc::kNoSuchTable);
}

TEST_F(SinkTest, ATableNamedLikeAnInjectionIsJustATable) {
  sql("CREATE TABLE \"a\"\"b\"\"; DROP TABLE t; --\" (\"x\"\"y\" bigint)");
  options_.table = "a\"b\"; DROP TABLE t; --";
  struct Row {
    int64_t x = 5;
  };
  const auto like = batch_of(std::vector<Row>{}, column("x\"y", &Row::x));
  auto sink = Sink::open(options_, like.schema());
  ASSERT_TRUE(sink) << sink.error().to_string();
  ASSERT_TRUE((*sink)->write(batch_of(std::vector<Row>(1), column("x\"y", &Row::x))));
  ASSERT_TRUE((*sink)->close());
  EXPECT_EQ(scalar("SELECT count(*) FROM \"a\"\"b\"\"; DROP TABLE t; --\""), "1");
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "0");
}

// ---- failures while writing --------------------------------------------------------------------

TEST_F(SinkTest, ADuplicateKeyStopsWithNothingOfItsTransaction) {
  sql("INSERT INTO t VALUES (1500, 'here', 0)");
  options_.in_flight_max = 1;
  options_.transaction_size = 1000;
  auto sink = open();
  ASSERT_TRUE(sink->write(batch(events(1, 5000))));
  const Status flushed = sink->flush();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().sqlstate, "23505");
  EXPECT_EQ(flushed.error().constraint, "t_pkey");
  for (const char* part :
       {"\"test\"", "public.t", "1000 rows are committed", "rows 1001 to 2000", "input row 1500"}) {
    EXPECT_NE(flushed.error().message.find(part), std::string::npos)
        << part << " in: " << flushed.error().message;
  }
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "1001") << "the first transaction and the row before";
  EXPECT_FALSE(sink->write(batch(events(9000, 1)))) << "stopped for good";
  EXPECT_FALSE(sink->close());
}

TEST_F(SinkTest, AFailureIsKnownWithoutAnotherCall) {
  sql("INSERT INTO t VALUES (5, 'here', 0)");
  options_.batch_timeout_ms = 10;
  auto sink = open();
  EXPECT_TRUE(sink->status());
  EXPECT_EQ(sink->metrics().sinks_stopped, 0U);
  ASSERT_TRUE(sink->write(batch(events(1, 10))));
  ASSERT_TRUE(test::eventually([&] { return !sink->status(); }));
  EXPECT_EQ(sink->status().error().sqlstate, "23505");
  EXPECT_EQ(sink->metrics().sinks_stopped, 1U);
  EXPECT_EQ(sink->close().error().message, sink->status().error().message);
}

TEST_F(SinkTest, RowsThatTheServerChangedAreCounted) {
  sql("CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS "
      "'BEGIN IF NEW.id % 10 = 0 THEN RETURN NULL; END IF; RETURN NEW; END';"
      "CREATE TRIGGER skip BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION skip()");
  struct Case {
    WriteMode mode;
    std::optional<bool> copy;
    uint64_t changed;
  };
  // 1 to 100 are there but for each tenth, then come 51 to 150.
  for (const Case& one :
       {Case{WriteMode::kInsert, true, 90 + 0}, Case{WriteMode::kUpsert, false, 90 + 90},
        Case{WriteMode::kUpsert, true, 90 + 90}, Case{WriteMode::kInsertIgnore, false, 90 + 45},
        Case{WriteMode::kUpdate, false, 0}, Case{WriteMode::kDelete, false, 0}}) {
    sql("TRUNCATE t");
    options_.write_mode = one.mode;
    options_.use_copy = one.copy;
    auto sink = open();
    ASSERT_TRUE(sink->write(batch(events(1, 100))));
    ASSERT_TRUE(sink->flush());
    if (one.mode != WriteMode::kInsert) {
      ASSERT_TRUE(sink->write(batch(events(51, 100))));
      ASSERT_TRUE(sink->flush());
    }
    EXPECT_EQ(sink->metrics().rows_changed, one.changed) << static_cast<int>(one.mode);
    ASSERT_TRUE(sink->close());
  }
}

TEST_F(SinkTest, AFailureSaysWhetherLaterRowsAreThere) {
  sql("INSERT INTO t VALUES (1500, 'here', 0)");
  options_.transaction_size = 1000;
  auto sink = open();
  // Nothing is answered before everything is on its way.
  const std::unique_ptr<PGconn, decltype(&PQfinish)> holder(
      PQconnectdb(shared_server().conninfo(database_).c_str()), PQfinish);
  PQclear(PQexec(holder.get(), "BEGIN; LOCK TABLE t"));
  ASSERT_TRUE(sink->write(batch(events(1, 5000))));
  ASSERT_TRUE(test::eventually([&] { return sink->metrics().in_flight_rows >= 5000; }));
  PQclear(PQexec(holder.get(), "COMMIT"));
  const Status flushed = sink->flush();
  ASSERT_FALSE(flushed);
  EXPECT_NE(flushed.error().message.find(
                "4000 rows are committed; rows 1001 to 2000 were one transaction and were rolled "
                "back; of the rows accepted from row 1001 on, only some were written"),
            std::string::npos)
      << flushed.error().message;
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "4001");
}

TEST_F(SinkTest, ADeferredConstraintThatFailsAtCommitIsAFailure) {
  sql("CREATE TABLE u (id bigint UNIQUE DEFERRABLE INITIALLY DEFERRED, name text, value float8)");
  sql("INSERT INTO u VALUES (3, 'here', 0)");
  options_.table = "u";
  auto sink = open();
  ASSERT_TRUE(sink->write(batch(events(1, 10))));
  const Status flushed = sink->flush();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().sqlstate, "23505");
  EXPECT_EQ(scalar("SELECT count(*) FROM u"), "1");
}

/// Also if the transaction after it waits for more rows, and none come.
TEST_F(SinkTest, AFailureIsToldWhetherOrNotMoreRowsCome) {
  sql("CREATE TABLE u (id bigint UNIQUE, name text, value float8); CREATE TABLE go (a int)");
  options_.table = "u";
  options_.use_copy = true;
  options_.copy_batch_size = 100;
  options_.transaction_size = 200;
  options_.batch_timeout_ms = 600'000;
  std::jthread holder([&] {
    sql("BEGIN; INSERT INTO u VALUES (200, 'here', 0); DO $$ BEGIN "
        "WHILE NOT EXISTS (SELECT FROM go) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$; COMMIT");
  });
  EXPECT_TRUE(wait_for(
      "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'BEGIN; INSERT%' AND wait_event = "
      "'PgSleep' AND datname = current_database()",
      "1"));
  auto sink = open();
  EXPECT_TRUE(sink->write(batch(events(1, 200))));
  EXPECT_TRUE(sink->write(batch(events(201, 100))));
  EXPECT_TRUE(test::eventually([&] { return sink->metrics().in_flight_rows == 300; }));
  sql("INSERT INTO go VALUES (1)");
  EXPECT_TRUE(test::eventually([&] { return sink->metrics().connections_open == 0; }));
  sink->close();
  EXPECT_EQ(sink->metrics().last_error.contains("23505"), true) << sink->metrics().last_error;
  EXPECT_EQ(scalar("SELECT count(*) FROM u"), "1");
}

TEST_F(SinkTest, ARowThatCannotBeEncodedStopsAndNamesColumnAndRow) {
  sql("CREATE TABLE s (id smallint)");
  options_.table = "s";
  struct Row {
    int64_t id = 0;
  };
  std::vector<Row> rows(100);
  rows[41].id = 40'000;
  const auto like = batch_of(std::vector<Row>{}, column("id", &Row::id));
  auto sink = Sink::open(options_, like.schema());
  ASSERT_TRUE(sink) << sink.error().to_string();
  ASSERT_TRUE((*sink)->write(batch_of(std::move(rows), column("id", &Row::id))));
  const Status flushed = (*sink)->flush();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().code, Errc::kRowRejected);
  EXPECT_NE(flushed.error().message.find("40000"), std::string::npos) << flushed.error().message;
  EXPECT_NE(flushed.error().message.find("input row 42"), std::string::npos)
      << flushed.error().message;
  EXPECT_EQ(scalar("SELECT count(*) FROM s"), "0");
}

TEST_F(SinkTest, ASchemaThatIsNotTheOpenedOneIsRefused) {
  auto sink = open();
  struct Row {
    int32_t id = 0;
  };
  const Status written = sink->write(batch_of(std::vector<Row>(1), column("id", &Row::id)));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Errc::kUsage);
}

TEST_F(SinkTest, ABatchOfAnotherSchemaIsRefusedAndTheColumnNamed) {
  const auto sink = open();
  const auto refusal = [&](RecordBatch batch) {
    const Status written = sink->write(std::move(batch));
    EXPECT_FALSE(written);
    return written ? "" : written.error().message;
  };
  const std::string other = "write(): the batch's schema is not the one given to open(): ";
  EXPECT_EQ(refusal(batch_of(events(1, 1), column("id", &Event::id))),
            other + "1 columns instead of 3");
  EXPECT_EQ(refusal(batch_of(events(1, 1), column("id", &Event::id), column("text", &Event::name),
                             column("value", &Event::value))),
            other + "column \"text\" instead of \"name\"");
  EXPECT_EQ(refusal(batch_of(events(1, 1), column("id", &Event::id), column("name", &Event::name),
                             column("value", &Event::id))),
            other + "column \"value\" has another type");
}

TEST_F(SinkTest, ASchemaWhoseListsHaveOtherElementsIsRefused) {
  sql("CREATE TABLE lists (l bigint[])");
  options_.table = "lists";
  const auto list_of = [](auto element) {
    using List = std::vector<decltype(element)>;
    return batch_of_columns(column("l", std::vector<List>{{element}})).value();
  };
  auto sink = Sink::open(options_, list_of(int64_t{1}).schema());
  ASSERT_TRUE(sink) << sink.error().to_string();
  const Status written = (*sink)->write(list_of(int16_t{1}));
  ASSERT_FALSE(written) << "the elements would be read as if they had eight bytes";
  EXPECT_EQ(written.error().code, Errc::kUsage);
  EXPECT_EQ(written.error().message,
            "write(): the batch's schema is not the one given to open(): column \"l\" has another "
            "type");
}

TEST_F(SinkTest, SettingsOfTheTransactionNeverStayInTheSession) {
  sql("CREATE TABLE who (id bigint, name text, value float8, role text DEFAULT current_user, "
      "tenant text DEFAULT current_setting('app.tenant', true))");
  shared_server().create_role("sink_writer_" + database_);
  sql("GRANT INSERT ON who TO \"sink_writer_" + database_ + "\"");
  options_.table = "who";
  options_.set_role = "sink_writer_" + database_;
  options_.session_variables = {{"app.tenant", "it's 42\\"}};
  options_.isolation_level = IsolationLevel::kSerializable;
  auto sink = open();
  ASSERT_TRUE(sink->write(batch(events(1, 3))));
  ASSERT_TRUE(sink->flush()) << "committed";
  EXPECT_EQ(scalar("SELECT string_agg(DISTINCT role || ' ' || tenant, ',') FROM who"),
            "sink_writer_" + database_ + " it's 42\\");
}

// ---- the server goes away ----------------------------------------------------------------------

TEST_F(SinkTest, AStatementThatTakesTooLongIsEndedByTheServer) {
  sql("CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(30);"
      " RETURN NEW; END $$; CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW"
      " EXECUTE FUNCTION dawdle()");
  options_.statement_timeout_ms = 1500;
  options_.max_retries = 0;
  auto sink = open();
  ASSERT_TRUE(sink->write(batch(events(0, 1))));
  const Status flushed = sink->flush();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().sqlstate, "57014") << flushed.error().to_string();
}

TEST_F(SinkTest, ZeroMeansNeverWhateverTheRolesTimeoutsAre) {
  sql("CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
      " PERFORM pg_sleep(2); RETURN NEW; END $$; CREATE TRIGGER slow BEFORE INSERT ON t"
      " FOR EACH ROW EXECUTE FUNCTION dawdle(); ALTER DATABASE " +
      database_ + " SET statement_timeout = '1s'");
  options_.max_retries = 0;
  for (const bool use_copy : {true, false}) {
    options_.use_copy = use_copy;
    options_.statement_timeout_ms.reset();
    {
      auto sink = open();
      ASSERT_TRUE(sink->write(batch(events(0, 1))));
      EXPECT_EQ(sink->flush().error().sqlstate, "57014") << "left out: the database's";
    }
    options_.statement_timeout_ms = 0;
    auto sink = open();
    ASSERT_TRUE(sink->write(batch(events(use_copy ? 1 : 2, 1))));
    EXPECT_TRUE(sink->flush());
  }
}

TEST_F(SinkTest, RetriesEndWhenNothingSucceedsForTooLong) {
  PGconn* holder = PQconnectdb(shared_server().conninfo(database_).c_str());
  PQclear(PQexec(holder, "BEGIN; LOCK TABLE t"));
  options_.lock_timeout_ms = 20;
  options_.max_retries = 1'000'000;
  options_.retry_timeout_ms = 300;
  auto sink = open();
  ASSERT_TRUE(sink->write(batch(events(0, 1))));
  const Status flushed = sink->flush();
  PQfinish(holder);
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().sqlstate, "55P03") << flushed.error().to_string();
  EXPECT_NE(flushed.error().message.find("retry_timeout_ms"), std::string::npos);
  EXPECT_GT(sink->metrics().retry_count, 1U);
}

TEST_F(SinkTest, KilledBackendAtEachStepOfALoadNeverMakesFlushLie) {
  options_.batch_size = 200;
  options_.max_retries = 100;
  for (int round = 0; round < 12; ++round) {
    sql("TRUNCATE t");
    auto sink = open();
    std::atomic<bool> done = false;
    std::thread killer([&] {
      // Terminate early, in the middle and late: wherever the load happens to be.
      std::this_thread::sleep_for(std::chrono::milliseconds(2 * round));
      for (const int pid : sink_pids()) {
        if (!done) shared_server().kill_backend(pid, round % 3 == 2 ? SIGKILL : SIGTERM);
      }
    });
    int64_t acknowledged = 0;
    Status status;
    for (int64_t i = 0; i < 40 && status; ++i) {
      status = sink->write(batch(events(i * 500, 500)));
      if (status && i % 4 == 3) {
        status = sink->flush();
        if (status) acknowledged = (i + 1) * 500;
      }
    }
    done = true;
    killer.join();
    shared_server().wait_until_ready();
    const std::string present =
        scalar("SELECT count(DISTINCT id) FROM t WHERE id < " + std::to_string(acknowledged));
    EXPECT_EQ(present, std::to_string(acknowledged)) << "round " << round;
    const bool primary_key_told = !status && status.error().sqlstate == "23505";
    EXPECT_TRUE(status || primary_key_told || status.error().code != Errc::kInternal)
        << status.error().to_string();
  }
}

TEST_F(SinkTest, AWrongPortSaysWhichAndWhatToDo) {
  options_.host = "127.0.0.1";
  options_.port = std::to_string(test::free_port());
  const Error error = open_error(batch({}));
  EXPECT_EQ(error.code, Errc::kConnect);
  EXPECT_NE(error.message.find(options_.port), std::string::npos) << error.message;
}

TEST_F(SinkTest, DestructionWithoutCloseIsBounded) {
  sql("CREATE FUNCTION wait_long() RETURNS trigger LANGUAGE plpgsql AS "
      "'BEGIN PERFORM pg_sleep(20); RETURN NULL; END'");
  sql("CREATE TRIGGER slow AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION wait_long()");
  const auto begin = std::chrono::steady_clock::now();
  {
    auto sink = open();
    ASSERT_TRUE(sink->write(batch(events(1, 5000))));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  for (const int pid : sink_pids()) shared_server().kill_backend(pid, SIGTERM);
}

TEST_F(SinkTest, ServersWithoutAWalPositionAreWrittenWithAWarning) {
  sql("SET allow_system_table_mods = on;"
      "ALTER FUNCTION pg_catalog.pg_current_wal_lsn() RENAME TO pg_current_wal_lsn_real;"
      "CREATE FUNCTION pg_catalog.pg_current_wal_lsn() RETURNS pg_lsn LANGUAGE plpgsql AS"
      " $$ BEGIN RAISE EXCEPTION USING errcode = '55000', message = 'not here'; END $$");
  auto sink = open();
  ASSERT_EQ(sink->warnings().size(), 1U);
  EXPECT_NE(sink->warnings()[0].find("its rows may be written twice"), std::string::npos);
  EXPECT_TRUE(sink->write(batch(events(1, 1))));
  EXPECT_TRUE(sink->close());
  options_.delivery = Delivery::kExactlyOnce;
  options_.sink_id = "without_wal_position";
  EXPECT_TRUE(open()->warnings().empty());
}

TEST_F(SinkTest, TestConnectionNamesTheFault) {
  EXPECT_TRUE(test_connection(options_));
  options_.table = "missing";
  const Status status = test_connection(options_);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::kNoSuchTable);
}

}  // namespace
}  // namespace pgsink
