// TLS: which server is accepted, when TLS is left, what binds a login to it, and how it ends.

#include "pgsink/client/tls.h"

#include <array>
#include <csignal>
#include <sys/stat.h>

#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <openssl/ssl.h>

#include "support/client_fixture.h"
#include "support/scripted_server.h"

namespace pgsink::test {
namespace {

using pgproto::as_bytes;
using pgproto::as_text;

// What a connection string leads to: "refused", "plain" or "TLS".
std::string libpq_result(const std::string& conninfo) {
  PGconn* connection = PQconnectdb((conninfo + " connect_timeout=30").c_str());
  std::string result = "refused";
  if (PQstatus(connection) == CONNECTION_OK) {
    result = PQsslInUse(connection) != 0 ? "TLS" : "plain";
  }
  PQfinish(connection);
  return result;
}

// These tests change the server's certificate and pg_hba.conf: they have one of their own.
class TlsTest : public ClientTest {
 protected:
  static void SetUpTestSuite() {
    own_server() = PostgresServer::start();
    PostgresServer& server = *own_server();
    server.create_role("guest", "PASSWORD 'secret'");
    Certificates& certificates = server.certificates();
    const auto issue = [&](const char* name, CertificateSpec spec) {
      spec.file = name;
      pairs()[name] = certificates.issue(spec);
    };
    pairs()["good"] = certificates.server;
    issue("wrong_host", {.common_name = "other.example", .dns_names = {"other.example"}});
    issue("expired", {.common_name = "localhost",
                      .dns_names = {"localhost"},
                      .valid_from_days = -5,
                      .valid_to_days = -1});
    issue("wrong_authority",
          {.common_name = "localhost", .dns_names = {"localhost"}, .by_other_authority = true});
    issue("common_name_only", {.common_name = "localhost"});
    issue("address_as_common_name", {.common_name = "127.0.0.1"});
    issue("address_as_name", {.common_name = "x", .dns_names = {"127.0.0.1"}});
    issue("other_names", {.common_name = "localhost", .dns_names = {"other.example"}});
    issue("address_only", {.common_name = "localhost", .ip_addresses = {"127.0.0.1"}});
    issue("other_address", {.common_name = "127.0.0.1", .ip_addresses = {"10.0.0.1"}});
    issue("no_names", {});
    issue("wildcard", {.common_name = "*.localhost", .dns_names = {"*.localhost", "LOCALHOST"}});
    issue("sha512", {.common_name = "localhost", .digest = "SHA512"});
    issue("ecdsa", {.common_name = "localhost", .key = KeyKind::kEcdsa});
    issue("rsa_pss", {.common_name = "localhost", .key = KeyKind::kRsaPss});
    issue("ed25519", {.common_name = "localhost", .key = KeyKind::kEd25519});
  }
  static void TearDownTestSuite() { own_server().reset(); }

  static std::unique_ptr<PostgresServer>& own_server() {
    static std::unique_ptr<PostgresServer> server;
    return server;
  }
  static std::map<std::string, KeyPair>& pairs() {
    static std::map<std::string, KeyPair> made;
    return made;
  }

  PostgresServer& tls_server() { return *own_server(); }
  void present(const std::string& certificate) {
    tls_server().use_certificate(pairs()[certificate]);
  }
  std::string to(const std::string& host, const std::string& more = "") {
    return "host=" + host + " hostaddr=127.0.0.1 port=" + std::to_string(tls_server().port()) +
           " user=guest password=secret dbname=postgres " + more;
  }
  std::string roots() { return " sslrootcert=" + tls_server().certificates().root; }

