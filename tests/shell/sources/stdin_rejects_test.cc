// Malformed lines of standard input: dead letters with their number and text where a sink takes
// some, and otherwise a clear end.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/shell_support.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string server_says(const std::string& sql) {
  return analytics_server().scalar(sql, "analytics");
}

class StdinRejects : public testing::Test {
 protected:
  void SetUp() override {
    create_table("arrivals", "(id int, v text)");
    analytics_server().sql("DROP TABLE IF EXISTS arrivals_rejected", "analytics");
  }
  static Captured run(const std::string& input, const std::string& source,
                      const std::string& sink = "dead_letter_table = 'arrivals_rejected'",
                      const std::string& insert = "INSERT INTO c SELECT id, v FROM feed;") {
    return pgsink_input(
        input, {"-c", connection("c", "arrivals", sink) + "CREATE CONNECTION feed TO stdin (" +
                          source + ");\n" + insert});
  }
  static constexpr const char* kTyped = ", columns = MAP {'id': 'INTEGER', 'v': 'VARCHAR'}";
};

TEST_F(StdinRejects, BecomeDeadLettersWithNumberAndText) {
  const auto done = run("id,v\n1,a\nx,\"b\n2\",c\n3\n4,\"two\nlines\"\n5,\xff\n6,f\n",
                        std::string("format = 'csv'") + kTyped);
  EXPECT_EQ(done.exit_code, 3) << done.err;
  EXPECT_EQ(server_says("SELECT string_agg(id || v, ',' ORDER BY id) FROM arrivals"),
            "1a,4two\nlines,6f");
  EXPECT_EQ(server_says("SELECT string_agg(concat_ws('|', input_row, sqlstate, target, connection, "
                        "row->>'input'), ' ' ORDER BY input_row) FROM arrivals_rejected"),
            "3|22P02|public.arrivals|c|x,\"b 4|22P02|public.arrivals|c|2\",c "
            "5|22P02|public.arrivals|c|3 8|22P02|public.arrivals|c|\\x352cff");
  EXPECT_THAT(server_says("SELECT string_agg(message, ' ' ORDER BY input_row) FROM "
                          "arrivals_rejected"),
              AllOf(HasSubstr("line 3: field 2: its opening quote has no closing quote"),
                    HasSubstr("line 5: it has 1 field, not 2"),
                    HasSubstr("line 8: it is not valid UTF-8")));
  EXPECT_THAT(done.err, AllOf(HasSubstr("3 rows, 4 rejected"), HasSubstr("line 5: ")));
}

TEST_F(StdinRejects, OfJsonAndOfTheEngineGoThere) {
  const auto done = run(
      "{\"id\":1,\"v\":\"a\"}\n{\"id\":oops}\n{\"id\":2.5}\n[1]\n{\"id\":3,\"v\":\"2024-13-01\"}\n"
      "{\"id\":4,\"v\":\"2024-01-01\"}\n",
      "format = 'json', columns = MAP {'id': 'INTEGER', 'v': 'DATE'}");
  EXPECT_EQ(done.exit_code, 3) << done.err;
  EXPECT_EQ(server_says("SELECT string_agg(concat_ws('|', input_row, row->>'input'), ' ' ORDER BY "
                        "input_row) FROM arrivals_rejected"),
            "1|{\"id\":1,\"v\":\"a\"} 2|{\"id\":oops} 3|{\"id\":2.5} 4|[1] "
            "5|{\"id\":3,\"v\":\"2024-13-01\"}");
  EXPECT_EQ(server_says("SELECT string_agg(v, ',') FROM arrivals"), "2024-01-01");
}

TEST_F(StdinRejects, AreLimitedByTheSinkAndByTheSource) {
  const std::string input = "1,a\nx,1\nx,2\nx,3\n2,b\n";
  const std::string source = std::string("format = 'csv', header = false") + kTyped;
  const auto by_sink =
      run(input, source, "dead_letter_table = 'arrivals_rejected', max_rejects = 2");
  EXPECT_EQ(by_sink.exit_code, 1);
  EXPECT_THAT(by_sink.err, AllOf(HasSubstr("max_rejects = 2"), HasSubstr("line 4: ")));
  const auto by_source = run(input, source + ", max_rejects = 1");
  EXPECT_EQ(by_source.exit_code, 1);
  EXPECT_THAT(by_source.err, AllOf(HasSubstr("line 3: "), HasSubstr("max_rejects = 1")));
  const auto unlimited = run(input, source);
  EXPECT_EQ(unlimited.exit_code, 3) << unlimited.err;
}

