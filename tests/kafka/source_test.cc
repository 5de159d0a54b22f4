// CREATE CONNECTION … TO kafka, against a real broker and a real PostgreSQL.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kafka/kafka_support.h"
#include "support/postgres_server.h"
#include "support/run_command.h"

namespace pgsink::test {
namespace {

using testing::HasSubstr;

class KafkaTest : public testing::Test {
 protected:
  void SetUp() override {
    static int made = 0;
    topic_ = "events-" + std::to_string(++made);
    database_ = shared_server().create_database("kafka");
    sql("CREATE TABLE t (id bigint, name text, topic text, part int, off bigint, key text, "
        "at timestamptz, headers jsonb)");
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }

  std::string sink(const std::string& more = "") const {
    return "CREATE CONNECTION target TO postgresql (host = '" + shared_server().socket_dir() +
           "', port = '" + std::to_string(shared_server().port()) + "', database = '" + database_ +
           "', username = 'postgres', table = 't'" + more + ");\n";
  }
  std::string source(const std::string& more = "") const {
    return "CREATE CONNECTION feed TO kafka (type = 'source', brokers = '" +
           shared_broker().address() + "', topic = '" + topic_ + "', group_id = 'g-" + topic_ +
           "', stop = 'latest'" + more + ");\n";
  }
  static constexpr std::string_view kJson =
      ", format = 'json', columns = MAP {'id': 'BIGINT', 'name': 'VARCHAR'}";
  std::string json(const std::string& more = "") const { return source(std::string(kJson) + more); }
  static constexpr std::string_view kExactlyOnce =
      ", delivery = 'exactly_once', sink_id = 'events'";

  static Captured run(const std::string& script, std::vector<std::string> flags = {}) {
    std::vector<std::string> command{PGSINK_COMMAND, "-c", script};
    command.insert(command.end(), flags.begin(), flags.end());
    return run_command(command);
  }
  static std::string record(int64_t id) {
    return "{\"id\": " + std::to_string(id) + ", \"name\": \"n" + std::to_string(id) + "\"}";
  }
  /// Sends records first … last, spread over the partitions.
  void send(int64_t first, int64_t last, int partitions) {
    for (int64_t id = first; id <= last; ++id) {
      shared_broker().send(topic_, static_cast<int>(id % partitions), record(id));
    }
    shared_broker().flush();
  }
  void expect_once(int64_t rows) {
    EXPECT_EQ(scalar("SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || coalesce(max(id), 0) "
                     "FROM t"),
              std::to_string(rows) + " " + std::to_string(rows) + " " + std::to_string(rows));
  }

