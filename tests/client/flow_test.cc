// Bytes in both directions at once: COPY, floods of notices, ends in the middle, cancellation.

#include <fstream>
#include <malloc.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "support/client_fixture.h"
#include "support/scripted_server.h"

#if defined(__SANITIZE_ADDRESS__)
#define PGSINK_TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PGSINK_TEST_ASAN 1
#endif
#endif
#if defined(PGSINK_TEST_ASAN)
#include <sanitizer/allocator_interface.h>
#endif

namespace pgsink::test {
namespace {

using pgproto::as_bytes;
using Copy = pgproto::Session::Copy;

// Bytes of memory in use: what was freed does not count, wherever the allocator keeps it.
size_t heap_bytes() {
#if defined(PGSINK_TEST_ASAN)
  return __sanitizer_get_current_allocated_bytes();
#else
  const auto info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
#endif
}

class FlowTest : public ClientTest {
 protected:
  void sql(const std::string& text) { server().sql(text, database()); }

  /// Puts one piece of COPY data into the output.
  static void put(Connection& connection, std::string_view text) {
    const pgproto::MutableBytes space = connection.session().copy_space(text.size());
    ASSERT_GE(space.size(), text.size());
    std::memcpy(space.data(), text.data(), text.size());
    connection.session().copy_commit(text.size());
  }

