// split_script: where statements begin and end, and at which place.

#include <pgsink/ddl.h>

#include <gtest/gtest.h>

#include "pgsink/ddl/lexer.h"

namespace pgsink {
namespace {

std::vector<std::string> texts(std::string_view script) {
  std::vector<std::string> found;
  for (const ScriptStatement& statement : split_script(script)) {
    found.emplace_back(statement.text);
  }
  return found;
}
using Texts = std::vector<std::string>;

TEST(Script, SplitsAtSemicolonsAndDropsEmptyStatements) {
  EXPECT_EQ(texts("SELECT 1; SELECT 2;"), (Texts{"SELECT 1", "SELECT 2"}));
  EXPECT_EQ(texts(";; SELECT 1 ;;\n;"), (Texts{"SELECT 1"}));
  EXPECT_EQ(texts(""), Texts{});
  EXPECT_EQ(texts(" \t\r\n"), Texts{});
  EXPECT_EQ(texts("-- only a comment\n/* and another */ ;"), Texts{});
}

TEST(Script, LeavesOutBlanksAndCommentsAroundAStatement) {
  EXPECT_EQ(texts("-- first\n /* a /* nested */ b */ SELECT 1 -- last\n ; SELECT 2"),
            (Texts{"SELECT 1", "SELECT 2"}));
  EXPECT_EQ(texts("SELECT /* inside */ 1 -- stays out\n;"), (Texts{"SELECT /* inside */ 1"}));
}

TEST(Script, SemicolonsInQuotesAndCommentsDoNotSplit) {
  EXPECT_EQ(texts("SELECT 'a;b''c;d';"), (Texts{"SELECT 'a;b''c;d'"}));
  EXPECT_EQ(texts("SELECT \"a;b\"\"c;d\";"), (Texts{"SELECT \"a;b\"\"c;d\""}));
  EXPECT_EQ(texts("SELECT 1 /* ; /* ; */ ; */ + 2; SELECT 3"),
            (Texts{"SELECT 1 /* ; /* ; */ ; */ + 2", "SELECT 3"}));
  EXPECT_EQ(texts("SELECT 1 -- ; '\n + 2;"), (Texts{"SELECT 1 -- ; '\n + 2"}));
}

TEST(Script, EscapeTextsKeepAnEscapedQuoteInside) {
  EXPECT_EQ(texts(R"(SELECT E'a\';b', e'\\'; SELECT 2)"),
            (Texts{R"(SELECT E'a\';b', e'\\')", "SELECT 2"}));
  // Without E a backslash is a character like any other.
  EXPECT_EQ(texts(R"(SELECT 'a\'; SELECT 2)"), (Texts{R"(SELECT 'a\')", "SELECT 2"}));
  // A word that ends in e is no prefix.
  EXPECT_EQ(texts(R"(SELECT date'\'; SELECT 2)"), (Texts{R"(SELECT date'\')", "SELECT 2"}));
}

TEST(Script, ForeignPrefixesAreOneText) {
  EXPECT_EQ(texts(R"(SELECT U&'d\0061;t', B'1;', x'f;', N'a;b', U&"n;m"; SELECT 2)"),
            (Texts{R"(SELECT U&'d\0061;t', B'1;', x'f;', N'a;b', U&"n;m")", "SELECT 2"}));
}

TEST(Script, DollarQuotesEndAtTheSameTagOnly) {
  EXPECT_EQ(texts("SELECT $$a;'b$$; SELECT 2"), (Texts{"SELECT $$a;'b$$", "SELECT 2"}));
  EXPECT_EQ(texts("SELECT $x$ ; $$ ; $y$ ; $x$; SELECT 2"),
            (Texts{"SELECT $x$ ; $$ ; $y$ ; $x$", "SELECT 2"}));
  // Parameters and names with dollars open no quote.
  EXPECT_EQ(texts("SELECT $1, a$b$c; SELECT $name; SELECT 3"),
            (Texts{"SELECT $1, a$b$c", "SELECT $name", "SELECT 3"}));
}

TEST(Script, SaysWhetherTheLastStatementWasTerminated) {
  const auto closed = split_script("SELECT 1;");
  const auto open = split_script("SELECT 1; SELECT 2 -- more to come");
  ASSERT_EQ(closed.size(), 1U);
  ASSERT_EQ(open.size(), 2U);
  EXPECT_TRUE(closed[0].terminated);
  EXPECT_TRUE(open[0].terminated);
  EXPECT_FALSE(open[1].terminated);
}

TEST(Script, AnUnclosedCommentIsAStatementSoThatItCannotVanish) {
  const auto statements = split_script("SELECT 1; /* forgotten\nSELECT 2;\n");
  ASSERT_EQ(statements.size(), 2U);
  EXPECT_EQ(statements[1].text, "/* forgotten\nSELECT 2;\n");
  EXPECT_FALSE(statements[1].terminated);
}

TEST(Script, AnUnclosedQuoteReachesToTheEnd) {
  for (const std::string quote : {"'", "\"", "$$", "$t$", "E'", "U&'"}) {
    const std::string script = "SELECT 1; SELECT " + quote + "a; SELECT 2;";
    const auto statements = split_script(script);
    ASSERT_EQ(statements.size(), 2U) << script;
    EXPECT_EQ(statements[1].text, "SELECT " + quote + "a; SELECT 2;");
    EXPECT_FALSE(statements[1].terminated);
  }
}

TEST(Script, PlacesCountLinesBytesAndCharacters) {
  const std::string script = "SELECT 'ä€😀'; SELECT 2;\r\n\n\tSELECT 3;";
  const auto statements = split_script(script);
  ASSERT_EQ(statements.size(), 3U);
  EXPECT_EQ(statements[1].begin.line, 1U);
  EXPECT_EQ(statements[1].begin.column, 15U);  // 3 characters, 9 bytes, between the quotes
  EXPECT_EQ(statements[1].begin.offset, script.find("SELECT 2"));
  EXPECT_EQ(statements[2].begin.line, 3U);
  EXPECT_EQ(statements[2].begin.column, 2U);
  EXPECT_EQ(statements[2].begin.offset, script.find("SELECT 3"));
}

TEST(Script, AByteOrderMarkIsNoCharacter) {
  const auto statements = split_script("\xef\xbb\xbfSELECT 1;");
  ASSERT_EQ(statements.size(), 1U);
  EXPECT_EQ(statements[0].text, "SELECT 1");
  EXPECT_EQ(statements[0].begin.offset, 3U);
  EXPECT_EQ(statements[0].begin.column, 1U);
}

TEST(Script, BlanksOfWebPagesAreBlanks) {
  EXPECT_EQ(texts("\xc2\xa0SELECT\xc2\xa0"
                  "1\xe2\x80\x83;"),
            (Texts{"SELECT\xc2\xa0"
                   "1"}));
}

TEST(Script, TextsAreViewsIntoTheScript) {
  const std::string script = "SELECT 1;\nSELECT 2;";
  for (const ScriptStatement& statement : split_script(script)) {
    EXPECT_EQ(statement.text.data(), script.data() + statement.begin.offset);
  }
}

Token only_token(std::string_view text) { return Lexer(text).next(); }

TEST(Lexer, DecodesTexts) {
  EXPECT_EQ(*decode_text(only_token("'it''s'")), "it's");
  EXPECT_EQ(*decode_text(only_token("''")), "");
  EXPECT_EQ(*decode_text(only_token("$$it's$$")), "it's");
  EXPECT_EQ(*decode_text(only_token("$tag$a$$b$tag$")), "a$$b");
  EXPECT_EQ(*decode_text(only_token(R"('a\n')")), R"(a\n)");
  EXPECT_EQ(*decode_text(only_token(R"(E'\b\f\n\r\t\\\'''\q')")), "\b\f\n\r\t\\''q");
  EXPECT_EQ(*decode_text(only_token(R"(E'\x41\101\u00e4\U0001F600')")), "AAä😀");
}

TEST(Lexer, RefusesTextsThatItCannotDecode) {
  for (const std::string_view text :
       {R"(E'\u12')", R"(E'\ud800')", R"(E'\u0000')", R"(E'\U00110000')", R"(E'\xg')", R"(E'\000')",
        R"(E'\777')", R"(E'\xff')", "U&'a'", "B'1'", "X'ff'", "N'a'"}) {
    EXPECT_FALSE(decode_text(only_token(text))) << text;
  }
}

TEST(Lexer, DecodesNames) {
  EXPECT_EQ(*decode_name(only_token("Events_2")), "events_2");
  EXPECT_EQ(*decode_name(only_token("\"Events \"\"x\"\"\"")), "Events \"x\"");
  EXPECT_EQ(*decode_name(only_token("GRÖSSE")),
            "grÖsse");  // folds A-Z only, as the server in UTF-8
  EXPECT_FALSE(decode_name(only_token("\"\"")));
  EXPECT_FALSE(decode_name(only_token("U&\"a\"")));
}

TEST(Lexer, ReadsNumbersWhole) {
  for (const std::string_view text :
       {"0", "1.5", ".5", "1e5", "1.5e-10", "12abc", "1_000", "0x1F"}) {
    const Token token = only_token(text);
    EXPECT_EQ(token.kind, TokenKind::kNumber) << text;
    EXPECT_EQ(token.text, text);
  }
  EXPECT_EQ(only_token("1-2").text, "1");
  EXPECT_EQ(only_token("1e-").text, "1e");
}

}  // namespace
}  // namespace pgsink
