// Pipelines against a real server: how rows get there, what is said meanwhile, and how a run ends.

#include <algorithm>
#include <csignal>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>

#include "shell/output/progress.h"
#include "shell/shell_support.h"
#include "support/patience.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

std::string server_says(const std::string& sql) {
  return analytics_server().scalar(sql, "analytics");
}

class PipelineRun : public testing::Test {
 protected:
  void SetUp() override { create_table("numbers", "(id bigint, name text)"); }
  const std::string sink_ = connection("numbers_sink", "numbers");
  TemporaryFolder folder_;
};

// ---- what is written -----------------------------------------------------------------------

TEST_F(PipelineRun, InsertValuesGoesByPositionLikeInPostgres) {
  const auto run = pgsink_input(sink_ + "INSERT INTO numbers_sink VALUES (1, 'one'), (2, NULL);");
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(
      server_says("SELECT string_agg(id || coalesce(name, '-'), ',' ORDER BY id) FROM numbers"),
      "1one,2-");
  const auto wide = pgsink_input(sink_ + "INSERT INTO numbers_sink VALUES (1, 'one', 'more');");
  EXPECT_EQ(wide.exit_code, 1);
  EXPECT_THAT(wide.err,
              AllOf(HasSubstr("error[PGS-3002]"), HasSubstr("2 columns"), HasSubstr("3")));
}

// The number of a closed one would be the connection's, and what is printed would go to the server.
TEST_F(PipelineRun, ClosedStandardDescriptorsAreNotReused) {
  const std::string script = sink_ +
                             "INSERT INTO numbers_sink SELECT 1 AS id, 'x' AS name; SELECT 'Q' AS "
                             "q; INSERT INTO numbers_sink SELECT 2 AS id, 'x' AS name;";
  for (const std::string closed : {"<&-", ">&-", "2>&-", "<&- >&- 2>&-"}) {
    create_table("numbers", "(id bigint, name text)");
    RunOptions options;
    options.environment.emplace_back("SCRIPT", script);
    options.environment.emplace_back("PGSINK_SECRET_PASSWORD", "s3cret'pw");
    const auto run = run_command(
        {"/bin/bash", "-c", PGSINK_COMMAND " --progress always -c \"$SCRIPT\" " + closed}, options);
    EXPECT_EQ(run.exit_code, 0) << closed << ": " << run.err;
    EXPECT_EQ(server_says("SELECT count(*) FROM numbers"), "2") << closed;
  }
}

TEST_F(PipelineRun, ColumnListNamesTheColumns) {
  const auto run = pgsink_input(sink_ +
                                "INSERT INTO numbers_sink (name, id) SELECT 'a', 1;"
                                "INSERT INTO numbers_sink (id) VALUES (2);");
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(
      server_says("SELECT string_agg(id || coalesce(name, '-'), ',' ORDER BY id) FROM numbers"),
      "1a,2-");
  EXPECT_THAT(pgsink_input(sink_ + "INSERT INTO numbers_sink (id, name) SELECT 1;").err,
              HasSubstr("INSERT INTO names 2 columns, but the query has 1"));
}

// The rows that were read are the position: what a former run committed is not written again.
TEST_F(PipelineRun, ExactlyOnceGoesOnWhereTheFormerRunEnded) {
  const std::string once =
      connection("numbers_sink", "numbers", "delivery = 'exactly_once', sink_id = 'numbers'");
  const auto read = [&](const std::string& rows) {
    return pgsink_input(once + "INSERT INTO numbers_sink SELECT i AS id FROM range(" + rows +
                        ") AS r(i);");
  };
  // Multiples of what the engine yields at once: a replay must be cut as the first run was.
  for (const char* const rows : {"10240", "10240", "20480"}) {
    const auto run = read(rows);
    ASSERT_EQ(run.exit_code, 0) << run.err;
    EXPECT_EQ(server_says("SELECT count(*) || ' ' || count(DISTINCT id) FROM numbers"),
              std::string(rows) + " " + rows);
  }
}

