// Each alert of docs/how-to/operations.md is provoked once: the series that the command serves
// before and after go to promtool, Prometheus' own evaluator, on its own clock. The dashboard's
// queries read series that are served.

#include <arpa/inet.h>
#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <regex>
#include <set>
#include <sys/socket.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/connections/prometheus.h"
#include "shell/shell_support.h"
#include "support/patience.h"

namespace pgsink::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int kPort = 9187;
constexpr const char* kDashboard = PGSINK_SOURCE_DIR "/examples/grafana/pgsink.json";

std::string get_metrics() {
  const int client = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(kPort);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  const std::string request = "GET /metrics HTTP/1.0\r\n\r\n";
  if (::connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
      ::send(client, request.data(), request.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(request.size())) {
    std::array<char, 4096> part{};
    for (ssize_t bytes = 0; (bytes = ::recv(client, part.data(), part.size(), 0)) > 0;) {
      answer.append(part.data(), static_cast<size_t>(bytes));
    }
  }
  ::close(client);
  return answer;
}

/// Scrape is what Prometheus stores of one visit.
struct Scrape {
  std::map<std::string, double> series;  ///< By name and labels, as served.
  std::set<std::string> growing;         ///< Names of counters and histograms.
  double at = 0;                         ///< Seconds since 1970.

  static Scrape take() { return of(get_metrics()); }
  static Scrape of(const std::string& text) {
    Scrape scrape;
    scrape.at =
        std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      const size_t space = line.rfind(' ');
      if (line.starts_with("# TYPE ")) {
        const std::string kind = line.substr(space + 1);
        if (kind != "gauge\r" && kind != "gauge") scrape.growing.insert(line.substr(7, space - 7));
      } else if (line.starts_with("pgsink_") || line.starts_with("process_")) {
        scrape.series[line.substr(0, space)] = std::stod(line.substr(space + 1));
      }
    }
    // What Prometheus adds: its target and whether it answered.
    scrape.series["up{job=\"pgsink\"}"] = scrape.series.empty() ? 0 : 1;
    return scrape;
  }

  /// The sum of the series of a name with these labels of the watched connection.
  double sum(const std::string& name, const std::string& label = "") const {
    double all = 0;
    for (const auto& [key, value] : series) {
      if (key.starts_with(name + "{connection=\"watched\"") && key.find(label) != key.npos) {
        all += value;
      }
    }
    return all;
  }
  bool grows(const std::string& key) const {
    std::string name = key.substr(0, key.find('{'));
    for (const char* end : {"_bucket", "_sum", "_count"}) {
      if (name.ends_with(end) && growing.contains(name.substr(0, name.size() - strlen(end)))) {
        return true;
      }
    }
    return growing.contains(name);
  }
};

/// How things go on after the second scrape.
enum class Then : uint8_t { kNothing, kTheSame };

/// The rule file as it stands in the documentation.
std::string alert_rules() {
  const std::string page = read_file(PGSINK_SOURCE_DIR "/docs/how-to/operations.md");
  const size_t begin = page.find("```yaml\n") + 8;
  return page.substr(begin, page.find("```", begin) - begin);
}
std::vector<std::string> alert_names() {
  std::vector<std::string> names;
  const std::string rules = alert_rules();
  const std::regex name("alert: ([A-Za-z]+)");
  for (std::sregex_iterator at(rules.begin(), rules.end(), name), end; at != end; ++at) {
    names.push_back((*at)[1]);
  }
  return names;
}

std::string value_text(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.17g", value);
  return text.data();
}

/// One scrape a minute: the first, the second, and what follows.
std::string input_series(const Scrape& before, const Scrape& after, Then then) {
  std::string text;
  for (const auto& [key, last] : after.series) {
    const auto found = before.series.find(key);
    std::string values;
    if (key.find("_timestamp_seconds") != std::string::npos) {
      // On promtool's clock the second scrape is at 60 s. What happened again, happens each minute.
      const bool goes_on =
          then == Then::kTheSame && found != before.series.end() && found->second != last;
      values = "_ " + value_text(last == 0 ? 0 : 60 - (after.at - last)) +
               (goes_on ? "+60x29" : "+0x29");
    } else {
      const double first = found == before.series.end() ? 0 : found->second;
      const bool goes_on = then == Then::kTheSame && after.grows(key);
      values = (found == before.series.end() ? "_" : value_text(first)) + " " + value_text(last) +
               "+" + value_text(goes_on ? last - first : 0) + "x29";
    }
    text += "      - series: '" + key + "'\n        values: '" + values + "'\n";
  }
  return text;
}

