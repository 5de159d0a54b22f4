// The command line: what is taken, what is refused, and with which exit code.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/shell_support.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(Usage, UnknownFlagExitsWithTwoAndNamesTheNearest) {
  const auto run = pgsink({"--formt", "csv", "-c", "SELECT 1"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_EQ(run.out, "");
  EXPECT_THAT(run.err, StartsWith("pgsink: unknown flag --formt; did you mean --format?\n"));
}

TEST(Usage, FlagsThatDoNotExistYetAreRefusedNotIgnored) {
  for (const char* flag : {"--check=offline", "--dry-run=all", "--dry-run=0", "--strict", "-x"}) {
    const auto run = pgsink({flag, "-c", "SELECT 1"});
    EXPECT_EQ(run.exit_code, 2) << flag;
    EXPECT_EQ(run.out, "") << flag;
  }
  EXPECT_EQ(pgsink({"--check", "--dry-run", "-c", "SELECT 1"}).exit_code, 2);
  EXPECT_EQ(pgsink({"recover"}).exit_code, 2);
  EXPECT_EQ(pgsink({"load.sql"}).exit_code, 2);
}

TEST(Usage, WrongChoiceNamesThePossibleOnes) {
  const auto run = pgsink({"--format", "jsnl", "-c", "SELECT 1"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, AllOf(HasSubstr("table|csv|json|jsonl|line"), HasSubstr("'jsnl'"),
                             HasSubstr("did you mean jsonl?")));
}

TEST(Usage, MissingValueIsNamed) {
  const auto run = pgsink({"-f"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("-f needs a value: FILE"));
}

TEST(Usage, SetNeedsANameAndAValue) {
  for (const char* text : {"name", "=value", "two words=1", ""}) {
    EXPECT_EQ(pgsink({"--set", text, "-c", "SELECT 1"}).exit_code, 2) << text;
  }
}

TEST(Usage, MissingScriptIsAUsageErrorBeforeAnythingRuns) {
  const auto run = pgsink({"-c", "SELECT 1", "-f", "/nowhere/script.sql"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_EQ(run.out, "");
  EXPECT_THAT(run.err, HasSubstr("cannot read /nowhere/script.sql: No such file or directory"));
}

TEST(Usage, HelpNamesEveryFlagWithExamplesAndExitCodes) {
  const auto run = pgsink({"--help"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.err, "");
  for (const char* flag :
       {"-f, --file FILE", "-c, --command SQL", "--set", "--secret-dir", "--check[=online]",
        "--dry-run[=ROWS]", "--shutdown-timeout SECONDS", "--format", "--progress", "--summary",
        "--color", "--log-level", "--help", "--version", "Examples:", "Exit codes:"}) {
    EXPECT_THAT(run.out, HasSubstr(flag));
  }
  for (size_t begin = 0, end = 0; end != std::string::npos; begin = end + 1) {
    end = run.out.find('\n', begin);
    EXPECT_LE(std::min(end, run.out.size()) - begin, 100U) << run.out.substr(begin, end - begin);
  }
}

TEST(Usage, VersionTellsWhatItIsMadeOf) {
  const auto run = pgsink({"--version"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.out, StartsWith("pgsink 0."));
  for (const char* part : {"\ncommit    ", "\ncompiler  ", "OpenSSL 3", "\nDuckDB    v1."}) {
    EXPECT_THAT(run.out, HasSubstr(part));
  }
}

TEST(Usage, OptionsListsTheTableForPeopleAndPrograms) {
  const auto text = pgsink({"options"});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.out, HasSubstr("copy_batch_size"));
  const auto json = pgsink({"options", "--json"});
  EXPECT_EQ(json.exit_code, 0);
  TemporaryFolder folder;
  const std::string file = folder.write("options.json", json.out);
  const auto read = pgsink({"--format", "csv", "-c",
                            "SELECT count(*) > 50 AS many, bool_or(key = 'ssl_mode') AS has_tls "
                            "FROM read_json('" +
                                file + "')"});
  EXPECT_EQ(read.out, "many,has_tls\ntrue,true\n") << read.err;
}

TEST(Usage, InputsRunInTheirOrderAndShareOneEngine) {
  TemporaryFolder folder;
  const std::string file = folder.write("b.sql", "INSERT INTO t VALUES (2);");
  RunOptions options;
  options.input = "INSERT INTO t VALUES (3)";
  const auto run = pgsink({"-c", "CREATE TABLE t (i INT); INSERT INTO t VALUES (1)", "-f", file,
                           "-f", "-", "--format", "csv", "-c", "SELECT * FROM t"},
                          options);
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out, "i\n1\n2\n3\n");
}

TEST(Usage, ScriptStopsAtTheFirstFailure) {
  const auto run =
      pgsink_input("SELECT 1 AS a; SELECT * FROM nowhere; SELECT 2 AS b;", {"--format", "csv"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_EQ(run.out, "a\n1\n");
}

TEST(Usage, VariablesAreFilledInAndStayInsideTheirQuotes) {
  const auto run = pgsink_input(
      "SELECT '${name}' AS \"${column}\", ${number} + 1 AS n, '${unknown}' AS kept, "
      "E'${name}' AS e; -- ${comment}",
      {"--set", "name=O'Brien\\", "--set", "number=41", "--set", "column=a\"b", "--format",
       "jsonl"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out,
            "{\"a\\\"b\":\"O'Brien\\\\\",\"n\":42,\"kept\":\"${unknown}\","
            "\"e\":\"O'Brien\\\\\"}\n");
}

TEST(Usage, VariableWithoutAValueIsNamedWithItsPlace) {
  const auto run = pgsink_input("SELECT 1;\nSELECT 2 +\n  ${step};");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, AllOf(HasSubstr("<stdin>:3:3: error[PGS-1009]: no value for ${step}"),
                             HasSubstr("--set step=value"), HasSubstr("  ^~~~~~~")));
}

TEST(Usage, ColorOnlyWhenAskedForOrOnATerminal) {
  RunOptions terminal;
  terminal.terminal_columns = 80;
  terminal.environment = {{"TERM", "xterm"}, {"NO_COLOR", ""}};
  EXPECT_THAT(pgsink({"-c", "SELEC"}, terminal).err, HasSubstr("\x1b[1;31merror[PGS-1010]\x1b[0m"));
  EXPECT_THAT(pgsink({"-c", "SELEC"}).err, Not(HasSubstr("\x1b[")));
  EXPECT_THAT(pgsink({"--color", "always", "-c", "SELEC"}).err, HasSubstr("\x1b[1;31m"));
  terminal.environment.back() = {"NO_COLOR", "1"};
  EXPECT_THAT(pgsink({"-c", "SELEC"}, terminal).err, Not(HasSubstr("\x1b[")));
}

}  // namespace
}  // namespace pgsink::test
