// What the rules of the grammar stand on: tokens that are looked at and taken, and brackets.

#include "pgsink/ddl/token_parser.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/ddl/brackets.h"

namespace pgsink {
namespace {

using ::testing::HasSubstr;

/// A statement that begins at this offset of its script.
ScriptStatement statement_of(std::string_view text, size_t offset = 0) {
  ScriptStatement statement;
  statement.text = text;
  statement.begin.offset = offset;
  return statement;
}

TEST(TokenParser, TakesAllWordsOrNone) {
  const ScriptStatement statement = statement_of("if not exists c");
  TokenParser parser(statement);
  EXPECT_FALSE(parser.accept_words({"IF", "EXISTS"}));
  EXPECT_TRUE(parser.peek().is_word("IF"));
  EXPECT_TRUE(parser.peek_next().is_word("NOT"));
  EXPECT_TRUE(parser.accept_words({"IF", "NOT", "EXISTS"}));
  EXPECT_TRUE(parser.peek().is_word("C"));
}

TEST(TokenParser, ACopyReadsOnByItself) {
  const ScriptStatement statement = statement_of("a b c");
  TokenParser parser(statement);
  parser.take();
  TokenParser ahead(parser);
  EXPECT_TRUE(ahead.accept_words({"B", "C"}));
  EXPECT_TRUE(parser.peek().is_word("B"));
}

TEST(TokenParser, CutsTheSourceByOffsetsOfTheScript) {
  const ScriptStatement statement = statement_of("SELECT 1 ;", 100);
  TokenParser parser(statement);
  const size_t begin = parser.peek().begin.offset;
  EXPECT_EQ(begin, 100U);
  parser.take();
  parser.take();
  EXPECT_EQ(parser.source(begin, parser.last_end()), "SELECT 1");
}

TEST(TokenParser, KeywordsAndTextsAreNotNames) {
  for (const std::string text : {"TO x", "as x", "If x", "'x'", "5", "=", ""}) {
    const ScriptStatement statement = statement_of(text);
    TokenParser parser(statement);
    const auto name = parser.name("the connection's name");
    ASSERT_FALSE(name) << text;
    EXPECT_THAT(name.error().error.message, HasSubstr("expected the connection's name")) << text;
  }
  const ScriptStatement statement = statement_of("\"TO\" x");
  TokenParser parser(statement);
  const auto name = parser.name("a name");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->text, "TO");
  EXPECT_EQ(name->length, 4U);
}

TEST(TokenParser, LimitsTheBytesOfAStatement) {
  const ScriptStatement statement = statement_of("DROP");
  const TokenParser parser(statement);
  EXPECT_TRUE(parser.check_text(4));
  const auto refused = parser.check_text(3);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().error.code, Errc::kLimit);
}

/// Follows all tokens of the text; the fault, or "".
std::string fault_in(const std::string& text) {
  const ScriptStatement statement = statement_of(text);
  TokenParser parser(statement);
  Brackets brackets;
  while (parser.peek().kind != TokenKind::kEnd) {
    if (const auto followed = brackets.follow(parser.peek()); !followed) {
      return followed.error().error.message;
    }
    parser.take();
  }
  const auto closed = brackets.check_closed();
  EXPECT_EQ(brackets.empty(), closed.has_value());
  return closed ? "" : closed.error().error.message;
}

TEST(Brackets, MatchByKind) {
  EXPECT_EQ(fault_in("a ( b [ c { d } ] )"), "");
  EXPECT_EQ(fault_in("( ']' )"), "") << "quotes hide brackets";
  EXPECT_EQ(fault_in("( [ )"), "this ')' has no matching '('");
  EXPECT_EQ(fault_in("}"), "this '}' has no matching '{'");
  EXPECT_EQ(fault_in("( [ ]"), "this '(' is never closed");
  EXPECT_THAT(fault_in("( 'x"), HasSubstr("is never closed"));
}

TEST(Brackets, LimitHowManyAreOpen) {
  EXPECT_THAT(fault_in(std::string(DdlLimits::kNestingMax + 1, '(')),
              HasSubstr("more than " + std::to_string(DdlLimits::kNestingMax)));
}

}  // namespace
}  // namespace pgsink
