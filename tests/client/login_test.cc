// Who is let in, and by which proof: against a server with a pg_hba.conf of its own.

#include <fstream>
#include <sys/stat.h>

#include <gtest/gtest.h>

#include "pgsink/client/salted_keys.h"
#include "support/client_fixture.h"
#include "support/scripted_server.h"

namespace pgsink::test {
namespace {

class LoginTest : public ClientTest {
 protected:
  static void SetUpTestSuite() {
    own_server() = PostgresServer::start();
    PostgresServer& server = *own_server();
    server.create_role("by_scram", "PASSWORD 'secret'");
    server.sql("SET password_encryption = 'md5'; CREATE ROLE by_md5 LOGIN PASSWORD 'secret'");
    server.create_role("by_password", "PASSWORD 'secret'");
    server.create_role("by_trust");
    server.create_role("rejected");
    server.create_role("unicode", "PASSWORD U&'p\\2168\\00AD'");
    server.set_hba({"local all by_scram scram-sha-256", "local all unicode scram-sha-256",
                    "local all by_md5 md5", "local all by_password password",
                    "local all by_trust trust", "local all rejected reject",
                    "host all by_scram all scram-sha-256"});
  }
  static void TearDownTestSuite() { own_server().reset(); }
  static std::unique_ptr<PostgresServer>& own_server() {
    static std::unique_ptr<PostgresServer> server;
    return server;
  }
  std::string as(const std::string& user, const std::string& more = "password=secret") {
    return "host=" + own_server()->socket_dir() + " port=" + std::to_string(own_server()->port()) +
           " dbname=postgres passfile=/nonexistent user=" + user + " " + more;
  }
  /// "" if let in.
  std::string refusal(const std::string& conninfo) {
    const auto connection = try_connect(conninfo);
    return connection ? "" : connection.error().to_string();
  }
  Error error_of(const std::string& conninfo) {
    const auto connection = try_connect(conninfo);
    return connection ? Error() : connection.error();
  }
};

TEST_F(LoginTest, EveryMethodLetsTheRightPasswordIn) {
  for (const char* user : {"by_scram", "by_md5", "by_password", "by_trust"}) {
    EXPECT_EQ(refusal(as(user)), "") << user;
  }
}

TEST_F(LoginTest, WrongPasswordIsAnErrorOfAuthenticationWithoutThePassword) {
  for (const char* user : {"by_scram", "by_md5", "by_password"}) {
    const Error error = error_of(as(user, "password=Wr0ngSecret"));
    EXPECT_EQ(error.code, Errc::kAuthentication) << user;
    EXPECT_EQ(error.sqlstate.view(), "28P01") << user;
    EXPECT_FALSE(error.sent);
    EXPECT_EQ(error.to_string().find("Wr0ngSecret"), std::string::npos);
    const Error missing = error_of(as(user, ""));
    EXPECT_EQ(missing.code, Errc::kAuthentication) << user;
    EXPECT_NE(missing.message.find("no password"), std::string::npos) << missing.message;
  }
}

TEST_F(LoginTest, RefusalsOfTheServerAreTold) {
  const Error rejected = error_of(as("rejected"));
  EXPECT_EQ(rejected.sqlstate.view(), "28000");
  EXPECT_NE(rejected.hint.find("pg_hba.conf"), std::string::npos) << rejected.hint;
  own_server()->sql("ALTER ROLE by_trust NOLOGIN");
  const Error may_not = error_of(as("by_trust"));
  own_server()->sql("ALTER ROLE by_trust LOGIN");
  EXPECT_EQ(may_not.sqlstate.view(), "28000");
  EXPECT_EQ(may_not.hint, "") << "what pg_hba.conf says is not the reason";
  EXPECT_EQ(error_of(as("nobody_of_that_name")).code, Errc::kAuthentication);
  const Error database = error_of(as("by_trust", "dbname=missing"));
  EXPECT_EQ(database.code, Errc::kServer);
  EXPECT_EQ(database.sqlstate.view(), "3D000");
  EXPECT_NE(database.message.find(".s.PGSQL."), std::string::npos) << "which endpoint";
}

// Trap 8: "Ⅸ" (U+2168) is normalised to "IX", the soft hyphen dropped, on both sides.
TEST_F(LoginTest, PasswordsAreNormalised) {
  EXPECT_EQ(refusal(as("unicode", "password=p\u2168\u00AD")), "");
  EXPECT_EQ(refusal(as("unicode", "password=pIX")), "");
  EXPECT_NE(refusal(as("unicode", "password=p\u00AD")), "");
}

// Trap 12: require_auth decides, also over a server that asks for nothing.
TEST_F(LoginTest, RequireAuthIsObeyed) {
  const struct {
    const char* user;
    const char* method;
  } kUsers[] = {{"by_scram", "scram-sha-256"},
                {"by_md5", "md5"},
                {"by_password", "password"},
                {"by_trust", "none"}};
  for (const auto& one : kUsers) {
    const std::string method = one.method;
    for (const auto& other : kUsers) {
      const bool same = method == other.method;
      const std::string with = std::string("password=secret require_auth=") + other.method;
      EXPECT_EQ(refusal(as(one.user, with)).empty(), same) << method << " / " << other.method;
      const std::string without = std::string("password=secret require_auth=!") + other.method;
      EXPECT_EQ(refusal(as(one.user, without)).empty(), !same) << method << " / !" << other.method;
    }
  }
  const Error skipped = error_of(as("by_trust", "password=secret require_auth=scram-sha-256"));
  EXPECT_EQ(skipped.code, Errc::kAuthentication);
  EXPECT_NE(skipped.message.find("require_auth"), std::string::npos);
}

// The password stays here when its method is forbidden, whatever the server asks.
TEST_F(LoginTest, ForbiddenMethodSendsNothing) {
  std::string heard;
  {
    ScriptedServer server([&](Peer& peer) {
      peer.next();
      peer.send(authentication(pgproto::Authentication::Code::kCleartextPassword));
      peer.wait_for_end();
      heard = peer.heard();
    });
    const std::string base = server.conninfo() + " password=TopSecret";
    EXPECT_EQ(error_of(base + " require_auth=scram-sha-256").code, Errc::kAuthentication);
    EXPECT_EQ(error_of(base + " channel_binding=require").code, Errc::kAuthentication);
  }
  EXPECT_NE(heard.find("user"), std::string::npos);
  EXPECT_EQ(heard.find("TopSecret"), std::string::npos);
}

// Trap 13: a zero byte would start a new parameter of the startup message.
TEST_F(LoginTest, ZeroBytesInOptionsAreRefused) {
  ConnectOptions options = *this->options(as("by_trust"));
  options.application_name = std::string("x\0user\0postgres", 15);
  const auto connection = Connection::open(env(), options);
  ASSERT_FALSE(connection.has_value());
  EXPECT_EQ(connection.error().code, Errc::kUsage);
  EXPECT_EQ(set_connect_option(options, "dbname", std::string("a\0b", 3)).error().code,
            Errc::kOptionValue);
}

TEST_F(LoginTest, StartupParametersReachTheSession) {
  auto connection =
      connect(as("by_trust", "application_name='my app' options='-c work_mem=123kB'"));
  const auto show = [&](const std::string& name) {
    return connection->query("SHOW " + name, soon())->scalar();
  };
  EXPECT_EQ(show("application_name"), "my app");
  EXPECT_EQ(show("work_mem"), "123kB");
  EXPECT_EQ(show("client_encoding"), "UTF8");
  EXPECT_EQ(show("DateStyle"), "ISO, MDY");
  EXPECT_EQ(show("IntervalStyle"), "postgres");
  EXPECT_EQ(show("TimeZone"), "UTC");
  EXPECT_EQ(show("extra_float_digits"), "1");
}

// Texts of ours must not depend on what somebody configured for a role.
TEST_F(LoginTest, SessionIsTheSameWhateverTheRoleHasSet) {
  own_server()->sql(
      "ALTER ROLE by_trust SET IntervalStyle = 'sql_standard';"
      "ALTER ROLE by_trust SET DateStyle = 'German'; ALTER ROLE by_trust SET TimeZone = "
      "'Asia/Tokyo';"
      "ALTER ROLE by_trust SET extra_float_digits = -10;"
      "ALTER ROLE by_trust SET client_encoding = 'LATIN1'");
  auto connection = connect(as("by_trust"));
  const auto answer = connection->query(
      "SELECT '1 day 2 hours'::interval, '2026-01-02 03:04:05+00'::timestamptz, 0.1::float8 + 0.2,"
      " 'ä'",
      soon());
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->rows[0][0], "1 day 02:00:00");
  EXPECT_EQ(answer->rows[0][1], "2026-01-02 03:04:05+00");
  EXPECT_EQ(answer->rows[0][2], "0.30000000000000004");
  EXPECT_EQ(answer->rows[0][3], "ä");
  own_server()->sql("ALTER ROLE by_trust RESET ALL");
}

// Trap 32: UTF8 is not only asked for, a change is noticed.
TEST_F(LoginTest, ChangedClientEncodingBreaksTheConnection) {
  auto connection = connect(as("by_trust"));
  const auto changed = connection->query("SET client_encoding = 'LATIN1'", soon());
  ASSERT_FALSE(changed.has_value());
  EXPECT_EQ(changed.error().code, Errc::kProtocol);
  EXPECT_TRUE(connection->broken());
  EXPECT_FALSE(connection->query("SELECT 1", soon()).has_value());
}

TEST_F(LoginTest, PasswordFileServesAndItsModeCounts) {
  const std::string path = own_server()->directory() + "/pgpass";
  std::ofstream(path) << own_server()->socket_dir() << ":*:postgres:by_scram:secret\n";
  ::chmod(path.c_str(), 0600);
  const std::string conninfo = as("by_scram", "passfile=" + path);
  EXPECT_EQ(refusal(conninfo), "");
  ::chmod(path.c_str(), 0644);
  const std::string message = refusal(conninfo);
  EXPECT_NE(message.find("0600"), std::string::npos) << message;
  EXPECT_EQ(message.find("secret"), std::string::npos) << message;
}

// The costly derivation of SCRAM happens once for a pool.
TEST_F(LoginTest, SaltedKeysAreDerivedOnceForManyConnections) {
  class Counting final : public pgproto::SaltedKeyCache {
   public:
    explicit Counting(Tasks& tasks) : keys_(tasks) {}
    std::optional<pgproto::ScramKeys> find(const pgproto::Sha256& fingerprint) override {
      auto found = keys_.find(fingerprint);
      (found ? hits : derivations) += 1;
      return found;
    }
    void store(const pgproto::Sha256& fingerprint, const pgproto::ScramKeys& keys) override {
      ++stores;
      keys_.store(fingerprint, keys);
    }
    int hits = 0, derivations = 0, stores = 0;

   private:
    SharedSaltedKeys keys_;
  };
  Counting cache(env().tasks);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(try_connect(as("by_scram"), &cache).has_value());
  }
  EXPECT_EQ(cache.hits, 4);
  EXPECT_EQ(cache.derivations, 1);
  const int proven = cache.stores;
  // A wrong password has another fingerprint, and is not kept.
  EXPECT_FALSE(try_connect(as("by_scram", "password=other"), &cache).has_value());
  EXPECT_EQ(cache.derivations, 2);
  EXPECT_EQ(cache.stores, proven);
}

