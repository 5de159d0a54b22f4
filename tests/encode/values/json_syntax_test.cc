// What is refused as JSON before it is sent is what the server refuses: the server is asked.

#include "pgsink/encode/values/json_syntax.h"

#include <random>

#include <pgproto/quote.h>

#include <gtest/gtest.h>

#include "support/postgres_server.h"

namespace pgsink {
namespace {

using encode::find_json_fault;
using encode::JsonFlavor;
using test::shared_server;

const std::string kTexts[] = {"",
                              " ",
                              "1",
                              "-1",
                              "0",
                              "-0",
                              "01",
                              "-",
                              "1.",
                              ".5",
                              "1.5",
                              "1e5",
                              "1E+5",
                              "1e-5",
                              "1e",
                              "1e+",
                              "1.5e3",
                              "+1",
                              "0x1F",
                              "1_000",
                              "1a",
                              "NaN",
                              "Infinity",
                              "true",
                              "false",
                              "null",
                              "True",
                              "tru",
                              "truex",
                              "nullnull",
                              "null null",
                              "\"\"",
                              "\"a\"",
                              "\"a",
                              "a\"",
                              "'a'",
                              "\"\\n\"",
                              "\"\\x\"",
                              "\"\\u00e9\"",
                              "\"\\u00E9\"",
                              "\"\\u00g9\"",
                              "\"\\u00\"",
                              "\"\\u0000\"",
                              "\"a\\u0000b\"",
                              "\"\\ud83d\\ude00\"",
                              "\"\\ud83d\"",
                              "\"\\ude00\"",
                              "\"\\ud83d\\ud83d\"",
                              "\"\\ud83dx\"",
                              "\"\\ud83d\\n\"",
                              "\"\\ude00\\ud83d\"",
                              "\"\\ud83d\\u0041\"",
                              "\"tab\there\"",
                              "\"line\nhere\"",
                              "\"\x01\"",
                              "\"\x7f\"",
                              "\"é€😀\"",
                              "é",
                              "[]",
                              "[ ]",
                              "[1]",
                              "[1,]",
                              "[,1]",
                              "[1,2]",
                              "[1 2]",
                              "[1,,2]",
                              "[",
                              "]",
                              "[1",
                              "[]]",
                              "[[]]",
                              "[[1],[2,[3]]]",
                              "{}",
                              "{ }",
                              "{\"a\":1}",
                              "{\"a\" : 1 }",
                              "{\"a\":1,}",
                              "{,}",
                              "{\"a\"}",
                              "{\"a\":}",
                              "{a:1}",
                              "{'a':1}",
                              "{1:1}",
                              "{\"a\":1,\"a\":2}",
                              "{\"a\":1 \"b\":2}",
                              "{\"a\":[1,{\"b\":null}]}",
                              "{\"a\":1]",
                              "[1}",
                              "{\"\\u0000\":1}",
                              "{\"\":1}",
                              "\t\n\r [ 1 ,\n2 ]\t",
                              "\f1",
                              "\v1",
                              "1\xc2\xa0",
                              "\xef\xbb\xbf{}",
                              "1 // c",
                              "/* c */ 1",
                              "[1] x",
                              "{\"a\":1}{\"b\":2}",
                              "-a",
                              "--1",
                              "1-",
                              "1.e5",
                              "1e5.5",
                              "tRue",
                              "[true,false,null]",
                              "[truefalse]",
                              "\"\\\"",
                              "\"\\\\\"",
                              "\"\\/\\b\\f\\n\\r\\t\\\"\"",
                              "\"\\'\"",
                              "\"\\U0041\"",
                              "{\"a\":tru}",
                              "[\"a]",
                              "[\"a\",b]",
                              "undefined",
                              "[1,2,3",
                              "{\"a\":{\"b\":{}}}"};

class JsonSyntax : public testing::Test {
 protected:
  /// Compares a list of texts with the server's answers.
  static void compare(const std::vector<std::string>& texts) {
    auto& server = shared_server();
    const std::string database = server.create_database("json_syntax");
    server.sql(
        "CREATE FUNCTION state(t text, b boolean) RETURNS text LANGUAGE plpgsql AS $$ BEGIN "
        "IF b THEN PERFORM t::jsonb; ELSE PERFORM t::json; END IF; RETURN 'ok'; "
        "EXCEPTION WHEN others THEN RETURN SQLSTATE; END $$",
        database);
    for (size_t begin = 0; begin < texts.size(); begin += kAtOnce) {
      const size_t end = std::min(begin + kAtOnce, texts.size());
      std::string list;
      for (size_t i = begin; i < end; ++i) {
        list += (i == begin ? "" : ", ") + *pgproto::quote_literal(texts[i]);
      }
      const auto rows = server.sql(
          "SELECT state(t, false), state(t, true) FROM unnest(ARRAY[" + list + "]::text[]) AS t",
          database);
      ASSERT_EQ(rows.size(), end - begin);
      for (size_t i = begin; i < end; ++i) {
        EXPECT_EQ(takes(texts[i], JsonFlavor::kJson), *rows[i - begin][0] == "ok")
            << "json: " << texts[i];
        const std::string jsonb = *rows[i - begin][1];
        // A number that numeric cannot hold is left to the server.
        if (jsonb == "22003") continue;
        EXPECT_EQ(takes(texts[i], JsonFlavor::kJsonb), jsonb == "ok") << "jsonb: " << texts[i];
      }
    }
  }

