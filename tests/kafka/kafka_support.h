#pragma once
// A real broker for the tests: Apache Kafka in KRaft mode, from the jars of fetch_kafka in
// third_party/setup.sh, and a client that fills topics.

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <librdkafka/rdkafka.h>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "support/child_process.h"
#include "support/patience.h"
#include "support/postgres_server.h"

namespace pgsink::test {

/// The folder of the jars; "" if it, or Java, is missing.
inline std::string kafka_jars() {
  const char* given = std::getenv("PGSINK_KAFKA_JARS");
  const std::string folder =
      given != nullptr ? given : PGSINK_SOURCE_DIR "/third_party/download/kafka";
  const bool there = std::filesystem::exists(folder + "/.fetched") || given != nullptr;
  const bool java = std::system("java -version >/dev/null 2>&1") == 0;
  return there && java ? folder : "";
}

inline void require(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error("Kafka: " + what);
}

class KafkaBroker {
 public:
  KafkaBroker() : port_(free_port()), controller_port_(free_port()) {
    std::string name = (std::filesystem::temp_directory_path() / "pgsink-kafka.XXXXXX").string();
    require(mkdtemp(name.data()) != nullptr, "mkdtemp " + name);
    directory_ = name;
    const std::string at = "127.0.0.1:" + std::to_string(port_);
    const std::string controller = "127.0.0.1:" + std::to_string(controller_port_);
    std::ofstream(directory_ + "/server.properties")
        << "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@" << controller
        << "\nlisteners=PLAINTEXT://" << at << ",CONTROLLER://" << controller
        << "\nadvertised.listeners=PLAINTEXT://" << at
        << "\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
           "\ncontroller.listener.names=CONTROLLER\ninter.broker.listener.name=PLAINTEXT"
           "\nlog.dirs="
        << directory_
        << "/data\noffsets.topic.num.partitions=1\noffsets.topic.replication.factor=1"
           "\ntransaction.state.log.num.partitions=1\ntransaction.state.log.replication.factor=1"
           "\ntransaction.state.log.min.isr=1\ngroup.initial.rebalance.delay.ms=0"
           "\ngroup.min.session.timeout.ms=1000\nnum.network.threads=2\nnum.io.threads=2"
           "\nlog.cleaner.enable=false\nauto.create.topics.enable=false\n";
    require(run_process(java({"kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw",
                              "-c", directory_ + "/server.properties"}),
                        {getuid(), getgid()}, directory_ + "/log") == 0,
            "the storage cannot be formatted: see " + directory_ + "/log");
    start();
  }
  ~KafkaBroker() {
    stop(SIGKILL);
    if (client_ != nullptr) rd_kafka_destroy(client_);
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  KafkaBroker(const KafkaBroker&) = delete;
  KafkaBroker& operator=(const KafkaBroker&) = delete;

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  void start() {
    pid_ = start_process(java({"kafka.Kafka", directory_ + "/server.properties"}),
                         {getuid(), getgid()}, directory_ + "/log");
    const rd_kafka_metadata_t* metadata = nullptr;
    const bool up = eventually([&] {
      if (rd_kafka_metadata(client(), 0, nullptr, &metadata, 500) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return false;
      }
      const bool brokers = metadata->broker_cnt > 0;
      rd_kafka_metadata_destroy(metadata);
      return brokers;
    });
    require(up, "the broker does not start: see " + directory_ + "/log");
  }
  void stop(int signal) {
    if (pid_ <= 0) return;
    kill(pid_, signal);
    std::ignore = wait_for_child(pid_);
    pid_ = -1;
  }

  /// SIGSTOP: it keeps its connections and answers nothing, until SIGCONT.
  void signal(int number) const { kill(pid_, number); }

  // ---- topics ----------------------------------------------------------------------------------
  void create_topic(const std::string& name, int partitions) {
    admin([&](rd_kafka_queue_t* queue) {
      rd_kafka_NewTopic_t* topic = rd_kafka_NewTopic_new(name.c_str(), partitions, 1, nullptr, 0);
      rd_kafka_CreateTopics(client(), &topic, 1, nullptr, queue);
      rd_kafka_NewTopic_destroy(topic);
    });
  }
  void delete_topic(const std::string& name) {
    admin([&](rd_kafka_queue_t* queue) {
      rd_kafka_DeleteTopic_t* topic = rd_kafka_DeleteTopic_new(name.c_str());
      rd_kafka_DeleteTopics(client(), &topic, 1, nullptr, queue);
      rd_kafka_DeleteTopic_destroy(topic);
    });
  }
  /// As retention does: the messages before `offset` are gone.
  void delete_before(const std::string& topic, int partition, int64_t offset) {
    admin([&](rd_kafka_queue_t* queue) {
      rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(1);
      rd_kafka_topic_partition_list_add(list, topic.c_str(), partition)->offset = offset;
      rd_kafka_DeleteRecords_t* records = rd_kafka_DeleteRecords_new(list);
      rd_kafka_DeleteRecords(client(), &records, 1, nullptr, queue);
      rd_kafka_DeleteRecords_destroy(records);
      rd_kafka_topic_partition_list_destroy(list);
    });
  }

  struct Header {
    std::string name, value;
  };
  /// Sends a message; flush() waits for all of them.
  void send(const std::string& topic, int partition, std::optional<std::string> value,
            std::optional<std::string> key = {}, const std::vector<Header>& headers = {}) {
    send(client(), topic, partition, value, key, headers);
  }
  void flush() { require(rd_kafka_flush(client(), 60'000) == RD_KAFKA_RESP_ERR_NO_ERROR, "flush"); }

  /// Sends messages in a transaction, and commits or aborts it.
  void send_in_transaction(const std::string& topic, int partition,
                           const std::vector<std::string>& values, bool commits) {
    rd_kafka_t* const producer = make_client({{"transactional.id", "tests"}});
    check(rd_kafka_init_transactions(producer, 60'000));
    check(rd_kafka_begin_transaction(producer));
    for (const std::string& value : values) send(producer, topic, partition, value, {}, {});
    require(rd_kafka_flush(producer, 60'000) == RD_KAFKA_RESP_ERR_NO_ERROR, "flush");
    check(commits ? rd_kafka_commit_transaction(producer, 60'000)
                  : rd_kafka_abort_transaction(producer, 60'000));
    rd_kafka_destroy(producer);
  }
  /// Waits until the marks of earlier transactions are in their partitions.
  void finish_transactions() {
    rd_kafka_t* const producer = make_client({{"transactional.id", "tests"}});
    check(rd_kafka_init_transactions(producer, 60'000));
    rd_kafka_destroy(producer);
  }

  /// The sum of the offsets after the last message of each partition.
  int64_t end_of(const std::string& topic, int partitions) {
    int64_t sum = 0, first = 0, end = 0;
    for (int partition = 0; partition < partitions; ++partition) {
      const auto asked = rd_kafka_query_watermark_offsets(client(), topic.c_str(), partition,
                                                          &first, &end, 60'000);
      require(asked == RD_KAFKA_RESP_ERR_NO_ERROR, rd_kafka_err2str(asked));
      sum += end;
    }
    return sum;
  }

 private:
  static std::vector<std::string> java(const std::vector<std::string>& arguments) {
    // It ends with the test program, however that ends.
    std::vector<std::string> command{"/usr/bin/env",
                                     "setpriv",
                                     "--pdeathsig",
                                     "KILL",
                                     "java",
                                     "-Xms64m",
                                     "-Xmx384m",
                                     "-XX:+UseSerialGC",
                                     "-XX:TieredStopAtLevel=1",
                                     "-cp",
                                     kafka_jars() + "/*"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
  }

  static void check(rd_kafka_error_t* error) {
    if (error != nullptr) throw std::runtime_error(rd_kafka_error_string(error));
  }

  rd_kafka_t* make_client(const std::vector<std::pair<std::string, std::string>>& more = {}) const {
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    char why[512];
    rd_kafka_conf_set(conf, "bootstrap.servers", address().c_str(), why, sizeof why);
    rd_kafka_conf_set(conf, "enable.idempotence", "true", why, sizeof why);
    rd_kafka_conf_set(conf, "linger.ms", "5", why, sizeof why);
    rd_kafka_conf_set(conf, "queue.buffering.max.messages", "2000000", why, sizeof why);
    rd_kafka_conf_set(conf, "topic.metadata.refresh.interval.ms", "1000", why, sizeof why);
    for (const auto& [name, value] : more) {
      rd_kafka_conf_set(conf, name.c_str(), value.c_str(), why, sizeof why);
    }
    rd_kafka_conf_set_log_cb(conf, nullptr);
    rd_kafka_t* made = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    require(made != nullptr, why);
    return made;
  }
  rd_kafka_t* client() {
    if (client_ == nullptr) client_ = make_client();
    return client_;
  }

  static void send(rd_kafka_t* producer, const std::string& topic, int partition,
                   const std::optional<std::string>& value, const std::optional<std::string>& key,
                   const std::vector<Header>& headers) {
    rd_kafka_headers_t* list = nullptr;
    if (!headers.empty()) {
      list = rd_kafka_headers_new(headers.size());
      for (const Header& one : headers) {
        rd_kafka_header_add(list, one.name.c_str(), -1, one.value.data(),
                            static_cast<ssize_t>(one.value.size()));
      }
    }
    char* const bytes = value ? const_cast<char*>(value->data()) : nullptr;
    const char* const key_bytes = key ? key->data() : nullptr;
    const size_t size = value ? value->size() : 0, key_size = key ? key->size() : 0;
    for (;;) {
      const auto sent = rd_kafka_producev(
          producer, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(partition),
          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE(bytes, size),
          RD_KAFKA_V_KEY(key_bytes, key_size), RD_KAFKA_V_HEADERS(list), RD_KAFKA_V_END);
      if (sent == RD_KAFKA_RESP_ERR_NO_ERROR) return;
      require(sent == RD_KAFKA_RESP_ERR__QUEUE_FULL, rd_kafka_err2str(sent));
      rd_kafka_poll(producer, 50);
    }
  }

  template <typename F>
  void admin(F&& ask) {
    rd_kafka_queue_t* const queue = rd_kafka_queue_new(client());
    std::forward<F>(ask)(queue);
    rd_kafka_event_t* const answer = rd_kafka_queue_poll(queue, 60'000);
    require(answer != nullptr, "no answer to an administrator's request");
    const std::string error = rd_kafka_event_error(answer) == RD_KAFKA_RESP_ERR_NO_ERROR
                                  ? ""
                                  : rd_kafka_event_error_string(answer);
    rd_kafka_event_destroy(answer);
    rd_kafka_queue_destroy(queue);
    require(error.empty(), error);
  }

  const uint16_t port_, controller_port_;
  std::string directory_;
  pid_t pid_ = -1;
  rd_kafka_t* client_ = nullptr;
};

/// The broker of the test program, made on first use; it ends with the program.
KafkaBroker& shared_broker();

}  // namespace pgsink::test