TEST_F(PipelineRun, ConnectionWinsOverATableOfTheEngineForInsertOnly) {
  const auto run = pgsink_input(
      "CREATE TABLE twin (id BIGINT);" + connection("twin", "numbers") +
          "INSERT INTO twin SELECT 7 AS id; CREATE TABLE only_engine AS SELECT 1 AS x;"
          "INSERT INTO only_engine VALUES (2); SELECT (SELECT count(*) FROM twin) AS engine_rows, "
          "(SELECT count(*) FROM only_engine) AS other;",
      {"--format", "csv"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out, "engine_rows,other\n0,2\n");
  EXPECT_EQ(server_says("SELECT string_agg(id::text, ',') FROM numbers"), "7");
}

TEST_F(PipelineRun, SharedWithIsEvaluatedOnceForAllBranches) {
  create_table("others", "(id bigint, r double precision)");
  create_table("randoms", "(id bigint, r double precision)");
  const auto run = pgsink_input(
      connection("a", "randoms") + connection("b", "others") +
          "CREATE TABLE log (id BIGINT, r DOUBLE);"
          "CREATE PIPELINE split AS WITH drawn AS (SELECT i AS id, random() AS r FROM range(5000) "
          "AS "
          "t(i)), low(id, low_r) AS (SELECT * FROM drawn WHERE r < 0.5)\n"
          "INSERT INTO a SELECT * FROM drawn\n"
          "UNION ALL INSERT INTO b SELECT id, low_r AS r FROM low\n"
          "UNION ALL INSERT INTO log WITH one AS (SELECT * FROM drawn) SELECT * FROM one;"
          "COPY log TO '" +
          folder_.path() + "/log.csv' (HEADER false)",
      {"--format", "csv"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.err, AllOf(HasSubstr("split -> a"), HasSubstr("split -> b")));
  EXPECT_EQ(server_says("SELECT count(*) FROM randoms"), "5000");
  EXPECT_EQ(server_says("SELECT count(*) FROM others JOIN randoms USING (id, r)"),
            server_says("SELECT count(*) FROM randoms WHERE r < 0.5"));
  const std::string log = read_file(folder_.path() + "/log.csv");
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 5000);
}

TEST_F(PipelineRun, NothingIsReadBeforeEverySinkIsOpen) {
  const auto run = pgsink_input(
      sink_ + connection("broken", "no_such_table") +
      "CREATE PIPELINE p AS WITH x AS (SELECT error('was read') AS id) INSERT INTO numbers_sink "
      "SELECT 1 AS id UNION ALL\nINSERT INTO broken SELECT id FROM x;");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, AllOf(HasSubstr("error[PGS-3001]"), Not(HasSubstr("was read"))));
  EXPECT_EQ(server_says("SELECT count(*) FROM numbers"), "0");
}

TEST_F(PipelineRun, TypesThatArrowLacksArriveAsTheirText) {
  create_table("awkward", "(b bit varying, n numeric, h numeric, t timetz, a text[])");
  const auto run = pgsink_input(
      connection("awkward_sink", "awkward") +
      "INSERT INTO awkward_sink SELECT '1010'::BIT AS b, "
      "'123456789012345678901234567890123456789012345'::BIGNUM AS n, "
      "340282366920938463463374607431768211455::UHUGEINT AS h, '10:00:00.5+01:30'::TIMETZ AS t, "
      "['11'::BIT, NULL] AS a;");
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(server_says("SELECT concat_ws(' ', b, n, h, t, a) FROM awkward"),
            "1010 123456789012345678901234567890123456789012345 "
            "340282366920938463463374607431768211455 10:00:00.5+01:30 {11,NULL}");
}

TEST_F(PipelineRun, PipelineOfAnyLengthNeedsTheMemoryOfItsBuffer) {
  RunOptions options;
  options.environment = {{"ASAN_OPTIONS", "quarantine_size_mb=1"}};  // freed is freed, also there
  const auto run = pgsink_input(
      sink_ +
          "INSERT INTO numbers_sink SELECT i AS id, repeat('x', 300) AS name FROM range(1000000) "
          "AS r(i);",
      {}, options);
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(server_says("SELECT count(*) FROM numbers"), "1000000");
  EXPECT_LT(run.peak_kilobytes, 250'000) << "the rows are 300 MB";
}

// ---- what is said --------------------------------------------------------------------------

TEST_F(PipelineRun, SummaryLineSaysRowsBytesTimeAndRate) {
  const std::string script =
      sink_ +
      "CREATE PIPELINE fill AS INSERT INTO numbers_sink SELECT i AS id FROM range(12345) AS r(i);";
  const auto run = pgsink_input(script);
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.out, "");
  EXPECT_THAT(run.err,
              MatchesRegex("fill -> numbers_sink \\(public\\.numbers\\): 12,345 rows, [0-9.]+ kB, "
                           "[0-9.]+ s, [0-9,]+ rows/s, [0-9.]+ MB/s\n"));
  EXPECT_EQ(pgsink_input(script, {"--log-level", "error"}).err, "");
}

