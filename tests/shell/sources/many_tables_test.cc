// CREATE CONNECTION … TO postgresql (type = 'source', tables = '…'): the tables of a database
// through one slot into tables of their own, by one statement.

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

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

class ManyTablesSource : public testing::Test {
 protected:
  void SetUp() override {
    server_does(
        "CREATE SCHEMA shop AUTHORIZATION \"user\"; CREATE TABLE shop.stock (id int PRIMARY KEY, "
        "name text);"
        "CREATE TABLE shop.orders (id int PRIMARY KEY, amount numeric(8,2));"
        "CREATE TABLE shop.log (line text);"
        "ALTER TABLE shop.stock OWNER TO \"user\"; ALTER TABLE shop.orders OWNER TO \"user\";"
        "ALTER TABLE shop.log OWNER TO \"user\";"
        "INSERT INTO shop.stock VALUES (1, 'one'), (2, 'two'); INSERT INTO shop.orders VALUES (1, "
        "5);"
        "GRANT CREATE ON DATABASE analytics TO \"user\"; ALTER ROLE \"user\" REPLICATION");
  }
  void TearDown() override {
    wait_for("SELECT count(*) FROM pg_replication_slots WHERE active", "0");
    server_does(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots;"
        "DROP PUBLICATION IF EXISTS shop_pub; ALTER ROLE \"user\" NOREPLICATION;"
        "DROP SCHEMA shop CASCADE; DROP SCHEMA IF EXISTS mirror_shop CASCADE");
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

  static std::string source(const std::string& tables) {
    return replaced(replaced(connection("shop", "X",
                                        "publication = 'shop_pub', replication_slot = 'shop_slot'"),
                             "type = 'sink'", "type = 'source'"),
                    "table = 'X'", tables);
  }
  static std::string sink(const std::string& more = "") {
    return replaced(connection("mirror", "X",
                               "write_mode = 'changelog', create_table = true, "
                               "batch_timeout_ms = 20" +
                                   more),
                    "table = 'X'", "target_tables = 'mirror_{schema}.{table}'");
  }

  const std::string source_ = source("tables = 'shop.*', tables_exclude = 'shop.log'");
};

TEST_F(ManyTablesSource, OneStatementKeepsAllOfThemEqual) {
  const std::string pipeline = "CREATE PIPELINE p AS INSERT INTO mirror SELECT * FROM shop;";
  const std::string mirrors =
      "SELECT concat_ws('|', (SELECT string_agg(id || name, ' ' ORDER BY id) FROM "
      "mirror_shop.stock), (SELECT string_agg(id || ':' || amount, ' ' ORDER BY id) FROM "
      "mirror_shop.orders))";
  const auto there = [&] {
    return wait_for(
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'mirror_shop' AND tablename "
        "IN ('stock', 'orders')",
        "2");
  };
  for (const std::string delivery : {"at_least_once", "exactly_once"}) {
    SCOPED_TRACE(delivery);
    const std::string script = source_ + sink(", delivery = '" + delivery + "'") + pipeline;
    const Captured first = run_until(script, [&] {
      ASSERT_TRUE(there());
      EXPECT_TRUE(wait_for(mirrors, "1one 2two|1:5.00"));
      server_does(
          "BEGIN; UPDATE shop.stock SET name = 'both' WHERE id = 2;"
          "INSERT INTO shop.orders VALUES (2, 7); COMMIT");
      EXPECT_TRUE(wait_for(mirrors, "1one 2both|1:5.00 2:7.00"));
    });
    EXPECT_EQ(first.exit_code, 130) << first.err;
    EXPECT_THAT(first.err, HasSubstr("(mirror_shop.stock): 3 rows"));
    EXPECT_THAT(first.err, HasSubstr("(mirror_shop.orders): 2 rows"));
    server_does(
        "DELETE FROM shop.orders WHERE id = 2; UPDATE shop.stock SET name = 'two' WHERE id = 2");
    const Captured second =
        run_until(script, [&] { EXPECT_TRUE(wait_for(mirrors, "1one 2two|1:5.00")); });
    EXPECT_EQ(second.exit_code, 130) << second.err;
    EXPECT_THAT(second.err, HasSubstr("(mirror_shop.stock): 1 row,"));
    server_does(
        "SELECT pg_drop_replication_slot('shop_slot'); DROP SCHEMA mirror_shop CASCADE;"
        "DELETE FROM public.pgsink_sources");
  }
}

TEST_F(ManyTablesSource, WhatCannotWorkIsToldBeforeAnythingIsRead) {
  const auto fault = [&](const std::string& script) {
    const Captured run = pgsink({"-c", script});
    EXPECT_EQ(run.exit_code, 1) << script;
    return run.err;
  };
  const std::string insert = "INSERT INTO mirror SELECT * FROM shop;";
  EXPECT_THAT(
      fault(source_ + sink() + "INSERT INTO mirror SELECT id FROM shop;"),
      HasSubstr("no query can change them: write INSERT INTO connection SELECT * FROM shop"));
  EXPECT_THAT(fault(source_ + sink() + "INSERT INTO mirror SELECT 1 AS id;"),
              HasSubstr("'mirror' has target_tables, which takes SELECT * FROM a source"));
  EXPECT_THAT(fault(source_ + connection("mirror", "m", "write_mode = 'changelog'") + insert),
              HasSubstr("'mirror' writes one"));
  EXPECT_THAT(fault(source_ + "INSERT INTO shop SELECT 1;"), HasSubstr("'shop' is a source"));
  EXPECT_THAT(fault(source("tables = 'shop.*'") + sink() + insert),
              HasSubstr("table shop.log has no replica identity"));
  EXPECT_THAT(fault(source("tables = 'shop.nothing'") + sink() + insert),
              HasSubstr("no table of this database has such a name"));
  EXPECT_THAT(fault(source("tables = 'a.b.c'")), HasSubstr("two dots"));
  EXPECT_THAT(fault(source("tables = 'a', table = 'b'")), HasSubstr("exclude each other"));
  EXPECT_THAT(fault(sink(", key_columns = 'id'")), HasSubstr("key_columns is for one table"));
  EXPECT_EQ(server_says("SELECT count(*) FROM pg_publication"), "0");
  const Captured tested = pgsink(
      {"-c", source_ + sink() + "SELECT test_connection('shop'), test_connection('mirror');"});
  EXPECT_EQ(tested.exit_code, 0) << tested.err;
  EXPECT_THAT(tested.out, HasSubstr("ok"));
  const Captured checked = pgsink({"--check=online", "-c", source_ + sink() + insert});
  EXPECT_EQ(checked.exit_code, 0) << checked.err;
}

}  // namespace
}  // namespace pgsink::test
