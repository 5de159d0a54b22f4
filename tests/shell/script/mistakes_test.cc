// Typical mistakes in scripts: what is said, where the caret points, and that nothing is written.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/shell_support.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr const char* kTarget =
    "(id bigint PRIMARY KEY, name text NOT NULL, amount numeric(10,2), made int GENERATED ALWAYS "
    "AS "
    "(1) STORED)";

/// The script fails, says this on stderr, and leaves the table `mistakes` empty.
void expect_mistake(const std::string& script, const std::string& said) {
  create_table("mistakes", kTarget);
  const auto run = pgsink_input(script);
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr(said));
  EXPECT_EQ(analytics_server().scalar("SELECT count(*) FROM mistakes", "analytics"), "0");
}

std::string sink(const std::string& more = "") { return connection("target", "mistakes", more); }

TEST(Mistakes, MisspelledOptionNamesTheNearest) {
  expect_mistake(
      "CREATE CONNECTION c TO postgresql (\n  host = 'localhost',\n  databse = 'analytics'\n);",
      "<stdin>:3:3: error[PGS-1002]");
  const auto run = pgsink_input("CREATE CONNECTION c TO postgresql (\n  databse = 'a');");
  EXPECT_THAT(run.err, AllOf(HasSubstr("database"), HasSubstr("\n  databse = 'a');\n  ^~~~~~~")));
}

TEST(Mistakes, EveryFaultOfAConnectionIsToldAtOnce) {
  const auto run = pgsink_input(
      "CREATE CONNECTION c TO postgresql (host = 'h', port = 'x', batch_size = -1, typ = 'sink');");
  EXPECT_THAT(run.err, AllOf(HasSubstr("port"), HasSubstr("batch_size"), HasSubstr("typ"),
                             HasSubstr("table")));
}

TEST(Mistakes, UnknownConnectionNamesTheNearest) {
  expect_mistake(sink() + "CREATE PIPELINE p AS\nINSERT INTO tagret SELECT 1 AS id;",
                 "<stdin>:3:13: error[PGS-1007]: there is no connection and no table 'tagret'; did "
                 "you mean 'target'?\nINSERT INTO tagret SELECT 1 AS id;\n            ^~~~~~\n");
}

TEST(Mistakes, SyntaxErrorOfTheQueryPointsIntoTheScript) {
  expect_mistake(
      sink() + "CREATE PIPELINE p AS\nINSERT INTO target\nSELECT 1 AS id,\n  2 AS am,,\n;",
      "<stdin>:5:11: error[PGS-1010]: syntax error at or near \",\"\n  2 AS am,,\n"
      "          ^\n");
}

TEST(Mistakes, UnknownColumnOfTheQueryPointsAtIt) {
  expect_mistake(sink() +
                     "CREATE TABLE s AS SELECT 1 AS id, 'Zoë' AS name;\n"
                     "INSERT INTO target SELECT id, 'é' AS name, amuont FROM s;",
                 "<stdin>:3:44: error[PGS-1010]: Referenced column \"amuont\" not found");
}

TEST(Mistakes, ErrorInTheSharedWithPointsAtIt) {
  expect_mistake(sink() +
                     "CREATE PIPELINE p AS\nWITH a AS (SELECT 1 AS id),\n"
                     "     b AS (SELECT nope FROM a)\n"
                     "INSERT INTO target SELECT id FROM a UNION ALL INSERT INTO target SELECT 1;",
                 "<stdin>:4:19: error[PGS-1010]: Referenced column \"nope\" not found");
}

TEST(Mistakes, ColumnThatTheTableLacksIsToldBeforeARowIsSent) {
  expect_mistake(sink() + "INSERT INTO target SELECT 1 AS id, 'x' AS nmae;", "error[PGS-3002]");
  const auto run = pgsink_input(sink() + "INSERT INTO target SELECT 1 AS id, 'x' AS nmae;");
  EXPECT_THAT(run.err, AllOf(HasSubstr("nmae"), HasSubstr("did you mean \"name\"?"),
                             HasSubstr("\nINSERT INTO target SELECT 1 AS id, 'x' AS nmae;\n"
                                       "            ^~~~~~\n")));
}

TEST(Mistakes, RequiredColumnThatTheQueryLacksIsTold) {
  expect_mistake(sink() + "INSERT INTO target SELECT 1 AS id;", "error[PGS-3004]");
}

TEST(Mistakes, GeneratedColumnCannotBeWritten) {
  expect_mistake(sink() + "INSERT INTO target SELECT 1 AS id, 'x' AS name, 2 AS made;",
                 "error[PGS-3005]");
}

TEST(Mistakes, TypeWithoutAConversionIsToldBeforeARowIsSent) {
  expect_mistake(
      sink() + "INSERT INTO target SELECT 1 AS id, 'x' AS name, DATE '2026-01-01' AS amount;",
      "error[PGS-3003]");
}