/// The alerts that fire `minutes` after the first scrape, of what promtool makes of both.
std::vector<std::string> firing(const Scrape& before, const Scrape& after, Then then, int minutes) {
  const TemporaryFolder folder;
  const std::string rules = folder.write("rules.yml", alert_rules());
  std::string tests = "rule_files: ['" + rules + "']\nevaluation_interval: 1m\ntests:\n";
  const std::string series = input_series(before, after, then);
  std::vector<std::string> fired;
  for (const std::string& name : alert_names()) {
    const std::string test = folder.write(
        "test.yml",
        tests + "  - interval: 1m\n    input_series:\n" + series +
            "    promql_expr_test:\n      - expr: count(ALERTS{alertname=\"" + name +
            "\", alertstate=\"firing\"}) > bool 0\n        eval_time: " + std::to_string(minutes) +
            "m\n        exp_samples: [{labels: '{}', value: 1}]\n");
    const Captured run = run_command({"/usr/bin/promtool", "test", "rules", test});
    if (run.exit_code == 0) fired.push_back(name);
    // The other outcome is that there is no such sample.
    if (run.exit_code != 0 && (run.out + run.err).find("got: nil") == std::string::npos) {
      ADD_FAILURE() << name << ": " << run.out << run.err;
    }
  }
  return fired;
}

class Alerts : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::access("/usr/bin/promtool", X_OK), 0) << "tests/run installs it";
    create_table("watched", "(id bigint, v varchar(8))");
    does("DROP SEQUENCE IF EXISTS tries; CREATE SEQUENCE tries; GRANT ALL ON tries TO \"user\"");
  }
  void TearDown() override {
    // A transaction that is still in trouble must not hold what the next test drops.
    does(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
        "'pgsink/watched'");
  }
  static void does(const std::string& sql) { analytics_server().sql(sql, "analytics"); }
  /// `body` runs for each row with v = 'trouble'.
  static void trouble(const std::string& body) {
    does(
        "CREATE OR REPLACE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.v = 'trouble' THEN " +
        body +
        " END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER trouble BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION trouble()");
  }

  /// The command with rows from a pipe, which the test writes.
  class Command {
   public:
    explicit Command(const std::string& more) : fifo_(folder_.path() + "/rows") {
      EXPECT_EQ(::mkfifo(fifo_.c_str(), 0600), 0);
      RunOptions options;
      options.environment.emplace_back("PGSINK_SECRET_PASSWORD", "s3cret'pw");
      options.environment.emplace_back("ROWS", fifo_);
      options.environment.emplace_back(
          "SCRIPT", connection("watched", "watched", "retry_backoff_ms = 10, " + more) +
                        "CREATE CONNECTION feed TO stdin (format = 'json', batch_timeout_ms = 10, "
                        "columns = MAP {'id': 'BIGINT', 'v': 'VARCHAR'});"
                        "CREATE PIPELINE p AS INSERT INTO watched SELECT * FROM feed;");
      options.watch = [this](pid_t running, const std::string&) { pid_ = running; };
      thread_ = std::thread([this, options] {
        run_ = run_command(
            {"/bin/bash", "-c",
             "exec " PGSINK_COMMAND " --metrics-listen 9187 -c \"$SCRIPT\" < \"$ROWS\""},
            options);
      });
      pipe_ = ::open(fifo_.c_str(), O_WRONLY | O_CLOEXEC);
      row("1");
      before = until([](const Scrape& s) { return s.sum("pgsink_rows_total") == 1; });
    }
    ~Command() {
      ::close(pipe_);
      if (thread_.joinable()) {
        kill(pid_, SIGKILL);
        thread_.join();
      }
    }
    Command(const Command&) = delete;
    Command& operator=(const Command&) = delete;
    void row(const std::string& v) const {
      const std::string line = "{\"id\": 1, \"v\": \"" + v + "\"}\n";
      EXPECT_EQ(::write(pipe_, line.data(), line.size()), static_cast<ssize_t>(line.size()));
    }
    template <typename Holds>
    static Scrape until(Holds holds) {
      Scrape scrape;
      EXPECT_TRUE(eventually([&] {
        scrape = Scrape::take();
        return holds(scrape);
      })) << get_metrics();
      return scrape;
    }
    Captured end() {
      ::close(std::exchange(pipe_, -1));
      thread_.join();
      return run_;
    }

    Scrape before;

   private:
    TemporaryFolder folder_;
    std::string fifo_;
    int pipe_ = -1;
    std::atomic<pid_t> pid_ = 0;
    std::thread thread_;
    Captured run_;
  };
};

TEST_F(Alerts, NoneFiresWhileRowsAreWrittenAndOneWhenNobodyAnswers) {
  Command command("batch_timeout_ms = 10");
  command.row("2");
  const Scrape after =
      Command::until([](const Scrape& s) { return s.sum("pgsink_rows_total") == 2; });
  for (const int minutes : {1, 3, 16, 28}) {
    EXPECT_THAT(firing(command.before, after, Then::kTheSame, minutes), IsEmpty()) << minutes;
  }
  EXPECT_EQ(command.end().exit_code, 0);
  EXPECT_THAT(firing(after, Scrape::take(), Then::kNothing, 5), ElementsAre("PgsinkDown"));
}

