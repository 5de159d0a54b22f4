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
  void start_member(const std::string& text) {
    members_[start_process({PGSINK_COMMAND, "-c", text}, {getuid(), getgid()}, log())] = false;
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

/// The storm of deaths. Every record is there once, and those of a key in their order.
TEST_F(KafkaGroupTest, MembersThatAreKilledAndStoppedLoseAndDoubleNothing) {
  const int64_t records = number("PGSINK_KAFKA_RECORDS", 60'000);
  const int64_t kills = number("PGSINK_KAFKA_KILLS", 8);
  const int partitions = 12, keys = 48;
  std::mt19937 random(static_cast<unsigned>(number("PGSINK_KAFKA_SEED", 1)));
  sql("CREATE TABLE t (k int, n bigint, seq bigserial)");
  shared_broker().create_topic(topic_, partitions);
  const std::string text = script(", parallelism = 2", "INSERT INTO target SELECT k, n FROM feed;");
  const auto arrived = [&] {
    return std::stoll(scalar("SELECT coalesce(sum(position), 0) FROM pgsink_offsets"));
  };
  for (int i = 0; i < 3; ++i) start_member(text);
  ASSERT_TRUE(eventually(
      [&] { return scalar("SELECT to_regclass('pgsink_offsets') IS NOT NULL") == "t"; }));

  int64_t sent = 0, killed = 0;
  while (killed < kills) {
    const int64_t part = records / (kills + 1);
    send(sent, part, partitions, keys);
    sent += part;
    // Something has arrived since the last death, so that members have partitions.
    const int64_t before = arrived();
    ASSERT_TRUE(eventually([&] { return arrived() > before || arrived() == sent; },
                           std::chrono::seconds(180)))
        << "see " << log();
    auto victim = std::next(members_.begin(), static_cast<int64_t>(random() % members_.size()));
    if (random() % 3 == 0) {  // Longer than its session: the group goes on without it.
      kill(victim->first, SIGSTOP);
      victim->second = true;
      std::this_thread::sleep_for(milliseconds(2500));
      kill(victim->first, SIGCONT);
      victim->second = false;
    } else {
      kill(victim->first, SIGKILL);
      std::ignore = wait_for_child(victim->first);
      members_.erase(victim);
      start_member(text);
    }
    ++killed;
    if (kills > 20 && killed % 25 == 0) {
      shared_broker().stop(SIGKILL);
      shared_broker().start();
    }
    if (kills > 20 && killed % 40 == 0) {
      shared_server().stop(StopMode::kImmediate);
      shared_server().start_again();
    }
  }
  send(sent, records - sent, partitions, keys);
  ASSERT_TRUE(eventually([&] { return arrived() == records; }, std::chrono::seconds(300)))
      << arrived() << " of " << records << "; see " << log();
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || count(DISTINCT (k, n)) FROM t"),
            std::to_string(records) + " " + std::to_string(records));
  // Rows of a key in one partition come in their order. (A sequence is not exactly the order of
  // commits, but the transactions of one stream follow each other.)
  EXPECT_EQ(scalar("SELECT count(*) FROM (SELECT n, lag(n) OVER (PARTITION BY k ORDER BY seq) AS "
                   "before FROM t) AS o WHERE n <> before + 1"),
            "0");
  // All of them are alive, and end when they are told to.
  for (const auto& [pid, stopped] : members_) {
    ASSERT_EQ(kill(pid, SIGINT), 0);
    const auto status = wait_for_child(pid);
    ASSERT_TRUE(status) << "a member does not end; see " << log();
    // One that has only just begun does not handle signals yet.
    EXPECT_TRUE(WIFEXITED(*status) || WTERMSIG(*status) == SIGINT)
        << "signal " << WTERMSIG(*status) << "; see " << log();
  }
  members_.clear();
  if (!HasFailure()) std::remove(log().c_str());
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