TEST_F(PipelineRun, SummaryFileIsJsonOrCsvByItsName) {
  const std::string script =
      sink_ +
      "CREATE PIPELINE fill AS INSERT INTO numbers_sink SELECT i AS id FROM range(5000) AS r(i);";
  const std::string columns =
      "SELECT pipeline, connection, \"table\", outcome, rows_read, rows_written, rows_rejected, "
      "bytes > 50000 AS bytes_ok, seconds > 0 AS seconds_ok FROM ";
  for (const std::string name : {"summary.json", "summary.csv"}) {
    const std::string file = folder_.path() + "/" + name;
    const auto run = pgsink_input(script, {"--summary", file});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    const auto read = pgsink({"--format", "csv", "-c", columns + "'" + file + "'"});
    EXPECT_EQ(read.out,
              "pipeline,connection,table,outcome,rows_read,rows_written,rows_rejected,bytes_ok,"
              "seconds_ok\nfill,numbers_sink,public.numbers,done,5000,5000,0,true,true\n")
        << read.err;
  }
  EXPECT_EQ(pgsink_input(script, {"--summary", "/nowhere/summary.json"}).exit_code, 1);
}

/// Slow enough to watch: every row costs the engine some microseconds.
std::string slow_pipeline(size_t rows) {
  return "CREATE PIPELINE slow AS INSERT INTO numbers_sink SELECT i AS id, md5(i::VARCHAR) AS name "
         "FROM range(" +
         std::to_string(rows) + ") AS r(i) WHERE list_sum(range(1000 + i % 2)) > 0;";
}

TEST_F(PipelineRun, ProgressIsPlainLinesWithoutATerminal) {
  const auto quiet = pgsink_input(sink_ + slow_pipeline(50000));
  EXPECT_THAT(quiet.err, MatchesRegex("slow -> numbers_sink[^\n]*\n"));
  analytics_server().sql(
      "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
      " 'BEGIN PERFORM pg_sleep(3); RETURN NULL; END';"
      "CREATE TRIGGER slow AFTER INSERT ON numbers EXECUTE FUNCTION dawdle()",
      "analytics");
  const auto run = pgsink_input(sink_ + slow_pipeline(1000), {"--progress", "always"});
  analytics_server().sql("DROP FUNCTION dawdle() CASCADE", "analytics");
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.err,
              MatchesRegex("(slow: [0-9,]+ rows, [0-9,]+ rows/s, [0-9.]+ MB/s, [0-9.]+ s\n)+"
                           "slow -> numbers_sink[^\n]*\n"));
}

TEST_F(PipelineRun, ProgressRewritesOneLineOfATerminalOfAnyWidth) {
  for (const int columns : {0, 20, 200}) {
    RunOptions options;
    options.terminal_columns = columns;
    options.environment = {{"TERM", "xterm"}};
    const auto run = pgsink_input(sink_ + slow_pipeline(150000), {}, options);
    EXPECT_EQ(run.exit_code, 0);
    EXPECT_THAT(run.err, HasSubstr("\r\x1b[Kslow: ")) << columns;
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1)
        << "only the summary ends a line";
  }
}

TEST(Progress, LineFitsTheTerminalAndSurvivesNoTimeAndNoWidth) {
  SinkMetrics metrics;
  metrics.rows_written = 1234567;
  metrics.bytes_written = 55'000'000;
  EXPECT_EQ(shell::progress_line("load", {metrics}, 2.0, 0),
            "load: 1,234,567 rows, 617,283 rows/s, 27.5 MB/s, 2.0 s");
  EXPECT_EQ(shell::progress_line("load", {metrics}, 2.0, 10), "load: 1,2");
  EXPECT_EQ(shell::progress_line("load", {metrics}, 2.0, 1), "");
  EXPECT_EQ(shell::progress_line("load", {}, 0.0, 0), "load: 0 rows, 0 rows/s, 0.0 MB/s, 0.0 s");
}

