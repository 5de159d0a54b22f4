#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pgproto/server_report.h>

#include <gtest/gtest.h>

namespace {

using namespace pgproto;

constexpr std::string_view kKey = "0123456789abcdef";

BackendKeyData key_of(size_t length) {
  BackendKeyData key;
  key.process_id = 42;
  key.secret_key = Bytes(reinterpret_cast<const std::byte*>(kKey.data()), length);
  return key;
}

const std::vector<std::pair<std::string, std::string>> kSent = {{"user", "u"}, {"_pq_.x", "1"}};

TEST(ServerReport, KeepsTheLastValueOfAParameter) {
  const SessionLimits limits;
  ServerReport report(limits);
  EXPECT_EQ(report.parameter("TimeZone"), "");
  ASSERT_TRUE(report.keep(ParameterStatus{"TimeZone", "UTC"}));
  ASSERT_TRUE(report.keep(ParameterStatus{"TimeZone", "Asia/Tokyo"}));
  EXPECT_EQ(report.parameter("TimeZone"), "Asia/Tokyo");
}

TEST(ServerReport, RefusesAnotherEncoding) {
  const SessionLimits limits;
  ServerReport report(limits);
  EXPECT_TRUE(report.keep(ParameterStatus{"client_encoding", "utf-8"}));
  const auto refused = report.keep(ParameterStatus{"client_encoding", "LATIN1"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kProtocol);
  EXPECT_EQ(report.parameter("client_encoding"), "utf-8");
}

TEST(ServerReport, LimitsTheNumberOfParameters) {
  SessionLimits limits;
  limits.parameters_max = 2;
  ServerReport report(limits);
  ASSERT_TRUE(report.keep(ParameterStatus{"a", "1"}));
  ASSERT_TRUE(report.keep(ParameterStatus{"b", "1"}));
  ASSERT_TRUE(report.keep(ParameterStatus{"b", "2"})) << "it is known";
  const auto refused = report.keep(ParameterStatus{"c", "1"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kLimit);
}

TEST(ServerReport, LimitsTheBytesOfParameters) {
  SessionLimits limits;
  limits.parameters_bytes_max = 10;
  ServerReport report(limits);
  ASSERT_TRUE(report.keep(ParameterStatus{"a", "123456789"}));
  ASSERT_TRUE(report.keep(ParameterStatus{"a", "987654321"})) << "it takes the place of the other";
  ASSERT_FALSE(report.keep(ParameterStatus{"a", "0123456789"}));
  ASSERT_TRUE(report.keep(ParameterStatus{"a", "1"}));
  ASSERT_TRUE(report.keep(ParameterStatus{"b", "1234567"}));
}

TEST(ServerReport, ACancelKeyOfProtocol30HasFourBytes) {
  const SessionLimits limits;
  ServerReport report(limits);
  report.request_version(kProtocol30);
  EXPECT_FALSE(report.keep(key_of(5)));
  EXPECT_EQ(report.backend_process_id(), 0);
  ASSERT_TRUE(report.keep(key_of(4)));
  EXPECT_EQ(report.backend_process_id(), 42);
  EXPECT_EQ(report.cancel_key().size(), 4U);
  report.request_version(kProtocol32);
  EXPECT_TRUE(report.keep(key_of(16)));
  EXPECT_EQ(report.cancel_key().size(), 16U);
}

TEST(ServerReport, NegotiatesDownOnly) {
  const SessionLimits limits;
  ServerReport report(limits);
  report.request_version(kProtocol32);
  NegotiateProtocolVersion answer;
  answer.newest_minor = 3;
  EXPECT_FALSE(report.keep(answer, kSent)) << "newer than requested";
  answer.newest_minor = 1;
  EXPECT_FALSE(report.keep(answer, kSent)) << "3.1 does not exist";
  answer.newest_minor = 2;
  EXPECT_FALSE(report.keep(answer, kSent)) << "changes nothing";
  EXPECT_EQ(report.protocol_version(), kProtocol32);
  answer.newest_minor = 0;
  ASSERT_TRUE(report.keep(answer, kSent));
  EXPECT_EQ(report.protocol_version(), kProtocol30);
}

TEST(ServerReport, RefusesOptionsThatWereNotSent) {
  const SessionLimits limits;
  ServerReport report(limits);
  report.request_version(kProtocol32);
  NegotiateProtocolVersion answer;
  answer.newest_minor = 2;
  answer.unrecognized_options = {"_pq_.other"};
  EXPECT_FALSE(report.keep(answer, kSent));
  answer.unrecognized_options = {"user"};
  EXPECT_FALSE(report.keep(answer, kSent)) << "every server knows it";
  answer.unrecognized_options = {"_pq_.x"};
  EXPECT_TRUE(report.keep(answer, kSent));
}

}  // namespace