  std::string topic_, database_;
};

const std::string kInsert = "INSERT INTO target SELECT id, name FROM feed;";

TEST_F(KafkaTest, RecordsBecomeRowsOnceAndTheNextRunGoesOn) {
  shared_broker().create_topic(topic_, 3);
  send(1, 5000, 3);
  const std::string script = sink(std::string(kExactlyOnce)) + json() + kInsert;
  auto first = run(script);
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_THAT(first.err, HasSubstr("5,000 rows"));
  expect_once(5000);
  EXPECT_EQ(scalar("SELECT sum(position) FROM pgsink_offsets"), "5000");

  const auto counted =
      run(script +
              "SELECT count(*) AS partitions, sum(position) AS read, sum(lag_records) "
              "AS lag FROM system.kafka_partitions WHERE connection = 'feed';",
          {"--format", "csv"});
  EXPECT_THAT(counted.out, HasSubstr("3,5000,0")) << counted.err;
  auto nothing = run(script);
  ASSERT_EQ(nothing.exit_code, 0) << nothing.err;
  expect_once(5000);
  send(5001, 5100, 3);
  auto more = run(script);
  ASSERT_EQ(more.exit_code, 0) << more.err;
  expect_once(5100);
}

TEST_F(KafkaTest, TheBrokerMayAssignPartitions) {
  shared_broker().create_topic(topic_, 3);
  send(1, 500, 3);
  const std::string script =
      sink(std::string(kExactlyOnce)) + json(", group_protocol = 'consumer'") + kInsert;
  const auto first = run(script);
  if (rd_kafka_version() < 0x020c0000) {
    EXPECT_NE(first.exit_code, 0);
    EXPECT_THAT(first.err, HasSubstr("group_protocol = 'consumer' needs librdkafka 2.12 or newer, "
                                     "and this pgsink runs with " +
                                     std::string(rd_kafka_version_str())));
    return;
  }
  ASSERT_EQ(first.exit_code, 0) << first.err;
  send(501, 700, 3);
  const auto second = run(script);
  ASSERT_EQ(second.exit_code, 0) << second.err;
  expect_once(700);
}

TEST_F(KafkaTest, AtLeastOnceGoesOnFromTheOffsetsOfTheGroup) {
  shared_broker().create_topic(topic_, 2);
  send(1, 1000, 2);
  const std::string script = sink() + json() + kInsert;
  auto first = run(script);
  ASSERT_EQ(first.exit_code, 0) << first.err;
  expect_once(1000);
  send(1001, 1500, 2);
  auto second = run(script);
  ASSERT_EQ(second.exit_code, 0) << second.err;
  expect_once(1500);
}

TEST_F(KafkaTest, ColumnsAboutTheMessageAreThereForStatementsThatNameThem) {
  shared_broker().create_topic(topic_, 2);
  shared_broker().send(topic_, 1, record(1), "k1", {{"trace", "a\"b"}, {"bytes", "\xff"}});
  shared_broker().send(topic_, 1, std::nullopt, "gone");  // A tombstone.
  shared_broker().flush();
  const auto run_it = run(
      sink(std::string(kExactlyOnce)) + json() +
      "INSERT INTO target SELECT id, name, _topic AS topic, _partition AS part, _offset AS off, "
      "_key AS key, _timestamp AS at, _headers AS headers FROM feed;");
  ASSERT_EQ(run_it.exit_code, 0) << run_it.err;
  EXPECT_EQ(
      scalar("SELECT string_agg(concat_ws('|', id, name, topic, part, off, key, headers), ';' "
             "ORDER BY off) FROM t"),
      "1|n1|" + topic_ + R"(|1|0|k1|[{"trace": "a\"b"}, {"bytes": "\\xff"}];)" + topic_ +
          "|1|1|gone");
  EXPECT_EQ(scalar("SELECT bool_and(at > now() - interval '1 hour' AND at < now() + interval '1 "
                   "hour') FROM t"),
            "t");
}

TEST_F(KafkaTest, AllOfAValueIsWhatStarMeans) {
  shared_broker().create_topic(topic_, 1);
  send(1, 3, 1);
  const auto star =
      run(sink(std::string(kExactlyOnce)) + json() + "INSERT INTO target SELECT * FROM feed;");
  ASSERT_EQ(star.exit_code, 0) << star.err;
  expect_once(3);
}

TEST_F(KafkaTest, CsvRawAndSeveralTopics) {
  shared_broker().create_topic(topic_, 1);
  shared_broker().create_topic(topic_ + "-b", 2);
  shared_broker().send(topic_, 0, "1,\"a, b\"");
  shared_broker().send(topic_ + "-b", 1, "2,");
  shared_broker().flush();
  const std::string target = sink(std::string(kExactlyOnce));
  const std::string both = ", topics = '" + topic_ + ", " + topic_ + "-b'";
  std::string csv = source(", format = 'csv', columns = MAP {'id': 'BIGINT', 'name': 'VARCHAR'}");
  csv.replace(csv.find("topic = '" + topic_ + "'"), ("topic = '" + topic_ + "'").size(),
              "topic = '" + topic_ + ", " + topic_ + "-b'");
  const auto run_csv = run(target + csv + kInsert);
  ASSERT_EQ(run_csv.exit_code, 0) << run_csv.err;
  EXPECT_EQ(scalar("SELECT string_agg(concat_ws('|', id, name), ';' ORDER BY id) FROM t"),
            "1|a, b;2");

  sql("TRUNCATE t; DELETE FROM pgsink_offsets");
  const auto run_raw = run(target + source(", format = 'raw'") +
                           "INSERT INTO target SELECT value AS name FROM feed;");
  ASSERT_EQ(run_raw.exit_code, 0) << run_raw.err;
  EXPECT_EQ(scalar("SELECT string_agg(name, ';') FROM t"), "1,\"a, b\"");
}

