// Exactly-once: the epoch row and its fence, against the real server.

#include "pgsink/delivery/epoch_rows.h"

#include <algorithm>
#include <stdexcept>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sql/control.h"
#include "support/client_fixture.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class EpochTest : public ClientTest {
 protected:
  EpochTest() : epochs_(*Epochs::create("public", "it's \"one\"")), connection_(open()) {
    server().sql("CREATE TABLE t (a int)", database());
    const Status there = epochs_.ensure_table(*connection_, soon());
    if (!there) throw std::runtime_error(there.error().to_string());
  }

  std::unique_ptr<Connection> open(const std::string& name = "epoch_test") {
    return connect(unix_way() + " application_name=" + name);
  }
  LaneEpoch claim(Connection& connection) {
    auto rows = epochs_.claim(env(), connection, 1, soon());
    if (!rows) throw std::runtime_error(rows.error().to_string());
    return rows->at(0);
  }
  /// A flight with one row, as the lane sends it.
  std::string flight(const LaneEpoch& row, uint64_t position, const std::string& end = "COMMIT",
                     const std::string& isolation = "READ COMMITTED") {
    return "BEGIN ISOLATION LEVEL " + isolation + "; " + *epochs_.guard_sql(row, position) +
           "; INSERT INTO t VALUES (" + std::to_string(position) + "); " + end;
  }
  Status run(Connection& connection, const std::string& text) {
    const auto result = connection.query(text, soon());
    if (connection.broken()) return fail(result.error());
    if (connection.session().transaction_status() == pgproto::ReadyForQuery::Status::kFailed) {
      EXPECT_TRUE(connection.query("ROLLBACK", soon()));
    }
    if (!result) return fail(result.error());
    return {};
  }
  std::string scalar(const std::string& text) { return server().scalar(text, database()); }
  std::string row_text() {
    return scalar("SELECT epoch || ' ' || host_position FROM pgsink_epochs");
  }
  bool waits(const Connection& connection) {
    const std::string question = "SELECT wait_event_type FROM pg_stat_activity WHERE pid = " +
                                 std::to_string(connection.server().backend.pid);
    for (int i = 0; i < 500; ++i) {
      if (scalar(question) == "Lock") return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }

  Epochs epochs_;
  std::unique_ptr<Connection> connection_;
};

TEST_F(EpochTest, FlightsMoveTheRowTogetherWithTheirRows) {
  LaneEpoch row = claim(*connection_);
  EXPECT_EQ(row.epoch, 0U);
  EXPECT_EQ(row.position, 0U);
  const uint64_t last = UINT64_MAX;
  for (const uint64_t position : {uint64_t{10}, uint64_t{20}}) {
    ASSERT_TRUE(run(*connection_, flight(row, position)));
    ++row.epoch;
  }
  ASSERT_TRUE(run(*connection_, "BEGIN; " + *epochs_.guard_sql(row, last) + "; COMMIT"));
  const auto read = epochs_.read(*connection_, 0, soon());
  ASSERT_TRUE(read && *read);
  EXPECT_EQ((*read)->epoch, 3U);
  EXPECT_EQ((*read)->position, last) << "positions keep all 64 bits";
  EXPECT_EQ((*read)->writer, row.writer);
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "2");
  EXPECT_FALSE(epochs_.read(*connection_, 7, soon())->has_value()) << "no such lane";
}

// The window: flights follow without waiting, and none may commit after one before it failed.
TEST_F(EpochTest, AFlightFailsIfOneBeforeItDidNotCommit) {
  LaneEpoch row = claim(*connection_);
  ASSERT_TRUE(run(*connection_, flight(row, 1)));
  LaneEpoch third = row;
  third.epoch = 2;
  const Status failed = run(*connection_, flight(third, 3));
  ASSERT_FALSE(failed);
  EXPECT_TRUE(Epochs::is_guard_failure(failed.error())) << failed.error().to_string();
  const auto cause = epochs_.explain(*connection_, third, soon());
  ASSERT_TRUE(cause);
  EXPECT_FALSE(*cause) << "the writer is right, the flight before it is missing";
  EXPECT_EQ(row_text(), "1 1");
  // Repeating a flight that is committed already writes nothing either.
  EXPECT_TRUE(Epochs::is_guard_failure(run(*connection_, flight(row, 1)).error()));
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "1");
}

