// The tables of a database through one slot: they are equal in the end, while rows change and
// everything dies. PGSINK_MANY_TABLES and PGSINK_MANY_TABLES_SECONDS are how many tables there are
// and how long the deaths go on.

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <random>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>

#include "pgsink/sink.h"
#include "replication/pair_fixture.h"
#include "support/patience.h"

namespace pgsink {
namespace {

using namespace std::chrono_literals;
using test::PostgresServer;
using testing::HasSubstr;

int wanted(const char* variable, int otherwise) {
  const char* asked = std::getenv(variable);
  return asked != nullptr ? std::atoi(asked) : otherwise;
}

/// "sales.t3": every third table is in another schema.
std::string table_name(int i) { return (i % 3 == 2 ? "sales.t" : "public.t") + std::to_string(i); }

class ManyTablesTest : public test::PairTest {
 protected:
  void SetUp() override {
    PairTest::SetUp();
    change("CREATE SCHEMA sales");
    source_.table.clear();
    source_.tables = "*.t*";
    target_.table.clear();
    target_.target_tables = "{schema}.{table}";
    target_.create_table = true;
  }

  /// Tables from the last one on, with some rows each.
  void create_tables(int count) {
    for (int i = 0; i < count; ++i) {
      const std::string name = table_name(tables_++);
      change("CREATE TABLE " + name +
             " (id bigint PRIMARY KEY, name varchar(40) NOT NULL, amount numeric(12,2));"
             "INSERT INTO " +
             name + " SELECT i, 'first', i FROM generate_series(1, 200) AS i");
    }
  }
  /// A line for each table.
  std::string digest(PostgresServer& server, const std::string& database) const {
    std::string sql;
    for (int i = 0; i < tables_; ++i) {
      if (to_regclass(server, database, table_name(i)).empty()) return "no " + table_name(i);
      sql += (sql.empty() ? "" : " UNION ALL ") + std::string("SELECT ") + std::to_string(i) +
             " AS i, count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY id)), '') AS "
             "d FROM " +
             table_name(i) + " AS t";
    }
    return server.scalar(
        "SELECT string_agg(i || ' ' || d, E'\\n' ORDER BY i) FROM (" + sql + ") AS all_tables",
        database);
  }
  static std::string to_regclass(PostgresServer& server, const std::string& database,
                                 const std::string& table) {
    return server.scalar("SELECT to_regclass('" + table + "')", database);
  }
  void expect_equal(std::chrono::milliseconds patience = test::kPatience) {
    std::string is, should;
    EXPECT_TRUE(test::eventually(
        [&] {
          should = digest(*from_, source_database_);
          is = digest(*to_, target_database_);
          return is == should;
        },
        patience));
    EXPECT_EQ(is, should);
  }

