// From one PostgreSQL into another, while rows change and everything dies: the two tables are equal
// in the end. PGSINK_REPLICATE_SECONDS is how long the deaths go on.

#include <atomic>
#include <csignal>
#include <cstdlib>
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
#include "support/wire_proxy.h"

namespace pgsink {
namespace {

using namespace std::chrono_literals;
using test::PostgresServer;
using testing::HasSubstr;

constexpr auto kPatience = 60s;

int seconds_wanted() {
  const char* asked = std::getenv("PGSINK_REPLICATE_SECONDS");
  return asked != nullptr ? std::atoi(asked) : 8;
}

constexpr const char* kTable =
    "CREATE TABLE t (id bigint PRIMARY KEY, name text, amount numeric, at timestamptz, raw bytea,"
    " flag boolean, tags text[])";
constexpr const char* kDigest =
    "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY id)), '') FROM t";

class ReplicateTest : public test::PairTest {
 protected:
  void SetUp() override {
    PairTest::SetUp();
    from_->sql(kTable, source_database_);
    to_->sql(kTable, target_database_);
  }

  std::string source_digest() { return from_->scalar(kDigest, source_database_); }
  std::string target_digest() { return to_->scalar(kDigest, target_database_); }
  void expect_equal() {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (source_digest() != target_digest() && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(50ms);
    }
    EXPECT_EQ(source_digest(), target_digest());
  }
};

TEST_F(ReplicateTest, KeepsTwoTablesEqual) {
  change(
      "INSERT INTO t SELECT i, 'row ' || i, i * 1.5, now(), '\\x00ff', i % 2 = 0,"
      " ARRAY['a', NULL, 'b,\"c'] FROM generate_series(1, 3000) AS i");
  const Status done = replicate_while([&] {
    expect_equal();
    change("UPDATE t SET name = 'ü\t\n\\', amount = 'NaN', tags = '{}' WHERE id < 100");
    change("UPDATE t SET id = id + 100000 WHERE id BETWEEN 200 AND 300");
    change("DELETE FROM t WHERE id % 7 = 0");
    change("BEGIN; DELETE FROM t WHERE id = 1; INSERT INTO t (id) VALUES (1); COMMIT");
    expect_equal();
    change("TRUNCATE t");
    change(
        "BEGIN; INSERT INTO t (id) VALUES (5); TRUNCATE t; INSERT INTO t (id) VALUES (6), (7);"
        "DELETE FROM t WHERE id = 7; COMMIT");
    expect_equal();
    EXPECT_EQ(to_->scalar("SELECT string_agg(id::text, ' ') FROM t", target_database_), "6");
    change("TRUNCATE t");
    expect_equal();
  });
  EXPECT_TRUE(done) << done.error().to_string();
}

TEST_F(ReplicateTest, WhatStopsTheSinkStopsItAndNothingIsLost) {
  to_->sql("ALTER TABLE t ADD CHECK (name <> 'bad')", target_database_);
  target_.delivery = Delivery::kExactlyOnce;
  target_.sink_id = "copy";
  const Status stopped = replicate_while([&] {
    wait_for_slot();
    change("INSERT INTO t (id, name) VALUES (1, 'good')");
    expect_equal();
    change("INSERT INTO t (id, name) VALUES (2, 'bad')");
    EXPECT_TRUE(test::eventually([&] { return returned_.load(); })) << "though nothing more comes";
    change("INSERT INTO t (id, name) VALUES (3, 'good')");
  });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().sqlstate, "23514") << stopped.error().to_string();
  to_->sql("ALTER TABLE t DROP CONSTRAINT t_name_check", target_database_);
  const Status done = replicate_while([&] { expect_equal(); });
  EXPECT_TRUE(done) << done.error().to_string();
  EXPECT_EQ(to_->scalar("SELECT count(*) FROM t", target_database_), "3");
}

TEST_F(ReplicateTest, OneThatWakesUpDoesNotTruncateWhatTheNextHasWritten) {
  for (const Delivery delivery : {Delivery::kAtLeastOnce, Delivery::kExactlyOnce}) {
    SCOPED_TRACE(static_cast<int>(delivery));
    target_.delivery = delivery;
    target_.sink_id = "copy";
    const SinkOptions direct_source = source_, direct_target = target_;
    test::WireProxy from(from_->socket_dir(), from_->port());
    test::WireProxy to(to_->socket_dir(), to_->port());
    source_.host = target_.host = "127.0.0.1";
    source_.port = std::to_string(from.port());
    target_.port = std::to_string(to.port());
    source_.ssl_mode = target_.ssl_mode = "disable";
    target_.connection_timeout_ms = 120'000;
    Status next;
    // It sleeps before the session of its TRUNCATE begins; meanwhile the next one comes and goes.
    const auto replace = [&] {
      from.refuse_connections(true);
      from_->sql(
          "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active;"
          "INSERT INTO t (id, name) VALUES (2, 'second')",
          source_database_);
      auto source = Source::open(direct_source);
      next = source ? replicate(**source, direct_target,
                                [&] { return source_digest() != target_digest(); })
                    : fail(source.error());
    };
    const Status former = replicate_while([&] {
      wait_for_slot();
      change("INSERT INTO t (id, name) VALUES (1, 'first')");
      expect_equal();
      to.call_before("application_name", replace);
      change("TRUNCATE t");
      EXPECT_TRUE(test::eventually([&] { return returned_.load(); }));
    });
    EXPECT_TRUE(next) << next.error().to_string();
    ASSERT_FALSE(former);
    EXPECT_EQ(former.error().code, Errc::kFenced) << former.error().to_string();
    EXPECT_EQ(to_->scalar("SELECT string_agg(name, ' ') FROM t", target_database_), "second");
    source_ = direct_source;
    target_ = direct_target;
    change("TRUNCATE t");
    replicate_while([&] { expect_equal(); });
  }
}

TEST_F(ReplicateTest, OtherModesAreRefused) {
  target_.write_mode = WriteMode::kInsert;
  auto source = Source::open(source_);
  ASSERT_TRUE(source) << source.error().to_string();
  const Status refused = replicate(**source, target_, [] { return true; });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kOptionConflict);
}