TEST_F(EpochTest, OnlyTheGuardsErrorIsAGuardFailure) {
  server().sql("CREATE TABLE n (epoch int NOT NULL)", database());
  const Status other = run(*connection_, "INSERT INTO n VALUES (NULL)");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().sqlstate, "23502");
  EXPECT_FALSE(Epochs::is_guard_failure(other.error()));
}

TEST_F(EpochTest, TheSecondWriterClaimsAndTheFirstIsFenced) {
  const LaneEpoch first = claim(*connection_);
  ASSERT_TRUE(run(*connection_, flight(first, 5)));
  const auto second = open("the_other_one");
  const LaneEpoch claimed = claim(*second);
  EXPECT_EQ(claimed.epoch, 1U);
  EXPECT_EQ(claimed.position, 5U);
  LaneEpoch next = first;
  next.epoch = 1;
  for (const char* isolation : {"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"}) {
    const Status failed = run(*connection_, flight(next, 6, "COMMIT", isolation));
    ASSERT_FALSE(failed) << isolation;
    EXPECT_TRUE(Epochs::is_guard_failure(failed.error())) << failed.error().to_string();
  }
  const auto cause = epochs_.explain(*connection_, next, soon());
  ASSERT_TRUE(cause && *cause);
  EXPECT_EQ((*cause)->code, Errc::kFenced);
  EXPECT_THAT((*cause)->message,
              AllOf(HasSubstr("fenced by \"the_other_one\" from the local socket"),
                    HasSubstr(std::to_string(second->server().backend.pid)), HasSubstr(" UTC"),
                    HasSubstr("sink_id")));
  const auto renewed = epochs_.renew(env(), *connection_, next, soon());
  ASSERT_FALSE(renewed);
  EXPECT_EQ(renewed.error().code, Errc::kFenced) << renewed.error().to_string();
  ASSERT_TRUE(run(*second, flight(claimed, 6)));
  EXPECT_EQ(row_text(), "2 6");
}

// A zombie whose transaction is open after its guard: the claim waits, and knows what became of
// it.
TEST_F(EpochTest, AClaimWaitsForAnOpenTransactionAndReturnsWhatItLeft) {
  for (const std::string end : {"COMMIT", "ROLLBACK"}) {
    const LaneEpoch row = claim(*connection_);
    ASSERT_TRUE(run(*connection_, flight(row, 9, "SELECT 1")));
    const auto second = open();
    LaneEpoch claimed;
    std::thread claimer([&] { claimed = claim(*second); });
    EXPECT_TRUE(waits(*second));
    ASSERT_TRUE(run(*connection_, end));
    claimer.join();
    const bool committed = end == "COMMIT";
    EXPECT_EQ(claimed.epoch, row.epoch + (committed ? 1 : 0)) << end;
    LaneEpoch next = row;
    next.epoch = claimed.epoch;
    EXPECT_TRUE(Epochs::is_guard_failure(run(*connection_, flight(next, 10)).error()));
  }
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "1");
}

// A zombie whose guard comes while the claim is under way: it waits, and then fails.
TEST_F(EpochTest, AGuardThatWaitsForAClaimFails) {
  const LaneEpoch row = claim(*connection_);
  for (const std::string isolation : {"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"}) {
    const auto claimer = open();
    ASSERT_TRUE(run(*claimer, "BEGIN; UPDATE pgsink_epochs SET writer = 'new'"));
    Status failed;
    std::thread zombie([&] { failed = run(*connection_, flight(row, 1, "COMMIT", isolation)); });
    EXPECT_TRUE(waits(*connection_)) << isolation;
    ASSERT_TRUE(run(*claimer, "COMMIT"));
    zombie.join();
    ASSERT_FALSE(failed) << isolation;
    EXPECT_TRUE(Epochs::is_guard_failure(failed.error()) || failed.error().sqlstate == "40001")
        << failed.error().to_string();
    server().sql("UPDATE pgsink_epochs SET writer = '" + row.writer + "'", database());
  }
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "0");
}

