#pragma once
// Members of a consumer group as processes of their own, and a topic with a counter for each key.

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "kafka/kafka_support.h"
#include "support/postgres_server.h"

namespace pgsink::test {

/// tests/soak sets more.
inline int64_t number(const char* name, int64_t otherwise) {
  const char* given = std::getenv(name);
  return given == nullptr ? otherwise : std::atoll(given);
}

class KafkaGroupTest : public testing::Test {
 protected:
  void SetUp() override {
    static int made = 0;
    topic_ = "group-" + std::to_string(++made);
    database_ = server().create_database("kafka_group");
  }
  ~KafkaGroupTest() override {
    for (auto& [pid, stopped] : members_) {
      kill(pid, SIGCONT);
      kill(pid, SIGKILL);
      std::ignore = wait_for_child(pid);
    }
  }
  /// The one that the members write to.
  virtual PostgresServer& server() { return shared_server(); }
  /// Where the members find it: options of the sink.
  virtual std::string address() {
    return "host = '" + server().socket_dir() + "', port = '" + std::to_string(server().port()) +
           "'";
  }
  std::string scalar(const std::string& text) { return server().scalar(text, database_); }
  void sql(const std::string& text) { server().sql(text, database_); }

  std::string script(const std::string& more_of_sink, const std::string& statement) {
    return script(", delivery = 'exactly_once', sink_id = 'group'" + more_of_sink, "", statement);
  }
  std::string script(const std::string& more_of_sink, const std::string& group,
                     const std::string& statement) {
    return "CREATE CONNECTION target TO postgresql (" + address() + ", database = '" + database_ +
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

}  // namespace pgsink::test
