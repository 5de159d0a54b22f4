// Processes of one group: partitions move between them, and they end whatever their broker does.

#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kafka/group_support.h"
#include "support/run_command.h"

namespace pgsink::test {
namespace {

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