  int tables_ = 0;
};

TEST_F(ManyTablesTest, AreCopiedAndKeptEqualThroughOneSlot) {
  create_tables(4);
  change("CREATE TABLE left_out (id int PRIMARY KEY)");
  for (const Delivery delivery : {Delivery::kAtLeastOnce, Delivery::kExactlyOnce}) {
    SCOPED_TRACE(static_cast<int>(delivery));
    target_.delivery = delivery;
    source_.replication_slot = "slot_" + std::to_string(static_cast<int>(delivery));
    to_->sql(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public; DROP SCHEMA IF EXISTS sales CASCADE",
        target_database_);
    const Status done = replicate_while([&] {
      expect_equal();
      change(
          "BEGIN; UPDATE t0 SET name = 'both' WHERE id < 9; DELETE FROM sales.t2 WHERE id = 3;"
          "UPDATE t1 SET id = id + 1000 WHERE id BETWEEN 5 AND 8; COMMIT");
      change("BEGIN; TRUNCATE t3, t1; INSERT INTO t3 VALUES (1, 'again', 2); COMMIT");
      expect_equal();
    });
    EXPECT_TRUE(done) << done.error().to_string();
    // What changes meanwhile comes in the next run, and what is confirmed does not come again.
    change("INSERT INTO t1 VALUES (7, 'later', 0.5); DELETE FROM t0 WHERE id < 4");
    const Status again = replicate_while([&] { expect_equal(); });
    EXPECT_TRUE(again) << again.error().to_string();
  }
  EXPECT_EQ(from_->scalar("SELECT count(*) FROM pg_replication_slots WHERE database = '" +
                          source_database_ + "'"),
            "2");
  EXPECT_EQ(to_->scalar("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid "
                        "= 't0'::regclass AND attname = 'amount'",
                        target_database_),
            "numeric(12,2)");
  EXPECT_EQ(to_regclass(*to_, target_database_, "left_out"), "");
}

TEST_F(ManyTablesTest, ATableThatIsAddedWhileItRunsOrIsStoppedGetsItsSnapshot) {
  create_tables(2);
  for (const Delivery delivery : {Delivery::kAtLeastOnce, Delivery::kExactlyOnce}) {
    SCOPED_TRACE(static_cast<int>(delivery));
    target_.delivery = delivery;
    const Status done = replicate_while([&] {
      expect_equal();
      create_tables(1);
      change("UPDATE t0 SET amount = amount + 1; DELETE FROM t1 WHERE id % 5 = 0");
      expect_equal();
      change("UPDATE " + table_name(tables_ - 1) + " SET name = 'after its snapshot' WHERE id < 9");
      expect_equal();
    });
    EXPECT_TRUE(done) << done.error().to_string();
    create_tables(1);
    const Status again = replicate_while([&] {
      expect_equal();
      change("DELETE FROM " + table_name(tables_ - 1) + " WHERE id > 7");
      expect_equal();
    });
    EXPECT_TRUE(again) << again.error().to_string();
    change("SELECT pg_drop_replication_slot('" + source_.replication_slot + "')");
    source_.replication_slot += "_2";
    to_->sql(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public; DROP SCHEMA IF EXISTS sales CASCADE",
        target_database_);
  }
}

TEST_F(ManyTablesTest, AnOldTransactionDelaysOnlyTheNewTableAndIsNotLost) {
  create_tables(2);
  PGconn* old = PQconnectdb(from_->conninfo(source_database_).c_str());
  const auto in_old = [&](const std::string& sql) { PQclear(PQexec(old, sql.c_str())); };
  const auto target_has = [&](const std::string& table, const std::string& name) {
    const std::string sql = "SELECT count(*) FROM " + table + " WHERE name = '" + name + "'";
    return test::eventually([&] { return to_->scalar(sql, target_database_) == "1"; });
  };
  const Status done = replicate_while([&] {
    expect_equal();
    wait_for_slot();
    in_old("BEGIN; UPDATE t1 SET name = 'old' WHERE id = 1");
    change("CREATE TABLE t_later (id bigint PRIMARY KEY, name text)");
    in_old("INSERT INTO t_later VALUES (1, 'old')");
    EXPECT_TRUE(test::eventually([&] {
      return from_->scalar("SELECT count(*) FROM pg_publication_tables WHERE tablename = 't_later'",
                           source_database_) == "1";
    }));
    change("UPDATE t0 SET name = 'meanwhile' WHERE id = 1; INSERT INTO t_later VALUES (2, 'new')");
    EXPECT_TRUE(target_has("t0", "meanwhile"));
    EXPECT_EQ(to_regclass(*to_, target_database_, "t_later"), "");
    in_old("INSERT INTO t_later VALUES (3, 'old too'); COMMIT");
    EXPECT_TRUE(
        test::eventually([&] { return !to_regclass(*to_, target_database_, "t_later").empty(); }));
    for (const char* name : {"old", "new", "old too"}) EXPECT_TRUE(target_has("t_later", name));
  });
  PQfinish(old);
  EXPECT_TRUE(done) << done.error().to_string();
}

// ---- what must not be lost silently ------------------------------------------------------------

struct Loss {
  std::string sql, message;
};

/// One loss, in databases of its own.
class LossOfATable : public ManyTablesTest {
 public:
  void SetUp() override { ManyTablesTest::SetUp(); }
  void TearDown() override { ManyTablesTest::TearDown(); }
  void TestBody() override {}