TEST_F(Alerts, StuckBehindALock) {
  Command command("batch_timeout_ms = 10");
  const auto lock = std::jthread([] {
    query_libpq(analytics_server().conninfo("analytics"),
                "BEGIN; LOCK watched; SELECT pg_sleep(3); COMMIT");
  });
  ASSERT_TRUE(eventually([] {
    return analytics_server().scalar(
               "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = "
               "'watched'::regclass",
               "analytics") == "1";
  }));
  command.row("2");
  const Scrape after =
      Command::until([](const Scrape& s) { return s.sum("pgsink_buffered_bytes") > 0; });
  EXPECT_THAT(firing(command.before, after, Then::kNothing, 2), IsEmpty());
  EXPECT_THAT(firing(command.before, after, Then::kNothing, 6), ElementsAre("PgsinkStuck"));
}

TEST_F(Alerts, FailingAndRetries) {
  trouble("RAISE SQLSTATE '40P01';");
  Command command("batch_timeout_ms = 10, max_retries = 1000000");
  command.row("trouble");
  const Scrape after = Command::until([](const Scrape& s) {
    return s.sum("pgsink_retries_total") >= 3 && s.sum("pgsink_lanes_failing") == 1;
  });
  const auto fired = firing(command.before, after, Then::kTheSame, 16);
  EXPECT_THAT(fired, ElementsAre("PgsinkStuck", "PgsinkFailing", "PgsinkRetries"));
}

// A sink that has stopped for good keeps its series until its pipeline has ended.
TEST_F(Alerts, ServerFullAlsoByASingleError) {
  trouble("IF nextval('tries') = 1 THEN RAISE SQLSTATE '53100'; END IF;");
  Command command("batch_timeout_ms = 10");
  command.row("trouble");
  const Scrape after = Command::until([](const Scrape& s) {
    return s.sum("pgsink_errors_total", "53100") == 1 && s.sum("pgsink_rows_total") == 2;
  });
  EXPECT_THAT(firing(command.before, after, Then::kNothing, 3), ElementsAre("PgsinkServerFull"));
  EXPECT_THAT(firing(command.before, after, Then::kNothing, 20), IsEmpty());
}

TEST_F(Alerts, ConnectionsBreak) {
  Command command("batch_timeout_ms = 10, max_retries = 1000000");
  Scrape after;
  for (int broken = 1; broken <= 4; ++broken) {
    does(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
        "'pgsink/watched'");
    command.row("2");
    after = Command::until(
        [broken](const Scrape& s) { return s.sum("pgsink_rows_total") == 1 + broken; });
  }
  EXPECT_THAT(firing(command.before, after, Then::kNothing, 3),
              ElementsAre("PgsinkConnectionsBreak"));
}

TEST_F(Alerts, Rejects) {
  Command command("batch_timeout_ms = 10, dead_letter_table = 'watched_letters'");
  command.row("more than eight");
  const Scrape after =
      Command::until([](const Scrape& s) { return s.sum("pgsink_rejected_rows_total") == 1; });
  EXPECT_THAT(firing(command.before, after, Then::kNothing, 3), ElementsAre("PgsinkRejects"));
}

// The server crashes at the end of a transaction, and then the role may not ask for its outcome.
TEST_F(Alerts, Duplicates) {
  does(
      "REVOKE EXECUTE ON FUNCTION pg_xact_status(xid8) FROM public;"
      "DROP TABLE IF EXISTS armed; CREATE TABLE armed AS SELECT 1; GRANT SELECT ON armed TO public;"
      "CREATE OR REPLACE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
      " IF NEW.v = 'trouble' AND EXISTS (SELECT FROM armed) THEN PERFORM pg_sleep(60); END IF;"
      " RETURN NULL; END $$;"
      "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON watched DEFERRABLE INITIALLY DEFERRED"
      " FOR EACH ROW EXECUTE FUNCTION at_commit()");
  Command command("batch_timeout_ms = 10, max_retries = 1000000");
  command.row("trouble");
  const std::string sleeper =
      "SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
  ASSERT_TRUE(eventually([&] { return analytics_server().scalar(sleeper, "analytics") != "0"; }));
  does("DELETE FROM armed");
  analytics_server().kill_backend(std::stoi(analytics_server().scalar(sleeper, "analytics")));
  const Scrape after = Command::until([](const Scrape& s) {
    return s.sum("pgsink_possible_duplicate_rows_total") == 1 && s.sum("pgsink_rows_total") == 2;
  });
  EXPECT_THAT(firing(command.before, after, Then::kNothing, 3), ElementsAre("PgsinkDuplicates"));
  analytics_server().wait_until_ready();
  does("GRANT EXECUTE ON FUNCTION pg_xact_status(xid8) TO public");
}

