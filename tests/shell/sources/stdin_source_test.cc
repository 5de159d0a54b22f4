// CREATE CONNECTION … TO stdin: rows of a pipe that has no end.

#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/shell_support.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

std::string server_says(const std::string& sql) {
  return analytics_server().scalar(sql, "analytics");
}

std::string source(const std::string& options) {
  return "CREATE CONNECTION feed TO stdin (type = 'source', " + options + ");\n";
}

class StdinSource : public testing::Test {
 protected:
  void SetUp() override {
    create_table("arrivals",
                 "(id bigint, name text, at timestamptz, data jsonb, arrived timestamptz DEFAULT "
                 "clock_timestamp())");
  }
  /// Runs statements over what a shell command prints. The command is pgsink's own process.
  static Captured run_fed(const std::string& producer, const std::string& script,
                          std::vector<std::string> flags = {}, RunOptions options = {}) {
    std::string command = "exec " PGSINK_COMMAND;
    for (const std::string& flag : flags) command += " " + flag;
    options.environment.emplace_back("PGSINK_SECRET_PASSWORD", "s3cret'pw");
    options.environment.emplace_back("SCRIPT", script);
    return run_command({"/bin/bash", "-c", command + " -c \"$SCRIPT\" < <(" + producer + ")"},
                       options);
  }
  static Captured run_text(const std::string& lines, const std::string& script,
                           std::vector<std::string> flags = {}) {
    flags.insert(flags.end(), {"-c", script});
    return pgsink_input(lines, std::move(flags));
  }

  const std::string sink_ = connection("arrivals_sink", "arrivals");
};

TEST_F(StdinSource, JsonLinesBecomeRowsWithColumnsFoundInTheFirstLines) {
  const auto run = run_text(
      "{\"id\": 1, \"name\": \"Zo\\u00eb\", \"at\": \"2026-01-02T03:04:05Z\", \"data\": {\"k\": "
      "[1]}}\n"
      "\n"
      "{\"name\": null, \"id\": 2, \"extra\": true}\r\n"
      "{\"id\": 3, \"name\": \"last line without an end\"}",
      sink_ + source("format = 'json'") +
          "CREATE PIPELINE p AS INSERT INTO arrivals_sink SELECT id * 10 AS id, name, \"at\", data "
          "FROM feed WHERE id <> 2 OR extra;");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("p -> arrivals_sink (public.arrivals): 3 rows"));
  EXPECT_EQ(server_says("SELECT string_agg(concat_ws('|', id, name, at AT TIME ZONE 'UTC', data), "
                        "';' ORDER BY id) FROM arrivals"),
            "10|Zoë|2026-01-02 03:04:05|{\"k\": [1]};20;30|last line without an end");
}

// A run that waits for the next line would be killed after time_max.
TEST_F(StdinSource, ASinkThatStopsIsToldAlthoughNoLineComes) {
  create_table("arrivals", "(id int CHECK (id > 0), name varchar(3))");
  for (const std::string bad : {"-1", "1, \\\"name\\\": \\\"long\\\""}) {
    const auto run =
        run_fed("echo \"{\\\"id\\\": " + bad +
                    "}\"; exec sleep 60 2>&-",  // Else the error output stays open as long.
                connection("arrivals_sink", "arrivals", "batch_timeout_ms = 100") +
                    source("format = 'json', columns = MAP {'id': 'INTEGER', 'name': 'VARCHAR'}, "
                           "batch_timeout_ms = 100") +
                    "INSERT INTO arrivals_sink SELECT * FROM feed;",
                {}, {.time_max = std::chrono::seconds(120)});
    EXPECT_EQ(run.exit_code, 1) << run.err;
    EXPECT_THAT(run.err, AllOf(HasSubstr("0 rows are committed"),
                               HasSubstr("; 1 rows of the query were read")));
  }
}

