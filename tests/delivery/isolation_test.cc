// Isolation levels above READ COMMITTED: the server refuses what does not fit together, and the
// sink writes it again. Also what open() warns of.

#include <chrono>
#include <thread>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;

struct Row {
  int64_t id = 0;
  int64_t amount = 0;
};

RecordBatch batch(std::vector<Row> rows) {
  return batch_of(std::move(rows), column("id", &Row::id), column("amount", &Row::amount));
}

class IsolationTest : public ::testing::TestWithParam<IsolationLevel> {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("isolation");
    sql("CREATE TABLE t (id bigint PRIMARY KEY, amount bigint); INSERT INTO t VALUES (1, 0)");
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.write_mode = WriteMode::kUpsert;
    options_.isolation_level = GetParam();
    options_.retry_backoff_ms = 2;
    options_.max_retries = 1000;
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  std::unique_ptr<Sink> open() {
    auto sink = Sink::open(options_, batch({}).schema());
    EXPECT_TRUE(sink) << (sink ? "" : sink.error().to_string());
    return sink ? std::move(*sink) : nullptr;
  }

  std::string database_;
  SinkOptions options_;
};

INSTANTIATE_TEST_SUITE_P(Levels, IsolationTest,
                         ::testing::Values(IsolationLevel::kRepeatableRead,
                                           IsolationLevel::kSerializable),
                         [](const auto& instance) {
                           return instance.param == IsolationLevel::kSerializable
                                      ? "Serializable"
                                      : "RepeatableRead";
                         });

TEST_P(IsolationTest, ARowThatChangedBehindTheSnapshotIsWrittenAgain) {
  const std::unique_ptr<PGconn, decltype(&PQfinish)> other(
      PQconnectdb(shared_server().conninfo(database_).c_str()), &PQfinish);
  auto sink = open();
  PQclear(PQexec(other.get(), "BEGIN; UPDATE t SET amount = 5 WHERE id = 1"));
  ASSERT_TRUE(sink->write(batch({{1, 7}})));
  std::thread commit([&] {
    // The flight has its snapshot and waits for the row.
    std::string waiting;
    for (int i = 0; i < 2000 && waiting != "1"; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      waiting = scalar(
          "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
          "application_name = 'pgsink/test' AND wait_event_type = 'Lock'");
    }
    EXPECT_EQ(waiting, "1");
    PQclear(PQexec(other.get(), "COMMIT"));
  });
  const Status flushed = sink->flush();
  commit.join();
  ASSERT_TRUE(flushed) << flushed.error().to_string();
  EXPECT_EQ(scalar("SELECT amount FROM t"), "7");
  EXPECT_EQ(sink->metrics().failed_writes, 1U);
  EXPECT_EQ(sink->metrics().retry_count, 1U);
  EXPECT_EQ(sink->metrics().possible_duplicates, 0U);
  EXPECT_NE(sink->metrics().last_error.find("40001"), std::string::npos)
      << sink->metrics().last_error;
}

TEST_P(IsolationTest, TwoWritersOfTheSameRowsLoseNothing) {
  // Each row that is written is also counted, by a trigger in the same transaction.
  sql("CREATE TABLE written (sink text, amount bigint); "
      "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
      "INSERT INTO written VALUES (current_setting('application_name'), NEW.amount); "
      "RETURN NEW; END $$; "
      "CREATE TRIGGER note AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note()");
  constexpr int64_t kFlights = 60;
  std::vector<std::thread> writers;
  for (const std::string name : {"one", "two"}) {
    writers.emplace_back([&, name] {
      SinkOptions options = options_;
      options.connection_name = name;
      options.batch_size = 3;
      options.transaction_size = 3;
      options.in_flight_max = 4;
      auto sink = Sink::open(options, batch({}).schema());
      ASSERT_TRUE(sink) << sink.error().to_string();
      for (int64_t i = 1; i <= kFlights; ++i) {
        ASSERT_TRUE((*sink)->write(batch({{1, i}, {2, i}, {3, i}})));
      }
      const Status closed = (*sink)->close();
      EXPECT_TRUE(closed) << closed.error().to_string();
      EXPECT_EQ((*sink)->metrics().rows_written, static_cast<uint64_t>(kFlights) * 3);
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(scalar("SELECT string_agg(format('%s %s %s', sink, n, s), ', ' ORDER BY sink) FROM "
                   "(SELECT sink, count(*) n, sum(amount) s FROM written GROUP BY sink) w"),
            "pgsink/one 180 5490, pgsink/two 180 5490");
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || min(amount) || ' ' || max(amount) FROM t"),
            "3 60 60");
}

// ---- warnings at open --------------------------------------------------------------------------

class WarningTest : public IsolationTest {};
INSTANTIATE_TEST_SUITE_P(Levels, WarningTest, ::testing::Values(IsolationLevel::kReadCommitted),
                         [](const auto&) { return "ReadCommitted"; });

TEST_P(WarningTest, CommitsThatDoNotWaitForTheDiskAreToldAtOpen) {
  EXPECT_TRUE(open()->warnings().empty());
  sql("ALTER DATABASE " + database_ + " SET synchronous_commit = off");
  const auto warnings = open()->warnings();
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_NE(warnings[0].find("connection \"test\": synchronous_commit is off"), std::string::npos)
      << warnings[0];
  options_.session_variables = {{"Synchronous_Commit", "LOCAL"}};
  EXPECT_TRUE(open()->warnings().empty());
  sql("ALTER DATABASE " + database_ + " RESET synchronous_commit");
  options_.session_variables = {{"synchronous_commit", "False"}};
  EXPECT_EQ(open()->warnings().size(), 1U);
}

TEST_P(WarningTest, TheSettingOfTheRoleCountsToo) {
  shared_server().create_role("hasty_writer");
  sql("GRANT ALL ON t TO hasty_writer; ALTER ROLE hasty_writer SET synchronous_commit = off");
  options_.username = "hasty_writer";
  EXPECT_EQ(open()->warnings().size(), 1U);
  sql("DROP OWNED BY hasty_writer; DROP ROLE hasty_writer");
}

}  // namespace
}  // namespace pgsink
