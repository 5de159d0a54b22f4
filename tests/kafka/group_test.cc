// Processes of one group: partitions move between them while they are killed, stopped and started.

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <map>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kafka/kafka_support.h"
#include "support/postgres_server.h"
#include "support/run_command.h"

namespace pgsink::test {
namespace {

using std::chrono::milliseconds;

/// tests/soak sets more.
int64_t number(const char* name, int64_t otherwise) {
  const char* given = std::getenv(name);
  return given == nullptr ? otherwise : std::atoll(given);
}

class KafkaGroupTest : public testing::Test {
 protected:
  void SetUp() override {
    static int made = 0;
    topic_ = "group-" + std::to_string(++made);
    database_ = shared_server().create_database("kafka_group");
  }
  ~KafkaGroupTest() override {
    for (auto& [pid, stopped] : members_) {
      kill(pid, SIGCONT);
      kill(pid, SIGKILL);
      std::ignore = wait_for_child(pid);
    }
  }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  void sql(const std::string& text) { shared_server().sql(text, database_); }

  std::string script(const std::string& more_of_sink, const std::string& statement) const {
    return script(", delivery = 'exactly_once', sink_id = 'group'" + more_of_sink, "", statement);
  }
  std::string script(const std::string& more_of_sink, const std::string& group,
                     const std::string& statement) const {
    return "CREATE CONNECTION target TO postgresql (host = '" + shared_server().socket_dir() +
           "', port = '" + std::to_string(shared_server().port()) + "', database = '" + database_ +
           "', username = 'postgres', table = 't', "
           "max_retries = 1000, retry_backoff_ms = 50, batch_timeout_ms = 100" +
           more_of_sink + ");\nCREATE CONNECTION feed TO kafka (type = 'source', brokers = '" +
           shared_broker().address() + "', topic = '" + topic_ + "', group_id = 'g-" + topic_ +
           group +
           "', format = 'json', columns = MAP {'k': 'INTEGER', 'n': 'BIGINT'}, "
           "rebalance_timeout_ms = 5000, properties = MAP {'session.timeout.ms': '2000', "
           "'heartbeat.interval.ms': '300'});\n" +
           statement;
  }
  pid_t start_member(const std::string& text, const std::vector<std::string>& flags = {}) {
    std::vector<std::string> command{PGSINK_COMMAND, "-c", text};
    command.insert(command.end(), flags.begin(), flags.end());
    const pid_t pid = start_process(command, {getuid(), getgid()}, log());
    members_[pid] = false;
    return pid;
  }
  std::string log() const { return "/tmp/pgsink-kafka-group-" + std::to_string(getpid()) + ".log"; }

  /// Sends `records` records with a counter for each key; a key has one partition.
  void send(int64_t first, int64_t records, int partitions, int keys) {
    for (int64_t i = first; i < first + records; ++i) {
      const int64_t key = i % keys;
      shared_broker().send(
          topic_, static_cast<int>(key % partitions),
          "{\"k\": " + std::to_string(key) + ", \"n\": " + std::to_string(i / keys) + "}",
          std::to_string(key));
    }
    shared_broker().flush();
  }

  std::map<pid_t, bool> members_;  ///< And whether they are stopped.
  std::string topic_, database_;
};

/// A storm of deaths. Whatever it does, each record is there once, and those of a key come in their
/// order. Ends after so many deaths, or so many seconds.
class KafkaStormTest : public KafkaGroupTest {
 protected:
  using Clock = std::chrono::steady_clock;
  static constexpr int kPartitions = 12, kKeys = 48;
  static constexpr size_t kMembers = 3, kMembersMax = 6;
  /// Longer than a session: the group goes on without the member.
  static constexpr milliseconds kStopped{2500};

