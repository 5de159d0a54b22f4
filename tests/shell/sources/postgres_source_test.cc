// CREATE CONNECTION … TO postgresql (type = 'source', …): the changes of a table through a query
// into another table, until the user has enough.

#include <atomic>
#include <csignal>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/shell_support.h"

namespace pgsink::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

std::string server_says(const std::string& sql) {
  return analytics_server().scalar(sql, "analytics");
}
void server_does(const std::string& sql) { analytics_server().sql(sql, "analytics"); }

bool wait_for(const std::string& query, const std::string& value) {
  for (int i = 0; i < 400; ++i) {
    if (server_says(query) == value) return true;
    std::this_thread::sleep_for(50ms);
  }
  return false;
}

class PostgresSource : public testing::Test {
 protected:
  void SetUp() override {
    create_table("stock", "(id int PRIMARY KEY, name text, amount numeric)");
    create_table("mirror", "(id int PRIMARY KEY, name text, amount numeric)");
    server_does("GRANT CREATE ON DATABASE analytics TO \"user\"; ALTER ROLE \"user\" REPLICATION");
  }
  void TearDown() override {
    wait_for("SELECT count(*) FROM pg_replication_slots WHERE active", "0");
    server_does(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots;"
        "DROP PUBLICATION IF EXISTS stock_pub; ALTER ROLE \"user\" NOREPLICATION");
  }

  /// Runs until `enough` returns, then interrupts.
  template <typename Enough>
  Captured run_until(const std::string& script, Enough enough) {
    std::atomic<pid_t> pid = 0;
    RunOptions options;
    options.watch = [&](pid_t running, const std::string&) { pid = running; };
    std::thread thread([&] {
      enough();
      kill(pid, SIGINT);
    });
    Captured run = pgsink({"-c", script}, options);
    thread.join();
    return run;
  }

  /// As connection(), but of a source.
  static std::string source(const std::string& name, const std::string& more) {
    std::string text = connection(name, "stock", more);
    const std::string sink = "type = 'sink'";
    return text.replace(text.find(sink), sink.size(), "type = 'source'");
  }

  const std::string source_ =
      source("stock_changes", "publication = 'stock_pub', replication_slot = 'stock_slot'");
  const std::string mirror_ =
      connection("mirror_sink", "mirror", "write_mode = 'changelog', batch_timeout_ms = 20");
};

TEST_F(PostgresSource, KeepsATableEqualUntilInterrupted) {
  server_does("INSERT INTO stock VALUES (1, 'one', 1.5), (2, NULL, 2)");
  const std::string script =
      source_ + mirror_ +
      "CREATE PIPELINE p AS INSERT INTO mirror_sink SELECT * FROM stock_changes;";
  const std::string mirror =
      "SELECT string_agg(concat_ws('|', id, name, amount), ' ' ORDER BY id) FROM mirror";
  const Captured first = run_until(script, [&] {
    EXPECT_TRUE(wait_for(mirror, "1|one|1.5 2|2"));
    server_does(
        "UPDATE stock SET amount = 7 WHERE id = 1; DELETE FROM stock WHERE id = 2;"
        "INSERT INTO stock VALUES (3, 'three', NULL)");
    EXPECT_TRUE(wait_for(mirror, "1|one|7 3|three"));
  });
  EXPECT_EQ(first.exit_code, 130) << first.err;
  // What is committed does not come again; what changed meanwhile does.
  server_does("UPDATE stock SET id = 4 WHERE id = 3");
  const Captured second =
      run_until(script, [&] { EXPECT_TRUE(wait_for(mirror, "1|one|7 4|three")); });
  EXPECT_EQ(second.exit_code, 130) << second.err;
  EXPECT_THAT(second.err, HasSubstr("mirror_sink (public.mirror): 2 rows"));
}