TEST(Mistakes, ValueThatDoesNotFitStopsThePipeline) {
  expect_mistake(
      sink() +
          "INSERT INTO target SELECT 9223372036854775806::UBIGINT + i::UBIGINT AS id, 'x' AS "
          "name FROM range(3) AS r(i);",
      "error[PGS-4001]");
}

TEST(Mistakes, DuplicateKeyIsTheServersWordWithTheRowsThatAreSafe) {
  create_table("mistakes", kTarget);
  const auto run = pgsink_input(sink() +
                                "INSERT INTO target SELECT i % 2500 AS id, 'x' AS name FROM "
                                "range(5000) AS r(i);");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, AllOf(HasSubstr("error[PGS-5001]"), HasSubstr("mistakes_pkey"),
                             HasSubstr(" rows of the query were read")));
  const auto there = analytics_server().scalar("SELECT count(*) FROM mistakes", "analytics");
  EXPECT_THAT(run.err, HasSubstr(". " + there + " rows are committed")) << there;
}

TEST(Mistakes, MissingSecretIsNamedNeverGuessed) {
  const auto run = pgsink_input(
      "CREATE CONNECTION c TO postgresql (host = 'h', database = 'd', username = 'u',\n"
      "  password = '${secret:no_such_secret}', table = 't');");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, AllOf(HasSubstr("<stdin>:2:"), HasSubstr("error[PGS-1009]"),
                             HasSubstr("no_such_secret")));
}

TEST(Mistakes, NoServerIsToldWithWhereItWasSought) {
  const auto run = pgsink_input(
      "CREATE CONNECTION c TO postgresql (host = 'localhost', port = 1, database = 'd', username = "
      "'u', password = 'topsecret', table = 't');\nINSERT INTO c SELECT 1 AS a;");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, AllOf(HasSubstr("error[PGS-2001]"), HasSubstr("localhost"),
                             HasSubstr("<stdin>:2:"), Not(HasSubstr("topsecret"))));
  EXPECT_THAT(run.err, HasSubstr("hint: is the server running, and does it listen at that"));
}

TEST(Mistakes, AWrongPasswordOrDatabaseIsToldWithWhatToCheck) {
  analytics_server().sql("DROP TABLE IF EXISTS mistakes; CREATE TABLE mistakes (id bigint)",
                         "analytics");
  const auto run = [](const std::string& database, const std::string& password) {
    return pgsink_input(
        "CREATE CONNECTION c TO postgresql (host = 'localhost', port = 5432, "
        "database = '" +
        database + "', username = 'user', password = '" + password +
        "', table = 'mistakes');\nINSERT INTO c SELECT 1 AS id;");
  };
  EXPECT_THAT(run("analytics", "topsecret").err,
              AllOf(HasSubstr("error[PGS-2004]"), HasSubstr("hint: check user name and password"),
                    Not(HasSubstr("topsecret"))));
  EXPECT_THAT(run("analytcs", "${secret:password}").err,
              AllOf(HasSubstr("\"analytcs\" does not exist"),
                    HasSubstr("hint: check the name of the database")));
}

TEST(Mistakes, UnclosedQuoteIsToldWhereItOpens) {
  const auto run = pgsink_input("SELECT 1;\nSELECT 'it''s;\nSELECT 2;");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("<stdin>:2:8: error[PGS-1001]"));
}

TEST(Mistakes, SecondConnectionOfANameNeedsOrReplace) {
  const std::string one = connection("twice", "mistakes");
  EXPECT_THAT(pgsink_input(one + one).err, HasSubstr("error[PGS-1008]"));
  EXPECT_EQ(pgsink_input(one + "CREATE OR REPLACE" + one.substr(6)).exit_code, 0);
  EXPECT_EQ(pgsink_input(one + "DROP CONNECTION twice;" + one).exit_code, 0);
  EXPECT_THAT(pgsink_input("DROP CONNECTION nobody").err, HasSubstr("error[PGS-1007]"));
  EXPECT_EQ(pgsink_input("DROP CONNECTION IF EXISTS nobody").exit_code, 0);
}

TEST(Mistakes, MissingExtensionFailsAtOnceWithoutADownload) {
  const auto run = pgsink({"-c", "SELECT * FROM postgres_scan('a', 'b', 'c')"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, AllOf(HasSubstr("extension"), Not(HasSubstr("download"))));
}

TEST(Mistakes, ParametersAreVariablesOfTheCommandLine) {
  const auto run = pgsink_input("SELECT $1;", {"--check"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("--set"));
  EXPECT_EQ(pgsink_input("PREPARE p AS SELECT $1 + 1; EXECUTE p(1);").exit_code, 0);
}

TEST(Mistakes, PlacesCountBehindFilledInVariables) {
  const auto run = pgsink_input("SELECT '${a}', ${b}, nope;",
                                {"--set", "a=much longer than the name", "--set", "b=1"});
  EXPECT_THAT(run.err, AllOf(HasSubstr("<stdin>:1:22: error[PGS-1010]"),
                             HasSubstr("SELECT '${a}', ${b}, nope;\n                     ^~~~\n")));
}

}  // namespace
}  // namespace pgsink::test