  void run_storm(const std::string& more_of_sink) {
    shared_broker().create_topic(topic_, kPartitions);
    text_ = script(more_of_sink, "INSERT INTO target SELECT k, n FROM feed;");
    while (members_.size() < kMembers) start_member(text_);
    ASSERT_TRUE(eventually(
        [&] { return scalar("SELECT to_regclass('pgsink_offsets') IS NOT NULL") == "t"; }));
    const int64_t records = number("PGSINK_KAFKA_RECORDS", 60'000);
    const int64_t strikes = number("PGSINK_KAFKA_KILLS", 8);
    const auto until = Clock::now() + std::chrono::seconds(number("PGSINK_KAFKA_SECONDS", 3600));
    while (kills_ + stops_ < strikes && Clock::now() < until) {
      send(sent_, records / (strikes + 1), kPartitions, kKeys);
      sent_ += records / (strikes + 1);
      strike();
      // Now and then they get somewhere, so that members have partitions and full buffers.
      const int64_t before = arrived();
      const bool wait = random_() % 4 == 0;
      const auto moves = [&] {
        resume_due();  // All of them may be stopped.
        return arrived() > before || arrived() == sent_;
      };
      ASSERT_TRUE(!wait || eventually(moves, std::chrono::seconds(180))) << "see " << log();
    }
    for (auto& [pid, stopped] : members_) resume(pid);
    ASSERT_TRUE(eventually([&] { return arrived() == sent_; }, std::chrono::seconds(300)))
        << arrived() << " of " << sent_ << "; see " << log();
    std::printf(
        "%lld records; %lld members killed, %lld stopped beyond their session, %lld joined, "
        "%lld told to end; %lld crashes of the broker, %lld of PostgreSQL\n",
        as_printed(sent_), as_printed(kills_), as_printed(stops_), as_printed(joins_),
        as_printed(ends_), as_printed(brokers_), as_printed(servers_));
    end_members();
  }

  int64_t sent() const { return sent_; }

 private:
  static long long as_printed(int64_t n) { return n; }
  int64_t arrived() {
    return std::stoll(scalar("SELECT coalesce(sum(position), 0) FROM pgsink_offsets"));
  }

  void strike() {
    resume_due();
    const auto victim =
        std::next(members_.begin(), static_cast<int64_t>(random_() % members_.size()));
    const pid_t pid = victim->first;
    switch (random_() % 8) {
      case 0:
      case 1:
      case 2:
      case 3:
        remove(pid, SIGKILL);
        ++kills_;
        break;
      case 4:
      case 5:
        if (victim->second) break;
        kill(pid, SIGSTOP);
        victim->second = true;
        stopped_at_[pid] = Clock::now();
        ++stops_;
        break;
      case 6:
        if (members_.size() >= kMembersMax) break;
        start_member(text_);
        ++joins_;
        break;
      default:
        if (victim->second) break;
        remove(pid, SIGTERM);
        ++ends_;
    }
    while (members_.size() < kMembers) start_member(text_);
    const int64_t struck = kills_ + stops_;
    if (struck >= (brokers_ + 1) * 25) {
      ++brokers_;
      shared_broker().stop(SIGKILL);
      shared_broker().start();
    }
    if (struck >= (servers_ + 1) * 40) {
      ++servers_;
      shared_server().stop(StopMode::kImmediate);
      shared_server().start_again();
    }
  }

  void resume_due() {
    std::erase_if(stopped_at_, [&](const auto& one) {
      const bool due = Clock::now() - one.second >= kStopped;
      if (due) resume(one.first);
      return due;
    });
  }
  void remove(pid_t pid, int signal) {
    kill(pid, signal);
    EXPECT_TRUE(wait_for_child(pid, std::chrono::seconds(120)))
        << "a member does not end; see " << log();
    members_.erase(pid);
    stopped_at_.erase(pid);
  }
  void resume(pid_t pid) {
    kill(pid, SIGCONT);
    members_[pid] = false;
  }

  /// All of them are alive, and end when they are told to.
  void end_members() {
    for (const auto& [pid, stopped] : members_) {
      ASSERT_EQ(kill(pid, SIGTERM), 0);
      const auto status = wait_for_child(pid);
      ASSERT_TRUE(status) << "a member does not end; see " << log();
      // One that has only just begun does not handle signals yet.
      EXPECT_TRUE(WIFEXITED(*status) || WTERMSIG(*status) == SIGTERM)
          << "signal " << WTERMSIG(*status) << "; see " << log();
    }
    members_.clear();
    if (!HasFailure()) std::remove(log().c_str());
  }

  std::string text_;
  std::mt19937 random_{static_cast<unsigned>(number("PGSINK_KAFKA_SEED", 1))};
  std::map<pid_t, Clock::time_point> stopped_at_;
  int64_t sent_ = 0, kills_ = 0, stops_ = 0, joins_ = 0, ends_ = 0, brokers_ = 0, servers_ = 0;
};

TEST_F(KafkaStormTest, AppendLosesAndDoublesNothing) {
  sql("CREATE TABLE t (k int, n bigint, seq bigserial)");
  run_storm(", parallelism = 2");
  if (HasFatalFailure()) return;
  const std::string all = std::to_string(sent());
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || count(DISTINCT (k, n)) FROM t"), all + " " + all);
  // Rows of a key in one partition come in their order. (A sequence is not exactly the order of
  // commits, but the transactions of one stream follow each other.)
  EXPECT_EQ(scalar("SELECT count(*) FROM (SELECT n, lag(n) OVER (PARTITION BY k ORDER BY seq) AS "
                   "before FROM t) AS o WHERE n <> before + 1"),
            "0");
}

TEST_F(KafkaStormTest, UpsertLeavesTheLastRecordOfEachKeyAndNeverGoesBack) {
  sql("CREATE TABLE t (k int PRIMARY KEY, n bigint); CREATE TABLE wrong (k int, before bigint, "
      "after bigint)");
  sql("CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF new.n <= old.n THEN "
      "INSERT INTO wrong VALUES (new.k, old.n, new.n); END IF; RETURN new; END $$");
  sql("CREATE TRIGGER look BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION look()");
  run_storm(", write_mode = 'upsert', conflict_columns = 'k'");
  if (HasFatalFailure()) return;
  EXPECT_EQ(scalar("SELECT count(*) FROM wrong"), "0");
  // Record i has key i % kKeys and counter i / kKeys: what is there are the last ones.
  int64_t last = 0;
  for (int64_t i = sent() - kKeys; i < sent(); ++i) last += i;
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || sum(k + n * " + std::to_string(kKeys) + ") FROM t"),
            std::to_string(kKeys) + " " + std::to_string(last));
}

/// Two groups under one sink_id take the partitions from each other.
TEST_F(KafkaGroupTest, AFencedMemberSaysSo) {
  sql("CREATE TABLE t (k int, n bigint)");
  shared_broker().create_topic(topic_, 2);
  send(0, 100, 2, 2);
  const std::string sink = ", delivery = 'exactly_once', sink_id = 'shared'";
  const std::string insert = "INSERT INTO target SELECT k, n FROM feed;";
  const std::string port = std::to_string(free_port());
  start_member(script(sink, "one", insert), {"--metrics-listen", port});
  ASSERT_TRUE(eventually([&] { return scalar("SELECT count(*) FROM t") == "100"; })) << log();
  const auto fenced = [&] {
    const auto metrics =
        run_command({"/bin/bash", "-c",
                     "exec 3<>/dev/tcp/127.0.0.1/" + port +
                         "; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"});
    const std::string series = "pgsink_source_fenced_total{source=\"feed\"} ";
    const size_t at = metrics.out.find(series);
    return at == std::string::npos ? -1 : std::stoi(metrics.out.substr(at + series.size()));
  };
  ASSERT_TRUE(eventually([&] { return fenced() == 0; })) << log();
  start_member(script(sink, "two", insert));
  int64_t sent = 100;
  EXPECT_TRUE(eventually([&] {
    send(sent, 10, 2, 2);
    sent += 10;
    return fenced() > 0;
  })) << log();
  EXPECT_TRUE(eventually([&] {
    return scalar("SELECT count(*) || ' ' || count(DISTINCT (k, n)) FROM t") ==
           std::to_string(sent) + " " + std::to_string(sent);
  })) << log();
}

/// Whoever stops a process waits for so long, and kills it then: Kubernetes 30 seconds.
TEST_F(KafkaGroupTest, AMemberEndsAlsoIfItsBrokerDoesNotAnswer) {
  sql("CREATE TABLE t (k int, n bigint)");
  shared_broker().create_topic(topic_, 2);
  send(0, 100, 2, 2);
  for (const int signal : {SIGKILL, SIGSTOP}) {
    for (const bool once : {true, false}) {
      sql("TRUNCATE t");
      const std::string delivery = once ? "exactly_once" : "at_least_once";
      const std::string group = delivery + std::to_string(signal);
      const std::string sink_id = once ? ", sink_id = '" + group + "'" : "";
      start_member(script(", delivery = '" + delivery + "'" + sink_id, group,
                          "INSERT INTO target SELECT k, n FROM feed;"));
      ASSERT_TRUE(eventually([&] { return scalar("SELECT count(*) FROM t") == "100"; }));
      const pid_t member = members_.begin()->first;
      if (signal == SIGKILL)
        shared_broker().stop(SIGKILL);
      else
        shared_broker().signal(SIGSTOP);
      kill(member, SIGTERM);
      // librdkafka itself would wait a minute for an answer.
      EXPECT_TRUE(wait_for_child(member, std::chrono::seconds(40)))
          << delivery << ": it does not end; see " << log();
      members_.clear();
      if (signal == SIGKILL)
        shared_broker().start();
      else
        shared_broker().signal(SIGCONT);
    }
  }
}

}  // namespace
}  // namespace pgsink::test