  struct Outcome {
    std::string tag;
    std::optional<Error> error;  ///< Of the server.
    bool ready = false;
  };
  /// Reads events up to ReadyForQuery. A connection that ends is an error, too.
  Outcome finish(Connection& connection) {
    Outcome outcome;
    while (!outcome.ready) {
      const auto event = connection.next_event(soon());
      if (!event || !*event) {
        if (!outcome.error) outcome.error = event ? Error() : event.error();
        return outcome;
      }
      const auto& message = (*event)->message;
      if (const auto* done = std::get_if<pgproto::CommandComplete>(&message)) {
        outcome.tag = done->tag;
      }
      if (const auto* error = std::get_if<pgproto::ErrorResponse>(&message)) {
        outcome.error = error->to_error();
      }
      outcome.ready = std::holds_alternative<pgproto::ReadyForQuery>(message);
    }
    return outcome;
  }
};

TEST_F(FlowTest, CopiesMegabytesOverEveryTransport) {
  sql("CREATE UNLOGGED TABLE t (a text)");
  const std::string row = std::string(1000, 'r') + "\n";
  std::string chunk;
  while (chunk.size() + row.size() <= 65536) chunk += row;
  for (const std::string& way : all_ways()) {
    auto connection = connect(way);
    const auto before = connection->counters();
    ASSERT_TRUE(connection->session().query("COPY t FROM STDIN", Copy::kIn).has_value());
    constexpr int kChunks = 400;
    for (int i = 0; i < kChunks; ++i) {
      put(*connection, chunk);
      ASSERT_TRUE(connection->drain_output(65536, soon()).has_value());
    }
    connection->session().copy_done();
    const Outcome outcome = finish(*connection);
    EXPECT_FALSE(outcome.error) << outcome.error->to_string();
    EXPECT_EQ(outcome.tag, "COPY " + std::to_string(kChunks * (chunk.size() / row.size())));
    // At most one write a 64 KiB; the answers at the end take a few more.
    const auto after = connection->counters();
    const uint64_t sent = after.bytes_sent - before.bytes_sent;
    EXPECT_LE(after.exchanges - before.exchanges, sent / 65536 + 8) << way;
    EXPECT_LT(connection->session().output().size(), 1U);
  }
}

// Trap 15: the server stops reading until its notices are read. On each transport, with bounded
// memory: 40 MB of notices come back while 5 MB go out.
TEST_F(FlowTest, NoticeForEveryRowNeitherBlocksNorFillsMemory) {
  sql("CREATE UNLOGGED TABLE t (a text);"
      "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS"
      " $$ BEGIN RAISE NOTICE '%', repeat('n', 8192); RETURN NULL; END $$;"
      "CREATE TRIGGER shout BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION shout()");
  constexpr size_t kRows = 5000;
  const std::string row = std::string(1000, 'r') + "\n";
  for (const std::string& way : all_ways()) {
    auto connection = connect(way);
    ASSERT_TRUE(connection->session().query("COPY t FROM STDIN", Copy::kIn).has_value());
    size_t heap_before = 0, heap_max = 0;
    for (size_t i = 0; i < kRows; ++i) {
      put(*connection, row);
      if (connection->session().output().size() < 65536) continue;
      ASSERT_TRUE(connection->drain_output(0, soon()).has_value());
      if (heap_before == 0) heap_before = heap_bytes();
      heap_max = std::max(heap_max, heap_bytes());
    }
    connection->session().copy_done();
    const Outcome outcome = finish(*connection);
    EXPECT_FALSE(outcome.error) << outcome.error->to_string();
    EXPECT_EQ(connection->counters().notices, kRows) << way;
    EXPECT_EQ(connection->counters().notices_dropped, kRows - kNoticesMax);
    heap_max = std::max(heap_max, heap_bytes());
    EXPECT_LT(heap_max - heap_before, size_t{1} << 20) << way;
  }
}

// Answers that nobody reads while output drains are kept, in order, and not without limit.
TEST_F(FlowTest, EventsThatArriveWhileDrainingAreKept) {
  auto connection = connect(tcp_way());
  const std::string filler(30'000, ' ');
  constexpr int kQueries = 300;
  for (int i = 0; i < kQueries; ++i) {
    ASSERT_TRUE(connection->session()
                    .query("SELECT " + std::to_string(i) + ", repeat('x', 10000)" + filler)
                    .has_value());
  }
  ASSERT_TRUE(connection->drain_output(0, soon()).has_value());
  for (int i = 0; i < kQueries; ++i) {
    std::string first;
    for (bool ready = false; !ready;) {
      const auto event = connection->next_event(soon());
      ASSERT_TRUE(event.has_value() && *event) << i;
      EXPECT_EQ((*event)->request, static_cast<uint64_t>(i) + 2) << "1 was about the identity";
      if (const auto* row = std::get_if<pgproto::DataRow>(&(*event)->message)) {
        first = pgproto::as_text(*row->values[0]);
        EXPECT_EQ(row->values[1]->size(), 10000U);
      }
      ready = std::holds_alternative<pgproto::ReadyForQuery>((*event)->message);
    }
    EXPECT_EQ(first, std::to_string(i));
  }
  EXPECT_EQ(connection->query("SELECT 'after'", soon())->scalar(), "after");
}

TEST_F(FlowTest, AnswersWithoutEndAreALimitNotAllTheMemory) {
  auto connection = connect(tcp_way());
  ASSERT_TRUE(connection->session()
                  .query("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)")
                  .has_value());
  // Enough to keep sending while the answers come, which nobody reads.
  const std::string big = "SELECT 1" + std::string(size_t{64} << 20, ' ');
  ASSERT_TRUE(connection->session().query(big).has_value());
  const auto drained = connection->drain_output(0, soon());
  ASSERT_FALSE(drained.has_value());
  EXPECT_EQ(drained.error().code, Errc::kLimit);
  EXPECT_TRUE(connection->broken());
}

// Trap 16: an error stops the COPY, and the connection goes on, again and again.
TEST_F(FlowTest, ErrorInTheMiddleOfACopyLeavesTheConnectionUsable) {
  sql("CREATE TABLE t (a int PRIMARY KEY)");
  for (const std::string& way : all_ways()) {
    auto connection = connect(way);
    for (int cycle = 0; cycle < 100; ++cycle) {
      ASSERT_TRUE(connection->session().query("COPY t FROM STDIN", Copy::kIn).has_value());
      std::string chunk;
      for (int row = 0; row < 500; ++row) {
        chunk += row == (cycle * 37) % 500 ? "bad\n" : std::to_string(row) + "\n";
      }
      int chunks = 0;
      while (!connection->session().copy_refused()) {
        put(*connection, chunk);
        ASSERT_TRUE(connection->drain_output(0, soon()).has_value());
        ASSERT_LT(++chunks, 200000) << "the error was never heard";
      }
      connection->session().copy_done();
      const Outcome outcome = finish(*connection);
      ASSERT_TRUE(outcome.ready);
      ASSERT_TRUE(outcome.error);
      EXPECT_EQ(outcome.error->sqlstate.view(), "22P02");
      EXPECT_EQ(outcome.error->where.find("COPY t, line " + std::to_string((cycle * 37) % 500 + 1)),
                0U)
          << outcome.error->where;
    }
    EXPECT_EQ(connection->query("SELECT count(*) FROM t", soon())->scalar(), "0");
  }
}

// Trap 16: when the server leaves while we send, its words are the error, not a broken pipe.
TEST_F(FlowTest, FatalWhileSendingSurfacesTheServersMessage) {
  sql("CREATE UNLOGGED TABLE t (a text)");
  const std::string row = std::string(1000, 'r') + "\n";
  for (const std::string& way : all_ways()) {
    for (int cycle = 0; cycle < 10; ++cycle) {
      auto connection = connect(way);
      ASSERT_TRUE(connection->session().query("COPY t FROM STDIN", Copy::kIn).has_value());
      const pid_t pid = connection->server().backend.pid;
      Error error;
      for (int i = 0;; ++i) {
        if (i == 200) server().sql("SELECT pg_terminate_backend(" + std::to_string(pid) + ")");
        put(*connection, row);
        const auto drained = connection->drain_output(0, soon());
        if (drained) continue;
        error = drained.error();
        break;
      }
      EXPECT_EQ(error.code, Errc::kConnectionLost);
      EXPECT_EQ(error.sqlstate.view(), "57P01") << way << error.to_string();
      EXPECT_NE(error.message.find("terminating connection due to administrator command"),
                std::string::npos)
          << error.message;
      EXPECT_TRUE(error.sent);
      EXPECT_TRUE(connection->broken());
      // What the server said before stays readable, then the same error.
      bool fatal_seen = false;
      for (;;) {
        const auto event = connection->next_event(soon());
        if (!event) {
          EXPECT_EQ(event.error().sqlstate.view(), "57P01");
          break;
        }
        ASSERT_TRUE(event->has_value());
        fatal_seen =
            fatal_seen || std::holds_alternative<pgproto::ErrorResponse>((*event)->message);
      }
      EXPECT_TRUE(fatal_seen);
    }
  }
}

TEST_F(FlowTest, KilledServerIsALostConnection) {
  const auto own = PostgresServer::start();
  auto connection = connect(own->conninfo());
  own->kill_backend(connection->server().backend.pid);
  const auto answer = connection->query("SELECT 1", soon());
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, Errc::kConnectionLost);
  EXPECT_FALSE(answer.error().sqlstate.is_set());
  EXPECT_NE(answer.error().message.find(own->socket_dir()), std::string::npos);
}

// Trap 17: a backend that waits for CopyData does not hear a cancel until the next one; CopyFail is
// the way out.
TEST_F(FlowTest, CancelOfAnIdleCopyFiresWithTheNextDataAndCopyFailAtOnce) {
  sql("CREATE TABLE t (a int)");
  auto connection = connect(tcp_way());
  ASSERT_TRUE(connection->session().query("COPY t FROM STDIN", Copy::kIn).has_value());
  auto event = connection->next_event(soon());
  ASSERT_TRUE(event && *event);
  ASSERT_TRUE(std::holds_alternative<pgproto::CopyInResponse>((*event)->message));
  ASSERT_TRUE(backend_waits_for(*connection, "ClientRead"));
  ASSERT_TRUE(connection->cancel(soon()).has_value());
  EXPECT_EQ(connection->next_event(in_ms(200)).error().code, Errc::kTimeout) << "unheard";
  put(*connection, "1\n");
  const auto refused = connection->next_event(soon());
  ASSERT_TRUE(refused && *refused);
  const auto* error = std::get_if<pgproto::ErrorResponse>(&(*refused)->message);
  ASSERT_NE(error, nullptr);
  EXPECT_EQ(error->sqlstate.view(), "57014");
  EXPECT_TRUE(connection->session().copy_refused());
  connection->session().copy_done();
  EXPECT_TRUE(finish(*connection).ready);

  ASSERT_TRUE(connection->session().query("COPY t FROM STDIN", Copy::kIn).has_value());
  put(*connection, "2\n");
  connection->session().copy_fail("changed my mind");
  const Outcome outcome = finish(*connection);
  EXPECT_TRUE(outcome.ready);
  EXPECT_EQ(outcome.error->sqlstate.view(), "57014");
  EXPECT_NE(outcome.error->message.find("changed my mind"), std::string::npos);
  EXPECT_EQ(connection->query("SELECT count(*) FROM t", soon())->scalar(), "0");
}

// Trap 11: the cancel hits the query that runs, and no later one.
TEST_F(FlowTest, CancelHitsTheRunningQueryAndNoLaterOne) {
  for (const std::string& way : all_ways()) {
    auto connection = connect(way);
    ASSERT_TRUE(connection->session().query("SELECT pg_sleep(60)").has_value());
    ASSERT_TRUE(connection->drain_output(0, soon()).has_value());
    ASSERT_TRUE(backend_waits_for(*connection, "PgSleep"));
    const auto cancelled = connection->cancel(soon());
    ASSERT_TRUE(cancelled.has_value()) << cancelled.error().to_string();
    EXPECT_EQ(finish(*connection).error->sqlstate.view(), "57014");
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(connection->cancel(soon()).has_value());
      const auto answer =
          connection->query("SELECT count(*) FROM generate_series(1, 1000)", soon());
      ASSERT_TRUE(answer.has_value()) << "hit by an earlier cancel: " << answer.error().to_string();
    }
  }
}

// Trap 11: where the session is encrypted, its cancel key never goes over the wire in clear.
TEST_F(FlowTest, CancelOfAnEncryptedSessionIsEncrypted) {
  std::string cancel_heard;
  std::string key;
  {
    ScriptedServer proxy([&](Peer& peer) {
      peer.forward_to(server().port());
      if (peer.number == 1) cancel_heard = peer.heard();
    });
    auto connection =
        connect("host=localhost hostaddr=127.0.0.1 user=postgres dbname=" + database() +
                " sslmode=verify-full port=" + std::to_string(proxy.port()) +
                " sslrootcert=" + server().certificates().root);
    key = pgproto::as_text(connection->session().cancel_key());
    ASSERT_TRUE(connection->cancel(soon()).has_value());
  }
  EXPECT_EQ(cancel_heard.substr(0, 8), std::string("\0\0\0\x08\x04\xd2\x16\x2f", 8))
      << "SSLRequest";
  ASSERT_EQ(key.size(), 4U);
  EXPECT_EQ(cancel_heard.find(key), std::string::npos);
}

TEST_F(FlowTest, CancelWaitsForTheEndAndNotForEver) {
  std::atomic<bool> heard_cancel = false;
  ScriptedServer server([&](Peer& peer) {
    if (peer.number == 0) {
      if (peer.let_in()) peer.wait_for_end();
      return;
    }
    const auto said = peer.next();
    heard_cancel = said && std::holds_alternative<pgproto::StartupPacket>(said->message);
    if (peer.number == 1) peer.wait_for_end();  // Never closes by itself.
    if (peer.number == 2) ::usleep(100'000);
  });
  auto connection = connect(server.conninfo());
  const auto hung = connection->cancel(in_ms(100));
  ASSERT_FALSE(hung.has_value());
  EXPECT_EQ(hung.error().code, Errc::kTimeout);
  EXPECT_TRUE(heard_cancel);
  const TimePoint begin = env().clock.now();
  EXPECT_TRUE(connection->cancel(soon()).has_value());
  EXPECT_GE(env().clock.now() - begin, std::chrono::milliseconds(90));
}

// What waits in the output when its owner gives up must not be sent by the destructor.
TEST_F(FlowTest, DestructorSendsNoForgottenCommit) {
  sql("CREATE TABLE t (a int)");
  {
    auto connection = connect(unix_way());
    ASSERT_TRUE(connection->session().query("INSERT INTO t VALUES (1)").has_value());
    // Never pumped.
  }
  auto connection = connect(unix_way());
  EXPECT_EQ(connection->query("SELECT count(*) FROM t", soon())->scalar(), "0");
}

TEST_F(FlowTest, StatementsSentTogetherAreTransactionsOfTheirOwn) {
  for (const std::string& way : all_ways()) {
    sql("DROP TABLE IF EXISTS t; CREATE TABLE t (a int PRIMARY KEY)");
    auto connection = connect(way);
    std::vector<std::string> statements;
    for (int i = 0; i < 200; ++i) {
      statements.push_back("INSERT INTO t VALUES (" + std::to_string(i % 150) + ")");
    }
    const auto results = connection->query_each(statements, soon());
    ASSERT_TRUE(results.has_value()) << results.error().to_string();
    ASSERT_EQ(results->size(), statements.size());
    for (size_t i = 0; i < results->size(); ++i) {
      const auto& result = (*results)[i];
      EXPECT_EQ(result.has_value(), i < 150) << i;
      if (!result) {
        EXPECT_EQ(result.error().sqlstate, "23505");
      }
    }
    EXPECT_EQ(connection->query("SELECT count(*) FROM t", soon())->scalar(), "150");
    EXPECT_TRUE(connection->query_each({}, soon())->empty());
  }
}

TEST_F(FlowTest, ABreakAmongStatementsSentTogetherFailsThemAll) {
  auto connection = connect(unix_way());
  const std::vector<std::string> statements{
      "SELECT 1", "SELECT pg_terminate_backend(pg_backend_pid())", "SELECT 3"};
  const auto results = connection->query_each(statements, soon());
  ASSERT_FALSE(results.has_value());
  EXPECT_TRUE(connection->broken());
  EXPECT_FALSE(connection->query_each(statements, soon()).has_value());
}

TEST_F(FlowTest, InterruptWakesAPumpFromAnotherThread) {
  auto connection = connect(tls_way());
  std::thread other([&] {
    ::usleep(30'000);
    connection->interrupt();
  });
  const auto event = connection->next_event(soon());
  other.join();
  ASSERT_TRUE(event.has_value());
  EXPECT_FALSE(event->has_value());
  EXPECT_FALSE(connection->broken());
  EXPECT_EQ(connection->query("SELECT 1", soon())->scalar(), "1");
}

}  // namespace
}  // namespace pgsink::test