 private:
  static constexpr size_t kAtOnce = 1000;
  static bool takes(const std::string& text, JsonFlavor flavor) {
    const auto fault = find_json_fault(text, flavor);
    EXPECT_LE(fault ? fault->at : 0, text.size());
    return !fault;
  }
};

TEST_F(JsonSyntax, IsTheServers) { compare({std::begin(kTexts), std::end(kTexts)}); }

TEST_F(JsonSyntax, IsTheServersWhereTextsAreSpoilt) {
  std::mt19937_64 random(14);
  constexpr std::string_view kBytes = "{}[],:\"\\ -+.eE0159abfnrtu\n\x01\x7fxd";
  std::vector<std::string> texts;
  while (texts.size() < 20'000) {
    std::string text = kTexts[random() % std::size(kTexts)];
    // Bytes above 127 come whole only: the server is given valid UTF-8.
    if (std::ranges::any_of(text, [](char c) { return c < 0; })) continue;
    for (size_t edits = random() % 4; edits > 0; --edits) {
      const size_t at = random() % (text.size() + 1);
      const char byte = kBytes[random() % kBytes.size()];
      switch (random() % 4) {
        case 0:
          text.insert(at, 1, byte);
          break;
        case 1:
          if (at < text.size()) text[at] = byte;
          break;
        case 2:
          text.erase(at, 1);
          break;
        default:
          text = random() % 2 == 0 ? "[" + text + "]" : "{\"k\": " + text + "}";
      }
    }
    texts.push_back(std::move(text));
  }
  compare(texts);
}

TEST_F(JsonSyntax, TheFirstByteThatDoesNotFitIsTold) {
  EXPECT_EQ(find_json_fault("[1, x]", JsonFlavor::kJson)->at, 4U);
  EXPECT_EQ(find_json_fault("[1", JsonFlavor::kJson)->at, 2U);
  const auto escape = find_json_fault("[\"a\\u0000\"]", JsonFlavor::kJsonb);
  EXPECT_EQ(escape->at, 3U);
  EXPECT_TRUE(escape->escape);
}

TEST_F(JsonSyntax, DeepTextsAreLeftToTheServer) {
  const std::string deep(2047, '[');
  EXPECT_FALSE(find_json_fault(deep + std::string(2047, ']'), JsonFlavor::kJson));
  EXPECT_TRUE(find_json_fault(deep, JsonFlavor::kJson));
  EXPECT_FALSE(find_json_fault(deep + "[[", JsonFlavor::kJson));
  compare({deep + std::string(2047, ']'), deep, deep + std::string(2046, ']')});
}

}  // namespace
}  // namespace pgsink