TEST_F(StdinSource, CsvFieldsAreNamedByTheHeaderOrByColumns) {
  const auto run = run_text(
      "id;name;at\n1;\"a;\"\"b\"\"\nline\";2026-01-02 00:00:00+00\n2;;\n3;\"\";\n",
      sink_ + source("format = 'csv', delimiter = ';'") +
          "INSERT INTO arrivals_sink SELECT id, coalesce(name, 'NULL') AS name, \"at\" FROM feed;");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(server_says("SELECT string_agg(id || name || coalesce(extract(year FROM at)::text, "
                        "''), ',' ORDER BY id) FROM arrivals"),
            "1a;\"b\"\nline2026,2NULL,3");
  const auto bare = run_text("7,seven\n8,eight\n",
                             sink_ +
                                 source("format = 'csv', header = false, columns = MAP {'id': "
                                        "'BIGINT', 'name': 'VARCHAR'}") +
                                 "INSERT INTO arrivals_sink SELECT * FROM feed;");
  ASSERT_EQ(bare.exit_code, 0) << bare.err;
  EXPECT_EQ(server_says("SELECT string_agg(name, ',' ORDER BY id) FROM arrivals WHERE id > 6"),
            "seven,eight");
}

TEST_F(StdinSource, RowArrivesWithinTheTimeoutAndAHandbreadth) {
  const std::string producer =
      "for i in 1 2 3; do echo \"{\\\"id\\\": $i, \\\"name\\\": \\\"$(date +%s.%N)\\\"}\"; sleep "
      "0.7; done";
  for (const std::string options : {"batch_timeout_ms = 200", "max_rejects = 0"}) {
    create_table("arrivals",
                 "(id bigint, sent numeric, arrived timestamptz DEFAULT clock_timestamp())");
    const auto run =
        run_fed(producer,
                connection("arrivals_sink", "arrivals",
                           options.starts_with("max") ? "batch_timeout_ms = 200" : "") +
                    source("format = 'json', columns = MAP {'id': 'BIGINT', 'name': 'VARCHAR'}, " +
                           options) +
                    "INSERT INTO arrivals_sink SELECT id, name::DECIMAL(20, 6) AS sent FROM feed;");
    ASSERT_EQ(run.exit_code, 0) << run.err;
    EXPECT_EQ(server_says("SELECT count(*) || ' ' || count(DISTINCT xmin::text) FROM arrivals"),
              "3 3");
    // The first one waits for the command to start.
    const std::string late = server_says(
        "SELECT max(extract(epoch FROM arrived) - sent)::text FROM arrivals WHERE id > 1");
    EXPECT_LT(std::stod(late), 0.250) << options;
    EXPECT_GT(std::stod(late), 0.150) << options << ": a batch waits for its time";
  }
}