  std::string our_result(const std::string& conninfo, std::string* message = nullptr) {
    const auto connection = try_connect(conninfo);
    if (!connection) {
      if (message != nullptr) *message = connection.error().to_string();
      return "refused";
    }
    const auto answer =
        (*connection)->query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", soon());
    if (!answer) return "lost";
    EXPECT_EQ(answer->scalar() == "t", !(*connection)->tls().empty());
    return answer->scalar() == "t" ? "TLS" : "plain";
  }
  Error error_of(const std::string& conninfo) {
    const auto connection = try_connect(conninfo);
    return connection ? Error() : connection.error();
  }
};

// Trap 10: every sslmode × certificate × root × pg_hba × server with and without TLS, as libpq
// does.
TEST_F(TlsTest, ChoosesAndRefusesAsLibpqInEveryCombination) {
  const std::vector<std::string> modes = {"disable", "allow",     "prefer",
                                          "require", "verify-ca", "verify-full"};
  const std::vector<std::vector<std::string>> hbas = {
      {"host all guest all trust"},
      {"hostssl all guest all trust"},
      {"hostnossl all guest all trust"},
      {"host all guest all reject"},
      {"hostssl all guest all reject", "hostnossl all guest all trust"},
      {"hostnossl all guest all reject", "hostssl all guest all scram-sha-256"}};
  int combinations = 0;
  std::map<std::string, int> results;
  const auto compare = [&](const std::string& conninfo, const std::string& what) {
    ++combinations;
    std::string message;
    const std::string ours = our_result(conninfo, &message);
    ++results[ours];
    EXPECT_EQ(ours, libpq_result(conninfo)) << what << "\n" << conninfo << "\n" << message;
  };
  const auto all_modes = [&](const std::string& what, bool every_host) {
    for (const std::string& mode : modes) {
      const std::string more = "sslmode=" + mode;
      compare(to("localhost", more + roots()), what);
      compare(to("localhost", more + " sslrootcert=/nonexistent"), what);
      if (every_host) compare(to("127.0.0.1", more + roots()), what);
    }
  };
  for (const auto& hba : hbas) {
    tls_server().set_hba(hba);
    for (const char* certificate : {"good", "wrong_host", "expired", "wrong_authority"}) {
      present(certificate);
      all_modes(hba[0] + ", " + certificate, false);
    }
  }
  tls_server().trust_all();
  for (const char* certificate :
       {"common_name_only", "address_as_common_name", "address_as_name", "other_names",
        "address_only", "other_address", "no_names", "wildcard"}) {
    present(certificate);
    all_modes(certificate, true);
  }
  tls_server().configure({{"ssl", "off"}});
  for (const auto& hba : hbas) {
    tls_server().set_hba(hba);
    all_modes(hba[0] + ", no TLS", false);
  }
  tls_server().configure({{"ssl", "on"}});
  tls_server().trust_all();
  present("good");
  EXPECT_GE(combinations, 500);
  EXPECT_GT(results["TLS"], 50);
  EXPECT_GT(results["plain"], 50);
  EXPECT_GT(results["refused"], 50);
}

TEST_F(TlsTest, SaysWhatIsWrongWithACertificate) {
  const auto message = [&](const char* certificate, const std::string& host = "localhost") {
    present(certificate);
    const Error error = error_of(to(host, "sslmode=verify-full" + roots()));
    EXPECT_EQ(error.code, Errc::kTls) << certificate;
    return error.message;
  };
  EXPECT_NE(message("wrong_host").find("for \"other.example\", not for the host \"localhost\""),
            std::string::npos);
  EXPECT_NE(message("expired").find("expired"), std::string::npos);
  EXPECT_NE(message("wrong_authority").find("not acceptable"), std::string::npos);
  EXPECT_NE(message("no_names").find("names no host"), std::string::npos);
  present("good");
  EXPECT_NE(error_of(to("localhost", "sslmode=verify-ca sslrootcert=/nonexistent"))
                .message.find("/nonexistent"),
            std::string::npos);
  const Error no_host = error_of(
      "hostaddr=127.0.0.1 user=guest dbname=postgres port=" + std::to_string(tls_server().port()) +
      " sslmode=verify-full" + roots());
  EXPECT_NE(no_host.message.find("host name"), std::string::npos) << no_host.message;
}

TEST(TlsNames, StarStandsForOneLabel) {
  EXPECT_TRUE(certificate_name_matches("db.example", "DB.Example"));
  EXPECT_TRUE(certificate_name_matches("*.example", "db.example"));
  EXPECT_FALSE(certificate_name_matches("*.example", "a.db.example"));
  EXPECT_FALSE(certificate_name_matches("*.example", "example"));
  EXPECT_FALSE(certificate_name_matches("*.example", ".example"));
  EXPECT_FALSE(certificate_name_matches("d*.example", "db.example"));
  EXPECT_FALSE(certificate_name_matches("*", "db"));
  EXPECT_FALSE(certificate_name_matches("*.", "db."));
  EXPECT_FALSE(certificate_name_matches("", "db"));
}

// Trap 7: the login is bound to the certificate, whatever signed it, or refused.
TEST_F(TlsTest, ChannelBindingWorksForEverySignatureOrIsRefused) {
  tls_server().set_hba({"hostssl all guest all scram-sha-256", "hostnossl all guest all trust"});
  for (const char* certificate : {"good", "sha512", "ecdsa", "rsa_pss"}) {
    present(certificate);
    std::string message;
    const std::string ways = "sslmode=require channel_binding=require";
    EXPECT_EQ(our_result(to("localhost", ways), &message), "TLS") << certificate << message;
  }
  present("ed25519");
  for (const char* binding : {"require", "prefer"}) {
    const Error error =
        error_of(to("localhost", std::string("sslmode=require channel_binding=") + binding));
    EXPECT_EQ(error.code, Errc::kAuthentication) << error.to_string();
    EXPECT_NE(error.message.find("channel_binding=disable"), std::string::npos) << error.message;
  }
  EXPECT_EQ(our_result(to("localhost", "sslmode=require channel_binding=disable")), "TLS");
  present("good");
  tls_server().trust_all();
}

TEST_F(TlsTest, ChannelBindingRequiredRefusesEverythingElse) {
  const std::string require = " channel_binding=require";
  EXPECT_EQ(error_of(to("localhost", "sslmode=require" + require)).code, Errc::kAuthentication)
      << "trust proves nothing";
  tls_server().sql(
      "SET password_encryption = 'md5'; CREATE ROLE md5_guest LOGIN PASSWORD 'secret'");
  tls_server().set_hba({"host all md5_guest all md5", "host all guest all password"});
  const std::string as_md5 = " user=md5_guest" + require;
  EXPECT_EQ(error_of(to("localhost", "sslmode=require" + as_md5)).code, Errc::kAuthentication);
  EXPECT_EQ(error_of(to("localhost", "sslmode=require" + require)).code, Errc::kAuthentication);
  tls_server().set_hba({"host all guest all scram-sha-256"});
  EXPECT_EQ(error_of(to("localhost", "sslmode=disable" + require)).code, Errc::kAuthentication);
  EXPECT_EQ(our_result(to("localhost", "sslmode=require" + require)), "TLS");
  tls_server().trust_all();
}

TEST_F(TlsTest, LogsInByCertificate) {
  Certificates& certificates = tls_server().certificates();
  const KeyPair good = certificates.issue_for_client({.file = "client", .common_name = "guest"});
  const KeyPair locked = certificates.issue_for_client(
      {.file = "client_locked", .common_name = "guest", .key_password = "open sesame"});
  const KeyPair stranger = certificates.issue_for_client(
      {.file = "client_stranger", .common_name = "guest", .by_other_authority = true});
  const KeyPair other = certificates.issue_for_client({.file = "client_other", .common_name = "x"});
  tls_server().set_hba({"hostssl all guest all cert"});
  const auto with = [&](const KeyPair& pair, const std::string& more = "") {
    return to("localhost", "sslmode=verify-full sslcert=" + pair.certificate +
                               " sslkey=" + pair.key + roots() + more);
  };
  std::string message;
  EXPECT_EQ(our_result(with(good), &message), "TLS") << message;
  EXPECT_EQ(our_result(with(locked, " sslpassword='open sesame'"), &message), "TLS") << message;
  EXPECT_EQ(our_result(with(good, " sslcertmode=disable")), "refused");
  EXPECT_EQ(our_result(with(other)), "refused");
  const Error strange = error_of(with(stranger));
  EXPECT_EQ(strange.code, Errc::kTls) << strange.to_string();
  const Error wrong_password = error_of(with(locked, " sslpassword='open barley'"));
  EXPECT_EQ(wrong_password.code, Errc::kTls);
  EXPECT_EQ(wrong_password.to_string().find("barley"), std::string::npos);
  EXPECT_EQ(error_of(with(locked)).code, Errc::kTls) << "no password, and nobody is asked";
  EXPECT_NE(error_of(with({good.certificate, other.key})).message.find("does not belong"),
            std::string::npos);
  EXPECT_NE(error_of(with({good.certificate, "/nonexistent"})).message.find("is missing"),
            std::string::npos);
  ::chmod(good.key.c_str(), 0644);
  EXPECT_NE(error_of(with(good)).message.find("0600"), std::string::npos);
  ::chmod(good.key.c_str(), 0600);
  tls_server().trust_all();
}

TEST_F(TlsTest, RevokedCertificatesAreRefused) {
  Certificates& certificates = tls_server().certificates();
  const std::string nobody = certificates.revocation_list("nobody.crl", {});
  const std::string server = certificates.revocation_list("server.crl", {certificates.server});
  const std::string verify = "sslmode=verify-full" + roots() + " sslcrl=";
  EXPECT_EQ(our_result(to("localhost", verify + nobody)), "TLS");
  const Error revoked = error_of(to("localhost", verify + server));
  EXPECT_EQ(revoked.code, Errc::kTls);
  EXPECT_NE(revoked.message.find("revoked"), std::string::npos) << revoked.message;
  // Unlike libpq, a list that is named and missing is not passed over.
  EXPECT_EQ(error_of(to("localhost", verify + "/nonexistent")).code, Errc::kTls);
}

TEST_F(TlsTest, KeepsToTheVersionsAllowed) {
  const auto version = [&](const std::string& limits) -> std::string {
    const auto connection = try_connect(to("localhost", "sslmode=require " + limits));
    return connection ? (*connection)->tls().substr(0, 7) : "refused";
  };
  EXPECT_EQ(version(""), "TLSv1.3");
  EXPECT_EQ(version("ssl_max_protocol_version=TLSv1.2"), "TLSv1.2");
  tls_server().configure({{"ssl_max_protocol_version", "TLSv1.2"}});
  EXPECT_EQ(version("ssl_min_protocol_version=TLSv1.3"), "refused");
  tls_server().configure({{"ssl_max_protocol_version", ""}});
}

TEST_F(TlsTest, DirectNegotiationWorksFrom17AndFailsClearlyBefore) {
  const std::string direct =
      to("localhost", "sslmode=verify-full sslnegotiation=direct connect_timeout=5" + roots());
  if (tls_server().version() >= 170000) {
    EXPECT_EQ(our_result(direct), "TLS");
  } else {
    const Error error = error_of(direct);
    EXPECT_TRUE(error.code == Errc::kTls || error.code == Errc::kConnectionLost)
        << error.to_string();
  }
}

// A TLS server of the test, over OpenSSL; `alpn` makes it know PostgreSQL's protocol.
class TlsPeer {
 public:
  TlsPeer(Peer& peer, const KeyPair& pair, bool alpn) : context_(SSL_CTX_new(TLS_server_method())) {
    // OpenSSL writes without MSG_NOSIGNAL; only this thread may ignore the signal, for that the
    // client needs no such help is part of what is tested here.
    sigset_t pipe_signal;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, nullptr);
    SSL_CTX_use_certificate_chain_file(context_, pair.certificate.c_str());
    SSL_CTX_use_PrivateKey_file(context_, pair.key.c_str(), SSL_FILETYPE_PEM);
    if (alpn) SSL_CTX_set_alpn_select_cb(context_, &select, nullptr);
    ssl_ = SSL_new(context_);
    SSL_set_fd(ssl_, peer.fd());
    SSL_accept(ssl_);
  }
  ~TlsPeer() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  TlsPeer(const TlsPeer&) = delete;
  TlsPeer& operator=(const TlsPeer&) = delete;

