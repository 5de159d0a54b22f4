// Options whose effect nothing else shows: each of these tests fails if its option is read and
// then forgotten. What the others do is proven where they belong.

#include <arpa/inet.h>
#include <chrono>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <set>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

#include <pgsink/batch_of.h>
#include <pgsink/pool.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>

#include "pgsink/sink.h"
#include "support/patience.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::eventually;
using test::shared_server;
using testing::HasSubstr;

struct Row {
  int64_t id = 0;
};

RecordBatch rows(int64_t first, int64_t count) {
  std::vector<Row> made(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) made[static_cast<size_t>(i)].id = first + i;
  return batch_of(std::move(made), column("id", &Row::id));
}

class OptionEffectsTest : public testing::Test {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("options");
    sql("CREATE TABLE t (id bigint PRIMARY KEY)");
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.ssl_mode = "disable";
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  std::unique_ptr<Sink> open() {
    auto sink = Sink::open(options_, rows(0, 0).schema());
    if (!sink) throw std::runtime_error(sink.error().to_string());
    return std::move(*sink);
  }
  /// The most prepared statements that a statement into t found in its session.
  std::string prepared_statements_seen() {
    sql("TRUNCATE seen, t");
    auto sink = open();
    for (int64_t i = 0; i < 5; ++i) {
      EXPECT_TRUE(sink->write(rows(i * 10, 10)));
      EXPECT_TRUE(sink->flush());
    }
    EXPECT_TRUE(sink->close());
    return scalar("SELECT max(count) FROM seen");
  }

  std::string database_;
  SinkOptions options_;
};

TEST_F(OptionEffectsTest, TheUrlSaysWhereTheTableIs) {
  SinkOptions options;
  options.connection_name = "test";
  options.url = shared_server().conninfo(database_);
  options.table = "t";
  auto sink = Sink::open(options, rows(0, 0).schema());
  ASSERT_TRUE(sink) << sink.error().to_string();
  ASSERT_TRUE((*sink)->write(rows(0, 10)));
  ASSERT_TRUE((*sink)->close());
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "10");
}

TEST_F(OptionEffectsTest, TheApplicationsNameIsWhatTheServerShows) {
  options_.application_name = "nightly load";
  const auto sink = open();
  EXPECT_EQ(scalar("SELECT string_agg(DISTINCT application_name, ',') FROM pg_stat_activity WHERE "
                   "datname = current_database() AND pid <> pg_backend_pid()"),
            "nightly load");
}

TEST_F(OptionEffectsTest, BalancedHostsAreAllUsed) {
  options_.host += ",127.0.0.1";
  const auto way = [&] {
    const auto pool = ConnectionPool::create(options_);
    auto connection = (*pool)->checkout();
    EXPECT_TRUE(connection) << connection.error().to_string();
    return *connection->query("SELECT inet_client_addr() IS NULL")->rows[0][0];
  };
  std::set<std::string> ways;
  for (int i = 0; i < 10; ++i) ways.insert(way());
  EXPECT_EQ(ways, std::set<std::string>{"t"}) << "in order, unless asked for";
  options_.load_balance_hosts = "random";
  for (int i = 0; i < 200 && ways.size() < 2; ++i) ways.insert(way());
  EXPECT_EQ(ways.size(), 2U);
}

/// A TCP option of this process's one connection to `port`; -1 if there is none.
int tcp_option(uint16_t port, int name) {
  for (int fd = 3; fd < 1024; ++fd) {
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    const bool ours = ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0 &&
                      peer.sin_family == AF_INET && ntohs(peer.sin_port) == port;
    int value = -1;
    socklen_t length = sizeof value;
    if (ours && ::getsockopt(fd, IPPROTO_TCP, name, &value, &length) == 0) return value;
  }
  return -1;
}

TEST_F(OptionEffectsTest, KeepalivesAreSetOnTheSocket) {
  options_.host = "127.0.0.1";
  options_.keepalives_idle_s = 31;
  options_.keepalives_interval_s = 13;
  options_.keepalives_count = 4;
  options_.tcp_user_timeout_ms = 54'321;
  const auto sink = open();
  const uint16_t port = shared_server().port();
  EXPECT_EQ(tcp_option(port, TCP_KEEPIDLE), 31);
  EXPECT_EQ(tcp_option(port, TCP_KEEPINTVL), 13);
  EXPECT_EQ(tcp_option(port, TCP_KEEPCNT), 4);
  EXPECT_EQ(tcp_option(port, TCP_USER_TIMEOUT), 54'321);
}

TEST_F(OptionEffectsTest, ASilentServerIsGivenUpAfterTheConnectionTimeout) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener, 8), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  options_.host = "127.0.0.1";
  options_.port = std::to_string(ntohs(address.sin_port));
  options_.connection_timeout_ms = 120;
  const Status tested = test_connection(options_);
  ::close(listener);
  ASSERT_FALSE(tested);
  EXPECT_EQ(tested.error().code, Errc::kTimeout);
  EXPECT_THAT(tested.error().message, HasSubstr("0.120 s"));
}