// ---- deaths ------------------------------------------------------------------------------------

/// Changes rows at random for as long as it lives, over a connection that it makes anew.
class Writer {
 public:
  Writer(std::string conninfo, uint32_t seed) : conninfo_(std::move(conninfo)), random_(seed) {
    thread_ = std::thread([this] { run(); });
  }
  ~Writer() {
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
      PGresult* result = PQexec(connection, change().c_str());
      if (PQresultStatus(result) == PGRES_COMMAND_OK) ++transactions_;
      PQclear(result);
    }
    PQfinish(connection);
  }
  std::string number(uint32_t below) { return std::to_string(random_() % below); }
  std::string change() {
    const std::string id = number(2000);
    const auto what = random_() % 1000;
    if (what < 400) {
      return "INSERT INTO t (id, name, amount, at) VALUES (" + id + ", 'n" + number(1000000) +
             "', 1, now()) ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name,"
             " amount = t.amount + 1";
    }
    if (what < 650) return "UPDATE t SET name = 'u" + number(1000000) + "' WHERE id = " + id;
    if (what < 780) return "DELETE FROM t WHERE id BETWEEN " + id + " AND " + id + " + 3";
    if (what < 950) {
      return "UPDATE t SET id = 10000 - id WHERE id = " + id +
             " AND NOT EXISTS (SELECT FROM t AS o WHERE o.id = 10000 - " + id + ")";
    }
    if (what < 998) {
      return "BEGIN; INSERT INTO t (id, name, tags) SELECT i, 'bulk', ARRAY['x', i::text] FROM "
             "generate_series(" +
             id + ", " + id +
             " + 300) AS i ON CONFLICT (id) DO NOTHING; DELETE FROM t WHERE id = " + id +
             "; COMMIT";
    }
    return "TRUNCATE t";
  }

  const std::string conninfo_;
  std::mt19937 random_;
  std::atomic<bool> ends_ = false;
  std::atomic<uint64_t> transactions_ = 0;
  std::thread thread_;
};

class ReplicateDeathsTest : public ReplicateTest, public testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    ReplicateTest::SetUp();
    if (!GetParam()) return;
    target_.delivery = Delivery::kExactlyOnce;
    target_.sink_id = "copy";
    target_.parallelism = 2;
    target_.partition_by = "hash(id)";
  }
  /// A process that replicates until it is killed.
  pid_t spawn() {
    const pid_t pid = fork();
    if (pid != 0) return pid;
    for (;;) {
      auto source = Source::open(source_);
      const Status ended =
          source ? replicate(**source, target_, [] { return true; }) : fail(source.error());
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

TEST_P(ReplicateDeathsTest, BothTablesAreEqualInTheEnd) {
  change("INSERT INTO t (id, name) SELECT i, 'first' FROM generate_series(1, 2000) AS i");
  pid_t pid = spawn();
  std::mt19937 random(20261123);
  uint64_t transactions = 0;
  {
    const Writer one(from_->conninfo(source_database_), 1);
    const Writer two(from_->conninfo(source_database_), 2);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds_wanted());
    while (std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100 + random() % 700));
      switch (random() % 5) {
        case 0:
        case 1:
          kill_and_wait(pid);
          pid = spawn();
          break;
        case 2:
          from_->restart(random() % 2 == 0 ? test::StopMode::kFast : test::StopMode::kImmediate);
          break;
        case 3:
          to_->restart(random() % 2 == 0 ? test::StopMode::kFast : test::StopMode::kImmediate);
          break;
        default:
          to_->sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" +
                   target_database_ + "'");
      }
    }
    transactions = one.transactions() + two.transactions();
  }
  expect_equal();
  kill_and_wait(pid);
  EXPECT_GT(transactions, 50U);
  std::printf("%llu transactions, in the end %s\n", static_cast<unsigned long long>(transactions),
              source_digest().c_str());
}

INSTANTIATE_TEST_SUITE_P(Delivery, ReplicateDeathsTest, testing::Values(false, true),
                         [](const auto& test) {
                           return test.param ? "ExactlyOnceInTwoLanes" : "AtLeastOnce";
                         });

}  // namespace
}  // namespace pgsink
