// `--trace FILE`: what the command and the server say to each other, a line for each message.

#include <regex>
#include <sstream>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/shell_support.h"

namespace pgsink::test {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

TEST(Trace, HasALineForEachMessageAndNoPassword) {
  create_table("traced", "(a int, b text)");
  const TemporaryFolder folder;
  const std::string file = folder.path() + "/trace";
  const auto run =
      pgsink({"--trace", file, "-c",
              connection("traced_sink", "traced") +
                  "CREATE PIPELINE p AS INSERT INTO traced_sink SELECT 1 AS a, 'x' AS b;"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const std::string trace = read_file(file);
  EXPECT_THAT(trace, HasSubstr(" 1 connects to "));
  EXPECT_THAT(trace, HasSubstr("SASLInitialResponse\t"));
  EXPECT_THAT(trace, HasSubstr("AuthenticationOk"));
  EXPECT_THAT(trace, ContainsRegex("F\t[0-9]+\t(Query|Parse)\t.*traced"));
  EXPECT_THAT(trace, HasSubstr("\tTerminate"));
  EXPECT_THAT(trace, Not(HasSubstr("s3cret")));

  const std::regex form(
      R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \d+ (connects to \S.*|[FB]\t\d+\t\w+.*))");
  std::istringstream lines(trace);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    EXPECT_TRUE(std::regex_match(line, form)) << line;
  }
  EXPECT_GT(count, 20);

  struct stat status{};
  ASSERT_EQ(::stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U) << "it may hold the values of rows";
}

TEST(Trace, IsWrittenByLoadAndRecoverToo) {
  create_table("traced", "(a int)");
  const TemporaryFolder folder;
  const std::string file = folder.path() + "/trace";
  const std::string csv = folder.write("rows.csv", "a\n1\n2\n");
  const auto load =
      pgsink({"load", csv, "--to", "postgresql://user:s3cret%27pw@localhost/analytics", "--table",
              "traced", "--trace", file});
  ASSERT_EQ(load.exit_code, 0) << load.err;
  EXPECT_THAT(read_file(file), HasSubstr("\tCommandComplete\t"));
  EXPECT_THAT(read_file(file), Not(HasSubstr("s3cret")));

  const auto recover =
      pgsink({"recover", "-c", connection("traced_sink", "traced"), "--trace", file});
  ASSERT_EQ(recover.exit_code, 0) << recover.err;
  EXPECT_THAT(read_file(file), HasSubstr("pg_prepared_xacts"));
  EXPECT_THAT(read_file(file), Not(HasSubstr("s3cret")));
}

TEST(Trace, AFileThatCannotBeWrittenIsSaidBeforeAnythingRuns) {
  const auto run = pgsink({"--trace", "/nowhere/trace", "-c", "SELECT 1"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("--trace /nowhere/trace: No such file or directory"));
  EXPECT_EQ(run.out, "");
}

}  // namespace
}  // namespace pgsink::test