TEST_F(StdinSource, BatchesAreCutByTheSinksSizeAndNothingIsLostInALongPipe) {
  const auto run = run_fed(
      "seq 1 200000 | sed 's/.*/{\"id\": &, \"name\": \"n&\"}/'",
      connection("arrivals_sink", "arrivals", "batch_size = 5000, transaction_size = 5000") +
          source("format = 'json'") +
          "INSERT INTO arrivals_sink SELECT id, name FROM feed;"
          "SELECT batches_sent BETWEEN 40 AND 60 AS cut FROM system.postgresql_sink_metrics",
      {"--format csv"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out, "cut\ntrue\n") << run.err;
  EXPECT_EQ(server_says("SELECT count(*) || ' ' || sum(id) || ' ' || count(DISTINCT name) FROM "
                        "arrivals"),
            "200000 20000100000 200000");
}

TEST_F(StdinSource, SeveralBranchesShareTheWithOfEachMicroBatch) {
  create_table("others", "(id bigint, drawn double precision)");
  create_table("drawn", "(id bigint, drawn double precision)");
  const auto run =
      run_fed("seq 1 30000 | sed 's/.*/{\"id\": &}/'",
              connection("a", "drawn") + connection("b", "others") +
                  source("format = 'json', columns = MAP {'id': 'BIGINT'}, batch_size = 1000") +
                  "CREATE TABLE log (id BIGINT);"
                  "CREATE PIPELINE split AS WITH d AS (SELECT id, random() AS drawn FROM feed),"
                  " low AS (SELECT * FROM d WHERE drawn < 0.5)\n"
                  "INSERT INTO a SELECT * FROM d UNION ALL INSERT INTO b SELECT * FROM low "
                  "UNION ALL INSERT INTO log SELECT id FROM low;"
                  "SELECT count(*) AS n FROM log",
              {"--format csv"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(server_says("SELECT count(*) FROM drawn"), "30000");
  const std::string low = server_says("SELECT count(*) FROM drawn WHERE drawn < 0.5");
  EXPECT_EQ(server_says("SELECT count(*) FROM others JOIN drawn USING (id, drawn)"), low);
  EXPECT_EQ(run.out, "n\n" + low + "\n");
}

// ---- malformed lines -----------------------------------------------------------------------

TEST_F(StdinSource, MalformedLineStopsThePipelineAndIsNamed) {
  const auto run =
      run_text("{\"id\": 1}\n{\"id\": 2}\n{\"id\": oops}\n{\"id\": 4}\n",
               sink_ + source("format = 'json', columns = MAP {'id': 'BIGINT'}, batch_size = 2") +
                   "INSERT INTO arrivals_sink SELECT * FROM feed;");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, AllOf(HasSubstr("source 'feed': line 3: "), HasSubstr("max_rejects")));
  EXPECT_EQ(server_says("SELECT string_agg(id::text, ',' ORDER BY id) FROM arrivals"), "1,2");
}

TEST_F(StdinSource, RejectedLinesAreCountedAndTakeNoGoodOneWithThem) {
  const std::string bad =
      "seq 1 5000 | awk '$1 == 7 {print \"nonsense\"; next} $1 == 8 {print \"[1]\"; next} "
      "$1 == 9 {print \"{\\\"id\\\": 9.5}\"; next} $1 == 4000 {print \"{\\\"id\\\": \\\"x\\\"}\"; "
      "next} "
      "{print \"{\\\"id\\\": \" $1 \"}\"}'";
  const std::string pipeline = "INSERT INTO arrivals_sink SELECT id FROM feed;";
  const auto run = run_fed(
      bad, sink_ + source("format = 'json', columns = MAP {'id': 'BIGINT'}, max_rejects = 4") +
               pipeline);
  EXPECT_EQ(run.exit_code, 3) << run.err;
  for (const std::string line : {"line 7: ", "line 8: ", "line 9: ", "line 4000: "}) {
    EXPECT_THAT(run.err, HasSubstr(line));
  }
  EXPECT_THAT(run.err, AllOf(HasSubstr("4 rejected"), HasSubstr("'9.5' is not of type BIGINT")));
  EXPECT_EQ(server_says("SELECT count(*) || ' ' || sum(id) FROM arrivals"), "4996 12498476");
  const auto strict = run_fed(
      bad, sink_ + source("format = 'json', columns = MAP {'id': 'BIGINT'}, max_rejects = 3") +
               pipeline);
  EXPECT_EQ(strict.exit_code, 1);
  EXPECT_THAT(strict.err, AllOf(HasSubstr("line 4000: "), HasSubstr("max_rejects = 3")));
}

TEST_F(StdinSource, CsvRecordsOfAnotherWidthAndBadBytesAreRejected) {
  const auto run = run_text("id,name\n1,one\n2\n3,three,3\n4,x\"y\n5,\xff\n6,six\n",
                            sink_ +
                                source("format = 'csv', max_rejects = 9, columns = MAP {'name': "
                                       "'VARCHAR', 'id': 'BIGINT'}") +
                                "INSERT INTO arrivals_sink SELECT * FROM feed;");
  EXPECT_EQ(run.exit_code, 3) << run.err;
  EXPECT_THAT(run.err, AllOf(HasSubstr("line 3: it has 1 field, not 2"),
                             HasSubstr("line 4: it has 3 fields"), HasSubstr("line 5: field 2"),
                             HasSubstr("line 6: it is not valid UTF-8")));
  EXPECT_EQ(server_says("SELECT string_agg(name, ',' ORDER BY id) FROM arrivals"), "one,six");
}

TEST_F(StdinSource, ErrorOfTheQueryItselfStopsAndSaysBetweenWhichLines) {
  const auto run = run_text("{\"id\": 1}\n{\"id\": 0}\n",
                            sink_ + source("format = 'json', max_rejects = 100") +
                                "INSERT INTO arrivals_sink SELECT CASE WHEN id = 0 THEN "
                                "error('zero') ELSE id END AS id FROM feed;");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, AllOf(HasSubstr("zero"), HasSubstr("between line 1 and line 2")));
}

// ---- what is refused -----------------------------------------------------------------------

TEST_F(StdinSource, QueriesThatNeedMoreThanOneRowAreRefusedByOperator) {
  const std::pair<std::string, std::string> refused[] = {
      {"SELECT count(*) AS id FROM feed", "an aggregate"},
      {"SELECT id FROM feed GROUP BY id", "GROUP BY"},
      {"SELECT DISTINCT id FROM feed", "DISTINCT"},
      {"SELECT id FROM feed ORDER BY id", "ORDER BY"},
      {"SELECT id FROM feed LIMIT 3", "LIMIT"},
      {"SELECT row_number() OVER () AS id FROM feed", "a window function"},
      {"SELECT a.id FROM feed a JOIN feed b ON a.id = b.id", "a join"},
      {"SELECT id FROM feed JOIN side USING (id)", "a join"},
      {"SELECT id FROM feed UNION ALL SELECT id FROM side", "another table"},
      {"SELECT id FROM feed WHERE id IN (SELECT id FROM side)", "a join or a subquery"},
  };
  for (const auto& [query, meaning] : refused) {
    const auto run =
        run_text("{\"id\": 1}\n", sink_ + "CREATE TABLE side AS SELECT 1::BIGINT AS id;" +
                                      source("format = 'json', columns = MAP {'id': 'BIGINT'}") +
                                      "INSERT INTO arrivals_sink " + query + ";");
    EXPECT_EQ(run.exit_code, 1) << query;
    EXPECT_THAT(run.err, AllOf(HasSubstr("'feed'"), HasSubstr(meaning), HasSubstr("PGS-1010")))
        << query;
  }
  EXPECT_EQ(server_says("SELECT count(*) FROM arrivals"), "0");
  const auto allowed = run_text(
      "{\"id\": 1}\n", sink_ + source("format = 'json', columns = MAP {'id': 'BIGINT'}") +
                           "CREATE VIEW doubled AS SELECT 2 * id AS id FROM feed WHERE id > 0;"
                           "INSERT INTO arrivals_sink WITH v AS (SELECT * FROM doubled) SELECT id, "
                           "md5(id::VARCHAR) AS name FROM v UNION ALL SELECT unnest([7, 8]), 'x' "
                           "FROM feed;");
  EXPECT_EQ(allowed.exit_code, 0) << allowed.err;
  EXPECT_EQ(server_says("SELECT string_agg(id::text, ',' ORDER BY id) FROM arrivals"), "2,7,8");
}

TEST_F(StdinSource, MisusesAreToldWithTheirPlace) {
  const std::string feed = source("format = 'json'");
  const std::pair<std::string, std::string> wrong[] = {
      {"CREATE CONNECTION f TO stdin (format = 'xml');",
       ":1:40: error[PGS-1003]: format takes 'json'"},
      {"CREATE CONNECTION f TO stdin (type = 'source');", "the option format is missing"},
      {"CREATE CONNECTION f TO stdin (formt = 'csv');", "did you mean format?"},
      {"CREATE CONNECTION f TO stdin (type = 'sink', format = 'csv');", "can only be 'source'"},
      {"CREATE CONNECTION f TO stdin (format = 'json', batch_size = 0);", "whole number from 1"},
      {"CREATE CONNECTION f TO stdin (format = 'json', delimiter = ';');", "is for format = 'csv'"},
      {"CREATE CONNECTION f TO stdin (format = 'json', null = 'x');", "null is for format = 'csv'"},
      {"CREATE CONNECTION f TO stdin (format = 'csv', quote = '');", "one ASCII character"},
      {"CREATE CONNECTION f TO stdin (format = 'csv', quote = 'ab');", "one ASCII character"},
      {"CREATE CONNECTION f TO stdin (format = 'csv', escape = 'ä');", "one ASCII character"},
      {"CREATE CONNECTION f TO stdin (format = 'csv', delimiter = '\"');", "the same character"},
      {"CREATE CONNECTION f TO stdin (format = 'csv', delimiter = ';', null = 'a;b');",
       "null holds the delimiter"},
      {"CREATE CONNECTION f TO stdin (format = 'json', columns = MAP {'a': 'INT', 'A': 'INT'});",
       "'A' is given twice"},
      {"CREATE CONNECTION f TO stdin (format = 'csv', header = false);", "give columns"},
      {"CREATE CONNECTION f TO stdin (format = 'json', columns = MAP {'a': 'BIGIT'});",
       "the type of 'a'"},
      {feed + "CREATE CONNECTION f TO stdin (format = 'csv');", "is the source 'feed' already"},
      {feed + feed, "error[PGS-1008]"},
      {feed + "SELECT * FROM feed;", "'feed' is an unbounded source"},
      {feed + "CREATE TABLE t AS SELECT * FROM feed;", "'feed' is an unbounded source"},
      {feed + "INSERT INTO feed SELECT 1;", "'feed' is a source"},
      {"CREATE TABLE feed (a INT);" + feed, "a source needs a unique name"},
      {feed + connection("once", "arrivals", "delivery = 'exactly_once'") +
           "INSERT INTO once SELECT id FROM feed;",
       "needs a source that can be read again"},
  };
  for (const auto& [script, message] : wrong) {
    const auto run = run_text("{\"id\": 1}\n", script);
    EXPECT_EQ(run.exit_code, 1) << script;
    EXPECT_THAT(run.err, HasSubstr(message)) << script;
  }
  EXPECT_THAT(pgsink_input(feed).err, HasSubstr("come from standard input: give them with -f"));
  EXPECT_EQ(
      run_text("{\"id\": 1}\n", feed + "DROP CONNECTION feed;" + feed + "DESCRIBE feed;").exit_code,
      0);
}

TEST_F(StdinSource, CheckBindsWithGivenColumnsAndWaitsForNothing) {
  const std::string insert = "INSERT INTO arrivals_sink SELECT nope FROM feed;";
  const auto bound = run_fed(
      "exec sleep 5 2>&-",
      sink_ + source("format = 'json', columns = MAP {'id': 'BIGINT'}") + insert, {"--check"});
  EXPECT_EQ(bound.exit_code, 1);
  EXPECT_THAT(bound.err, HasSubstr("\"nope\" not found"));
  const auto unknown =
      run_fed("exec sleep 5 2>&-", sink_ + source("format = 'json'") + insert, {"--check"});
  EXPECT_EQ(unknown.exit_code, 0);
  EXPECT_THAT(unknown.err, HasSubstr("warning: line 3 is not checked"));
}

// ---- the end -------------------------------------------------------------------------------

TEST_F(StdinSource, SignalCommitsWhatCameAndTellsSo) {
  for (const int number : {SIGINT, SIGTERM}) {
    create_table("arrivals", "(id bigint)");
    RunOptions options;
    bool sent = false;
    options.watch = [&](pid_t pid, const std::string& err) {
      if (sent || err.find("feed: ") == std::string::npos) return;
      sent = true;
      ::kill(pid, number);
    };
    // The sink would wait for an hour: only the end makes it send.
    const auto run =
        run_fed("echo '{\"id\": 1}'; echo '{\"id\": 2}'; exec sleep 20 2>&-",
                connection("arrivals_sink", "arrivals", "batch_timeout_ms = 3600000") +
                    source("format = 'json'") + "INSERT INTO arrivals_sink SELECT id FROM feed;",
                {"--progress always"}, options);
    EXPECT_EQ(run.exit_code, 128 + number) << run.err;
    EXPECT_THAT(run.err, HasSubstr("2 rows, "));
    EXPECT_THAT(run.err, HasSubstr("(interrupted)"));
    EXPECT_EQ(server_says("SELECT count(*) FROM arrivals"), "2");
  }
}

TEST_F(StdinSource, TwoPhaseCommitShowsItsRowsWhileThePipeIsOpen) {
  const auto run =
      run_fed("echo '{\"id\": 1}'; sleep 1.5; echo '{\"id\": 2}'",
              connection("arrivals_sink", "arrivals", "use_2pc = true, batch_timeout_ms = 100") +
                  source("format = 'json'") + "INSERT INTO arrivals_sink SELECT id FROM feed;");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(server_says("SELECT count(*) || ' ' || count(DISTINCT xmin::text) FROM arrivals"),
            "2 2");
  EXPECT_EQ(server_says("SELECT count(*) FROM pg_prepared_xacts"), "0");
  analytics_server().sql("DROP TABLE pgsink_writers, pgsink_decisions", "analytics");
}

}  // namespace
}  // namespace pgsink::test