TEST_F(KafkaTest, AbortedTransactionsOfProducersAreNotSeen) {
  shared_broker().create_topic(topic_, 1);
  shared_broker().send_in_transaction(topic_, 0, {record(1), record(2)}, true);
  shared_broker().send_in_transaction(topic_, 0, {record(100), record(101)}, false);
  shared_broker().send_in_transaction(topic_, 0, {record(3)}, true);
  const std::string script = sink(std::string(kExactlyOnce)) + json() + kInsert;
  const auto first = run(script);
  ASSERT_EQ(first.exit_code, 0) << first.err;
  expect_once(3);
  shared_broker().send_in_transaction(topic_, 0, {record(4)}, true);
  const auto second = run(script);
  ASSERT_EQ(second.exit_code, 0) << second.err;
  expect_once(4);
}

TEST_F(KafkaTest, MessagesThatCannotBeReadAreDeadLettersWithTheirPlace) {
  shared_broker().create_topic(topic_, 1);
  send(1, 10, 1);
  shared_broker().send(topic_, 0, "{\"id\": oops", "the key");
  shared_broker().send(topic_, 0, "{\"id\": \"x\"}");
  shared_broker().flush();
  send(11, 20, 1);
  const std::string letters = ", dead_letter_table = 'letters'";
  const std::string script = sink(std::string(kExactlyOnce) + letters) + json() + kInsert;
  const auto run_it = run(script);
  ASSERT_EQ(run_it.exit_code, 3) << run_it.err;  // Rows were rejected.
  expect_once(20);
  EXPECT_EQ(scalar("SELECT count(*) FROM letters"), "2");
  EXPECT_THAT(scalar("SELECT message FROM letters ORDER BY source_position LIMIT 1"),
              HasSubstr("topic " + topic_ + ", partition 0, offset 10, key 'the key'"));
  EXPECT_EQ(scalar("SELECT string_agg(source_position::text, ' ' ORDER BY source_position) FROM "
                   "letters"),
            "10 11");
  EXPECT_EQ(scalar("SELECT \"row\" ->> 'input' FROM letters ORDER BY source_position LIMIT 1"),
            "{\"id\": oops");
  EXPECT_EQ(scalar("SELECT position FROM pgsink_offsets"), "22");

  sql("TRUNCATE t; DELETE FROM pgsink_offsets");
  const auto stopped = run(sink(std::string(kExactlyOnce)) + json() + kInsert);
  EXPECT_NE(stopped.exit_code, 0);
  EXPECT_THAT(stopped.err, HasSubstr("offset 10"));
}

TEST_F(KafkaTest, OffsetsThatAreGoneAreAnErrorWithBothNumbers) {
  shared_broker().create_topic(topic_, 1);
  send(1, 100, 1);
  const std::string script = sink(std::string(kExactlyOnce)) + json() + kInsert;
  ASSERT_EQ(run(script).exit_code, 0);
  send(101, 200, 1);
  shared_broker().delete_before(topic_, 0, 150);  // Retention.
  const auto retention = run(script);
  EXPECT_NE(retention.exit_code, 0);
  EXPECT_THAT(retention.err, HasSubstr("PGS-6008"));
  EXPECT_THAT(retention.err, HasSubstr("was delivered up to offset 100, and the broker has only "
                                       "offsets 150 to 200"));
  EXPECT_THAT(retention.err, HasSubstr("50 messages"));
  expect_once(100);
  // The way out that the message names.
  sql("UPDATE pgsink_offsets SET position = 150");
  const auto goes_on = run(script);
  EXPECT_EQ(goes_on.exit_code, 0) << goes_on.err;
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "150");

  shared_broker().delete_topic(topic_);
  ASSERT_TRUE(eventually([&] {
    try {
      shared_broker().create_topic(topic_, 1);
      send(1, 10, 1);
      return true;
    } catch (const std::exception&) {
      return false;
    }
  }));
  const auto anew = run(script);
  EXPECT_NE(anew.exit_code, 0);
  EXPECT_THAT(anew.err, HasSubstr("was delivered up to offset 200, and the broker has only offsets "
                                  "0 to"));
}

