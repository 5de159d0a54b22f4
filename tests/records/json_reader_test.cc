// JSON texts taken apart with every digit kept.

#include "shell/records/json_reader.h"

#include <iterator>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/records/flat_object.h"

namespace pgsink::test {
namespace {

using shell::JsonKind;
using shell::JsonReader;
using testing::HasSubstr;
using testing::Not;

/// "key=text;…" of the members, or the error.
std::string members(const std::string& text) {
  JsonReader reader;
  const auto read = reader.read_object(text);
  if (!read) return read.error();
  std::string all;
  for (const auto& member : *read) {
    all.append(member.key).append("=").append(member.value.text).append(";");
  }
  return all;
}

/// Whether the fast way takes it.
bool is_flat(const std::string& text) {
  std::vector<shell::JsonMember> members;
  return shell::read_flat_object(text, members);
}

TEST(JsonReader, TheFastWayTakesFlatObjectsOnly) {
  for (const char* const text :
       {"{}", " { } ", "{\"a\":1}", "{\"a\" : -1.5e3 ,\t\"b\":\"\",\"c\":null}\r\n",
        "{\"long key, longer than a word\":\"and a text, longer than a word: \xc3\xa4\"}",
        "{\"a\":true,\"b\":false,\"a\":0}"}) {
    EXPECT_TRUE(is_flat(text)) << text;
    EXPECT_THAT(members(text), Not(HasSubstr("not a JSON object"))) << text;
  }
  for (const char* const text : {"",
                                 "1",
                                 "{",
                                 "}",
                                 "{}}",
                                 "{}{}",
                                 "{,}",
                                 "{\"a\"}",
                                 "{\"a\":}",
                                 "{\"a\":1,}",
                                 "{\"a\" 1}",
                                 "{a:1}",
                                 "{\"a\":01}",
                                 "{\"a\":1 2}",
                                 "{\"a\":+1}",
                                 "{\"a\":1.}",
                                 "{\"a\":-}",
                                 "{\"a\":nul}",
                                 "{\"a\":nullx}",
                                 "{\"a\":\"x}",
                                 "{\"a\":\"tab\t\"}",
                                 "{\"a\":\"a tab after a word\t and more\"}",
                                 "{\"a\":\"\xff\"}",
                                 "{\"a\":\"a wrong byte after a word \xff\"}",
                                 "{\"\xff\":1}"}) {
    EXPECT_FALSE(is_flat(text)) << text;
    EXPECT_THAT(members(text), HasSubstr("not a JSON object")) << text;
  }
  for (const char* const text : {"{\"a\":[]}", "{\"a\":{}}", "{\"a\":\"\\n\"}", "{\"\\n\":1}"}) {
    EXPECT_FALSE(is_flat(text)) << text;
    EXPECT_THAT(members(text), Not(HasSubstr("not a JSON object"))) << text;
  }
}

TEST(JsonReader, TheFastWayAgreesWithTheOther) {
  constexpr std::string_view kPieces[] = {"{",        "}",
                                          "[",        "]",
                                          ",",        ":",
                                          "\"",       "\"a\"",
                                          "\"key\":", "1",
                                          "-0",       "1.5e3",
                                          "01",       "true",
                                          "null",     " ",
                                          "\t",       "\\",
                                          "\\n",      "\xc3\xa4",
                                          "\xff",     "a text of some length"};
  std::mt19937 random(7);
  size_t flat = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string text = "{";
    for (size_t parts = random() % 9; parts > 0; --parts) {
      text += kPieces[random() % std::size(kPieces)];
    }
    text += random() % 8 == 0 ? "" : "}";
    std::vector<shell::JsonMember> members;
    if (!shell::read_flat_object(text, members)) continue;
    ++flat;
    JsonReader reader;
    const auto tree = reader.read_value(text);
    ASSERT_TRUE(tree) << text << ": " << tree.error();
    ASSERT_EQ(tree->nodes.size(), members.size()) << text;
    for (size_t k = 0; k < members.size(); ++k) {
      EXPECT_EQ(tree->nodes[k].key, members[k].key) << text;
      EXPECT_EQ(tree->nodes[k].value.kind, members[k].value.kind) << text;
      EXPECT_EQ(tree->nodes[k].value.text, members[k].value.text) << text;
    }
  }
  EXPECT_GT(flat, 1000U);
}

TEST(JsonReader, KeepsEveryValueAsItIsWritten) {
  EXPECT_EQ(members("{}"), "");
  EXPECT_EQ(members(" { \"a\" : 1.10 , \"b\":-0 ,\"c\": 1E400\t,\"d\":\"x\\u00e9\\\"\" } "),
            "a=1.10;b=-0;c=1E400;d=\"x\\u00e9\\\"\";");
  EXPECT_EQ(members("{\"n\":18446744073709551615,\"o\":{ \"k\" : [ 1.0 , 2 ] } ,\"l\":[ ] ,"
                    "\"t\":true,\"f\":false,\"z\":null}"),
            "n=18446744073709551615;o={ \"k\" : [ 1.0 , 2 ] };l=[ ];t=true;f=false;z=null;");
  EXPECT_EQ(members("{\"a\":1,\"a\":2}"), "a=1;a=2;");
  EXPECT_EQ(members("{\"\\u0061\\n\":1}"), "a\n=1;");
  EXPECT_EQ(members("{\"lone\":\"\\ud800\"}"), "lone=\"\\ud800\";") << "json allows it";
  const std::string digits(2000, '9');
  EXPECT_EQ(members("{\"a\":" + digits + "}"), "a=" + digits + ";");
}

TEST(JsonReader, RefusesWhatIsNoJsonObjectWhereverItStands) {
  const std::string wrong[] = {"",
                               " ",
                               "1",
                               "[1]",
                               "\"a\"",
                               "null",
                               "{",
                               "}",
                               "{]",
                               "{\"a\"}",
                               "{\"a\":}",
                               "{\"a\":1,}",
                               "{,\"a\":1}",
                               "{\"a\":1 \"b\":2}",
                               "{\"a\" 1}",
                               "{a:1}",
                               "{\"a\":01}",
                               "{\"a\":+1}",
                               "{\"a\":.5}",
                               "{\"a\":5.}",
                               "{\"a\":1e}",
                               "{\"a\":0x10}",
                               "{\"a\":NaN}",
                               "{\"a\":Infinity}",
                               "{\"a\":tru}",
                               "{\"a\":truex}",
                               "{\"a\":nul}",
                               "{\"a\":'x'}",
                               "{\"a\":\"x}",
                               "{\"a\":\"x\"y}",
                               "{\"a\":\"\\x\"}",
                               "{\"a\":\"\\u12g4\"}",
                               "{\"a\":\"\\u12\"}",
                               "{\"a\":\"\x01\"}",
                               "{\"a\":\"\xff\"}",
                               "{\"a\":[1,]}",
                               "{\"a\":[1 2]}",
                               "{\"a\":[oops]}",
                               "{\"a\":{\"b\":oops}}",
                               "{\"a\":[1}}",
                               "{\"a\":1}}",
                               "{\"a\":1}{\"b\":2}",
                               "{\"a\":1} x",
                               "{\"a\":1},",
                               "{\"a\":1//c\n}",
                               "{\"a\":\"b\":1}",
                               "{\"a\":\"b\":tru{\"c\":1}}G}}",
                               "{\"a\":[\"b\":{\"c\":1}]}"};
  for (const std::string& text : wrong) {
    EXPECT_THAT(members(text), HasSubstr("it is not a JSON object")) << text;
  }
  EXPECT_THAT(members(std::string("{\"a\":1}\0", 8)), HasSubstr("it is not a JSON object"));
}

TEST(JsonReader, NestingHasALimit) {
  const auto nested = [](size_t depth) {
    return "{\"a\":" + std::string(depth, '[') + "1" + std::string(depth, ']') + "}";
  };
  EXPECT_THAT(members(nested(JsonReader::kDepthMax - 1)), HasSubstr("a=[[["));
  EXPECT_THAT(members(nested(JsonReader::kDepthMax)), HasSubstr("nested more than 1000 deep"));
}

TEST(JsonReader, ReadsAnyValueAsATree) {
  JsonReader reader;
  const auto node = reader.read_value(R"( {"a":[1.10,{"b":null}],"a":"x\n"} )");
  ASSERT_TRUE(node) << node.error();
  ASSERT_EQ(node->nodes.size(), 2U);
  EXPECT_EQ(node->nodes[0].nodes[0].value.text, "1.10");
  EXPECT_EQ(node->nodes[0].nodes[1].find("b")->value.kind, JsonKind::kNull);
  EXPECT_EQ(node->find("a")->content(), "x\n") << "the last of a name counts";
  EXPECT_EQ(node->find("c"), nullptr);
  EXPECT_EQ(reader.read_value("1.50")->value.text, "1.50");
  for (const char* wrong : {"", "1,2", "1 2", "[", "oops", "1],[2"}) {
    EXPECT_FALSE(reader.read_value(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace pgsink::test