// A zombie that holds the row and never goes on, as one that waits for rows of its dead client.
TEST_F(EpochTest, AZombieThatKeepsTheRowIsTerminated) {
  const LaneEpoch row = claim(*connection_);
  ASSERT_TRUE(run(*connection_, flight(row, 1, "SELECT 1")));
  const auto second = open();
  const LaneEpoch claimed = claim(*second);
  EXPECT_EQ(claimed.epoch, 0U);
  EXPECT_FALSE(run(*connection_, "COMMIT"));
  EXPECT_TRUE(connection_->broken());
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "0");
}

TEST_F(EpochTest, APreparedTransactionThatKeepsTheRowIsNamed) {
  const LaneEpoch row = claim(*connection_);
  ASSERT_TRUE(run(*connection_, flight(row, 1, "PREPARE TRANSACTION 'epoch_keeper'")));
  const auto second = open();
  const auto refused = epochs_.claim(env(), *second, 1, soon());
  server().sql("ROLLBACK PREPARED 'epoch_keeper'", database());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kCannotFence);
  EXPECT_THAT(refused.error().message,
              HasSubstr("are locked by the prepared transaction 'epoch_keeper': COMMIT PREPARED"));
}

// After a lost connection the row tells what is committed, and what the old backend still holds
// cannot commit any more.
TEST_F(EpochTest, RenewingFencesTheFlightsOfTheOldBackend) {
  LaneEpoch row = claim(*connection_);
  for (uint64_t i = 1; i <= 16; ++i, ++row.epoch) {
    const std::string slow = flight(row, i, "SELECT pg_sleep(0.05); COMMIT");
    ASSERT_TRUE(connection_->session().query(slow));
  }
  ASSERT_TRUE(connection_->drain_output(0, soon()));
  const auto fresh = open();
  const auto renewed = epochs_.renew(env(), *fresh, row, soon());
  ASSERT_TRUE(renewed) << renewed.error().to_string();
  EXPECT_LT(renewed->epoch, 16U);
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  EXPECT_EQ(scalar("SELECT epoch FROM pgsink_epochs"), std::to_string(renewed->epoch));
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), std::to_string(renewed->epoch));
  ASSERT_TRUE(run(*fresh, flight(*renewed, 100)));
  // The answer to a renewal may get lost: the token it replaced still renews.
  const auto again = epochs_.renew(env(), *fresh, row, soon());
  ASSERT_TRUE(again) << again.error().to_string();
  EXPECT_EQ(again->epoch, renewed->epoch + 1);
  EXPECT_TRUE(Epochs::is_guard_failure(run(*fresh, flight(*renewed, 101)).error()));
}

TEST_F(EpochTest, AllLanesAreClaimedAlsoThoseOfAWiderRun) {
  const auto four = epochs_.claim(env(), *connection_, 4, soon());
  ASSERT_TRUE(four);
  ASSERT_EQ(four->size(), 4U);
  ASSERT_TRUE(run(*connection_, flight((*four)[3], 33)));
  const auto two = epochs_.claim(env(), *open(), 2, soon());
  ASSERT_TRUE(two);
  ASSERT_EQ(two->size(), 4U);
  EXPECT_EQ((*two)[3].lane, 3);
  EXPECT_EQ((*two)[3].position, 33U);
  EXPECT_TRUE(Epochs::is_guard_failure(run(*connection_, flight((*four)[2], 1)).error()));
}

TEST_F(EpochTest, ManyClaimersAtOnceLeaveOneWriter) {
  constexpr size_t kClaimers = 8;
  std::vector<LaneEpoch> rows(kClaimers);
  std::vector<std::thread> threads;
  std::vector<std::unique_ptr<Connection>> connections;
  for (size_t i = 0; i < kClaimers; ++i) connections.push_back(open());
  for (size_t i = 0; i < kClaimers; ++i) {
    threads.emplace_back(
        [&, i] { rows[i] = epochs_.claim(env(), *connections[i], 3, soon())->at(1); });
  }
  for (std::thread& thread : threads) thread.join();
  int writers = 0;
  for (size_t i = 0; i < kClaimers; ++i)
    writers += run(*connections[i], flight(rows[i], i)) ? 1 : 0;
  EXPECT_EQ(writers, 1);
}