TEST_F(Alerts, Slow) {
  trouble("PERFORM pg_sleep(5.5);");
  Command command("batch_timeout_ms = 10");
  command.row("trouble");
  const Scrape after =
      Command::until([](const Scrape& s) { return s.sum("pgsink_rows_total") == 2; });
  EXPECT_THAT(firing(command.before, after, Then::kTheSame, 16), ElementsAre("PgsinkSlow"));
}

TEST_F(Alerts, ServerTooSlow) {
  trouble("PERFORM pg_sleep(0.5);");
  Command command("batch_timeout_ms = 10, buffer_bytes = 65536");
  std::thread rows([&] {
    for (int i = 0; i < 5000; ++i) command.row(i % 1000 == 10 ? "trouble" : "2");
  });
  const Scrape after = Command::until([](const Scrape& s) {
    return s.sum("pgsink_rows_total") > 1 &&
           s.sum("pgsink_buffered_bytes") > 0.6 * s.sum("pgsink_buffered_bytes_max");
  });
  rows.join();
  EXPECT_THAT(firing(command.before, after, Then::kTheSame, 28),
              ElementsAre("PgsinkServerTooSlow"));
}

// tests/kafka provokes what these series count; here they have such values.
TEST_F(Alerts, OfKafka) {
  const auto scrape = [](const shell::SourceReport& report) {
    return Scrape::of(shell::prometheus_text({}, {report}));
  };
  const shell::SourceReport calm{.name = "s", .streams = {{.topic = "t"}}};
  const auto fired = [&](const shell::SourceReport& after) {
    return firing(scrape(calm), scrape(after), Then::kNothing, 12);
  };
  shell::SourceReport lags = calm;
  lags.streams.front().lag_seconds = 301;
  EXPECT_THAT(fired(lags), ElementsAre("PgsinkKafkaLag"));
  shell::SourceReport moves = calm;
  moves.rebalances = 30;
  EXPECT_THAT(fired(moves), ElementsAre("PgsinkKafkaRebalances"));
  shell::SourceReport fenced = calm;
  fenced.fenced = 4;
  EXPECT_THAT(fired(fenced), ElementsAre("PgsinkKafkaFenced"));
  shell::SourceReport malformed = calm;
  malformed.rejected = 1;
  EXPECT_THAT(firing(scrape(calm), scrape(malformed), Then::kNothing, 3),
              ElementsAre("PgsinkKafkaMalformed"));
  EXPECT_THAT(fired(calm), IsEmpty());
}

TEST_F(Alerts, EachOfTheDocumentsIsProvokedAbove) {
  const std::string tests = read_file(PGSINK_SOURCE_DIR "/tests/shell/connections/alerts_test.cc");
  for (const std::string& name : alert_names()) {
    EXPECT_THAT(tests, HasSubstr("\"" + name + "\"")) << name;
  }
  EXPECT_GE(alert_names().size(), 10U);
}

TEST_F(Alerts, EveryQueryOfTheDashboardReadsSeriesThatAreServed) {
  const Command command("batch_timeout_ms = 10");
  std::set<std::string> served;
  for (const auto& [key, value] : command.before.series) {
    served.insert(key.substr(0, key.find('{')));
  }
  const std::string dashboard = read_file(kDashboard);
  const std::regex expression("\"expr\": \"((?:[^\"\\\\]|\\\\.)*)\"");
  const std::regex name("(pgsink|process)_[a-z_]+");
  std::string rules = "groups:\n  - name: dashboard\n    rules:\n";
  size_t queries = 0;
  for (std::sregex_iterator at(dashboard.begin(), dashboard.end(), expression), end; at != end;
       ++at) {
    std::string query = std::regex_replace((*at)[1].str(), std::regex("\\\\\""), "\"");
    for (std::sregex_iterator part(query.begin(), query.end(), name), last; part != last; ++part) {
      EXPECT_TRUE(served.contains(part->str())) << part->str() << " in " << query;
    }
    query = std::regex_replace(query, std::regex("\\$__rate_interval"), "5m");
    rules +=
        "      - record: query:" + std::to_string(++queries) + "\n        expr: '" + query + "'\n";
  }
  EXPECT_GE(queries, 12U);
  const TemporaryFolder folder;
  const Captured checked =
      run_command({"/usr/bin/promtool", "check", "rules", folder.write("rules.yml", rules)});
  EXPECT_EQ(checked.exit_code, 0) << checked.out << checked.err << rules;
}

}  // namespace
}  // namespace pgsink::test
