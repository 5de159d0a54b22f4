// Reaching a server: several hosts, deadlines, servers that lie or stop in the middle.

#include "pgsink/client/connect.h"

#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "support/client_fixture.h"
#include "support/scripted_server.h"

namespace pgsink::test {
namespace {

using pgproto::as_text;
using pgproto::Authentication;

class ConnectTest : public ClientTest {
 protected:
  std::string good_port() { return std::to_string(server().port()); }
  std::string login() { return " user=postgres dbname=" + database() + " sslmode=disable"; }
  Error error_of(const std::string& conninfo) {
    const auto connection = try_connect(conninfo);
    return connection ? Error() : connection.error();
  }
  static std::string dead_port() { return std::to_string(free_port()); }
};

TEST_F(ConnectTest, AnswersQueriesOverEveryTransport) {
  for (const std::string& way : all_ways()) {
    auto connection = connect(way);
    const auto result = connection->query("SELECT 1 AS a, NULL AS b, 'ä' AS c", soon());
    ASSERT_TRUE(result.has_value()) << result.error().to_string();
    EXPECT_EQ(result->columns, (std::vector<std::string>{"a", "b", "c"}));
    ASSERT_EQ(result->rows.size(), 1U);
    EXPECT_EQ(result->rows[0][0], "1");
    EXPECT_EQ(result->rows[0][1], std::nullopt);
    EXPECT_EQ(result->rows[0][2], "ä");
    EXPECT_EQ(result->tag, "SELECT 1");
    EXPECT_EQ(result->scalar(), "1");
  }
}

TEST_F(ConnectTest, QueriesTakeParametersAndReportErrorsWithoutBreaking) {
  auto connection = connect(unix_way());
  const std::optional<std::string> parameters[] = {"41", std::nullopt, "x'; DROP TABLE t; --"};
  const auto answer =
      connection->query("SELECT $1::int + 1, $2::text IS NULL, $3::text", parameters, soon());
  ASSERT_TRUE(answer.has_value()) << answer.error().to_string();
  EXPECT_EQ(answer->rows[0][0], "42");
  EXPECT_EQ(answer->rows[0][1], "t");
  EXPECT_EQ(answer->rows[0][2], "x'; DROP TABLE t; --");
  const std::optional<std::string> wrong[] = {"x", std::nullopt, ""};
  const auto failed = connection->query("SELECT $1::int, $2::text, $3::text", wrong, soon());
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().sqlstate.view(), "22P02");
  EXPECT_TRUE(failed.error().sent);
  const auto syntax = connection->query("SELEKT 1", soon());
  EXPECT_EQ(syntax.error().sqlstate.view(), "42601");
  const std::vector<std::optional<std::string>> too_many(65536);
  EXPECT_EQ(connection->query("SELECT 1", too_many, soon()).error().code, Errc::kLimit);
  EXPECT_EQ(connection->query("SELECT 1; SELECT 'two'; CREATE TEMP TABLE t ()", soon())->scalar(),
            "two");
  EXPECT_FALSE(connection->broken());
  EXPECT_EQ(connection->query("", soon())->rows.size(), 0U);
}

TEST_F(ConnectTest, NoticesAreKeptInARing) {
  auto connection = connect(unix_way());
  ASSERT_TRUE(connection
                  ->query("DO $$ BEGIN FOR i IN 1..100 LOOP RAISE NOTICE 'n %', i;"
                          " END LOOP; RAISE WARNING '%', repeat('x', 5000); END $$",
                          soon())
                  .has_value());
  EXPECT_EQ(connection->counters().notices, 101U);
  const auto notices = connection->take_notices();
  ASSERT_EQ(notices.size(), kNoticesMax);
  EXPECT_EQ(connection->counters().notices_dropped, 101 - kNoticesMax);
  EXPECT_EQ(notices.front().message, "n 86");
  EXPECT_EQ(notices.back().severity, "WARNING");
  EXPECT_EQ(notices.back().message.size(), kNoticeBytesMax);
  EXPECT_TRUE(connection->take_notices().empty());
}

TEST_F(ConnectTest, TellsWhoTheServerIs) {
  auto connection = connect(tcp_way());
  const ServerIdentity& identity = connection->server();
  EXPECT_EQ(identity.version, server().version());
  EXPECT_FALSE(identity.in_recovery);
  EXPECT_TRUE(identity.synchronous_commit);
  EXPECT_EQ(identity.max_prepared_transactions, 64);
  EXPECT_EQ(identity.backend.pid, connection->session().backend_process_id());
  EXPECT_EQ(identity.incarnation.system_identifier,
            server().scalar("SELECT system_identifier FROM pg_control_system()"));
  EXPECT_EQ(identity.incarnation.timeline, "00000001");
  EXPECT_EQ(identity.backend.backend_start,
            server().scalar("SELECT backend_start FROM pg_stat_activity WHERE pid = " +
                            std::to_string(identity.backend.pid)));
  EXPECT_EQ(connection->endpoint(), "127.0.0.1:" + good_port());
  auto again = connect(unix_way());
  EXPECT_EQ(again->server().incarnation, identity.incarnation);
  EXPECT_NE(again->server().backend, identity.backend);
}

// ---- several hosts ------------------------------------------------------------------------------

TEST_F(ConnectTest, TriesHostsInOrderUntilOneAnswers) {
  const std::string dead = dead_port();
  auto connection = connect("host=127.0.0.1,/nonexistent,127.0.0.1 port=" + dead + ",5432," +
                            good_port() + login());
  EXPECT_EQ(connection->endpoint(), "127.0.0.1:" + good_port());
  const Error error =
      error_of("host=127.0.0.1,/nonexistent,no-such-host.invalid port=" + dead + login());
  EXPECT_EQ(error.code, Errc::kConnect);
  for (const char* name : {"127.0.0.1:", "/nonexistent/.s.PGSQL.", "no-such-host.invalid"}) {
    EXPECT_NE(error.message.find(name), std::string::npos) << error.message;
  }
}

// What follows an '@' that a password should have had as %40 is a host to libpq's rules.
TEST_F(ConnectTest, TheRestOfAPasswordIsNotShownAsAHost) {
  for (const char* url :
       {"postgresql://u:pass@TopSecret@127.0.0.1/d", "host=TopSecret@127.0.0.1"}) {
    const Error error = error_of(url);
    EXPECT_EQ(error.code, Errc::kConnect);
    EXPECT_EQ(error.to_string().find("TopSecret"), std::string::npos) << error.to_string();
    EXPECT_NE(error.message.find("%40"), std::string::npos) << error.message;
  }
}

TEST_F(ConnectTest, RefusedLoginEndsTheSearchButAStartingServerDoesNot) {
  ScriptedServer starting([](Peer& peer) {
    peer.next();
    peer.send(encode_all({error_response("FATAL", "57P03", "the database system is starting up")}));
  });
  ScriptedServer refusing([](Peer& peer) {
    peer.next();
    peer.send(encode_all({error_response("FATAL", "28000", "not you")}));
  });
  const auto two = [&](const ScriptedServer& first) {
    return "host=127.0.0.1,127.0.0.1 port=" + std::to_string(first.port()) + "," + good_port() +
           login();
  };
  EXPECT_EQ(error_of(two(refusing)).sqlstate.view(), "28000");
  EXPECT_EQ(connect(two(starting))->endpoint(), "127.0.0.1:" + good_port());
}

// Trap 10: what one host said, or was told, is gone when the next one is tried.
TEST_F(ConnectTest, NothingOfOneHostReachesTheNext) {
  std::string heard;
  {
    // Asks for a password, reports strange things, hands out a key, and dies.
    ScriptedServer liar([](Peer& peer) {
      peer.next();
      peer.send(authentication(Authentication::Code::kOk) +
                encode_all({pgproto::ParameterStatus{"server_version", "1.0 of the liar"},
                            pgproto::ParameterStatus{"liar", "yes"}}));
    });
    ScriptedServer second([&](Peer& peer) {
      peer.let_in();
      peer.wait_for_end();
      heard = peer.heard();
    });
    auto connection = connect("host=127.0.0.1,127.0.0.1 user=u dbname=d sslmode=disable port=" +
                              std::to_string(liar.port()) + "," + std::to_string(second.port()));
    EXPECT_EQ(connection->session().parameter("liar"), "");
    EXPECT_EQ(connection->session().parameter("server_version"), "");
    EXPECT_EQ(as_text(connection->session().cancel_key()), "key!");
  }
  const std::string start("\0\3\0\0user\0u\0", 11);
  EXPECT_EQ(heard.find(start), 4U) << "a whole new startup message";
}

TEST_F(ConnectTest, EachHostGetsItsOwnPasswordFromTheFile) {
  std::string first_heard, second_heard;
  const std::string path = server().directory() + "/two_passwords";
  {
    const auto play = [](std::string* heard) {
      return [heard](Peer& peer) {
        peer.next();
        peer.send(authentication(Authentication::Code::kCleartextPassword));
        if (const auto said = peer.next()) {
          if (const auto* password = said->as<pgproto::PasswordMessage>()) {
            *heard = password->password;
          }
        }
      };
    };
    ScriptedServer first(play(&first_heard)), second(play(&second_heard));
    {
      std::ofstream file(path);
      file << "*:" << first.port() << ":*:*:one\n*:" << second.port() << ":*:*:two\n";
    }
    ::chmod(path.c_str(), 0600);
    const Error error = error_of("host=127.0.0.1 user=u dbname=d sslmode=disable passfile=" + path +
                                 " port=" + std::to_string(first.port()) +
                                 " host=127.0.0.1,127.0.0.1 port=" + std::to_string(first.port()) +
                                 "," + std::to_string(second.port()));
    EXPECT_EQ(error.code, Errc::kConnect) << error.to_string();
    EXPECT_EQ(error.to_string().find("one"), std::string::npos);
  }
  EXPECT_EQ(first_heard, "one");
  EXPECT_EQ(second_heard, "two");
}

TEST_F(ConnectTest, LoadBalancingUsesEveryHost) {
  std::atomic<int> hits[2] = {0, 0};
  const auto play = [&](int which) {
    return [&, which](Peer& peer) {
      ++hits[which];
      if (peer.let_in()) peer.wait_for_end();
    };
  };
  ScriptedServer first(play(0)), second(play(1));
  const std::string both = "host=127.0.0.1,127.0.0.1 user=u dbname=d sslmode=disable port=" +
                           std::to_string(first.port()) + "," + std::to_string(second.port());
  for (int i = 0; i < 40; ++i) connect(both + " load_balance_hosts=random");
  EXPECT_EQ(hits[0] + hits[1], 40);
  EXPECT_GT(hits[0], 2);  // missing one of two in 40 draws: 2^-27 or so
  EXPECT_GT(hits[1], 2);
  for (int i = 0; i < 5; ++i) connect(both);
  EXPECT_GE(hits[0], 5);
}

TEST_F(ConnectTest, FindsServersByTheirRole) {
  const auto primary = PostgresServer::start();
  const auto standby = primary->start_standby();
  const std::string base =
      "host=127.0.0.1,127.0.0.1 user=postgres dbname=postgres sslmode=disable "
      "target_session_attrs=";
  const std::string standby_first =
      " port=" + std::to_string(standby->port()) + "," + std::to_string(primary->port());
  const std::string primary_first =
      " port=" + std::to_string(primary->port()) + "," + std::to_string(standby->port());
  const auto reached = [&](const std::string& attribute, const std::string& ports) {
    const auto connection = try_connect(base + attribute + ports);
    if (!connection) return std::string("none");
    return std::string((*connection)->server().in_recovery ? "standby" : "primary");
  };
  for (const char* attribute : {"read-write", "primary"}) {
    EXPECT_EQ(reached(attribute, standby_first), "primary") << attribute;
  }
  for (const char* attribute : {"read-only", "standby", "prefer-standby"}) {
    EXPECT_EQ(reached(attribute, primary_first), "standby") << attribute;
  }
  EXPECT_EQ(reached("any", standby_first), "standby");
  EXPECT_EQ(connect(base + "standby" + primary_first)->server().incarnation.timeline, "standby");

  standby->stop(StopMode::kImmediate);
  EXPECT_EQ(reached("prefer-standby", standby_first), "primary");
  const Error none = error_of(base + "standby" + primary_first);
  EXPECT_NE(none.message.find("asks for standby"), std::string::npos) << none.message;
  primary->sql("ALTER DATABASE postgres SET default_transaction_read_only = on");
  EXPECT_EQ(reached("read-write", primary_first), "none");
  EXPECT_EQ(reached("read-only", primary_first), "primary");
  EXPECT_EQ(reached("primary", primary_first), "primary");
  const Error alone = error_of(
      "host=127.0.0.1 user=postgres dbname=postgres sslmode=disable "
      "target_session_attrs=read-write port=" +
      std::to_string(primary->port()));
  EXPECT_EQ(alone.code, Errc::kSessionAttributes);
}

// ---- deadlines ----------------------------------------------------------------------------------

// A server that falls silent at any step costs the time that was allowed, and says where.
TEST_F(ConnectTest, TimeoutHoldsAtEveryStepOfTheStartup) {
  for (int step = 0; step < 5; ++step) {
    ScriptedServer server([&](Peer& peer) {
      if (step >= 1) {
        peer.next();  // SSLRequest
        peer.send("N");
      }
      if (step >= 2) {
        peer.next();
        peer.send(authentication(Authentication::Code::kOk));
      }
      if (step >= 3) peer.send(encode_all({pgproto::ParameterStatus{"client_encoding", "UTF8"}}));
      if (step >= 4) peer.send(encode_all({ready('I')}));
      peer.wait_for_end();
    });
    auto silent = *options(server.conninfo("sslmode=prefer"));
    silent.connect_timeout = std::chrono::milliseconds(120);
    const TimePoint begin = env().clock.now();
    const auto connection = Connection::open(env(), silent);
    const Duration took = env().clock.now() - begin;
    ASSERT_FALSE(connection.has_value());
    EXPECT_EQ(connection.error().code, Errc::kTimeout) << step << connection.error().to_string();
    EXPECT_NE(connection.error().message.find("(the limit is 0.120 s: raise connection_timeout_ms"),
              std::string::npos)
        << connection.error().message;
    EXPECT_GE(took, std::chrono::milliseconds(119)) << step;
    EXPECT_LT(took, std::chrono::seconds(10)) << step;
  }
}

// One byte now and then: the deadline is for the whole, not for each read.
TEST_F(ConnectTest, SlowDripDoesNotExtendTheDeadline) {
  ScriptedServer server([](Peer& peer) {
    peer.next();
    const std::string flood = authentication(Authentication::Code::kOk) +
                              encode_all({pgproto::ParameterStatus{"a", std::string(2000, 'x')}});
    for (const char c : flood) {
      if (!peer.send({&c, 1})) return;
      ::usleep(20'000);
    }
  });
  auto drip = *options(server.conninfo());
  drip.connect_timeout = std::chrono::milliseconds(200);
  const TimePoint begin = env().clock.now();
  EXPECT_EQ(Connection::open(env(), drip).error().code, Errc::kTimeout);
  EXPECT_LT(env().clock.now() - begin, std::chrono::seconds(10));
}

TEST_F(ConnectTest, TimedOutHostIsFollowedByTheNext) {
  ScriptedServer silent([](Peer& peer) { peer.wait_for_end(); });
  auto two = *options("host=127.0.0.1,127.0.0.1 port=" + std::to_string(silent.port()) + "," +
                      good_port() + login());
  two.connect_timeout = std::chrono::seconds(3);
  const auto connection = Connection::open(env(), two);
  ASSERT_TRUE(connection.has_value()) << connection.error().to_string();
}

// ---- servers that lie or stop -------------------------------------------------------------------

// Ends after every prefix of a good startup: always an error, never a hang or a crash.
TEST_F(ConnectTest, EndAnywhereInTheStartupIsAnError) {
  const std::string startup =
      authentication(Authentication::Code::kOk) +
      encode_all({pgproto::ParameterStatus{"client_encoding", "UTF8"},
                  pgproto::BackendKeyData{1, pgproto::as_bytes("key!")}, ready('I')});
  const std::string all = startup + identity_answer();
  int errors = 0;
  for (size_t size = 0; size < all.size(); size += 3) {
    ScriptedServer server([&](Peer& peer) {
      peer.next();
      peer.send(all.substr(0, std::min(size, startup.size())));
      if (size < startup.size()) return;
      peer.next();
      peer.send(all.substr(startup.size(), size - startup.size()));
    });
    const Error error = error_of(server.conninfo());
    EXPECT_TRUE(error.code == Errc::kConnect || error.code == Errc::kConnectionLost)
        << size << ": " << error.to_string();
    EXPECT_FALSE(error.sent);
    ++errors;
  }
  EXPECT_GT(errors, 30);
}

TEST_F(ConnectTest, WhatIsNoPostgresqlIsRefused) {
  const std::vector<std::string> greetings = {
      "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
      "SSH-2.0-OpenSSH_9\r\n",
      std::string("\x4a\0\0\0\x0a", 5) + "8.0.36 mysql",
      raw_message('R', "xx"),
      raw_message('Z', "I"),
      std::string("R\x7f\xff\xff\xff", 5),
      std::string("R\0\0\0\3", 5),
      raw_message('D', std::string("\xff\xff", 2))};
  for (const std::string& greeting : greetings) {
    ScriptedServer server([&](Peer& peer) {
      peer.next();
      peer.send(greeting);
      peer.wait_for_end();
    });
    const Error error = error_of(server.conninfo());
    EXPECT_TRUE(error.code == Errc::kProtocol || error.code == Errc::kLimit)
        << greeting << error.to_string();
  }
}

TEST_F(ConnectTest, StrangeAnswerAboutTheIdentityIsRefused) {
  ScriptedServer server([](Peer& peer) {
    peer.next();
    peer.send(authentication(Authentication::Code::kOk) +
              encode_all({pgproto::ParameterStatus{"client_encoding", "UTF8"}, ready('I')}));
    peer.next();
    peer.send(encode_all({pgproto::CommandComplete{"SELECT 0"}, ready('I')}));
    peer.wait_for_end();
  });
  EXPECT_EQ(error_of(server.conninfo()).code, Errc::kProtocol);
}

// A server whose control functions are locked away serves; but its life is never taken for the
// same.
TEST_F(ConnectTest, UnreadableIncarnationEqualsNothing) {
  const auto hardened = PostgresServer::start();
  hardened->create_role("plain");
  const std::string conninfo = hardened->conninfo("postgres", Via::kUnix, "plain");
  EXPECT_EQ(connect(conninfo)->server().incarnation, connect(conninfo)->server().incarnation)
      << "an unprivileged role can read it";
  hardened->sql("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM public");
  const auto first = connect(conninfo), second = connect(conninfo);
  EXPECT_NE(first->server().incarnation, second->server().incarnation);
  EXPECT_EQ(first->server().version, hardened->version());
  EXPECT_FALSE(first->server().backend.backend_start.empty());
}

// Amazon Aurora without logical replication, and YugabyteDB, refuse functions of the WAL.
TEST_F(ConnectTest, ServersWithoutAWalPositionServe) {
  for (const std::string state : {"55000", "0A000"}) {
    const auto other = PostgresServer::start();
    other->sql(
        "SET allow_system_table_mods = on;"
        "ALTER FUNCTION pg_catalog.pg_current_wal_lsn() RENAME TO pg_current_wal_lsn_real;"
        "CREATE FUNCTION pg_catalog.pg_current_wal_lsn() RETURNS pg_lsn LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION USING errcode = '" +
        state + "', message = 'not here'; END $$");
    const auto first = connect(other->conninfo()), second = connect(other->conninfo());
    EXPECT_NE(first->server().incarnation, second->server().incarnation) << state;
    EXPECT_FALSE(first->server().incarnation_known);
    EXPECT_EQ(first->server().version, other->version());
  }
}

TEST_F(ConnectTest, AnInterruptDoesNotEndAQuery) {
  auto connection = connect(tcp_way());
  connection->interrupt();
  const auto answer = connection->query("SELECT 41 + 1", soon());
  ASSERT_TRUE(answer.has_value()) << answer.error().to_string();
  EXPECT_EQ(answer->scalar(), "42");
  EXPECT_FALSE(connection->broken());
}

TEST_F(ConnectTest, TimedOutQueryBreaksTheConnection) {
  auto connection = connect(unix_way());
  const auto answer = connection->query("SELECT pg_sleep(30)", in_ms(50));
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, Errc::kTimeout);
  EXPECT_TRUE(connection->broken());
}

}  // namespace
}  // namespace pgsink::test
