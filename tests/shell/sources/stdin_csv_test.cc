// CSV of standard input is what PostgreSQL's COPY reads: the server is the oracle.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/shell_support.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// As printf's %b reads it in every shell.
std::string escaped(const std::string& text) {
  std::string escapes;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    escapes += "\\0";
    for (const int shift : {6, 3, 0}) escapes += static_cast<char>('0' + ((byte >> shift) & 7));
  }
  return escapes;
}

constexpr const char* kRows =
    "SELECT coalesce(string_agg(concat_ws('|', coalesce(a, '(null)'), coalesce(b, '(null)')), '/' "
    "ORDER BY n), '') FROM copied";

void create_copied() { create_table("copied", "(n bigserial, a text, b text)"); }

/// What COPY makes of a text, or "!" if it refuses it.
std::string copy_reads(const std::string& text, const std::string& options) {
  create_copied();
  try {
    analytics_server().sql("COPY copied (a, b) FROM PROGRAM $$printf '%b' '" + escaped(text) +
                               "'$$ (FORMAT csv" + options + ")",
                           "analytics");
  } catch (const std::exception&) {
    return "!";
  }
  return analytics_server().scalar(kRows, "analytics");
}

std::string stdin_reads(const std::string& text, const std::string& options) {
  create_copied();
  const auto run = pgsink_input(
      text, {"-c", connection("c", "copied") +
                       "CREATE CONNECTION feed TO stdin (format = 'csv', header = false, columns = "
                       "MAP {'a': 'VARCHAR', 'b': 'VARCHAR'}" +
                       options + "); INSERT INTO c SELECT a, b FROM feed;"});
  if (run.exit_code != 0) return "!";
  return analytics_server().scalar(kRows, "analytics");
}

TEST(StdinCsv, ReadsWhatCopyReads) {
  for (const std::string text : {
           "a,b\n",
           "a,b",
           "a,b\r\nc,d\r\n",
           ",\n",
           "\"\",\"\"\n",
           " a , b \n",
           "\"a\"\"b\",\"\"\"\"\n",
           "\"two\nlines\",\"a,b\"\n",
           "\"cr\r\nlf\",x\n",
           "x\"y,z\"w,b\n",
           "\"a\"b,\"c\"\"d\"e\n",
           "\"a\" ,b\n",
           "a,\"\"\n",
           "a,'b'\n",
           "\\N,\\.x\n",
           "NULL,null\n",
           "ä,\xf0\x9f\x98\x80\n",
           "a,b,c\n",
           "a\n",
           "a,\"b\n",
           "a,b\rc\n",
           "a,\xff\n",
       }) {
    EXPECT_EQ(stdin_reads(text, ""), copy_reads(text, "")) << text;
  }
}

TEST(StdinCsv, TakesTheOptionsOfCopy) {
  const std::tuple<std::string, std::string, std::string> cases[] = {
      {"a;b\n\"x;y\";\n", ", delimiter = ';'", ", DELIMITER ';'"},
      {"a\tb\n", ", delimiter = '\\t'", ", DELIMITER E'\\t'"},
      {"'a,''b','\"'\n", ", quote = ''''", ", QUOTE ''''"},
      {R"("a\"b\\c\d","x")"
       "\n",
       ", escape = '\\'", ", ESCAPE '\\'"},
      {R"('a\'b',"c")"
       "\n",
       ", quote = '''', escape = '\\'", ", QUOTE '''', ESCAPE '\\'"},
      {"NULL,\"NULL\"\n,x\n", ", null = 'NULL'", ", NULL 'NULL'"},
      {"\\N,\n", ", null = '\\N'", ", NULL '\\N'"},
  };
  for (const auto& [text, ours, copy] : cases) {
    EXPECT_EQ(stdin_reads(text, ours), copy_reads(text, copy)) << text << ours;
    EXPECT_NE(stdin_reads(text, ours), "!") << text << ours;
  }
}

TEST(StdinCsv, AStrayQuoteTakesItsLineOnly) {
  for (const std::string text :
       {"1,ok\n2,5\" disk\n3,ok\n4,ok\n8,7\" lp\n9,ok\n",
        "1,ok\n2,\"5 disk\n3,ok\n4,ok\n8,\"7 lp\n9,ok\n", "1,ok\n2,\"5 disk\n3,ok\n4,ok\n9,ok\n"}) {
    create_copied();
    const auto run = pgsink_input(
        text, {"-c", connection("c", "copied", "dead_letter_table = 'copied_rejected'") +
                         "CREATE CONNECTION feed TO stdin (format = 'csv', header = false, columns "
                         "= MAP {'a': 'INTEGER', 'b': 'VARCHAR'}); INSERT INTO c FROM feed;"});
    EXPECT_EQ(run.exit_code, 3) << run.err;
    EXPECT_EQ(analytics_server().scalar(
                  "SELECT string_agg(a, ',' ORDER BY n) FROM copied WHERE b = 'ok'", "analytics"),
              "1,3,4,9")
        << text;
    EXPECT_EQ(analytics_server().scalar("SELECT count(*) FROM copied", "analytics"), "4") << text;
    analytics_server().sql("DROP TABLE copied_rejected", "analytics");
  }
}

TEST(StdinCsv, RecordsOfOneFieldMayBeEmpty) {
  create_table("copied", "(n bigserial, a text)");
  const auto run = pgsink_input(
      "a\nx\n\n  \n\"\"\n",
      {"-c", connection("c", "copied") +
                 "CREATE CONNECTION feed TO stdin (format = 'csv'); INSERT INTO c FROM feed;"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(
      analytics_server().scalar(
          "SELECT string_agg(coalesce('[' || a || ']', '(null)'), ',' ORDER BY n) FROM copied",
          "analytics"),
      "[x],(null),[  ],[]");
}

}  // namespace
}  // namespace pgsink::test
