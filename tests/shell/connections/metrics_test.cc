// What monitoring sees: /metrics, /livez, /readyz, and the log as JSON.

#include <arpa/inet.h>
#include <atomic>
#include <regex>
#include <set>
#include <sys/socket.h>
#include <sys/time.h>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/connections/prometheus.h"
#include "shell/shell_support.h"
#include "support/patience.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::Not;

/// The whole answer to a request, "" if nobody listens.
std::string ask(int port, const std::string& request) {
  const int client = ::socket(AF_INET, SOCK_STREAM, 0);
  const timeval patience{.tv_sec = kPatience.count(), .tv_usec = 0};
  EXPECT_EQ(::setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (::connect(client, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    EXPECT_EQ(::send(client, request.data(), request.size(), 0),
              static_cast<ssize_t>(request.size()));
    std::array<char, 4096> part{};
    for (ssize_t bytes = 0; (bytes = ::recv(client, part.data(), part.size(), 0)) > 0;) {
      answer.append(part.data(), static_cast<size_t>(bytes));
    }
  }
  ::close(client);
  return answer;
}

std::string get(int port, const std::string& path) {
  return ask(port, "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

/// The value of a series; -1 if it is not there.
double series(const std::string& text, const std::string& name) {
  const size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
}

constexpr int kPort = 9187;

/// Asks for /metrics until a series has that value at least; its last text.
std::string wait_for(const std::string& name, double value) {
  std::string text;
  for (int i = 0; i < 200; ++i) {
    text = get(kPort, "/metrics");
    if (series(text, name) >= value) return text;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  ADD_FAILURE() << name << " never reached " << value << ":\n" << text;
  return text;
}

std::string with_labels(const std::string& name, const std::string& more = "") {
  return name + "{connection=\"watched\",mode=\"insert\"" + more + "}";
}

TEST(Metrics, EverySeriesMovesWithWhatItCounts) {
  create_table("watched", "(id bigint)");
  analytics_server().sql(
      "DROP SEQUENCE IF EXISTS tries; CREATE SEQUENCE tries; GRANT ALL ON tries TO \"user\";"
      "CREATE OR REPLACE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
      " IF NEW.id = 5000 AND nextval('tries') = 1 THEN RAISE SQLSTATE '40P01'; END IF;"
      " IF NEW.id = 6000 THEN PERFORM pg_sleep(2); END IF; RETURN NEW; END $$;"
      "CREATE TRIGGER trouble BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION trouble()",
      "analytics");
  Captured run;
  std::thread command([&run] {
    RunOptions options;
    options.environment.emplace_back("PGSINK_SECRET_PASSWORD", "s3cret'pw");
    options.environment.emplace_back(
        "SCRIPT",
        connection("watched", "watched",
                   "retry_backoff_ms = 10, batch_timeout_ms = 100, transaction_size = 1000") +
            "CREATE CONNECTION feed TO stdin (format = 'json');"
            "INSERT INTO watched SELECT * FROM feed;");
    run = run_command(
        {"/bin/bash", "-c",
         "exec " PGSINK_COMMAND " --metrics-listen 9187 -c \"$SCRIPT\" < <("
         "seq 1 2500 | sed 's/.*/{\"id\": &}/'; sleep 0.7; echo '{\"id\": 5000}'; sleep 0.7;"
         "echo '{\"id\": 6000}'; sleep 4; echo '{\"id\": 7000}'; sleep 1)"},
        options);
  });
  // Rows, bytes, batches and why they ended.
  std::string text = wait_for(with_labels("pgsink_rows_total"), 2500);
  EXPECT_THAT(text, AllOf(HasSubstr("HTTP/1.1 200 OK\r\n"), HasSubstr("version=0.0.4")));
  EXPECT_EQ(series(text, with_labels("pgsink_accepted_rows_total")), 2500);
  EXPECT_GT(series(text, with_labels("pgsink_sent_bytes_total")), 2500 * 8);
  EXPECT_EQ(series(text, with_labels("pgsink_batches_total", ",trigger=\"rows\"")), 2);
  EXPECT_EQ(series(text, with_labels("pgsink_batches_total", ",trigger=\"time\"")), 1);
  EXPECT_EQ(series(text, with_labels("pgsink_batches_total", ",trigger=\"end\"")), 0);
  EXPECT_EQ(series(text, with_labels("pgsink_write_duration_seconds_count")), 3);
  EXPECT_GT(series(text, with_labels("pgsink_write_duration_seconds_sum")), 0);
  EXPECT_EQ(series(text, with_labels("pgsink_write_duration_seconds_bucket", ",le=\"+Inf\"")), 3);
  EXPECT_EQ(series(text, with_labels("pgsink_batch_rows_bucket", ",le=\"500\"")), 1);
  EXPECT_EQ(series(text, with_labels("pgsink_batch_rows_bucket", ",le=\"1000\"")), 3);
  EXPECT_EQ(series(text, with_labels("pgsink_batch_rows_sum")), 2500);
  EXPECT_EQ(series(text, with_labels("pgsink_batch_bytes_sum")),
            series(text, with_labels("pgsink_sent_bytes_total")));
  EXPECT_EQ(series(text, with_labels("pgsink_connections")), 1);
  EXPECT_EQ(series(text, with_labels("pgsink_connections_max")), 4);
  EXPECT_EQ(series(text, with_labels("pgsink_connections_opened_total")), 1);
  EXPECT_GT(series(text, with_labels("pgsink_last_commit_timestamp_seconds")), 1.7e9);
  EXPECT_EQ(series(text, with_labels("pgsink_errors_total", ",sqlstate=\"client\"")), 0);
  EXPECT_GT(series(text, "process_resident_memory_bytes"), 1e6);
  EXPECT_GT(series(text, "process_open_fds"), 3);
  EXPECT_GE(series(text, "process_cpu_seconds_total"), 0);
  EXPECT_THAT(text, HasSubstr("pgsink_build_info{version=\""));
  // A batch that fails once.
  text = wait_for(with_labels("pgsink_rows_total"), 2501);
  EXPECT_EQ(series(text, with_labels("pgsink_failed_batches_total")), 1);
  EXPECT_EQ(series(text, with_labels("pgsink_retries_total")), 1);
  EXPECT_EQ(series(text, with_labels("pgsink_errors_total", ",sqlstate=\"40P01\"")), 1);
  EXPECT_GT(series(text, with_labels("pgsink_last_error_timestamp_seconds")), 1.7e9);
  // A batch under way.
  text = wait_for(with_labels("pgsink_inflight_rows"), 1);
  EXPECT_GT(series(text, with_labels("pgsink_buffered_bytes")), 0);
  EXPECT_THAT(get(kPort, "/livez"), HasSubstr("\r\n\r\nok\n"));
  EXPECT_THAT(get(kPort, "/readyz"), AllOf(HasSubstr(" 200 OK"), HasSubstr("{\"ready\": true}")));
  text = wait_for(with_labels("pgsink_rows_total"), 2502);
  EXPECT_EQ(series(text, with_labels("pgsink_inflight_rows")), 0);
  EXPECT_EQ(series(text, with_labels("pgsink_write_duration_seconds_bucket", ",le=\"1\"")), 4);
  // A connection that breaks.
  analytics_server().sql(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
      "'pgsink/watched'",
      "analytics");
  text = wait_for(with_labels("pgsink_rows_total"), 2503);
  EXPECT_EQ(series(text, with_labels("pgsink_connections_broken_total")), 1);
  EXPECT_EQ(series(text, with_labels("pgsink_connections_opened_total")), 2);
  EXPECT_EQ(series(text, with_labels("pgsink_errors_total", ",sqlstate=\"57P01\"")), 1);
  command.join();
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("metrics at http://127.0.0.1:9187/metrics\n"));
}

TEST(Metrics, EndpointAnswersOnlyWhatItShould) {
  analytics_server();  // holds port 5432
  std::atomic<bool> asked = false;
  std::string moved;
  std::string missing;
  std::string head;
  RunOptions options;
  options.watch = [&](pid_t, const std::string& err) {
    if (err.find("metrics at") == std::string::npos || asked.exchange(true)) return;
    moved = ask(kPort, "POST /metrics HTTP/1.1\r\n\r\n");
    missing = get(kPort, "/metric");
    head = ask(kPort, "HEAD /metrics HTTP/1.0\r\n\r\n");
    EXPECT_THAT(ask(kPort, "nonsense\r\n\r\n"), HasSubstr(" 400 "));
  };
  const auto run = pgsink({"--metrics-listen", ":9187", "-c",
                           "SELECT count(*) FROM range(400000) AS r(i) WHERE "
                           "list_sum(range(1000 + i % 2)) > 0"},
                          options);
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(moved, HasSubstr(" 405 Method Not Allowed"));
  EXPECT_THAT(missing, AllOf(HasSubstr(" 404 "), HasSubstr("/livez /metrics /readyz")));
  EXPECT_THAT(head, AllOf(HasSubstr(" 200 OK"), Not(HasSubstr("pgsink_"))));
  EXPECT_EQ(pgsink({"--metrics-listen", "nowhere", "-c", "SELECT 1"}).exit_code, 2);
  EXPECT_EQ(pgsink({"--metrics-listen", "127.0.0.1:99999", "-c", "SELECT 1"}).exit_code, 2);
  EXPECT_THAT(pgsink({"--metrics-listen", "127.0.0.1:5432", "-c", "SELECT 1"}).err,
              HasSubstr("Address already in use"));
}

TEST(Metrics, EachCountIsInTheSeriesOfItsName) {
  shell::ConnectionReport report;
  report.mode = "upsert";
  report.connections_max = 1;
  report.buffer_bytes = 19;
  report.live_sinks = 2;
  SinkMetrics& m = report.metrics;
  m.connection_name = "a\"b\\c\nd";
  m.rows_accepted = 2;
  m.rows_written = 3;
  m.rejected_rows = 4;
  m.possible_duplicates = 5;
  m.bytes_written = 6;
  m.failed_writes = 7;
  m.retry_count = 8;
  m.connections_opened = 9;
  m.connections_broken = 10;
  m.connections_open = 11;
  m.lanes_failing = 16;
  m.sinks_stopped = 17;
  m.rows_changed = 18;
  m.in_flight_rows = 12;
  m.buffered_bytes = 13;
  m.last_commit_wall_us = 14'500'000;
  m.last_error_wall_us = 15'000'000;
  for (size_t i = 0; i < kBatchTriggerCount; ++i) m.batches_by_trigger[i] = 20 + i;
  m.count_error("");
  const std::string text = shell::prometheus_text({report});
  const std::string labels = R"({connection="a\"b\\c\nd",mode="upsert")";
  const std::pair<std::string, double> expected[] = {{"pgsink_connections_max", 1},
                                                     {"pgsink_accepted_rows_total", 2},
                                                     {"pgsink_rows_total", 3},
                                                     {"pgsink_rejected_rows_total", 4},
                                                     {"pgsink_possible_duplicate_rows_total", 5},
                                                     {"pgsink_sent_bytes_total", 6},
                                                     {"pgsink_failed_batches_total", 7},
                                                     {"pgsink_retries_total", 8},
                                                     {"pgsink_connections_opened_total", 9},
                                                     {"pgsink_connections_broken_total", 10},
                                                     {"pgsink_connections", 11},
                                                     {"pgsink_lanes_failing", 16},
                                                     {"pgsink_sinks_stopped", 17},
                                                     {"pgsink_changed_rows_total", 18},
                                                     {"pgsink_inflight_rows", 12},
                                                     {"pgsink_buffered_bytes", 13},
                                                     {"pgsink_buffered_bytes_max", 38},
                                                     {"pgsink_last_commit_timestamp_seconds", 14.5},
                                                     {"pgsink_last_error_timestamp_seconds", 15}};
  for (const auto& [name, value] : expected) {
    EXPECT_EQ(series(text, name + labels + "}"), value) << name;
  }
  const char* triggers[] = {"rows", "bytes", "time", "flush", "end", "memory"};
  for (size_t i = 0; i < kBatchTriggerCount; ++i) {
    EXPECT_EQ(series(text, "pgsink_batches_total" + labels + ",trigger=\"" + triggers[i] + "\"}"),
              20 + double(i));
  }
  EXPECT_EQ(series(text, "pgsink_errors_total" + labels + ",sqlstate=\"client\"}"), 1);
}

TEST(Metrics, NamesFollowTheConventions) {
  shell::ConnectionReport report;
  report.metrics.connection_name = "c";
  std::istringstream text(shell::prometheus_text({report}));
  std::string line;
  std::string family;
  while (std::getline(text, line)) {
    if (line.starts_with("# HELP ")) {
      family = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_TRUE(line.ends_with(".")) << line;
    } else if (line.starts_with("# TYPE ")) {
      EXPECT_TRUE(line.starts_with("# TYPE " + family + " ")) << line;
      EXPECT_EQ(line.ends_with(" counter"), family.ends_with("_total")) << line;
    } else {
      EXPECT_TRUE(line.starts_with(family)) << line;
    }
  }
}

TEST(Metrics, WhatTheDocumentationNamesIsServed) {
  shell::ConnectionReport report;
  report.metrics.connection_name = "c";
  report.metrics.count_error("53100");
  const shell::SourceReport source{.name = "s", .streams = {{.topic = "t"}}};
  const std::string text = shell::prometheus_text({report}, {source});
  // Tables of the server.
  const std::set<std::string> others{"pgsink_epochs", "pgsink_writers", "pgsink_decisions",
                                     "pgsink_offsets"};
  const std::regex name("pgsink_[a-z_]+");
  std::set<std::string> named;
  for (const char* page : {"reference/monitoring", "how-to/operations"}) {
    const std::string guide = read_file(PGSINK_SOURCE_DIR "/docs/" + std::string(page) + ".md");
    for (std::sregex_iterator at(guide.begin(), guide.end(), name), end; at != end; ++at) {
      named.insert(at->str());
    }
  }
  EXPECT_GT(named.size(), 15U);
  for (const std::string& series : named) {
    if (others.contains(series)) continue;
    const bool served = text.find("\n" + series + "{") != std::string::npos ||
                        text.find("# TYPE " + series + " histogram\n") != std::string::npos;
    EXPECT_TRUE(served) << series;
  }
}

TEST(Metrics, ReadyMeansThatRunningSinksGetOn) {
  constexpr int64_t kNow = 1'000'000'000;
  shell::ConnectionReport report;
  report.metrics.connection_name = "c";
  report.metrics.last_error = "PGS-2001: refused";
  EXPECT_THAT(shell::not_ready({report}, kNow), IsEmpty()) << "no pipeline runs";
  report.live_sinks = 1;
  EXPECT_THAT(shell::not_ready({report}, kNow),
              ElementsAre("c: no connection to the server; last error: PGS-2001: refused"));
  report.metrics.connections_open = 1;
  EXPECT_THAT(shell::not_ready({report}, kNow), IsEmpty());
  report.metrics.last_commit_wall_us = kNow - 31'000'000;
  EXPECT_THAT(shell::not_ready({report}, kNow), IsEmpty()) << "no row waits";
  report.metrics.buffered_bytes = 1;
  report.metrics.waiting_since_wall_us = kNow - 40'000'000;
  EXPECT_THAT(shell::not_ready({report}, kNow),
              ElementsAre("c: rows wait, and nothing was committed for 31 s"));
  report.metrics.last_commit_wall_us = kNow - 29'000'000;
  EXPECT_THAT(shell::not_ready({report}, kNow), IsEmpty());
  report.metrics.last_commit_wall_us = 0;
  EXPECT_THAT(shell::not_ready({report}, kNow),
              ElementsAre("c: rows wait, and nothing was committed for 40 s"))
      << "the first transaction waits for a lock";
  report.metrics.last_commit_wall_us = kNow - 90'000'000;
  report.metrics.waiting_since_wall_us = kNow - 1'000'000;
  EXPECT_THAT(shell::not_ready({report}, kNow), IsEmpty()) << "the first row after a pause";
}

TEST(JsonLog, EveryLineIsAnObjectWithWhatItIsAbout) {
  create_table("logged", "(id bigint)");
  const auto run = pgsink(
      {"--log-format", "json", "--log-level", "debug", "--progress", "always", "-c",
       connection("logged", "logged") + "CREATE PIPELINE p AS INSERT INTO logged SELECT 1 AS id;\n"
                                        "SELECT 'it \"said\"' || nope;"});
  EXPECT_EQ(run.exit_code, 1);
  const TemporaryFolder folder;
  const auto read = pgsink(
      {"--format", "csv", "-c",
       "SELECT level, code, file, line, \"column\", pipeline, rows_written, msg FROM read_json('" +
           folder.write("log.jsonl", run.err) +
           "', format = 'newline_delimited') WHERE level <> 'debug' AND ts::TIMESTAMPTZ > now() - "
           "INTERVAL '5 "
           "minutes'"});
  EXPECT_THAT(
      read.out,
      MatchesRegex(
          "level,.*\ninfo,,,,,p,1,\"?p -> logged .*\n"
          "error,PGS-1010,<command>,3,23,,,\"Referenced column \"\"nope\"\" was not found.*"))
      << read.err << run.err;
  EXPECT_THAT(run.err, HasSubstr("\"level\": \"debug\""));
}

}  // namespace
}  // namespace pgsink::test
