// What is traced of a connection, whatever carries it.

#include "pgsink/client/conversation_trace.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/client_fixture.h"

namespace pgsink::test {
namespace {

using ::testing::Contains;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class ConversationTraceTest : public ClientTest {
 protected:
  /// A connection whose lines go to `lines_`.
  std::unique_ptr<Connection> connect_traced(const std::string& conninfo) {
    auto complete = options(conninfo);
    EXPECT_TRUE(complete);
    complete->trace = std::make_shared<const TraceTaker>(
        TraceTaker{[this](std::string_view endpoint) -> std::function<void(std::string_view)> {
          endpoints_.emplace_back(endpoint);
          if (declines_) return nullptr;
          return [this](std::string_view line) { lines_.emplace_back(line); };
        }});
    auto connection = Connection::open(env(), *complete);
    EXPECT_TRUE(connection) << connection.error().to_string();
    return connection ? *std::move(connection) : nullptr;
  }

  bool declines_ = false;
  std::vector<std::string> endpoints_, lines_;
};

TEST_F(ConversationTraceTest, EveryMessageIsALineWhateverCarriesIt) {
  for (const std::string& way : all_ways()) {
    SCOPED_TRACE(way);
    lines_.clear();
    endpoints_.clear();
    auto connection = connect_traced(way);
    ASSERT_NE(connection, nullptr);
    ASSERT_TRUE(connection->query("SELECT 41 + 1", soon()));
    ASSERT_TRUE(connection->query("SELECT 'a\nb\x1b[0m'", soon()));
    connection.reset();
    EXPECT_EQ(endpoints_.size(), 1U);
    const bool is_tls = way.find("verify-full") != std::string::npos;
    EXPECT_THAT(lines_.front(), HasSubstr(is_tls ? "SSLRequest" : "StartupMessage"));
    EXPECT_THAT(lines_, Contains(HasSubstr("StartupMessage")));
    EXPECT_THAT(lines_, Contains(HasSubstr("Query\t \"SELECT 41 + 1\"")));
    EXPECT_THAT(lines_, Contains(HasSubstr("DataRow\t 1 2 '42'")));
    EXPECT_THAT(lines_, Contains(HasSubstr("Query\t \"SELECT 'a\\nb\\x1b[0m'\"")));
    EXPECT_THAT(lines_.back(), HasSubstr("Terminate"));
    for (const std::string& line : lines_) {
      EXPECT_THAT(line, ContainsRegex("^[FB]\t[0-9]+\t[A-Za-z0-9]+"));
    }
  }
}

TEST_F(ConversationTraceTest, ARequestToCancelIsAConnectionOfItsOwn) {
  auto connection = connect_traced(tcp_way());
  ASSERT_NE(connection, nullptr);
  ASSERT_TRUE(connection->cancel(soon()));
  EXPECT_EQ(endpoints_.size(), 2U);
  EXPECT_THAT(lines_, Contains(HasSubstr("CancelRequest")));
  EXPECT_THAT(lines_, Contains(ContainsRegex("BackendKeyData\t [0-9]+ NNNN")));
}

TEST_F(ConversationTraceTest, AConnectionThatIsDeclinedWorksWithout) {
  declines_ = true;
  auto connection = connect_traced(unix_way());
  ASSERT_NE(connection, nullptr);
  EXPECT_TRUE(connection->query("SELECT 1", soon()));
  EXPECT_EQ(endpoints_.size(), 1U);
  EXPECT_TRUE(lines_.empty());
}

TEST_F(ConversationTraceTest, PasswordsAreNotShown) {
  server().create_role("traced", "PASSWORD 'hidden'");
  auto connection = connect_traced(tcp_way() + " user=traced password=hidden");
  ASSERT_NE(connection, nullptr);
  for (const std::string& line : lines_) EXPECT_THAT(line, Not(HasSubstr("hidden")));
}

}  // namespace
}  // namespace pgsink::test