  std::string server_name() const {
    const char* name = SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name);
    return name == nullptr ? "" : name;
  }
  std::string read() {
    std::string text(4096, '\0');
    const int size = SSL_read(ssl_, text.data(), static_cast<int>(text.size()));
    text.resize(size > 0 ? static_cast<size_t>(size) : 0);
    return text;
  }
  void write(const std::string& text) {
    SSL_write(ssl_, text.data(), static_cast<int>(text.size()));
  }
  bool heard_farewell() const { return (SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0; }

 private:
  static int select(SSL*, const unsigned char** chosen, unsigned char* size,
                    const unsigned char* offered, unsigned int, void*) {
    *chosen = offered + 1;
    *size = *offered;
    return SSL_TLSEXT_ERR_OK;
  }

  SSL_CTX* context_;
  SSL* ssl_ = nullptr;
};

TEST_F(TlsTest, DirectNegotiationNeedsTheAnswerOfAlpn) {
  const auto attempt = [&](const std::string& more, std::string* server_name) {
    ScriptedServer server([&](Peer& peer) {
      const TlsPeer tls(peer, pairs()["good"], false);
      *server_name = tls.server_name();
    });
    return error_of(
        "host=localhost hostaddr=127.0.0.1 user=u dbname=d port=" + std::to_string(server.port()) +
        " sslmode=verify-full sslnegotiation=direct" + roots() + more);
  };
  std::string server_name;
  const Error error = attempt("", &server_name);
  EXPECT_EQ(error.code, Errc::kTls);
  EXPECT_NE(error.message.find("ALPN"), std::string::npos) << error.message;
  EXPECT_EQ(server_name, "localhost");
  (void)attempt(" sslsni=0", &server_name);
  EXPECT_EQ(server_name, "");
}

TEST_F(TlsTest, OrderlyEndSaysTerminateAndFarewell) {
  std::string startup, last;
  bool farewell = false;
  {
    ScriptedServer server([&](Peer& peer) {
      TlsPeer tls(peer, pairs()["good"], true);
      startup = tls.read();
      tls.write(authentication(pgproto::Authentication::Code::kOk) +
                encode_all({pgproto::ParameterStatus{"client_encoding", "UTF8"}, ready('I')}));
      tls.read();
      tls.write(identity_answer());
      last = tls.read();
      tls.read();
      farewell = tls.heard_farewell();
    });
    connect("host=localhost hostaddr=127.0.0.1 user=u dbname=d port=" +
            std::to_string(server.port()) + " sslmode=verify-full sslnegotiation=direct" + roots());
  }
  EXPECT_NE(startup.find("user"), std::string::npos) << "direct: the first bytes are encrypted";
  EXPECT_EQ(last, std::string("X\0\0\0\4", 5));
  EXPECT_TRUE(farewell);
}

// Trap 9: nothing that anybody could have put on the wire before TLS is believed or shown.
TEST_F(TlsTest, PlaintextBeforeTlsIsFatal) {
  const struct {
    const char* answer;
    const char* what;
  } kCases[] = {{"SX", "follow"},
                {"S\x16\x03\x01", "follow"},
                {"NX", "follow"},
                {"X", "neither"},
                {"E\0\0\0\x14SERROR\0Mgo away\0\0", "not shown"}};
  for (const auto& one : kCases) {
    const std::string answer = one.answer[0] == 'E'
                                   ? encode_all({error_response("FATAL", "28000", "go away")})
                                   : one.answer;
    ScriptedServer server([&](Peer& peer) {
      peer.next();
      peer.send(answer);
      peer.wait_for_end();
    });
    for (const char* mode : {"prefer", "require"}) {
      const Error error = error_of(server.conninfo(std::string("sslmode=") + mode));
      EXPECT_EQ(error.code, Errc::kProtocol) << one.answer << error.to_string();
      EXPECT_NE(error.message.find(one.what), std::string::npos) << error.message;
      EXPECT_EQ(error.message.find("go away"), std::string::npos);
    }
  }
}

// Trap 18: bytes that OpenSSL has taken from the socket are delivered, however small the room.
TEST_F(TlsTest, BytesInsideOpenSslAreNotWaitedForAtTheSocket) {
  const auto complete = options(to("localhost", "sslmode=require"));
  ASSERT_TRUE(complete.has_value());
  auto plain = env().network.dial(complete->hosts[0], {}, soon());
  ASSERT_TRUE(plain.has_value());
  pgproto::OutputBuffer out;
  ASSERT_TRUE(pgproto::encode_ssl_request(out).has_value());
  std::array<std::byte, 1> one{};
  ASSERT_EQ((*plain)->exchange(out.unsent(), one, soon())->sent, 8U);
  ASSERT_EQ((*plain)->exchange({}, one, soon())->received, 1U);
  const auto context = TlsContext::make(*complete, env().files);
  ASSERT_TRUE(context.has_value());
  auto tls = TlsTransport::handshake(*std::move(plain), **context, "localhost", soon());
  ASSERT_TRUE(tls.has_value()) << tls.error().to_string();
  out.mark_sent(8);
  const std::pair<std::string, std::string> parameters[] = {{"user", "guest"},
                                                            {"database", "postgres"}};
  ASSERT_TRUE(pgproto::encode_startup(out, pgproto::kProtocol30, parameters).has_value());
  // One byte at a time until ReadyForQuery; the server sends all of it in a record or two.
  std::string heard;
  const std::string end = encode_all({ready('I')});
  while (!heard.ends_with(end)) {
    const auto moved = (*tls)->exchange(out.unsent(), one, in_ms(5000));
    ASSERT_TRUE(moved.has_value()) << "after " << heard.size() << " bytes";
    out.mark_sent(moved->sent);
    heard += as_text(Bytes(one).first(moved->received));
  }
  EXPECT_GT(heard.size(), 200U);
}

// A cut at any byte of the server's side is an error in time, never a hang, never an end of stream.
TEST_F(TlsTest, TruncationAnywhereIsAnError) {
  int failures = 0;
  for (size_t bytes = 0; bytes < 6000; bytes += bytes < 300 ? 13 : 171) {
    ScriptedServer server([&](Peer& peer) { peer.forward_to(tls_server().port(), bytes); });
    const std::string conninfo =
        "host=localhost hostaddr=127.0.0.1 user=guest dbname=postgres "
        "sslmode=require port=" +
        std::to_string(server.port());
    auto connection = try_connect(conninfo);
    Error error;
    if (!connection) {
      error = connection.error();
    } else {
      const auto answer = (*connection)->query("SELECT repeat('x', 100000)", soon());
      ASSERT_FALSE(answer.has_value()) << "after " << bytes << " bytes";
      error = answer.error();
    }
    EXPECT_TRUE(error.code == Errc::kTls || error.code == Errc::kConnectionLost ||
                error.code == Errc::kConnect)
        << bytes << ": " << error.to_string();
    ++failures;
  }
  EXPECT_GT(failures, 50);
}

TEST_F(TlsTest, MovesMegabytesBothWays) {
  auto connection = connect(to("localhost", "sslmode=require"));
  const std::string big(3 << 20, 'y');
  const std::optional<std::string> parameters[] = {big};
  const auto answer = connection->query("SELECT $1::text || 'z', length($1)", parameters, soon());
  ASSERT_TRUE(answer.has_value()) << answer.error().to_string();
  EXPECT_EQ(answer->rows[0][0], big + "z");
  EXPECT_EQ(answer->rows[0][1], std::to_string(big.size()));
}

}  // namespace
}  // namespace pgsink::test
