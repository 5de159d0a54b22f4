// The two traps that decide delivery: a transaction id that means another transaction after a crash
// (F1), and a backend that goes on committing after its client has gone (F2).

#include <unistd.h>

#include <gtest/gtest.h>

#include "support/client_fixture.h"
#include "support/patience.h"

namespace pgsink::test {
namespace {

class FenceTest : public ClientTest {
 protected:
  void sql(const std::string& text) { server().sql(text, database()); }
  bool alive(pid_t pid) {
    return server().scalar("SELECT count(*) FROM pg_stat_activity WHERE pid = " +
                           std::to_string(pid)) == "1";
  }
  /// Sixteen upserts in flight on a connection that will never read their answers.
  void send_flights(Connection& connection) {
    for (int i = 1; i <= 16; ++i) {
      const std::string value = std::to_string(i);
      ASSERT_TRUE(connection.session()
                      .query("BEGIN; SELECT pg_sleep(0.05); INSERT INTO t VALUES (1, " + value +
                             ") ON CONFLICT (k) DO UPDATE SET v = " + value + "; COMMIT")
                      .has_value());
    }
    ASSERT_TRUE(connection.drain_output(0, soon()).has_value());
  }
};

// F2 without the fence: the old backend overwrites what came after it. This is what must not
// happen.
TEST_F(FenceTest, ZombieOverwritesWithoutTheFence) {
  sql("CREATE TABLE t (k int PRIMARY KEY, v int)");
  auto zombie = connect(tcp_way());
  send_flights(*zombie);
  sql("INSERT INTO t VALUES (1, 1000) ON CONFLICT (k) DO UPDATE SET v = 1000");
  EXPECT_TRUE(eventually([&] { return server().scalar("SELECT v FROM t", database()) == "16"; }));
}

TEST_F(FenceTest, FencedZombieCommitsNothingMore) {
  for (const std::string& way : {unix_way(), tcp_way()}) {
    sql("DROP TABLE IF EXISTS t; CREATE TABLE t (k int PRIMARY KEY, v int)");
    auto zombie = connect(way);
    send_flights(*zombie);
    auto fresh = connect(way);
    const auto fenced = fence(*fresh, zombie->server().backend, soon());
    ASSERT_TRUE(fenced.has_value()) << fenced.error().to_string();
    EXPECT_FALSE(alive(zombie->server().backend.pid));
    ASSERT_TRUE(
        fresh
            ->query("INSERT INTO t VALUES (1, 1000) ON CONFLICT (k) DO UPDATE SET v = 1000", soon())
            .has_value());
    ::usleep(1'000'000);  // More than all the flights would have taken.
    EXPECT_EQ(fresh->query("SELECT v FROM t", soon())->scalar(), "1000");
  }
}

TEST_F(FenceTest, UnprivilegedRoleFencesItsOwnBackends) {
  server().create_role("plain_fencer");
  const std::string conninfo = server().conninfo(database(), Via::kUnix, "plain_fencer");
  auto old = connect(conninfo);
  auto fresh = connect(conninfo);
  EXPECT_TRUE(fence(*fresh, old->server().backend, soon()).has_value());
  EXPECT_FALSE(alive(old->server().backend.pid));
}

TEST_F(FenceTest, BackendThatIsGoneIsFenced) {
  auto old = connect(unix_way());
  const BackendIdentity identity = old->server().backend;
  auto fresh = connect(unix_way());
  ASSERT_TRUE(fence(*fresh, identity, soon()).has_value());
  EXPECT_TRUE(fence(*fresh, identity, soon()).has_value()) << "again";
}

// A pid is used again: whoever has it now is left alone.
TEST_F(FenceTest, InnocentWithTheSamePidIsLeftAlone) {
  auto innocent = connect(unix_way());
  auto fresh = connect(unix_way());
  BackendIdentity old = innocent->server().backend;
  old.backend_start = "2001-01-01 00:00:00+00";
  EXPECT_TRUE(fence(*fresh, old, soon()).has_value());
  EXPECT_EQ(innocent->query("SELECT 'alive'", soon())->scalar(), "alive");
  // Another role's backend with that pid cannot be ours either, whatever may be seen of it.
  server().create_role("plain_other");
  auto stranger = connect(server().conninfo(database(), Via::kUnix, "plain_other"));
  BackendIdentity reused = stranger->server().backend;
  reused.pid = innocent->server().backend.pid;
  EXPECT_TRUE(fence(*stranger, reused, soon()).has_value());
  EXPECT_EQ(innocent->query("SELECT 'alive'", soon())->scalar(), "alive");
}

TEST_F(FenceTest, NotTheOwnerCannotFenceAndIsToldWhy) {
  auto old = connect(unix_way());  // a superuser's
  server().create_role("blind");
  server().create_role("seeing");
  server().sql("GRANT pg_read_all_stats TO seeing");
  for (const char* role : {"blind", "seeing"}) {
    auto fresh = connect(server().conninfo(database(), Via::kUnix, role));
    const auto fenced = fence(*fresh, old->server().backend, soon());
    ASSERT_FALSE(fenced.has_value()) << role;
    EXPECT_EQ(fenced.error().code, Errc::kCannotFence) << role << fenced.error().to_string();
    EXPECT_NE(fenced.error().message.find("pg_signal_backend"), std::string::npos);
    EXPECT_FALSE(fresh->broken());
  }
  EXPECT_EQ(old->query("SELECT 'alive'", soon())->scalar(), "alive");
}

TEST_F(FenceTest, BackendThatWillNotGoIsNotFenced) {
  auto old = connect(unix_way());
  const BackendIdentity identity = old->server().backend;
  auto fresh = connect(unix_way());
  server().kill_backend(identity.pid, SIGSTOP);
  const TimePoint begin = env().clock.now();
  const auto fenced = fence(*fresh, identity, in_ms(500));
  EXPECT_LT(env().clock.now() - begin, std::chrono::seconds(10));
  server().kill_backend(identity.pid, SIGCONT);
  ASSERT_FALSE(fenced.has_value());
  EXPECT_EQ(fenced.error().code, Errc::kCannotFence) << fenced.error().to_string();
  auto another = connect(unix_way());
  EXPECT_TRUE(fence(*another, identity, soon()).has_value()) << "once it can be terminated";
}

TEST_F(FenceTest, UnknownBackendIsNotFenced) {
  auto fresh = connect(unix_way());
  EXPECT_EQ(fence(*fresh, {}, soon()).error().code, Errc::kCannotFence);
}

// F1: after one backend's kill -9 the server comes back with the same start time; the id of a
// transaction that was lost is given to somebody else and reported as committed. The incarnation
// tells the difference.
TEST(Incarnation, ChangesWhenOneBackendIsKilled) {
  ServerConfig config;
  config.settings = {{"wal_writer_delay", "10s"}};  // so that nobody else flushes the lost record
  const auto server = PostgresServer::start(config);
  server->sql("CREATE TABLE t (a int); CHECKPOINT");
  OsEnv os;
  const auto deadline = [&] { return os.env().clock.now() + std::chrono::seconds(60); };
  const auto open = [&] {
    return *Connection::open(
        os.env(), *apply_environment(*parse_conninfo(server->conninfo()), os.env().files));
  };
  auto before = open();
  ASSERT_TRUE(before->query("BEGIN", deadline()).has_value());
  ASSERT_TRUE(before->query("INSERT INTO t VALUES (1)", deadline()).has_value());
  const std::string xid = before->query("SELECT pg_current_xact_id()", deadline())->scalar();
  const std::string start = server->scalar("SELECT pg_postmaster_start_time()");
  auto victim = open();
  const pid_t victim_pid = victim->server().backend.pid;
  server->kill_backend(victim_pid);
  // Until the crash reaches it, too.
  ASSERT_TRUE(eventually([&] { return !before->query("SELECT 1", deadline()); }));
  server->wait_until_ready();
  server->sql("CREATE TABLE thief (a int)");
  auto after = open();
  // The trap is real …
  EXPECT_EQ(server->scalar("SELECT pg_postmaster_start_time()"), start);
  EXPECT_EQ(server->scalar("SELECT count(*) FROM t"), "0");
  EXPECT_EQ(server->scalar("SELECT pg_xact_status('" + xid + "')"), "committed");
  // … and seen.
  EXPECT_NE(after->server().incarnation, before->server().incarnation);
  EXPECT_EQ(after->server().incarnation.system_identifier,
            before->server().incarnation.system_identifier);
  EXPECT_NE(after->server().incarnation.stats_reset, before->server().incarnation.stats_reset);
}

TEST(Incarnation, ChangesWithRestartAndPromotionAndNotOtherwise) {
  const auto primary = PostgresServer::start();
  OsEnv os;
  const auto incarnation = [&](PostgresServer& server) {
    return (*Connection::open(
                os.env(), *apply_environment(*parse_conninfo(server.conninfo()), os.env().files)))
        ->server()
        .incarnation;
  };
  const auto standby = primary->start_standby();
  const Incarnation first = incarnation(*primary);
  EXPECT_EQ(incarnation(*primary), first);
  primary->restart();
  const Incarnation second = incarnation(*primary);
  EXPECT_NE(second, first);
  EXPECT_NE(incarnation(*standby), second);
  primary->stop();
  standby->promote();
  const Incarnation promoted = incarnation(*standby);
  EXPECT_EQ(promoted.timeline, "00000002");
  EXPECT_NE(promoted, second);
}

}  // namespace
}  // namespace pgsink::test