TEST_F(EpochTest, ADeletedRowStopsTheWriter) {
  const LaneEpoch row = claim(*connection_);
  server().sql("DELETE FROM pgsink_epochs", database());
  const Status failed = run(*connection_, flight(row, 1));
  ASSERT_FALSE(failed);
  EXPECT_TRUE(Epochs::is_guard_failure(failed.error())) << failed.error().to_string();
  const auto cause = epochs_.explain(*connection_, row, soon());
  ASSERT_TRUE(cause && *cause);
  EXPECT_THAT((*cause)->message, HasSubstr("deleted"));
}

TEST_F(EpochTest, TheGuardMeansTheSameUnderAHostileSearchPath) {
  server().sql(
      "CREATE SCHEMA evil; CREATE FUNCTION evil.never(text, text) RETURNS bool LANGUAGE sql AS "
      "'SELECT false'; CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = "
      "evil.never)",
      database());
  const LaneEpoch row = claim(*connection_);
  ASSERT_TRUE(run(*connection_, "SET search_path TO evil, pg_catalog, public"));
  EXPECT_TRUE(run(*connection_, flight(row, 1)));
  EXPECT_EQ(claim(*connection_).epoch, 1U);
}

// Whatever ends the writer, in the middle of a window of flights: the row says how many of them are
// there, and the next writer continues after them.
TEST(EpochCrash, TheRowSaysWhatIsThere) {
  const auto server = PostgresServer::start();
  OsEnv os;
  const auto soon = [&] { return os.env().clock.now() + std::chrono::seconds(60); };
  const auto open = [&](const std::string& database) {
    auto opened = Connection::open(
        os.env(), *apply_environment(*parse_conninfo(server->conninfo(database)), os.env().files));
    if (!opened) throw std::runtime_error(opened.error().to_string());
    return *std::move(opened);
  };
  const std::string database = server->create_database();
  server->sql("CREATE TABLE t (n bigint)", database);
  const Epochs epochs = *Epochs::create("public", "crash");
  ASSERT_TRUE(epochs.ensure_table(*open(database), soon()));
  enum Crash { kKillBackend, kTerminateBackend, kImmediateStop, kGoAway, kCrashCount };
  uint64_t last = 0;
  int in_the_middle = 0;
  for (int round = 0; round < 16; ++round) {
    const auto crash = round % kCrashCount;
    {
      const auto writer = open(database);
      LaneEpoch row = epochs.claim(os.env(), *writer, 1, soon())->at(0);
      ASSERT_EQ(row.epoch, last);
      for (int i = 0; i < 30; ++i, ++row.epoch) {
        ASSERT_TRUE(writer->session().query(
            "BEGIN; " + *epochs.guard_sql(row, row.epoch + 1) + "; INSERT INTO t VALUES (" +
            std::to_string(row.epoch + 1) + "); SELECT pg_sleep(0.002); COMMIT"));
      }
      ASSERT_TRUE(writer->drain_output(0, soon()));
      std::this_thread::sleep_for(std::chrono::milliseconds(7 * (round + 1)));
      const pid_t pid = writer->server().backend.pid;
      if (crash == kKillBackend) server->kill_backend(pid);
      if (crash == kTerminateBackend) server->kill_backend(pid, SIGTERM);
      if (crash == kImmediateStop) server->restart(StopMode::kImmediate);
      server->wait_until_ready();
    }
    const auto next = open(database);
    const LaneEpoch found = epochs.claim(os.env(), *next, 1, soon())->at(0);
    const auto count = next->query("SELECT count(*), max(n), count(DISTINCT n) FROM t", soon());
    ASSERT_TRUE(count);
    const std::string expected = std::to_string(found.epoch);
    EXPECT_EQ(count->rows[0][0], expected) << "crash " << crash << " of round " << round;
    EXPECT_EQ(count->rows[0][2], expected);
    EXPECT_EQ(found.position, found.epoch);
    EXPECT_EQ(count->rows[0][1].value_or("0"), expected);
    EXPECT_GE(found.epoch, last);
    if (found.epoch > last && found.epoch < last + 30) ++in_the_middle;
    last = found.epoch;
  }
  EXPECT_GT(in_the_middle, 1) << "the crashes came too early or too late to prove anything";
}