  void while_it_runs(const Loss& loss) {
    SCOPED_TRACE(loss.sql + ", running");
    create_tables(3);
    const Status stopped = replicate_while([&] {
      expect_equal();
      wait_for_slot();
      change(loss.sql);
      EXPECT_TRUE(test::eventually([&] { return returned_.load(); }));
    });
    ASSERT_FALSE(stopped);
    EXPECT_THAT(stopped.error().message, HasSubstr(loss.message));
  }
  void while_it_is_stopped(const Loss& loss) {
    SCOPED_TRACE(loss.sql + ", stopped");
    create_tables(3);
    const Status stopped = replicate_while([&] { expect_equal(); });
    EXPECT_TRUE(stopped) << stopped.error().to_string();
    change(loss.sql);
    const auto end = std::chrono::steady_clock::now() + test::kPatience;
    const Status again = replicate_once([&] { return std::chrono::steady_clock::now() < end; });
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Errc::kReplication) << again.error().to_string();
  }
};

TEST_F(ManyTablesTest, WhatWouldLoseChangesOfOneTableStopsItWhileItRuns) {
  const std::string pub = "ALTER PUBLICATION pub ";
  const std::vector<Loss> losses = {
      {pub + "DROP TABLE t1", "table public.t1: publication \"pub\" does not hold it any more"},
      {"ALTER TABLE t1 RENAME TO x1", "table public.t1: it is called public.x1 now"},
      {"ALTER TABLE t1 SET SCHEMA sales", "table public.t1: it is called sales.t1 now"},
      {"DROP TABLE t1", "table public.t1: it was dropped"},
      {"DROP TABLE t1; CREATE TABLE t1 (id bigint PRIMARY KEY)", "table public.t1: it was dropped"},
      {"ALTER TABLE t1 ADD COLUMN more text; INSERT INTO t1 VALUES (9000, 'n', 1, 'm')",
       "table public.t1: column \"more\" was added"},
      {"DROP PUBLICATION pub", "publication \"pub\" was dropped"},
  };
  // Each mostly waits for what is looked at once a second: so all at the same time.
  for (const bool running : {true, false}) {
    std::vector<std::unique_ptr<LossOfATable>> cases;
    for (size_t i = 0; i < losses.size(); ++i) {
      cases.push_back(std::make_unique<LossOfATable>());
      cases.back()->SetUp();
    }
    {
      std::vector<std::jthread> threads;
      for (size_t i = 0; i < losses.size(); ++i) {
        const bool is_followed = losses[i].message.find("\"more\"") != std::string::npos;
        if (!running && is_followed) continue;
        threads.emplace_back([&, i] {
          if (running) return cases[i]->while_it_runs(losses[i]);
          cases[i]->while_it_is_stopped(losses[i]);
        });
      }
    }
    for (const auto& one : cases) one->TearDown();
  }
}

TEST_F(ManyTablesTest, ALossOfOneTableCanBeAcceptedAndTheOthersLoseNothing) {
  create_tables(3);
  EXPECT_TRUE(replicate_while([&] { expect_equal(); }));
  change(
      "ALTER PUBLICATION pub DROP TABLE t1; INSERT INTO t1 VALUES (5000, 'lost', 1);"
      "INSERT INTO t0 VALUES (5000, 'kept', 1); ALTER PUBLICATION pub ADD TABLE t1");
  const Status told = replicate_once([] { return true; });
  ASSERT_FALSE(told);
  EXPECT_THAT(told.error().message, HasSubstr("table public.t1: while pgsink was not running"));
  const std::string option = "accept_gap_until = '";
  const size_t at = told.error().message.find(option);
  ASSERT_NE(at, std::string::npos) << told.error().message;
  const size_t begin = at + option.size();
  source_.accept_gap_until =
      told.error().message.substr(begin, told.error().message.find('\'', begin) - begin);
  const Status accepted = replicate_while([&] {
    change("DELETE FROM t1 WHERE id = 5000; INSERT INTO t1 VALUES (5001, 'later', 1)");
    expect_equal();
  });
  EXPECT_TRUE(accepted) << accepted.error().to_string();
  EXPECT_EQ(to_->scalar("SELECT name FROM t0 WHERE id = 5000", target_database_), "kept");
}

TEST_F(ManyTablesTest, NewColumnsAreAddedWhereTheTargetMayEvolve) {
  create_tables(2);
  EXPECT_TRUE(replicate_while([&] { expect_equal(); }));
  change("ALTER TABLE t1 ADD COLUMN more numeric(5,1); INSERT INTO t1 VALUES (9000, 'n', 1, 2.5)");
  const Status told = replicate_once([] { return true; });
  ASSERT_FALSE(told);
  EXPECT_THAT(told.error().message, HasSubstr("more"));
  target_.schema_evolution = SchemaEvolution::kAddColumns;
  const Status done = replicate_while([&] { expect_equal(); });
  EXPECT_TRUE(done) << done.error().to_string();
}

TEST_F(ManyTablesTest, TwoTablesOfTheSourceDoNotShareATarget) {
  create_tables(2);
  change("CREATE TABLE sales.t1 (id bigint PRIMARY KEY)");
  target_.target_tables = "{table}";
  const Status refused = replicate_once([] { return true; });
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("the target of two tables of the source"));
}

// ---- one stream --------------------------------------------------------------------------------

