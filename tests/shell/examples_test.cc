// The examples do what their first lines say.

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

std::string in_analytics(const std::string& query) {
  return analytics_server().scalar(query, "analytics");
}

std::vector<std::string> script(const std::string& name) {
  return {"-f",    PGSINK_SOURCE_DIR "/examples/" + name,
          "--set", "pg_host=localhost",
          "--set", "pg_port=5432",
          "--set", "pg_password=s3cret'pw"};
}

Captured embedded(const std::string& program) {
  return run_command({program, "postgresql://user:s3cret%27pw@localhost:5432/analytics"}, {});
}

TEST(Examples, StructsAreUpsertedOnceHoweverOftenTheProgramRuns) {
  create_table("trades",
               "(id bigint PRIMARY KEY, price numeric(12,2) NOT NULL CHECK (price > 0), venue text,"
               " traded_at timestamptz)");
  const auto first = embedded(PGSINK_EMBED_STRUCTS);
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(first.out, "9900 rows written, 100 rejected\n");
  EXPECT_EQ(in_analytics("SELECT count(*) FROM trades"), "495");
  const auto second = embedded(PGSINK_EMBED_STRUCTS);
  EXPECT_EQ(second.out, "0 rows written, 0 rejected\n") << second.err;
}

TEST(Examples, ArrowArraysArriveAsTheyAre) {
  create_table("readings", "(sensor bigint, place text)");
  const auto run = embedded(PGSINK_EMBED_ARROW);
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(in_analytics("SELECT string_agg(concat_ws(' ', sensor, place), ', ' ORDER BY sensor)"
                         " FROM readings"),
            "1 roof, 2, 3 cellar");
}

TEST(Examples, BadOrdersBecomeDeadLetters) {
  create_table("orders", "(id bigint PRIMARY KEY, quantity int NOT NULL CHECK (quantity > 0))");
  analytics_server().sql("DROP TABLE IF EXISTS orders_rejected", "analytics");
  const auto run = pgsink(script("dead_letters.sql"));
  EXPECT_EQ(run.exit_code, 3) << run.err;
  EXPECT_THAT(run.out, HasSubstr("9800"));
  EXPECT_EQ(in_analytics("SELECT count(*) FROM orders"), "9800");
  EXPECT_EQ(in_analytics("SELECT string_agg(sqlstate || ' ' || n, ', ' ORDER BY sqlstate) FROM"
                         " (SELECT sqlstate, count(*) AS n FROM orders_rejected GROUP BY 1) AS r"),
            "22003 100, 23502 100");
}

TEST(Examples, AFileIsLoadedWithoutAScript) {
  analytics_server().sql("DROP TABLE IF EXISTS articles", "analytics");
  RunOptions options;
  options.environment.emplace_back("PGSINK", PGSINK_COMMAND);
  options.environment.emplace_back("PGPASSWORD", "s3cret'pw");
  for (int i = 0; i < 2; ++i) {
    const auto run = run_command(
        {PGSINK_SOURCE_DIR "/examples/load.sh", "postgresql://user@localhost:5432/analytics"},
        options);
    ASSERT_EQ(run.exit_code, 0) << run.err;
  }
  EXPECT_EQ(in_analytics("SELECT string_agg(concat_ws(' ', id, sku, price, note), ', ' ORDER BY id)"
                         " FROM articles"),
            "1 00501 1.10 a \"quoted\" note, 2 00502 2.50");
}

TEST(Examples, ChangesAreFollowedUntilInterrupted) {
  create_table("accounts", "(id bigint PRIMARY KEY, balance numeric(12,2))");
  create_table("accounts_copy", "(id bigint PRIMARY KEY, balance numeric(12,2))");
  auto& server = analytics_server();
  server.sql(
      "GRANT CREATE ON DATABASE analytics TO \"user\"; ALTER ROLE \"user\" REPLICATION;"
      "INSERT INTO accounts VALUES (1, 10), (2, 20)",
      "analytics");
  std::atomic<pid_t> pid = 0;
  RunOptions options;
  options.watch = [&](pid_t running, const std::string&) { pid = running; };
  const auto copied = [&](const std::string& rows) {
    for (int i = 0; i < 400; ++i) {
      if (in_analytics("SELECT string_agg(id || ':' || balance, ' ' ORDER BY id) FROM"
                       " accounts_copy") == rows) {
        return true;
      }
      std::this_thread::sleep_for(50ms);
    }
    return false;
  };
  std::thread user([&] {
    EXPECT_TRUE(copied("1:10.00 2:20.00"));
    server.sql("UPDATE accounts SET balance = 15 WHERE id = 1; DELETE FROM accounts WHERE id = 2",
               "analytics");
    EXPECT_TRUE(copied("1:15.00"));
    kill(pid, SIGINT);
  });
  const auto run = pgsink(script("cdc.sql"), options);
  user.join();
  EXPECT_EQ(run.exit_code, 130) << run.err;
  for (int i = 0; i < 400; ++i) {
    if (in_analytics("SELECT count(*) FROM pg_replication_slots WHERE active") == "0") break;
    std::this_thread::sleep_for(50ms);
  }
  server.sql(
      "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots;"
      "DROP PUBLICATION accounts_pub; ALTER ROLE \"user\" NOREPLICATION",
      "analytics");
}

}  // namespace
}  // namespace pgsink::test
