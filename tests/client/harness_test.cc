// The harness itself: what other tests rest on.

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/patience.h"
#include "support/postgres_server.h"
#include "support/run_command.h"

namespace pgsink::test {
namespace {

TEST(PostgresServer, AnswersOverBothSocketsAndTls) {
  PostgresServer& server = shared_server();
  const std::string database = server.create_database();
  EXPECT_EQ(server.scalar("SELECT current_database()", database), database);
  EXPECT_GE(server.version(), 140000);
  EXPECT_EQ(query_libpq(server.conninfo(database, Via::kTcp), "SELECT 1")[0][0], "1");
  const auto tls = query_libpq(
      "host=localhost hostaddr=127.0.0.1 sslmode=verify-full user=postgres dbname=postgres port=" +
          std::to_string(server.port()) + " sslrootcert=" + server.certificates().root,
      "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
  EXPECT_EQ(tls[0][0], "t");
}

TEST(PostgresServer, SecondClusterHasItsOwnIdentityIfAsked) {
  ServerConfig config;
  config.own_initdb = true;
  const auto other = PostgresServer::start(config);
  const char* question = "SELECT system_identifier FROM pg_control_system()";
  EXPECT_NE(other->scalar(question), shared_server().scalar(question));
}

TEST(PostgresServer, HbaChangesReachNewConnections) {
  const auto server = PostgresServer::start();
  server->create_role("guest");
  const std::string guest = server->conninfo("postgres", Via::kTcp, "guest");
  EXPECT_EQ(query_libpq(guest, "SELECT 1")[0][0], "1");
  server->set_hba({"host all guest all reject"});
  EXPECT_THROW(query_libpq(guest, "SELECT 1"), std::runtime_error);
  server->trust_all();
  EXPECT_EQ(query_libpq(guest, "SELECT 1")[0][0], "1");
}

TEST(PostgresServer, StandbyFollowsAndBecomesPrimary) {
  const auto primary = PostgresServer::start();
  primary->sql("CREATE TABLE t AS SELECT 7 AS a");
  const auto standby = primary->start_standby();
  EXPECT_EQ(standby->scalar("SELECT a FROM t"), "7");
  EXPECT_EQ(standby->scalar("SELECT pg_is_in_recovery()"), "t");
  primary->stop(StopMode::kImmediate);
  standby->promote();
  EXPECT_EQ(standby->scalar("SELECT pg_is_in_recovery()"), "f");
}

TEST(PostgresServer, LosesItsServerAndFilesWhenTheProgramIsKilled) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto server = PostgresServer::start();
    const std::string report =
        std::to_string(server->postmaster_pid()) + " " + server->directory() + "\n";
    if (::write(ends[1], report.data(), report.size()) < 0) ::_exit(1);
    ::pause();
  }
  char report[256] = "";
  ASSERT_GT(::read(ends[0], report, sizeof report - 1), 0);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  const std::string text = report;
  const pid_t postmaster = std::stoi(text);
  std::string directory = text.substr(text.find(' ') + 1);
  directory.pop_back();
  for (int step = 0; step < 1000 && std::filesystem::exists(directory); ++step) ::usleep(10000);
  EXPECT_FALSE(std::filesystem::exists(directory));
  EXPECT_NE(::kill(postmaster, 0), 0);
}

// ---- waiting -----------------------------------------------------------------------------------

/// Runs this test again in a process of its own, where it hangs.
TEST(HangGuard, NamesTheTestThatHangs) {
  constexpr const char* kHang = "PGSINK_TEST_OF_HANGS";
  if (std::getenv(kHang) != nullptr) {
    for (;;) ::pause();
  }
  const Captured hung = run_command(
      {std::filesystem::read_symlink("/proc/self/exe"), "--gtest_filter=HangGuard.*"},
      {.input = {}, .environment = {{kHang, "1"}, {"PGSINK_TEST_SECONDS", "1"}}, .watch = {}});
  EXPECT_EQ(hung.exit_code, 1);
  EXPECT_THAT(hung.err, testing::HasSubstr("HangGuard.NamesTheTestThatHangs hangs"));
}

TEST(Patience, EndsWithTheAnswerOrTheBound) {
  int asked = 0;
  EXPECT_TRUE(eventually([&] { return ++asked == 3; }));
  EXPECT_EQ(asked, 3);
  EXPECT_FALSE(eventually([] { return false; }, std::chrono::milliseconds(10)));
}

TEST(Patience, AChildThatDoesNotEndIsKilled) {
  const pid_t hanging = ::fork();
  if (hanging == 0) {
    for (;;) ::pause();
  }
  ASSERT_GT(hanging, 0);
  EXPECT_FALSE(wait_for_child(hanging, std::chrono::milliseconds(10)));
  EXPECT_NE(::kill(hanging, 0), 0) << "nothing is left of it";
  const pid_t ending = ::fork();
  if (ending == 0) ::_exit(7);
  ASSERT_GT(ending, 0);
  const auto status = wait_for_child(ending);
  ASSERT_TRUE(status);
  EXPECT_EQ(WEXITSTATUS(*status), 7);
}

}  // namespace
}  // namespace pgsink::test