TEST_F(OptionEffectsTest, ABatchEndsWhenItHasItsBytes) {
  // Neither rows nor time nor flush() would end anything yet.
  options_.batch_size = 1'000'000;
  options_.batch_timeout_ms = 3'600'000;
  options_.batch_bytes = 4000;
  auto sink = open();
  ASSERT_TRUE(sink->write(rows(0, 1250)));
  EXPECT_TRUE(eventually([&] { return sink->metrics().rows_written >= 1000; }));
  // Eight bytes a row.
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || count(DISTINCT xmin::text) FROM t"), "1000 2");
  EXPECT_EQ(sink->metrics().batches_by_trigger[static_cast<size_t>(BatchTrigger::kBytes)], 2U);
  ASSERT_TRUE(sink->close());
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "1250");
}

// Rows that wait for more of their batch, and rows of a transaction that is open: both end with
// the time, and not without it.
TEST_F(OptionEffectsTest, ABatchEndsWhenItsTimeIsUp) {
  for (const bool open_transaction : {false, true}) {
    SCOPED_TRACE(open_transaction ? "an open transaction" : "a batch that is not full");
    sql("TRUNCATE t");
    options_.batch_size = open_transaction ? 10 : 1'000'000;
    options_.transaction_size = 1'000'000;
    options_.batch_timeout_ms = 20;
    auto sink = open();
    for (int64_t i = 1; i <= 3; ++i) {
      ASSERT_TRUE(sink->write(rows(i * 10, 10)));
      const auto written = static_cast<uint64_t>(i) * 10;
      ASSERT_TRUE(eventually([&] { return sink->metrics().rows_written == written; }));
    }
    EXPECT_EQ(sink->metrics().batches_by_trigger[static_cast<size_t>(BatchTrigger::kTime)], 3U);
    EXPECT_EQ(scalar("SELECT count(*) || ' ' || count(DISTINCT xmin::text) FROM t"), "30 3");
    ASSERT_TRUE(sink->close());

    sql("TRUNCATE t");
    options_.batch_timeout_ms = 3'600'000;
    sink = open();
    ASSERT_TRUE(sink->write(rows(0, 10)));
    EXPECT_FALSE(eventually([&] { return sink->metrics().rows_written > 0; },
                            std::chrono::milliseconds(300)));
    ASSERT_TRUE(sink->close());
    EXPECT_EQ(scalar("SELECT count(*) FROM t"), "10");
  }
}

TEST_F(OptionEffectsTest, NoMoreTransactionsAreInFlightThanAllowed) {
  options_.batch_size = 100;
  options_.in_flight_max = 3;
  auto sink = open();
  const std::unique_ptr<PGconn, decltype(&PQfinish)> holder(
      PQconnectdb(shared_server().conninfo(database_).c_str()), PQfinish);
  PQclear(PQexec(holder.get(), "BEGIN; LOCK TABLE t"));
  ASSERT_TRUE(sink->write(rows(0, 2000)));
  // The server answers nothing. More than three would go out at once.
  EXPECT_TRUE(eventually([&] { return sink->metrics().in_flight_rows >= 300; }));
  EXPECT_FALSE(eventually([&] { return sink->metrics().in_flight_rows > 300; },
                          std::chrono::milliseconds(200)));
  PQclear(PQexec(holder.get(), "COMMIT"));
  ASSERT_TRUE(sink->close());
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "2000");
}

TEST_F(OptionEffectsTest, ValuesAreRoundedOnlyIfThatIsAskedFor) {
  sql("CREATE TABLE rounds (id bigint PRIMARY KEY, cents numeric(6,2), short real,"
      " at timestamp(0), days date)");
  options_.table = "rounds";
  struct Reading {
    int64_t id;
    double cents, precise;
    std::chrono::sys_time<std::chrono::nanoseconds> at;
  };
  const auto readings = [] {
    const std::chrono::sys_time<std::chrono::nanoseconds> at{
        std::chrono::nanoseconds{1'600'000'000}};
    return batch_of(std::vector<Reading>{{1, 0.125, 0.1234567890123, at}},
                    column("id", &Reading::id), column("cents", &Reading::cents),
                    column("short", &Reading::precise), column("at", &Reading::at),
                    column("days", &Reading::at));
  };
  const auto write = [&]() -> Status {
    auto sink = Sink::open(options_, readings().schema());
    if (!sink) return fail(sink.error());
    if (auto written = (*sink)->write(readings()); !written) return written;
    return (*sink)->close();
  };
  EXPECT_FALSE(write());
  options_.on_rounding = OnRounding::kRound;
  const Status written = write();
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(scalar("SELECT rounds::text FROM rounds"),
            "(1,0.13,0.12345679,\"1970-01-01 00:00:02\",1970-01-01)");
}

TEST_F(OptionEffectsTest, StatementsArePreparedUnlessThatIsSwitchedOff) {
  sql("CREATE TABLE seen (count bigint); CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql "
      "AS $$ BEGIN INSERT INTO seen SELECT count(*) FROM pg_prepared_statements; RETURN NULL; END "
      "$$; CREATE TRIGGER look AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION look()");
  options_.use_copy = false;
  EXPECT_NE(prepared_statements_seen(), "0");
  options_.use_prepared_statements = false;
  EXPECT_EQ(prepared_statements_seen(), "0");
  options_.use_prepared_statements = true;
  options_.statement_cache_size = 0;
  EXPECT_EQ(prepared_statements_seen(), "0");
}

}  // namespace
}  // namespace pgsink