TEST_F(ManyTablesTest, TheLogIsDecodedOnceForAllOfThem) {
  const int count = wanted("PGSINK_MANY_TABLES", 6);
  create_tables(count);
  EXPECT_TRUE(replicate_while([&] { expect_equal(); }));
  // The same tables through a slot each, into another database.
  const std::string many_target = target_database_;
  const std::string single_target = to_->create_database("single");
  to_->sql("CREATE SCHEMA sales", single_target);
  std::vector<SinkOptions> sources, sinks;
  for (int i = 0; i < count; ++i) {
    const std::string name = table_name(i);
    to_->sql("CREATE TABLE " + name +
                 " (id bigint PRIMARY KEY, name varchar(40) NOT NULL, amount numeric(12,2))",
             single_target);
    SinkOptions source = source_, sink = target_;
    source.tables.clear();
    sink.target_tables.clear();
    sink.create_table = false;
    source.schema = sink.schema = name.substr(0, name.find('.'));
    source.table = sink.table = name.substr(name.find('.') + 1);
    source.publication = "pub_" + std::to_string(i);
    source.replication_slot = "single_" + std::to_string(i);
    sink.connection_name = "single_" + std::to_string(i);
    sink.database = single_target;
    sources.push_back(std::move(source));
    sinks.push_back(std::move(sink));
  }
  const auto run_singles = [&] {
    std::atomic<bool> ends = false;
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i) {
      threads.emplace_back([&, i] {
        const auto at = static_cast<size_t>(i);
        auto source = Source::open(sources[at]);
        const Status done =
            source ? replicate(**source, sinks[at], [&] { return !ends; }) : fail(source.error());
        EXPECT_TRUE(done) << done.error().to_string();
      });
    }
    target_database_ = single_target;
    expect_equal();
    target_database_ = many_target;
    ends = true;
    for (std::thread& thread : threads) thread.join();
  };
  run_singles();
  const int transactions = wanted("PGSINK_MANY_TABLES_TRANSACTIONS", 600);
  std::string load;
  for (int i = 0; i < transactions; ++i) {
    load += "BEGIN;";
    for (int k = 0; k < 5; ++k) {
      load += "UPDATE " + table_name((i * 5 + k) % count) +
              " SET amount = amount + 1 WHERE id = " + std::to_string(1 + i % 200) + ";";
    }
    load += "COMMIT;";
  }
  change(load);
  const auto seconds_of = [](const auto& body) {
    const auto begin = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  const auto decoded = [&](const std::string& slot) {
    const std::string sql =
        "SELECT coalesce(sum(total_bytes), 0)::bigint FROM pg_stat_replication_slots WHERE "
        "slot_name LIKE '" +
        slot + "'";
    return std::stod(from_->scalar(sql, source_database_));
  };
  change("SELECT pg_stat_reset_replication_slot(NULL)");
  const double many = seconds_of([&] {
    const Status done = replicate_while([&] { expect_equal(); });
    EXPECT_TRUE(done) << done.error().to_string();
  });
  const double singles = seconds_of(run_singles);
  EXPECT_TRUE(test::eventually([&] { return decoded(source_.replication_slot) > 0; }));
  EXPECT_TRUE(test::eventually([&] { return decoded("single_0") > 0; }));
  std::printf(
      "%d tables, %d changes: one slot %.1f s, %.0f changes/s, %.0f bytes decoded; %d slots %.1f "
      "s, "
      "%.0f changes/s, %.0f bytes decoded, %.0f by one of them\n",
      count, transactions * 5, many, transactions * 5 / many, decoded(source_.replication_slot),
      count, singles, transactions * 5 / singles, decoded("single%"), decoded("single_0"));
  EXPECT_LE(decoded(source_.replication_slot), 1.1 * decoded("single_0"));
}

// ---- deaths ------------------------------------------------------------------------------------

/// Changes rows of several tables in each transaction, for as long as it lives.
class TablesWriter {
 public:
  TablesWriter(std::string conninfo, int tables, uint32_t seed)
      : conninfo_(std::move(conninfo)), tables_(static_cast<uint32_t>(tables)), random_(seed) {
    thread_ = std::thread([this] { run(); });
  }
  ~TablesWriter() {
    ends_ = true;
    thread_.join();
  }
  uint64_t transactions() const { return transactions_; }