TEST(Progress, SaysHowMuchIsLeftWhereThatIsKnown) {
  EXPECT_THAT(shell::progress_line("load", {.metrics = {}, .fraction = 0.25}, 2.0, 0),
              testing::EndsWith(", 2.0 s, 25 %, 6.0 s left"));
  EXPECT_THAT(shell::progress_line("load", {.metrics = {}, .fraction = 0.0}, 2.0, 0),
              testing::EndsWith(", 2.0 s, 0 %"));
  EXPECT_THAT(shell::progress_line("load", {.metrics = {}, .fraction = 1.0}, 2.0, 0),
              testing::EndsWith(", 100 %, 0.0 s left"));
}

TEST_F(PipelineRun, MetricsAreATableOfTheSystem) {
  const auto run = pgsink_input(
      connection("numbers_sink", "numbers", "transaction_size = 1000") +
          connection("idle", "numbers") +
          "INSERT INTO numbers_sink SELECT i AS id FROM range(5000) AS r(i);"
          "INSERT INTO numbers_sink SELECT i AS id FROM range(1000) AS r(i);"
          "SELECT connection_name, rows_written, batches_sent, avg_batch_size, failed_writes, "
          "in_flight_rows, last_error, avg_write_latency_ms > 0 AS has_latency "
          "FROM system.postgresql_sink_metrics WHERE connection_name LIKE '%' ORDER BY 1;",
      {"--format", "csv"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out,
            "connection_name,rows_written,batches_sent,avg_batch_size,failed_writes,in_flight_rows,"
            "last_error,has_latency\nidle,0,0,0.0,0,0,,false\n"
            "numbers_sink,6000,6,1000.0,0,0,,true\n");
}

TEST_F(PipelineRun, TestConnectionSaysOkOrTheExactFault) {
  const auto run = pgsink_input(sink_ + connection("missing", "no_such_table") +
                                    "SELECT test_connection('numbers_sink') AS good, "
                                    "test_connection('missing') AS bad",
                                {"--format", "jsonl"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out,
              MatchesRegex("\\{\"good\":\"ok\",\"bad\":\"PGS-3001: .*no_such_table.*\"\\}\n"));
  EXPECT_THAT(pgsink_input(sink_ + "SELECT test_connection('numbers_snik')").err,
              HasSubstr("there is no connection 'numbers_snik'; did you mean 'numbers_sink'?"));
}

// ---- --check -------------------------------------------------------------------------------

TEST_F(PipelineRun, CheckBindsEverythingAndTouchesNothing) {
  const std::string nowhere =
      "CREATE CONNECTION c TO postgresql (host = 'no.such.host', database = 'd', username = 'u', "
      "password = 'p', table = 't');";
  const std::string file = folder_.path() + "/written.csv";
  const auto run = pgsink_input(
      nowhere +
          "CREATE TABLE big AS SELECT i AS id FROM range(100000000000) AS r(i);"
          "CREATE VIEW v AS SELECT id + 1 AS id FROM big; CREATE MACRO twice(x) AS 2 * x;"
          "CREATE PIPELINE p AS WITH w AS (SELECT twice(id) AS id FROM v) INSERT INTO c SELECT * "
          "FROM w UNION ALL INSERT INTO big SELECT id FROM w;"
          "SELECT test_connection('c'); COPY big TO '" +
          file + "'; INSERT INTO c VALUES (1);",
      {"--check"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out, "");
  EXPECT_FALSE(std::filesystem::exists(file));
  const auto wrong = pgsink_input(
      nowhere + "CREATE TABLE s AS SELECT 1 AS id;\nINSERT INTO c SELECT idd FROM s;", {"--check"});
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_THAT(wrong.err, HasSubstr("<stdin>:2:22: error[PGS-1010]"));
}

// ---- how a run ends ------------------------------------------------------------------------

/// Sends a signal once a first progress line shows that rows are under way.
RunOptions signalled(int number) {
  RunOptions options;
  options.watch = [number, sent = false](pid_t pid, const std::string& err) mutable {
    const size_t count = err.rfind("slow: ");
    const bool moving = count != std::string::npos && err.substr(count + 6, 1) != "0";
    if (!moving || std::exchange(sent, true)) return;
    kill(pid, number);
  };
  return options;
}

TEST_F(PipelineRun, InterruptCommitsWhatWasAcceptedAndExitsWith130) {
  const std::string script = sink_ + slow_pipeline(1'000'000'000) + "SELECT 'not reached' AS a;";
  for (const int number : {SIGINT, SIGTERM}) {
    create_table("numbers", "(id bigint, name text)");
    const std::string file = folder_.path() + "/summary.csv";
    const auto run =
        pgsink({"-c", script, "--progress", "always", "--summary", file}, signalled(number));
    EXPECT_EQ(run.exit_code, 128 + number) << run.err;
    EXPECT_EQ(run.out, "");
    EXPECT_THAT(run.err, HasSubstr("(interrupted)\n"));
    // What the summary says is what is there: every row read, from the first on.
    const std::string there =
        server_says("SELECT count(*) || ',' || coalesce(max(id) + 1, 0) FROM numbers");
    const auto read =
        pgsink({"--format", "csv", "-c", "SELECT rows_written, rows_read FROM '" + file + "'"});
    EXPECT_EQ(read.out, "rows_written,rows_read\n" + there + "\n");
    EXPECT_NE(there, "0,0");
  }
}

// Whatever it waits for: here for a lock, while what was accepted is to be committed.
TEST_F(PipelineRun, ShutdownTimeoutEndsARunThatCannotEnd) {
  PGconn* const holder = PQconnectdb(analytics_server().conninfo("analytics").c_str());
  PQclear(PQexec(holder, "BEGIN; LOCK TABLE numbers"));
  RunOptions options;
  options.watch = [sent = false](pid_t pid, const std::string& err) mutable {
    if (err.find("INSERT") == std::string::npos || std::exchange(sent, true)) return;
    EXPECT_TRUE(eventually(
        [] { return server_says("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted") == "t"; }));
    kill(pid, SIGTERM);
  };
  const auto run = pgsink({"--log-level", "debug", "--shutdown-timeout", "1", "-c",
                           sink_ + "INSERT INTO numbers_sink SELECT i AS id, 'n' AS name "
                                   "FROM range(10) AS r(i);"},
                          options);
  PQfinish(holder);
  EXPECT_EQ(run.exit_code, 128 + SIGTERM) << run.err;
  EXPECT_THAT(run.err, HasSubstr("because --shutdown-timeout is over"));
  EXPECT_EQ(pgsink({"--shutdown-timeout", "soon", "-c", "SELECT 1"}).exit_code, 2);
}

// Between two attempts to reach the server, whatever connects first.
TEST_F(PipelineRun, ASignalEndsTheWaitForAServer) {
  const std::string nobody = "host = '127.0.0.1', port = " + std::to_string(free_port()) +
                             ", database = 'd', username = 'u', table = 't', max_retries = "
                             "1000000, retry_backoff_ms = 3600000";
  const std::string sink = "CREATE CONNECTION c TO postgresql (" + nobody + ");\n";
  const std::string source =
      "CREATE CONNECTION s TO postgresql (type = 'source', publication = "
      "'p', replication_slot = 's', " +
      nobody + ");\n";
  for (const std::string& script :
       {sink + "INSERT INTO c SELECT 1 AS id;", source + "INSERT INTO c SELECT * FROM s;",
        sink + "SELECT count(*) FROM system.postgresql_tables WHERE connection = 'c';"}) {
    RunOptions options;
    options.watch = [sent = false](pid_t pid, const std::string& err) mutable {
      if (err.find("trying again in") == std::string::npos || std::exchange(sent, true)) return;
      kill(pid, SIGTERM);
    };
    const auto run = pgsink({"-c", script}, options);
    EXPECT_EQ(run.exit_code, 128 + SIGTERM) << script << run.err;
  }
  const auto check = pgsink({"--check=online", "-c", sink});
  EXPECT_EQ(check.exit_code, 1);
  EXPECT_THAT(check.err, HasSubstr("a check tries once, a run tries again"));
}

/// Sends SIGINT `times` times, some time after the statement that begins so has started.
RunOptions interrupted_in(const std::string& statement, int times) {
  RunOptions options;
  options.watch = [statement, times, sent = 0](pid_t pid, const std::string& err) mutable {
    if (err.find(": " + statement) == std::string::npos) return;
    for (; sent < times; ++sent) {
      usleep(1'000'000);
      EXPECT_EQ(kill(pid, SIGINT), 0) << "it did not wait for signal " << sent + 1;
    }
  };
  return options;
}

TEST_F(PipelineRun, AnAtomicLoadIsThereAsAWholeOrNotAtAll) {
  const std::string atomic = connection("all_sink", "numbers", "atomic = true");
  const auto failed = pgsink_input(
      atomic +
      "INSERT INTO all_sink SELECT i AS id, CASE WHEN i = 300000 THEN error('row') ELSE 'n' "
      "END AS name FROM range(400000) t(i);");
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_EQ(server_says("SELECT count(*) FROM numbers"), "0");
  const auto interrupted =
      pgsink({"--log-level", "debug", "-c",
              atomic + "INSERT INTO all_sink SELECT i AS id FROM range(10000000000) t(i);"},
             interrupted_in("INSERT", 1));
  EXPECT_EQ(interrupted.exit_code, 130) << interrupted.err;
  EXPECT_EQ(server_says("SELECT count(*) FROM numbers"), "0");
  const auto whole =
      pgsink_input(atomic + "INSERT INTO all_sink SELECT i AS id FROM range(400000) t(i);");
  EXPECT_EQ(whole.exit_code, 0) << whole.err;
  EXPECT_EQ(server_says("SELECT count(*) || ' ' || count(DISTINCT xmin::text) FROM numbers"),
            "400000 1");
}

TEST_F(PipelineRun, AReplaceIsWholeOrChangesNothing) {
  server_says("INSERT INTO numbers (id) VALUES (-1) RETURNING 1");
  const std::string replace = connection("all_sink", "numbers", "write_mode = 'replace'");
  const auto failed = pgsink_input(
      replace +
      "INSERT INTO all_sink SELECT i AS id, CASE WHEN i = 300000 THEN error('row') ELSE 'n' "
      "END AS name FROM range(400000) t(i);");
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_EQ(server_says("SELECT string_agg(id::text, ' ') FROM numbers"), "-1");
  const std::string script = replace +
                             "CREATE CONNECTION rows TO stdin (type = 'source', format = 'json');"
                             "CREATE PIPELINE p AS INSERT INTO all_sink SELECT id FROM rows;";
  const auto broken = pgsink_input("{\"id\": 5}\n{\"id\": \n", {"-c", script});
  EXPECT_EQ(broken.exit_code, 1) << broken.err;
  EXPECT_EQ(server_says("SELECT string_agg(id::text, ' ') FROM numbers"), "-1");
  const auto whole =
      pgsink_input(replace + "INSERT INTO all_sink SELECT i AS id FROM range(3) t(i);");
  EXPECT_EQ(whole.exit_code, 0) << whole.err;
  EXPECT_EQ(server_says("SELECT string_agg(id::text, ' ' ORDER BY id) FROM numbers"), "0 1 2");
  const auto empty =
      pgsink_input(replace + "INSERT INTO all_sink SELECT i AS id FROM range(0) t(i);");
  EXPECT_EQ(empty.exit_code, 0) << empty.err;
  EXPECT_EQ(server_says("SELECT count(*) FROM numbers"), "0");
}

TEST_F(PipelineRun, AnAtomicStreamIsThereOnlyIfItEndedWell) {
  const std::string script = connection("all_sink", "numbers", "atomic = true") +
                             "CREATE CONNECTION rows TO stdin (type = 'source', format = 'json');"
                             "CREATE PIPELINE p AS INSERT INTO all_sink SELECT id FROM rows;";
  std::string lines;
  for (int i = 0; i < 5000; ++i) lines += "{\"id\": " + std::to_string(i) + "}\n";
  const auto failed = pgsink_input(lines + "{\"id\": \n", {"-c", script});
  EXPECT_EQ(failed.exit_code, 1) << failed.err;
  EXPECT_EQ(server_says("SELECT count(*) FROM numbers"), "0");
  const auto whole = pgsink_input(lines, {"-c", script});
  EXPECT_EQ(whole.exit_code, 0) << whole.err;
  EXPECT_EQ(server_says("SELECT count(*) || ' ' || count(DISTINCT xmin::text) FROM numbers"),
            "5000 1");
}

TEST_F(PipelineRun, InterruptEndsAQueryThatYieldsNothingYet) {
  const auto begin = std::chrono::steady_clock::now();
  const auto run = pgsink(
      {"--log-level", "debug", "-c",
       sink_ + "INSERT INTO numbers_sink SELECT sum(a.i * b.i) AS id FROM range(10000000) a(i), "
               "range(10000000) b(i);"},
      interrupted_in("INSERT", 1));
  EXPECT_EQ(run.exit_code, 130) << run.err;
  EXPECT_THAT(run.err, HasSubstr("0 rows, 0 B"));
  EXPECT_THAT(run.err, HasSubstr("(interrupted)\n"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
}

TEST_F(PipelineRun, SecondSignalAborts) {
  // The table is locked, so what was accepted can be committed by nobody.
  auto& server = analytics_server();
  const std::string file =
      folder_.write("lock.sql", "BEGIN; LOCK TABLE numbers; SELECT pg_sleep(120); COMMIT;");
  const pid_t locker =
      start_process({"/usr/bin/psql", "-X", "-f", file, server.conninfo("analytics")},
                    {getuid(), getgid()}, folder_.path() + "/lock.log");
  EXPECT_TRUE(eventually([] {
    return server_says(
               "SELECT count(*) FROM pg_locks WHERE relation = 'numbers'::regclass AND "
               "mode = 'AccessExclusiveLock' AND granted") != "0";
  }));
  const auto run =
      pgsink({"--log-level", "debug", "-c",
              sink_ + "INSERT INTO numbers_sink SELECT i AS id FROM range(10000) AS r(i);"},
             interrupted_in("INSERT", 2));
  EXPECT_EQ(run.exit_code, 130) << run.err;
  EXPECT_THAT(run.err, HasSubstr("ended at once by the second signal"));
  kill(locker, SIGTERM);
  wait_process(locker);
  server_says(
      "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity WHERE "
      "query LIKE '%pg_sleep%' AND pid <> pg_backend_pid() OFFSET 0) AS others");
}

TEST_F(PipelineRun, FailureOfTheQuerySaysWhatIsCommitted) {
  const auto run = pgsink_input(
      sink_ +
      "INSERT INTO numbers_sink SELECT i AS id, CASE WHEN i = 80000 THEN error('boom') END AS "
      "name FROM range(90000) AS r(i);");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err,
              AllOf(HasSubstr("boom"), HasSubstr(" rows, of which "), HasSubstr("(failed)")));
}

TEST_F(PipelineRun, SecondPipelineOfANameNeedsOrReplace) {
  const std::string pipeline = "PIPELINE again AS INSERT INTO numbers_sink SELECT 1 AS id;";
  EXPECT_THAT(pgsink_input(sink_ + "CREATE " + pipeline + "CREATE " + pipeline).err,
              HasSubstr("error[PGS-1008]"));
  EXPECT_EQ(pgsink_input(sink_ + "CREATE " + pipeline + "CREATE OR REPLACE " + pipeline).exit_code,
            0);
  EXPECT_EQ(server_says("SELECT count(*) FROM numbers"), "3");
}

TEST_F(PipelineRun, WarnsOfCommitsThatDoNotWaitForTheDisk) {
  create_table("hasty", "(a int)");
  const std::string insert = "INSERT INTO hasty_sink SELECT 1 AS a";
  analytics_server().sql("ALTER ROLE \"user\" SET synchronous_commit = off");
  const auto warned = pgsink({"-c", connection("hasty_sink", "hasty") + insert});
  const auto mended =
      pgsink({"-c", connection("hasty_sink", "hasty",
                               "session_variables = MAP { 'synchronous_commit': 'on' }") +
                        insert});
  analytics_server().sql("ALTER ROLE \"user\" RESET synchronous_commit");
  EXPECT_EQ(warned.exit_code, 0) << warned.err;
  EXPECT_NE(warned.err.find("warning: connection \"hasty_sink\": synchronous_commit is off"),
            std::string::npos)
      << warned.err;
  EXPECT_EQ(mended.err.find("warning:"), std::string::npos) << mended.err;
  const auto quiet = pgsink({"-c", connection("hasty_sink", "hasty") + insert});
  EXPECT_EQ(quiet.err.find("warning:"), std::string::npos) << quiet.err;
}

TEST_F(PipelineRun, MakesTheTableOfAQueryWithNestedColumns) {
  auto& server = analytics_server();
  server.sql("DROP TABLE IF EXISTS made", "analytics");
  const auto run = pgsink_input(
      connection("c", "made",
                 "create_table = true, write_mode = 'upsert', conflict_columns = 'id'") +
      "INSERT INTO c SELECT i AS id, i / 4 AS share, (i * 1.25)::DECIMAL(12,3) AS price,"
      " {'a': i, 'b': ['x', NULL]} AS s, MAP {'k': i} AS m, [[i], [i + 1]] AS nested,"
      " TIMESTAMPTZ '2026-01-02 03:04:05+00' AS at, to_json([i]) AS j FROM range(1, 3) AS r(i);");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(
      server.scalar("SELECT string_agg(format_type(atttypid, atttypmod), ', ' ORDER BY attnum)"
                    " FROM pg_attribute WHERE attrelid = 'made'::regclass AND attnum > 0",
                    "analytics"),
      "bigint, double precision, numeric(12,3), jsonb, jsonb, bigint[], "
      "timestamp with time zone, jsonb");
  EXPECT_EQ(server.scalar("SELECT concat_ws(' ', id, share, price, s, m, nested, at AT TIME ZONE "
                          "'UTC', j) FROM made WHERE id = 2",
                          "analytics"),
            "2 0.5 2.500 {\"a\": 2, \"b\": [\"x\", null]} {\"k\": 2} {{2},{3}} "
            "2026-01-02 03:04:05 [2]");
}

TEST_F(PipelineRun, APipeAsAFileIsRefused) {
  const TemporaryFolder folder;
  const std::string pipe = folder.path() + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const std::string file = folder.write("rows.csv", "id\n7\n");
  // Nobody writes into the pipe: to open it would wait until time_max.
  for (const std::string& statement :
       {"SELECT * FROM '" + pipe + "'", "SELECT * FROM read_csv('" + pipe + "')",
        "SELECT * FROM Read_CSV (['" + file + "', '" + pipe + "'], header = true)",
        "CREATE TABLE t AS SELECT * FROM read_json('" + pipe + "')", "COPY t FROM '" + pipe + "'",
        std::string("SELECT * FROM read_csv('/dev/stdin')"),
        "SELECT (SELECT count(*) FROM parquet_scan('" + pipe + "'))"}) {
    const auto run =
        pgsink({"-c", statement}, {.input = "id\n7\n", .time_max = std::chrono::seconds(120)});
    EXPECT_EQ(run.exit_code, 1) << statement;
    EXPECT_NE(run.err.find("cannot be read twice"), std::string::npos) << run.err;
  }
  const auto fine = pgsink(
      {"--format", "csv", "-c", "SELECT id, '" + pipe + "' AS pipe FROM read_csv('" + file + "')"});
  EXPECT_EQ(fine.exit_code, 0) << fine.err;
  EXPECT_EQ(fine.out, "id,pipe\n7," + pipe + "\n");
}

// After its first rows the query would take days: a run that waits for the next is killed after
// time_max. The engine hands rows over when its buffer is full.
TEST_F(PipelineRun, ASinkThatStopsEndsTheQuery) {
  create_table("stopped", "(id bigint CHECK (id <> 800000))");
  const auto run = pgsink_input(
      connection("c", "stopped", "batch_timeout_ms = 100") +
      "INSERT INTO c SELECT range AS id FROM range(1000000000000) WHERE range < 1000000 OR "
      "hash(range) = 1;");
  EXPECT_EQ(run.exit_code, 1) << run.err;
  EXPECT_NE(run.err.find("violates check constraint"), std::string::npos) << run.err;
}

}  // namespace
}  // namespace pgsink::test