TEST_F(LoginTest, SaltedKeysForgetTheOldestAndAreSharedByThreads) {
  SharedSaltedKeys keys(env().tasks);
  const auto fingerprint = [](size_t i) {
    pgproto::Sha256 digest{};
    digest[0] = static_cast<std::byte>(i);
    digest[1] = static_cast<std::byte>(i >> 8);
    return digest;
  };
  std::vector<std::unique_ptr<Task>> tasks;
  for (size_t thread = 0; thread < 4; ++thread) {
    auto task = env().tasks.spawn("keys", [&, thread] {
      for (size_t i = 0; i < 500; ++i) {
        keys.store(fingerprint(i % (kSaltedKeysMax + 8)), {});
        (void)keys.find(fingerprint(i + thread));
      }
    });
    ASSERT_TRUE(task.has_value());
    tasks.push_back(*std::move(task));
  }
  for (auto& task : tasks) task->join();
  size_t kept = 0;
  for (size_t i = 0; i < kSaltedKeysMax + 8; ++i) kept += keys.find(fingerprint(i)).has_value();
  EXPECT_EQ(kept, kSaltedKeysMax);
}

TEST_F(LoginTest, ProtocolVersionIsNegotiated) {
  const bool knows_32 = own_server()->version() >= 180000;
  auto newest = connect(as("by_scram", "password=secret max_protocol_version=latest"));
  EXPECT_EQ(newest->session().protocol_version(),
            knows_32 ? pgproto::kProtocol32 : pgproto::kProtocol30);
  EXPECT_TRUE(newest->cancel(soon()).has_value()) << "with the longer key of 3.2";
  const std::string demanded =
      refusal(as("by_scram", "password=secret max_protocol_version=3.2 min_protocol_version=3.2"));
  EXPECT_EQ(demanded.empty(), knows_32) << demanded;
}

TEST_F(LoginTest, TooManyConnectionsIsNoErrorOfAuthentication) {
  own_server()->sql("ALTER ROLE by_trust CONNECTION LIMIT 1");
  auto first = connect(as("by_trust"));
  const Error error = error_of(as("by_trust"));
  EXPECT_EQ(error.code, Errc::kServer);
  EXPECT_EQ(error.sqlstate.view(), "53300");
  own_server()->sql("ALTER ROLE by_trust CONNECTION LIMIT -1");
}

}  // namespace
}  // namespace pgsink::test
