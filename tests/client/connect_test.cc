// Connection against the real server: login, queries, ends.

#include <gtest/gtest.h>

#include "pgsink/client/connection.h"
#include "support/client_fixture.h"

namespace pgsink::test {
namespace {

TEST_F(ClientTest, AnswersQueriesOverEveryTransport) {
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
  }
}

}  // namespace
}  // namespace pgsink::test
