#include <pgproto/quote.h>

#include <gtest/gtest.h>

namespace {

using namespace pgproto;
using namespace std::string_view_literals;

TEST(QuoteIdentifier, DoublesQuotesAndNothingElse) {
  EXPECT_EQ(*quote_identifier("t"), "\"t\"");
  EXPECT_EQ(*quote_identifier("a\"b"), "\"a\"\"b\"");
  EXPECT_EQ(*quote_identifier("\""), "\"\"\"\"");
  EXPECT_EQ(*quote_identifier("a.b"), "\"a.b\"");
  EXPECT_EQ(*quote_identifier("Grüße 'x' \\ $1 -- /*"), "\"Grüße 'x' \\ $1 -- /*\"");
}

TEST(QuoteIdentifier, RejectsWhatCannotBeAName) {
  for (const auto name : {""sv, "a\0b"sv, "\xc3"sv, "a\xc3\""sv}) {
    const auto quoted = quote_identifier(name);
    ASSERT_FALSE(quoted);
    EXPECT_EQ(quoted.error().code, Errc::kUsage);
  }
}

TEST(QuoteLiteral, MeansTheSameUnderBothStringSettings) {
  EXPECT_EQ(*quote_literal(""), "''");
  EXPECT_EQ(*quote_literal("it's"), "'it''s'");
  EXPECT_EQ(*quote_literal("a\\b"), " E'a\\\\b'");
  EXPECT_EQ(*quote_literal("\\'; DROP TABLE t; --"), " E'\\\\''; DROP TABLE t; --'");
  // After a minus sign or another literal it stays one token.
  EXPECT_EQ("SELECT -" + *quote_literal("\\"), "SELECT - E'\\\\'");
}

// Trap 26 (CVE-2025-1094): an incomplete character must not be able to swallow the closing quote.
TEST(QuoteLiteral, RejectsInvalidUtf8) {
  for (const auto text : {"\xc0'"sv, "x\xe2\x82"sv, "\xf0\x9f'; SELECT 1"sv, "a\0b"sv}) {
    const auto quoted = quote_literal(text);
    ASSERT_FALSE(quoted);
    EXPECT_EQ(quoted.error().code, Errc::kUsage);
    EXPECT_EQ(quoted.error().message.find("SELECT"), std::string::npos);
  }
}

}  // namespace
