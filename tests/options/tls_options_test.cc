// The options of TLS reach the connection: each of them, alone, makes a difference.

#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::PostgresServer;
using testing::HasSubstr;

class TlsOptionsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { server_ = PostgresServer::start(); }
  static void TearDownTestSuite() { server_.reset(); }

  void SetUp() override {
    const std::string database = server_->create_database("tls");
    server_->sql("CREATE TABLE t (id int)", database);
    options_.connection_name = "test";
    options_.host = "localhost";
    options_.port = std::to_string(server_->port());
    options_.database = database;
    options_.username = "postgres";
    options_.table = "t";
    options_.ssl_mode = "verify-full";
    options_.ssl_root_cert = server_->certificates().root;
    const Status tested = test_connection(options_);
    ASSERT_TRUE(tested) << tested.error().to_string();
  }
  Error refused() {
    const Status tested = test_connection(options_);
    EXPECT_FALSE(tested);
    return tested ? Error{} : tested.error();
  }

  static std::unique_ptr<PostgresServer> server_;
  SinkOptions options_;
};
std::unique_ptr<PostgresServer> TlsOptionsTest::server_;

TEST_F(TlsOptionsTest, TheRootCertificate) {
  options_.ssl_root_cert = server_->certificates().other_root;
  EXPECT_EQ(refused().code, Errc::kTls);
}

TEST_F(TlsOptionsTest, TheListOfRevokedCertificates) {
  auto& certificates = server_->certificates();
  options_.ssl_crl = certificates.revocation_list("nobody.crl", {});
  EXPECT_TRUE(test_connection(options_));
  options_.ssl_crl = certificates.revocation_list("server.crl", {certificates.server});
  EXPECT_THAT(refused().message, HasSubstr("revoked"));
}

TEST_F(TlsOptionsTest, TheLeastVersion) {
  server_->configure({{"ssl_max_protocol_version", "TLSv1.2"}});
  options_.ssl_min_version = "TLSv1.2";
  EXPECT_TRUE(test_connection(options_));
  options_.ssl_min_version = "TLSv1.3";
  EXPECT_EQ(refused().code, Errc::kTls);
  server_->configure({{"ssl_max_protocol_version", ""}});
}

TEST_F(TlsOptionsTest, NegotiationWithoutARequest) {
  options_.ssl_negotiation = "direct";
  options_.connection_timeout_ms = 5000;
  // A server before 17 takes the first byte of TLS for a packet that is far too long.
  EXPECT_EQ(test_connection(options_).has_value(), server_->version() >= 170000);
}

TEST_F(TlsOptionsTest, TheClientsCertificateAndItsKey) {
  server_->create_role("carrier");
  server_->sql("GRANT ALL ON t TO carrier", options_.database);
  server_->set_hba({"hostssl all carrier all cert"});
  auto& certificates = server_->certificates();
  const auto own = certificates.issue_for_client({.file = "carrier", .common_name = "carrier"});
  const auto other = certificates.issue_for_client({.file = "other", .common_name = "other"});
  options_.username = "carrier";
  EXPECT_EQ(refused().sqlstate.view(), "28000") << "without a certificate";
  options_.ssl_cert = own.certificate;
  options_.ssl_key = own.key;
  const Status tested = test_connection(options_);
  EXPECT_TRUE(tested) << tested.error().to_string();
  options_.ssl_key = other.key;
  EXPECT_THAT(refused().message, HasSubstr("does not belong"));
  server_->trust_all();
}

TEST_F(TlsOptionsTest, ChannelBindingThatIsRequiredRefusesALoginWithoutProof) {
  options_.channel_binding = "require";
  EXPECT_EQ(refused().code, Errc::kAuthentication);
}

TEST_F(TlsOptionsTest, AuthenticationThatIsRequiredRefusesAnyOther) {
  options_.require_auth = "scram-sha-256";
  EXPECT_THAT(refused().message, HasSubstr("require_auth"));
  options_.require_auth = "!scram-sha-256";
  EXPECT_TRUE(test_connection(options_));
}

TEST_F(TlsOptionsTest, TheModeIsNotWeakenedByAServerWithoutTls) {
  server_->configure({{"ssl", "off"}});
  EXPECT_EQ(refused().code, Errc::kTls);
  options_.ssl_mode = "prefer";
  EXPECT_TRUE(test_connection(options_));
  server_->configure({{"ssl", "on"}});
}

}  // namespace
}  // namespace pgsink