// The command remembers in the target where it left the slot.
TEST_F(PostgresSource, ChangesThatAreLostWhileItIsStoppedAreToldAndCanBeAccepted) {
  server_does("INSERT INTO stock VALUES (1, 'one', 1)");
  const std::string pipeline =
      mirror_ + "CREATE PIPELINE p AS INSERT INTO mirror_sink SELECT * FROM stock_changes;";
  const auto arrives = [](const std::string& id) {
    EXPECT_TRUE(wait_for("SELECT count(*) FROM mirror WHERE id = " + id, "1"));
  };
  const Captured first = run_until(source_ + pipeline, [&] {
    arrives("1");
    server_does("INSERT INTO stock VALUES (2, 'two', 2)");
    arrives("2");
  });
  EXPECT_EQ(first.exit_code, 130) << first.err;
  server_does("INSERT INTO stock VALUES (3, 'lost', 3)");
  server_does("SELECT pg_replication_slot_advance('stock_slot', pg_current_wal_lsn())");
  const Captured lost = pgsink({"-c", source_ + pipeline});
  EXPECT_EQ(lost.exit_code, 1);
  EXPECT_THAT(lost.err, HasSubstr("somebody else recreated, advanced or read it"));
  const std::string option = "accept_gap_until = '";
  const size_t at = lost.err.find(option);
  ASSERT_NE(at, std::string::npos) << lost.err;
  const std::string accepted =
      lost.err.substr(at, lost.err.find('\'', at + option.size()) + 1 - at);
  server_does("INSERT INTO stock VALUES (4, 'later', 4)");
  const Captured again =
      run_until(source("stock_changes",
                       "publication = 'stock_pub', replication_slot = 'stock_slot', " + accepted) +
                    pipeline,
                [&] { arrives("4"); });
  EXPECT_EQ(again.exit_code, 130) << again.err;
  EXPECT_EQ(server_says("SELECT string_agg(id::text, ' ' ORDER BY id) FROM mirror"), "1 2 4");
}

TEST_F(PostgresSource, APublicationThatShowsLessEndsThePipeline) {
  const Captured run = run_until(
      source_ + mirror_ +
          "CREATE PIPELINE p AS INSERT INTO mirror_sink SELECT * FROM stock_changes;",
      [&] {
        EXPECT_TRUE(
            wait_for("SELECT count(*) FROM pg_replication_slots WHERE active AND "
                     "slot_name = 'stock_slot'",
                     "1"));
        server_does("ALTER PUBLICATION stock_pub DROP TABLE stock");
        EXPECT_TRUE(wait_for("SELECT count(*) FROM pg_replication_slots WHERE active", "0"));
      });
  EXPECT_THAT(run.err, HasSubstr("does not hold it any more; changes "));
}

// The server does not log large values that an update leaves alone.
TEST_F(PostgresSource, LargeValuesStayWhereWholeRowsArePassedOn) {
  for (const char* const query :
       {"SELECT * FROM stock_changes", "SELECT * FROM stock_changes WHERE _op <> 'T'"}) {
    SCOPED_TRACE(query);
    server_does(
        "TRUNCATE stock, mirror; ALTER TABLE stock ALTER name SET STORAGE EXTERNAL;"
        "INSERT INTO stock VALUES (1, repeat('x', 5000), 1), (2, repeat('y', 5000), 2)");
    const std::string mirror =
        "SELECT string_agg(concat_ws('|', id, length(name), amount), ' ' ORDER BY id) FROM mirror";
    const std::string script =
        source_ + mirror_ + "CREATE PIPELINE p AS INSERT INTO mirror_sink " + query + ";";
    const Captured run = run_until(script, [&] {
      EXPECT_TRUE(wait_for(mirror, "1|5000|1 2|5000|2"));
      server_does("UPDATE stock SET amount = 7 WHERE id = 1; UPDATE stock SET id = 3 WHERE id = 2");
      EXPECT_TRUE(wait_for(mirror, "1|5000|7 3|5000|2"));
      // More rows than the engine takes at once; a moved row must not be cut from its delete.
      server_does(
          "BEGIN; INSERT INTO stock SELECT i, repeat('z', 3000), 0 FROM generate_series(10, 4000)"
          " AS i; UPDATE stock SET id = -id WHERE id >= 10; COMMIT");
      EXPECT_TRUE(
          wait_for("SELECT count(*) || ' ' || min(id) || ' ' || min(length(name)) FROM mirror",
                   "3993 -4000 3000"));
    });
    EXPECT_EQ(run.exit_code, 130) << run.err;
    EXPECT_THAT(run.err, Not(HasSubstr("REPLICA IDENTITY")));
    server_does("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots");
  }
}