TEST_F(StdinRejects, WithoutDeadLettersTheyEndThePipelineUnlessAllowed) {
  const std::string input = "1,a\nx,1\n2,b\n";
  const std::string source = std::string("format = 'csv', header = false") + kTyped;
  const auto stopped = run(input, source, "");
  EXPECT_EQ(stopped.exit_code, 1);
  EXPECT_THAT(stopped.err,
              AllOf(HasSubstr("source 'feed': line 2: "), HasSubstr("dead_letter_table"),
                    HasSubstr("max_rejects"), HasSubstr("PGS-4001")));
  const auto allowed = run(input, source + ", max_rejects = 1", "");
  EXPECT_EQ(allowed.exit_code, 3) << allowed.err;
  EXPECT_THAT(allowed.err, HasSubstr("2 rows, 1 rejected"));
}

TEST_F(StdinRejects, WouldCountAsMissingInASnapshot) {
  create_table("arrivals", "(id int PRIMARY KEY, v text)");
  analytics_server().sql("INSERT INTO arrivals VALUES (1, 'former'), (2, 'former')", "analytics");
  const std::string source = std::string("format = 'csv', header = false") + kTyped;
  const std::string sink = "write_mode = 'upsert', conflict_columns = 'id', delete_missing = true";
  const auto tolerant = run("1,a\n2;b\n", source + ", max_rejects = 1", sink);
  EXPECT_NE(tolerant.exit_code, 0);
  EXPECT_THAT(tolerant.err, AllOf(HasSubstr("delete_missing"), HasSubstr("max_rejects")));
  EXPECT_EQ(server_says("SELECT count(*) FROM arrivals WHERE v = 'former'"), "2");
  const auto strict = run("1,a\n", source, sink);
  EXPECT_EQ(strict.exit_code, 0) << strict.err;
  EXPECT_EQ(server_says("SELECT string_agg(id || v, ',') FROM arrivals"), "1a");
}

TEST_F(StdinRejects, GoIntoTheFileToo) {
  const TemporaryFolder folder;
  const auto done = run("1,a\nx,1\n", std::string("format = 'csv', header = false") + kTyped,
                        "dead_letter_file = '" + folder.path() + "/rejected.gz'");
  EXPECT_EQ(done.exit_code, 3) << done.err;
  const auto shown = run_command({"/bin/sh", "-c", "zcat " + folder.path() + "/rejected.gz"}, {});
  EXPECT_THAT(shown.out, AllOf(HasSubstr("\"input_row\":2"), HasSubstr("{\"input\":\"x,1\"}")));
}

TEST_F(StdinRejects, GoToEveryBranchThatTakesThem) {
  create_table("others", "(id int, v text)");
  const auto done =
      run("1,a\nx,1\n", std::string("format = 'csv', header = false") + kTyped,
          "dead_letter_table = 'arrivals_rejected'",
          connection("d", "others", "dead_letter_table = 'arrivals_rejected'") +
              connection("e", "others") +
              "CREATE PIPELINE p AS INSERT INTO c SELECT * FROM feed UNION ALL INSERT "
              "INTO d SELECT * FROM feed UNION ALL INSERT INTO e SELECT * FROM feed;");
  EXPECT_EQ(done.exit_code, 3) << done.err;
  EXPECT_EQ(server_says("SELECT string_agg(connection, ',' ORDER BY connection) FROM "
                        "arrivals_rejected"),
            "c,d");
}

TEST_F(StdinRejects, AreWrittenWhileThePipeIsOpenAndByTheRoleOfTheSink) {
  analytics_server().sql("GRANT laminar TO \"user\"; GRANT CREATE ON SCHEMA public TO laminar",
                         "analytics");
  const auto done = run("x,1\n1,a\n", std::string("format = 'csv', header = false") + kTyped,
                        "dead_letter_table = 'arrivals_rejected', set_role = 'laminar'");
  EXPECT_EQ(done.exit_code, 3) << done.err;
  EXPECT_EQ(server_says("SELECT tableowner FROM pg_tables WHERE tablename = 'arrivals_rejected'"),
            "laminar");
  EXPECT_EQ(server_says("SELECT count(*) FROM arrivals_rejected"), "1");
  analytics_server().sql(
      "DROP TABLE arrivals_rejected; REVOKE laminar FROM \"user\"; REVOKE CREATE "
      "ON SCHEMA public FROM laminar",
      "analytics");
}

TEST_F(StdinRejects, OfTwoPhaseCommitAreThereAtOnce) {
  const auto done = run("x,1\n1,a\n", std::string("format = 'csv', header = false") + kTyped,
                        "dead_letter_table = 'arrivals_rejected', use_2pc = true");
  EXPECT_EQ(done.exit_code, 3) << done.err;
  EXPECT_EQ(server_says("SELECT count(*) FROM arrivals_rejected"), "1");
  EXPECT_EQ(server_says("SELECT count(*) FROM arrivals"), "1");
  analytics_server().sql("DROP TABLE pgsink_writers, pgsink_decisions", "analytics");
}

}  // namespace
}  // namespace pgsink::test