// ---- the tables --------------------------------------------------------------------------------

TEST_F(EpochTest, TablesAreCreatedByManyAtOnce) {
  constexpr int kConnections = 8;
  for (int round = 0; round < 5; ++round) {
    const std::string schema = "round" + std::to_string(round);
    server().sql("CREATE SCHEMA " + schema, database());
    std::vector<std::unique_ptr<Connection>> connections;
    std::vector<Status> done(kConnections * 3);
    for (int i = 0; i < kConnections; ++i) connections.push_back(open());
    std::vector<std::thread> threads;
    for (int i = 0; i < kConnections; ++i) {
      threads.emplace_back([&, i] {
        for (int table = 0; table < 3; ++table) {
          done[static_cast<size_t>(i * 3 + table)] =
              ensure_control_table(*connections[static_cast<size_t>(i)], schema,
                                   static_cast<ControlTable>(table), soon());
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const Status& status : done) EXPECT_TRUE(status) << status.error().to_string();
    EXPECT_EQ(scalar("SELECT count(*) FROM pg_tables WHERE schemaname = '" + schema + "'"), "3");
  }
}

TEST_F(EpochTest, ATableThatMayNotBeCreatedSaysWhatToRun) {
  server().create_role("creates_nothing");
  server().sql("CREATE SCHEMA closed; GRANT USAGE ON SCHEMA closed TO creates_nothing", database());
  const auto poor = connect(server().conninfo(database(), Via::kUnix, "creates_nothing"));
  const auto closed = Epochs::create("closed", "s");
  const Status refused = closed->ensure_table(*poor, soon());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kPrivilege);
  EXPECT_THAT(refused.error().message,
              AllOf(HasSubstr("\"closed\".pgsink_epochs"), HasSubstr("CREATE TABLE IF NOT EXISTS"),
                    HasSubstr("GRANT CREATE ON SCHEMA \"closed\" TO \"creates_nothing\", or let"),
                    HasSubstr("GRANT SELECT, INSERT, UPDATE, DELETE ON \"closed\".pgsink_epochs TO "
                              "\"creates_nothing\"")));
  // Made by its owner with those grants, it serves; nothing more is needed.
  ASSERT_TRUE(closed->ensure_table(*connection_, soon()));
  server().sql("GRANT SELECT, INSERT, UPDATE, DELETE ON closed.pgsink_epochs TO creates_nothing",
               database());
  ASSERT_TRUE(closed->ensure_table(*poor, soon()));
  const auto rows = closed->claim(env(), *poor, 1, soon());
  ASSERT_TRUE(rows) << rows.error().to_string();
  EXPECT_TRUE(run(*poor, "BEGIN; " + *closed->guard_sql((*rows)[0], 1) + "; COMMIT"));
}

TEST_F(EpochTest, AnotherTableOfThatNameIsRefused) {
  server().sql("CREATE SCHEMA taken; CREATE TABLE taken.pgsink_epochs (sink_id int)", database());
  const Status refused = Epochs::create("taken", "s")->ensure_table(*connection_, soon());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kControlTable);
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("taken.pgsink_epochs"),
                                             HasSubstr("sink_id integer"), HasSubstr("rename it")));
}

TEST_F(EpochTest, ControlTransactionsReadCommittedWhateverTheRoleSays) {
  server().sql("ALTER DATABASE " + database() +
               " SET default_transaction_isolation = 'serializable'");
  server().sql("ALTER DATABASE " + database() + " SET default_transaction_read_only = on");
  server().sql("ALTER DATABASE " + database() + " SET synchronous_commit = off");
  const auto strict = connect(unix_way() + " target_session_attrs=any");
  const auto level =
      run_control(*strict, "SELECT current_setting('transaction_isolation')", soon());
  ASSERT_TRUE(level) << level.error().to_string();
  EXPECT_EQ(level->scalar(), "read committed");
  EXPECT_EQ(
      run_control(*strict, "SELECT current_setting('synchronous_commit')", soon(), true)->scalar(),
      "on");
  const auto rows = epochs_.claim(env(), *strict, 1, soon());
  EXPECT_TRUE(rows) << rows.error().to_string();
}

}  // namespace
}  // namespace pgsink::test