TEST_F(PostgresSource, LargeValuesThatAQueryWouldMissStopThePipeline) {
  server_does(
      "ALTER TABLE stock ALTER name SET STORAGE EXTERNAL;"
      "INSERT INTO stock VALUES (1, repeat('x', 5000), 1)");
  const Captured run = run_until(
      source_ + mirror_ +
          "CREATE PIPELINE p AS INSERT INTO mirror_sink SELECT id, upper(name) AS name, amount, _op"
          " FROM stock_changes;",
      [&] {
        EXPECT_TRUE(wait_for("SELECT count(*) FROM mirror", "1"));
        server_does("UPDATE stock SET amount = 7");
        EXPECT_TRUE(wait_for("SELECT count(*) FROM pg_replication_slots WHERE active", "0"));
      });
  EXPECT_THAT(run.err, HasSubstr("left a large (TOASTed) value of column \"name\" alone"));
  EXPECT_EQ(server_says("SELECT length(name) FROM mirror"), "5000");
}

TEST_F(PostgresSource, QueriesFilterAndComputeOverItsTexts) {
  create_table("seen", "(op text, id int, twice numeric, lsn text, at timestamptz)");
  const Captured run = run_until(
      source_ + connection("seen_sink", "seen", "batch_timeout_ms = 20") +
          "INSERT INTO seen_sink SELECT _op AS op, id, amount::DECIMAL(10, 2) * 2 AS twice,"
          " _lsn AS lsn, _commit_ts AS \"at\" FROM stock_changes WHERE _op <> 'D';",
      [&] {
        EXPECT_TRUE(
            wait_for("SELECT count(*) FROM pg_replication_slots WHERE active AND "
                     "slot_name = 'stock_slot'",
                     "1"));
        server_does(
            "INSERT INTO stock VALUES (1, 'x', 2.25); DELETE FROM stock;"
            "INSERT INTO stock VALUES (2, 'y', 1)");
        EXPECT_TRUE(wait_for("SELECT count(*) FROM seen", "2"));
      });
  EXPECT_EQ(run.exit_code, 130) << run.err;
  EXPECT_EQ(server_says("SELECT string_agg(op || id || ' ' || twice, ',' ORDER BY id) FROM seen"),
            "I1 4.50,I2 2.00");
  EXPECT_EQ(server_says("SELECT bool_and(lsn::pg_lsn < pg_current_wal_lsn() AND at > now() - "
                        "interval '1 hour') FROM seen"),
            "t");
}

TEST_F(PostgresSource, FaultsAreToldBeforeAnythingIsRead) {
  const Captured tested = pgsink({"-c", source_ + "SELECT test_connection('stock_changes');"});
  EXPECT_EQ(tested.exit_code, 0) << tested.err;
  EXPECT_THAT(tested.out, HasSubstr("ok"));
  EXPECT_EQ(server_says("SELECT count(*) FROM pg_publication"), "0");
  const Captured into = pgsink({"-c", source_ + "INSERT INTO stock_changes VALUES (1);"});
  EXPECT_EQ(into.exit_code, 1);
  EXPECT_THAT(into.err, HasSubstr("'stock_changes' is a source"));
  const Captured bare = pgsink({"-c", source("c", "publication = 'p'")});
  EXPECT_EQ(bare.exit_code, 1);
  EXPECT_THAT(bare.err, HasSubstr("type = 'source' needs replication_slot"));
  const Captured once =
      pgsink({"-c", source_ +
                        connection("once", "mirror",
                                   "write_mode = 'changelog', delivery = 'exactly_once'") +
                        "INSERT INTO once SELECT * FROM stock_changes;"});
  EXPECT_EQ(once.exit_code, 1);
  EXPECT_THAT(once.err, HasSubstr("replicate() delivers exactly once"));
  server_does("ALTER ROLE \"user\" NOREPLICATION");
  const Captured poor =
      pgsink({"-c", source_ + mirror_ + "INSERT INTO mirror_sink SELECT * FROM stock_changes;"});
  EXPECT_EQ(poor.exit_code, 1);
  EXPECT_THAT(poor.err, HasSubstr("ALTER ROLE … REPLICATION"));
}

}  // namespace
}  // namespace pgsink::test