 private:
  void run() {
    PGconn* connection = nullptr;
    while (!ends_) {
      if (connection == nullptr || PQstatus(connection) != CONNECTION_OK) {
        PQfinish(connection);
        connection = PQconnectdb(conninfo_.c_str());
        std::this_thread::sleep_for(20ms);
        continue;
      }
      std::string sql = "BEGIN;";
      for (auto i = 1 + random_() % 3; i > 0; --i) sql += change();
      PGresult* result = PQexec(connection, (sql + "COMMIT").c_str());
      const bool committed = PQresultStatus(result) == PGRES_COMMAND_OK &&
                             std::string(PQcmdStatus(result)) == "COMMIT";
      if (committed) ++transactions_;
      PQclear(result);
      if (!committed) PQclear(PQexec(connection, "ROLLBACK"));
    }
    PQfinish(connection);
  }
  std::string change() {
    const std::string table = table_name(static_cast<int>(random_() % tables_));
    const std::string id = std::to_string(random_() % 300);
    const auto what = random_() % 1000;
    if (what < 450) {
      return "INSERT INTO " + table + " AS t VALUES (" + id + ", 'n" +
             std::to_string(random_() % 100000) +
             "', 1) ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, amount = t.amount + 1;";
    }
    if (what < 750) return "UPDATE " + table + " SET amount = amount + 1 WHERE id = " + id + ";";
    if (what < 900) return "DELETE FROM " + table + " WHERE id = " + id + ";";
    if (what < 998) {
      return "UPDATE " + table + " SET id = 10000 - id WHERE id = " + id +
             " AND NOT EXISTS (SELECT FROM " + table + " AS o WHERE o.id = 10000 - " + id + ");";
    }
    return "TRUNCATE " + table + ";";
  }

  const std::string conninfo_;
  const uint32_t tables_;
  std::mt19937 random_;
  std::atomic<bool> ends_ = false;
  std::atomic<uint64_t> transactions_ = 0;
  std::thread thread_;
};

class ManyTablesDeathsTest : public ManyTablesTest, public testing::WithParamInterface<Delivery> {
 protected:
  /// A process that replicates until it is killed.
  pid_t spawn() {
    const pid_t pid = fork();
    if (pid != 0) return pid;
    for (;;) {
      const Status ended = replicate_once([] { return true; });
      // A server that is restarting is no reason to end; anything else is told.
      if (!ended && ended.error().code != Errc::kConnect &&
          ended.error().sqlstate.class_code() != "57") {
        std::fprintf(stderr, "replicating: %s\n", ended.error().to_string().c_str());
      }
      std::this_thread::sleep_for(50ms);
    }
  }
  static void kill_and_wait(pid_t pid) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
};

TEST_P(ManyTablesDeathsTest, AllTablesAreEqualInTheEnd) {
  target_.delivery = GetParam();
  create_tables(wanted("PGSINK_MANY_TABLES", 20));
  pid_t pid = spawn();
  std::mt19937 random(20261201);
  uint64_t transactions = 0;
  int deaths = 0;
  const std::chrono::seconds length(wanted("PGSINK_MANY_TABLES_SECONDS", 8));
  // What opens more tables needs more time between two deaths to get anywhere.
  const auto pause_ms = static_cast<unsigned>(2000 + tables_ * 50);
  {
    const TablesWriter one(from_->conninfo(source_database_), tables_, 1);
    const TablesWriter two(from_->conninfo(source_database_), tables_, 2);
    const auto end = std::chrono::steady_clock::now() + length;
    for (; std::chrono::steady_clock::now() < end; ++deaths) {
      std::this_thread::sleep_for(std::chrono::milliseconds(500 + random() % pause_ms));
      switch (random() % 4) {
        case 0:
        case 1:
          kill_and_wait(pid);
          pid = spawn();
          break;
        case 2:
          from_->restart(random() % 2 == 0 ? test::StopMode::kFast : test::StopMode::kImmediate);
          break;
        default:
          to_->restart(random() % 2 == 0 ? test::StopMode::kFast : test::StopMode::kImmediate);
      }
    }
    transactions = one.transactions() + two.transactions();
  }
  expect_equal(std::max<std::chrono::milliseconds>(test::kPatience, 2 * length));
  kill_and_wait(pid);
  EXPECT_GT(transactions, 50U);
  std::printf("%d tables, %llu transactions, %d deaths\n", tables_,
              static_cast<unsigned long long>(transactions), deaths);
}

INSTANTIATE_TEST_SUITE_P(Delivery, ManyTablesDeathsTest,
                         testing::Values(Delivery::kAtLeastOnce, Delivery::kExactlyOnce),
                         [](const auto& test) {
                           return test.param == Delivery::kExactlyOnce ? "ExactlyOnce"
                                                                       : "AtLeastOnce";
                         });

}  // namespace
}  // namespace pgsink