TEST_F(KafkaTest, LatestBeginsAtTheEndAndRemembersIt) {
  shared_broker().create_topic(topic_, 1);
  send(1, 10, 1);
  const std::string script = sink(std::string(kExactlyOnce)) + json(", start = 'latest'") + kInsert;
  const auto first = run(script);
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "0");
  send(11, 15, 1);
  const auto second = run(script);
  ASSERT_EQ(second.exit_code, 0) << second.err;
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || min(id) FROM t"), "5 11");
}

TEST_F(KafkaTest, TwoSinksAreEachExactlyOnce) {
  shared_broker().create_topic(topic_, 2);
  sql("CREATE TABLE odd (id bigint)");
  send(1, 3000, 2);
  std::string second = sink(std::string(kExactlyOnce));
  second.replace(second.find("target"), 6, "second");
  second.replace(second.find("table = 't'"), 11, "table = 'odd'");
  second.replace(second.find("sink_id = 'events'"), 18, "sink_id = 'odd'");
  const std::string script = sink(std::string(kExactlyOnce)) + second + json() +
                             "CREATE PIPELINE p AS INSERT INTO target SELECT id, name FROM feed "
                             "UNION ALL INSERT INTO second SELECT id FROM feed WHERE id % 2 = 1;";
  const auto only = run(sink(std::string(kExactlyOnce)) + json() + kInsert);
  ASSERT_EQ(only.exit_code, 0) << only.err;
  send(3001, 4000, 2);
  const auto both = run(script);  // The second sink begins at the start.
  ASSERT_EQ(both.exit_code, 0) << both.err;
  expect_once(4000);
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || count(DISTINCT id) FROM odd"), "2000 2000");
}

TEST_F(KafkaTest, WhatIsWrongIsSaid) {
  const auto check = [&](const std::string& script, const std::string& what,
                         const std::string& flag = "--check") {
    const auto checked = run(script, {flag});
    EXPECT_NE(checked.exit_code, 0) << script;
    EXPECT_THAT(checked.err, HasSubstr(what));
  };
  check(
      "CREATE CONNECTION feed TO kafka (type = 'source', brokers = 'b', group_id = 'g', format = "
      "'json', columns = MAP {'id': 'BIGINT'});",
      "the option topic is missing");
  check(json(", topic_name = 'x'"), "TO kafka has no option 'topic_name'");
  check(json(", properties = MAP {'auto.offset.reset': 'earliest'}"),
        "must not set auto.offset.reset");
  check(json(", properties = MAP {'no.such.property': '1'}"), "no.such.property");
  check(source(", format = 'avro'"), "takes 'json', 'csv', 'raw' or 'debezium_json'");
  check(source(", format = 'json'"), "the option columns is missing");
  check(source(", format = 'raw', columns = MAP {'id': 'BIGINT'}"), "leave columns out");
  check(json(), "Unknown topic", "--check=online");
  check("CREATE CONNECTION feed TO kafka (type = 'source', brokers = '127.0.0.1:" +
            std::to_string(free_port()) + "', topic = 'x', group_id = 'g', format = 'raw');",
        "no broker of Kafka can be reached", "--check=online");
}

}  // namespace
}  // namespace pgsink::test
