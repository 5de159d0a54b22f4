// parse_statement: what each statement of ours yields, and where what is wrong with it stands.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ddl/ddl_support.h"

namespace pgsink {
namespace {

using ddl_test::parse;
using ddl_test::Read;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ParseConnection, ReadsEveryKindOfValue) {
  const Read read = parse(
      "CREATE CONNECTION c TO postgresql (a = 'it''s', b = -5, c = 1.5, d = TRUE, e = false,\n"
      "  f = MAP { 'k': 'v', 'n': 5, 't': true }, g = MAP {}, h = $$x$$, i = E'\\n', j = +7);");
  const auto* connection = read.as<CreateConnection>();
  ASSERT_NE(connection, nullptr) << read.report();
  EXPECT_EQ(connection->name, "c");
  EXPECT_EQ(connection->system, "postgresql");
  using Kind = OptionValue::Kind;
  const std::vector<std::tuple<std::string, Kind, std::string>> expected{
      {"a", Kind::kText, "it's"},    {"b", Kind::kInteger, "-5"},    {"c", Kind::kDecimal, "1.5"},
      {"d", Kind::kBoolean, "true"}, {"e", Kind::kBoolean, "false"}, {"f", Kind::kMap, ""},
      {"g", Kind::kMap, ""},         {"h", Kind::kText, "x"},        {"i", Kind::kText, "\n"},
      {"j", Kind::kInteger, "7"},
  };
  ASSERT_EQ(connection->options.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const RawOption& option = connection->options[i];
    EXPECT_EQ(std::tuple(option.key, option.value.kind, option.value.text), expected[i]);
  }
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(connection->options[5].value.map, (Pairs{{"k", "v"}, {"n", "5"}, {"t", "true"}}));
  EXPECT_TRUE(connection->options[6].value.map.empty());
}

TEST(ParseConnection, KeepsPlacesOfKeysAndValues) {
  const Read read = parse("CREATE CONNECTION c TO postgresql (\n\thost = 'ä',\n  port = -1);");
  const auto* connection = read.as<CreateConnection>();
  ASSERT_NE(connection, nullptr) << read.report();
  const RawOption& host = connection->options[0];
  const RawOption& port = connection->options[1];
  EXPECT_EQ(read.script.substr(host.key_position.offset, host.key_length), "host");
  EXPECT_EQ(host.key_position.line, 2U);
  EXPECT_EQ(host.key_position.column, 2U);
  EXPECT_EQ(read.script.substr(host.value_position.offset, host.value_length), "'ä'");
  EXPECT_EQ(host.value_position.column, 9U);
  EXPECT_EQ(read.script.substr(port.value_position.offset, port.value_length), "-1");
  EXPECT_EQ(port.value_position.line, 3U);
  EXPECT_EQ(port.value_position.column, 10U);
}

TEST(ParseConnection, KeywordsAreCaselessAndNamesFold) {
  const Read read = parse("create Or rEplace connection Pg_Main to PostgreSQL (HOST = 'x')");
  const auto* connection = read.as<CreateConnection>();
  ASSERT_NE(connection, nullptr) << read.report();
  EXPECT_TRUE(connection->or_replace);
  EXPECT_EQ(connection->name, "pg_main");
  EXPECT_EQ(connection->system, "postgresql");
  EXPECT_EQ(connection->options[0].key, "host");
}

TEST(ParseConnection, QuotedNamesAreExact) {
  const Read read = parse("CREATE CONNECTION IF NOT EXISTS \"My \"\"sink\"\"\" TO postgresql ()");
  const auto* connection = read.as<CreateConnection>();
  ASSERT_NE(connection, nullptr) << read.report();
  EXPECT_TRUE(connection->if_not_exists);
  EXPECT_EQ(connection->name, "My \"sink\"");
}

TEST(ParseConnection, CommentsStandAnywhere) {
  const Read read = parse(
      "CREATE -- a\nCONNECTION /* b /* c */ */ x TO postgresql ( -- ALWAYS, REPLICA\n"
      "  host = /* here */ 'y' -- last\n)");
  const auto* connection = read.as<CreateConnection>();
  ASSERT_NE(connection, nullptr) << read.report();
  EXPECT_EQ(connection->options[0].value.text, "y");
}

TEST(ParseConnection, AnotherSystemParses) {
  const Read read = parse("CREATE CONNECTION s TO StdIn (type = 'source', format = 'json')");
  const auto* connection = read.as<CreateConnection>();
  ASSERT_NE(connection, nullptr) << read.report();
  EXPECT_EQ(connection->system, "stdin");
}

struct Wrong {
  std::string statement;
  std::string marked;  ///< What the caret underlines.
  std::string message;
};

void expect_one_fault(const Wrong& wrong) {
  const Read read = parse(wrong.statement);
  ASSERT_EQ(read.faults.size(), 1U) << wrong.statement << "\n" << read.report();
  EXPECT_EQ(read.code(0), Errc::kSyntax) << wrong.statement;
  EXPECT_EQ(read.marked(0), wrong.marked) << wrong.statement << "\n" << read.report();
  EXPECT_THAT(read.message(0), HasSubstr(wrong.message)) << wrong.statement;
}

TEST(ParseConnection, SaysWhatIsWrongAndWhere) {
  const std::string head = "CREATE CONNECTION c TO postgresql ";
  const std::vector<Wrong> cases{
      {"CREATE CONNECTION", "", "expected the connection's name"},
      {"CREATE CONNECTION TO postgresql ()", "TO", "expected the connection's name"},
      {"CREATE CONNECTION 'c' TO postgresql ()", "'c'", "without quotes or in double quotes"},
      {"CREATE CONNECTION \"\" TO postgresql ()", "\"\"", "a name cannot be empty"},
      {"CREATE CONNECTION a.b TO postgresql ()", ".", "has no schema"},
      {"CREATE CONNECTION c postgresql ()", "postgresql", "expected TO"},
      {"CREATE CONNECTION c TO ()", "(", "expected the system"},
      {"CREATE OR REPLACE CONNECTION IF NOT EXISTS c TO postgresql ()", "IF", "choose one"},
      {head, "", "expected '(' and the options"},
      {head + "WITH (host = 'x')", "WITH", "expected '(' and the options"},
      {head + "(host = 'x'", "", "expected ')' after the last option"},
      {head + "(host = 'x') y", "y", "expected ';'"},
      {head + "(host = 'x',)", ",", "no option follows this comma; remove it"},
      {head + "(, host = 'x')", ",", "expected an option before this comma"},
      {head + "(host = 'x',, port = 1)", ",", "expected an option before this comma"},
      {head + "(host = 'x' port = 1)", "port", "expected ',' or ')' after the option"},
      {head + "(host 'x')", "'x'", "expected '='"},
      {head + "(host => 'x')", ">", "not '=>'"},
      {head + "(host: 'x')", ":", "expected '='"},
      {head + "('host' = 'x')", "'host'", "without quotes or in double quotes"},
      {head + "(host = )", ")", "expected a value"},
      {head + "(host = localhost)", "localhost", "expected a value: text in single quotes"},
      {head + "(host = \"localhost\")", "\"localhost\"", "double quotes are for names"},
      {head + "(host = NULL)", "NULL", "NULL is not allowed"},
      {head + "(host = U&'a')", "U&'a'", "not taken here"},
      {head + "(host = E'\\xff')", "E'\\xff'", "valid UTF-8"},
      {head + "(port = 12abc)", "12abc", "not a number"},
      {head + "(port = 1_000)", "1_000", "not a number"},
      {head + "(port = 1.2.3)", "1.2.3", "not a number"},
      {head + "(port = 1e)", "1e", "not a number"},
      {head + "(port = -'x')", "'x'", "not a number"},
      {head + "(v = MAP)", ")", "expected '{' after MAP"},
      {head + "(v = MAP {'a' 'b'})", "'b'", "expected ':'"},
      {head + "(v = MAP {'a': 'b' 'c': 'd'})", "'c'", "expected ',' or '}'"},
      {head + "(v = MAP {'a': 'b',})", ",", "no entry follows this comma; remove it"},
      {head + "(v = MAP {a: 'b'})", "a", "expected a key in single quotes"},
      {head + "(v = MAP {'a': b})", "b", "expected a value in single quotes"},
      {head + "(v = MAP {'a': MAP {}})", "MAP", "expected a value in single quotes"},
      {head + "(host = 'x", "'x", "this text in quotes is never closed"},
      {head + "(host = $a$x$b$", "$a$x$b$", "this dollar-quoted text is never closed"},
      {head + "(host = 'x' /* )", "/* )", "this comment is never closed"},
      {head + "(host = 'x', \"po", "\"po", "this name in double quotes is never closed"},
  };
  for (const Wrong& wrong : cases) expect_one_fault(wrong);
}

TEST(ParseConnection, TellsSeveralFaultsTogether) {
  const Read read = parse(
      "CREATE CONNECTION c TO postgresql (\n  host = x,\n  port 1,\n  table = 't'\n  user = "
      "'u',\n)");
  ASSERT_EQ(read.faults.size(), 4U) << read.report();
  EXPECT_EQ(read.marked(0), "x");
  EXPECT_EQ(read.marked(1), "1");
  EXPECT_EQ(read.marked(2), "user");
  EXPECT_EQ(read.marked(3), ",");
  EXPECT_EQ(read.faults[3].begin.line, 5U);
}

TEST(ParseConnection, AFaultInsideBracketsSkipsToTheRightComma) {
  const Read read =
      parse("CREATE CONNECTION c TO postgresql (a = f(1, (2), '),'), b = MAP {x: 1, y: 2}, c = 1)");
  ASSERT_EQ(read.faults.size(), 2U) << read.report();
  EXPECT_EQ(read.marked(0), "f");
  EXPECT_EQ(read.marked(1), "x");
}

TEST(ParseConnection, RefusesBytesThatAreNoText) {
  const std::string head = "CREATE CONNECTION c TO postgresql (\nhost = 'ä";
  for (const std::string& byte :
       {std::string("\xff"), std::string("\0", 1), std::string("\xc3(")}) {
    const Read read = parse(head + byte + "')");
    ASSERT_EQ(read.faults.size(), 1U);
    EXPECT_EQ(read.code(0), Errc::kSyntax);
    EXPECT_THAT(read.message(0), HasSubstr("not valid UTF-8"));
    EXPECT_EQ(read.faults[0].begin.offset, head.size());
    EXPECT_EQ(read.faults[0].begin.line, 2U);
    EXPECT_EQ(read.faults[0].begin.column, 10U);
  }
}

TEST(ParseConnection, HasNamedLimits) {
  std::string options;
  for (size_t i = 0; i <= DdlLimits::kOptionsMax; ++i) {
    options += (i == 0 ? "o" : ", o") + std::to_string(i) + " = 1";
  }
  const std::string head = "CREATE CONNECTION c TO postgresql (";
  const Read many = parse(head + options + ")");
  ASSERT_EQ(many.faults.size(), 1U) << many.report();
  EXPECT_EQ(many.code(0), Errc::kLimit);
  EXPECT_EQ(many.marked(0), "o" + std::to_string(DdlLimits::kOptionsMax));

  std::string entries;
  for (size_t i = 0; i <= DdlLimits::kOptionsMax; ++i)
    entries += (i == 0 ? "" : ",") + std::string("'k':1");
  const Read map = parse(head + "m = MAP {" + entries + "})");
  ASSERT_EQ(map.faults.size(), 1U);
  EXPECT_EQ(map.code(0), Errc::kLimit);

  const Read large =
      parse(head + "a = '" + std::string(DdlLimits::kConnectionBytesMax, 'x') + "')");
  ASSERT_EQ(large.faults.size(), 1U);
  EXPECT_EQ(large.code(0), Errc::kLimit);
  EXPECT_THAT(large.message(0), HasSubstr(std::to_string(DdlLimits::kConnectionBytesMax)));

  const Read faults = parse(head + std::string(10'000, ',') + ")");
  EXPECT_EQ(faults.faults.size(), DdlLimits::kFaultsMax);
}

TEST(ParseDrop, ReadsDropConnection) {
  const Read plain = parse("drop connection Pg_Main;");
  ASSERT_NE(plain.as<DropConnection>(), nullptr);
  EXPECT_EQ(plain.as<DropConnection>()->name, "pg_main");
  EXPECT_FALSE(plain.as<DropConnection>()->if_exists);
  const Read careful = parse("DROP CONNECTION IF EXISTS \"A b\"");
  ASSERT_NE(careful.as<DropConnection>(), nullptr);
  EXPECT_EQ(careful.as<DropConnection>()->name, "A b");
  EXPECT_TRUE(careful.as<DropConnection>()->if_exists);
  expect_one_fault({"DROP CONNECTION", "", "expected the connection's name"});
  expect_one_fault({"DROP CONNECTION a, b", ",", "expected ';'"});
}

TEST(ParsePipeline, ReadsOneBranch) {
  const Read read = parse(
      "CREATE PIPELINE p AS -- why\nINSERT INTO Sink\nSELECT a, b -- inner\n FROM t -- last\n;");
  const auto* pipeline = read.as<CreatePipeline>();
  ASSERT_NE(pipeline, nullptr) << read.report();
  EXPECT_EQ(pipeline->name, "p");
  EXPECT_EQ(pipeline->with, "");
  ASSERT_EQ(pipeline->branches.size(), 1U);
  EXPECT_EQ(pipeline->branches[0].target, "sink");
  EXPECT_EQ(pipeline->branches[0].query, "SELECT a, b -- inner\n FROM t");
  EXPECT_EQ(pipeline->branches[0].query_position.line, 3U);
  EXPECT_EQ(pipeline->branches[0].target_position.column, 13U);
}

TEST(ParsePipeline, BranchesShareTheWithInFrontOfThem) {
  const Read read = parse(
      "CREATE PIPELINE p AS WITH RECURSIVE a (x) AS (SELECT 1), b AS MATERIALIZED (\n"
      "  SELECT ')' FROM insert_into) INSERT INTO s (\"X\", y) SELECT * FROM a\n"
      "UNION ALL INSERT INTO \"Errors\" BY NAME SELECT * FROM b");
  const auto* pipeline = read.as<CreatePipeline>();
  ASSERT_NE(pipeline, nullptr) << read.report();
  EXPECT_EQ(pipeline->with,
            "WITH RECURSIVE a (x) AS (SELECT 1), b AS MATERIALIZED (\n"
            "  SELECT ')' FROM insert_into)");
  ASSERT_EQ(pipeline->branches.size(), 2U);
  EXPECT_THAT(pipeline->branches[0].columns, ElementsAre("X", "y"));
  EXPECT_EQ(pipeline->branches[0].query, "SELECT * FROM a");
  EXPECT_EQ(pipeline->branches[1].target, "Errors");
  EXPECT_EQ(pipeline->branches[1].query, "SELECT * FROM b");
}

TEST(ParsePipeline, OnlyATopLevelUnionAllBeforeInsertSplits) {
  const std::string query =
      "SELECT 'UNION ALL INSERT INTO x' AS \"UNION ALL INSERT INTO\" FROM (SELECT 1 UNION ALL\n"
      "  SELECT [1, 2]) /* UNION ALL INSERT INTO y */ UNION ALL SELECT $$UNION ALL INSERT INTO "
      "z$$\n"
      "UNION SELECT 3 -- UNION ALL INSERT INTO w\nUNION ALL BY NAME SELECT insert FROM union_all";
  const Read read =
      parse("INSERT INTO s " + query + "\nUNION ALL -- now\nINSERT INTO u VALUES (1)");
  const auto* pipeline = read.as<CreatePipeline>();
  ASSERT_NE(pipeline, nullptr) << read.report();
  ASSERT_EQ(pipeline->branches.size(), 2U);
  EXPECT_EQ(pipeline->branches[0].query, query);
  EXPECT_EQ(pipeline->branches[1].target, "u");
  EXPECT_EQ(pipeline->branches[1].query, "VALUES (1)");
}

TEST(ParsePipeline, AUnionInsideBracketsNeverSplits) {
  // No engine takes this, but the splitter must not cut through a bracket.
  const Read read = parse("INSERT INTO s SELECT (1 UNION ALL INSERT INTO x SELECT 2)");
  const auto* pipeline = read.as<CreatePipeline>();
  ASSERT_NE(pipeline, nullptr) << read.report();
  EXPECT_EQ(pipeline->branches.size(), 1U);
}

TEST(ParsePipeline, QueriesHaveManyForms) {
  for (const std::string query :
       {"VALUES (1, 'a'), (2, 'b')", "(SELECT 1)", "((SELECT 1) UNION ALL (SELECT 2))",
        "WITH a AS (SELECT 1) SELECT * FROM a", "FROM t SELECT x", "TABLE t", "(VALUES (1))",
        "(FROM t)"}) {
    const Read read = parse("INSERT INTO s " + query + ";");
    const auto* pipeline = read.as<CreatePipeline>();
    ASSERT_NE(pipeline, nullptr) << query << read.report();
    EXPECT_EQ(pipeline->name, "");
    EXPECT_EQ(pipeline->branches[0].query, query);
    EXPECT_TRUE(pipeline->branches[0].columns.empty());
  }
}

TEST(ParsePipeline, AWithInFrontOfABareInsertBelongsToAllBranches) {
  const Read read = parse("WITH a AS (SELECT 1) INSERT INTO s SELECT * FROM a");
  const auto* pipeline = read.as<CreatePipeline>();
  ASSERT_NE(pipeline, nullptr) << read.report();
  EXPECT_EQ(pipeline->name, "");
  EXPECT_EQ(pipeline->with, "WITH a AS (SELECT 1)");
}

TEST(ParsePipeline, OrReplaceAndIfNotExists) {
  const Read replace = parse("CREATE OR REPLACE PIPELINE p AS INSERT INTO s SELECT 1");
  ASSERT_NE(replace.as<CreatePipeline>(), nullptr);
  EXPECT_TRUE(replace.as<CreatePipeline>()->or_replace);
  const Read careful = parse("CREATE PIPELINE IF NOT EXISTS p AS INSERT INTO s SELECT 1");
  ASSERT_NE(careful.as<CreatePipeline>(), nullptr);
  EXPECT_TRUE(careful.as<CreatePipeline>()->if_not_exists);
}

TEST(ParsePipeline, SaysWhatIsWrongAndWhere) {
  const std::vector<Wrong> cases{
      {"CREATE PIPELINE", "", "expected the pipeline's name"},
      {"CREATE PIPELINE AS INSERT INTO s SELECT 1", "AS", "expected the pipeline's name"},
      {"CREATE PIPELINE p INSERT INTO s SELECT 1", "INSERT", "expected AS"},
      {"CREATE PIPELINE p AS SELECT 1", "SELECT", "INSERT INTO and the name of a connection"},
      {"CREATE PIPELINE p AS WITH a AS (SELECT 1) SELECT 2", "SELECT",
       "INSERT INTO and the name of a connection"},
      {"CREATE PIPELINE p AS WITH a AS (SELECT 1)", "", "INSERT INTO and the name of a connection"},
      {"CREATE PIPELINE p AS INSERT INTO a.b SELECT 1", ".", "a connection has one name"},
      {"CREATE PIPELINE p AS INSERT INTO s", "", "expected a query"},
      {"CREATE PIPELINE p AS INSERT INTO s (a, 1) SELECT 1", "1", "expected a column's name"},
      {"CREATE PIPELINE p AS INSERT INTO s (a SELECT 1", "SELECT", "expected ',' or ')'"},
      {"CREATE PIPELINE p AS INSERT INTO s SELECT (1", "(", "this '(' is never closed"},
      {"CREATE PIPELINE p AS INSERT INTO s SELECT 1)", ")", "this ')' has no matching '('"},
      {"CREATE PIPELINE p AS INSERT INTO s SELECT (1]", "]", "this ']' has no matching '['"},
      {"CREATE PIPELINE p AS INSERT INTO s SELECT {'a': 1", "{", "this '{' is never closed"},
      {"CREATE PIPELINE p AS INSERT INTO s SELECT 'a", "'a", "this text in quotes is never closed"},
      {"CREATE PIPELINE p AS WITH a AS (SELECT 1 INSERT INTO s SELECT 1", "(", "never closed"},
      {"CREATE PIPELINE p AS INSERT INTO s SELECT 1 UNION INSERT INTO t SELECT 2", "UNION",
       "joined by UNION ALL"},
      {"CREATE PIPELINE p AS INSERT INTO s UNION ALL INSERT INTO t SELECT 2", "UNION",
       "expected a query"},
      {"INSERT INTO s SELECT (1", "(", "this '(' is never closed"},
  };
  for (const Wrong& wrong : cases) expect_one_fault(wrong);
}

TEST(ParsePipeline, HasNamedLimits) {
  const std::string deep(DdlLimits::kNestingMax + 1, '(');
  const Read nested = parse("INSERT INTO s SELECT " + deep);
  ASSERT_EQ(nested.faults.size(), 1U);
  EXPECT_EQ(nested.code(0), Errc::kLimit);
  EXPECT_THAT(nested.message(0), HasSubstr("more than 1000 brackets"));

  std::string branches = "INSERT INTO s SELECT 1";
  for (size_t i = 0; i < DdlLimits::kBranchesMax; ++i)
    branches += " UNION ALL INSERT INTO s SELECT 1";
  const Read many = parse("CREATE PIPELINE p AS " + branches);
  ASSERT_EQ(many.faults.size(), 1U);
  EXPECT_EQ(many.code(0), Errc::kLimit);
}

TEST(ParseEngine, LeavesEverythingElseToTheEngine) {
  for (const std::string statement :
       {"SELECT 1", "CREATE TABLE connection (a int)", "CREATE OR REPLACE TABLE t AS SELECT 1",
        "CREATE VIEW pipeline AS SELECT 1", "DROP TABLE connection", "SELECT 'CREATE CONNECTION'",
        "WITH a AS (SELECT 1) SELECT * FROM a", "WITH a(x) AS (SELECT 1) DELETE FROM t",
        "WITH insert AS (SELECT 1) FROM insert", "INSERT OR REPLACE INTO t VALUES (1)",
        "INSERT INTO main.t VALUES (1)", "INSERT INTO t AS x SELECT 1",
        "INSERT INTO t (a.b) SELECT 1", "INSERT INTO t", "\"CREATE\" CONNECTION",
        "SELECT test_connection('postgres_sink')", "SELECT ((1", "SELECT '\xff'"}) {
    const Read read = parse(statement + ";");
    EXPECT_NE(read.as<EngineStatement>(), nullptr) << statement << "\n" << read.report();
  }
}

TEST(ParseEngine, ReportsWhatIsNeverClosedBecauseItSwallowsTheRestOfTheScript) {
  expect_one_fault({"SELECT 1 + 'a;\nSELECT 2;", "'a;\nSELECT 2;", "never closed"});
  expect_one_fault({"/* a\nSELECT 2;", "/* a\nSELECT 2;", "this comment is never closed"});
  EXPECT_NE(parse("SELECT 1").as<EngineStatement>(), nullptr);
}

}  // namespace
}  // namespace pgsink
