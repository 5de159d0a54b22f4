// format = 'debezium_json', against a real broker and a real PostgreSQL: a topic of changes makes a
// table equal to the one that they come from.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kafka/kafka_support.h"
#include "support/postgres_server.h"
#include "support/run_command.h"

namespace pgsink::test {
namespace {

using testing::HasSubstr;

/// The schema of the envelopes, as the connector for PostgreSQL writes it.
std::string envelope_schema() {
  const std::string fields =
      R"("fields":[{"type":"int64","optional":false,"field":"id"},)"
      R"({"type":"string","optional":true,"field":"body"},)"
      R"({"type":"bytes","optional":true,"field":"raw"},)"
      R"({"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal",)"
      R"("parameters":{"scale":"2","connect.decimal.precision":"10"},"field":"price"},)"
      R"({"type":"int32","optional":true,"name":"io.debezium.time.Date","field":"day"},)"
      R"({"type":"int64","optional":true,"name":"io.debezium.time.MicroTimestamp","version":1,)"
      R"("field":"at"},)"
      R"({"type":"array","items":{"type":"string","optional":true},"field":"tags"},)"
      R"({"type":"string","optional":true,"name":"io.debezium.data.Json","version":1,)"
      R"("field":"doc"}])";
  return R"({"type":"struct","fields":[{"type":"struct",)" + fields +
         R"(,"optional":true,"name":"t.Value","field":"before"},{"type":"struct",)" + fields +
         R"(,"optional":true,"field":"after"},)"
         R"({"type":"string","optional":false,"field":"op"}]})";
}

std::string row(int id, const std::string& body, const std::string& raw, const std::string& price) {
  return R"({"id":)" + std::to_string(id) + R"(,"body":)" + body + R"(,"raw":)" + raw +
         R"(,"price":")" + price +
         R"(","day":20605,"at":1780272000123456,"tags":["a","b \"c\""],"doc":"{\"n\": 1.50}"})";
}

std::string change(char op, const std::string& before, const std::string& after,
                   bool with_schema = true) {
  const std::string payload =
      R"({"before":)" + before + R"(,"after":)" + after + R"(,"op":")" + op + R"(","ts_ms":1})";
  return with_schema ? R"({"schema":)" + envelope_schema() + R"(,"payload":)" + payload + "}"
                     : payload;
}

/// What a delete has of the row before, without REPLICA IDENTITY FULL.
std::string only_id(int id) {
  return R"({"id":)" + std::to_string(id) +
         R"(,"body":null,"raw":null,"price":null,"day":null,"at":null,"tags":null,"doc":null})";
}

std::string key(int id) {
  return R"({"schema":{"type":"struct","fields":[{"type":"int64","optional":false,"field":"id"}],)"
         R"("optional":false,"name":"t.Key"},"payload":{"id":)" +
         std::to_string(id) + "}}";
}

const std::string kUnavailable = R"("__debezium_unavailable_value")";
const std::string kUnavailableBytes = R"("X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==")";
/// 123.45 and 1.00, with two decimals.
const std::string kPrice = "MDk=", kOtherPrice = "ZA==";

class KafkaDebeziumTest : public testing::Test {
 protected:
  void SetUp() override {
    static int made = 0;
    topic_ = "changes-" + std::to_string(++made);
    database_ = shared_server().create_database("debezium");
    shared_server().sql(
        "CREATE TABLE t (id bigint PRIMARY KEY, body text, raw bytea, price numeric(10,2), "
        "day date, at timestamp, tags text[], doc json, here text DEFAULT 'first')",
        database_);
    shared_broker().create_topic(topic_, 1);
  }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  std::string rows() {
    return scalar(
        "SELECT coalesce(string_agg(concat_ws('|', id, body, raw, price, day, at, tags, doc, "
        "here), "
        "E'\n' ORDER BY id), '') FROM t");
  }

  void send(const std::string& value, int id,
            const std::vector<KafkaBroker::Header>& headers = {}) {
    shared_broker().send(topic_, 0, value, key(id), headers);
  }
  void send_tombstone(int id) { shared_broker().send(topic_, 0, std::nullopt, key(id)); }
  void send_moved(int from, int to, const std::string& after) {
    send(change('d', only_id(from), "null"), from, {{"__debezium.newkey", key(to)}});
    send_tombstone(from);
    send(change('c', "null", after), to, {{"__debezium.oldkey", key(from)}});
  }

  Captured run(const std::string& query, const std::string& sink_options = "",
               const std::string& source_options = "") {
    shared_broker().flush();
    const std::string script =
        "CREATE CONNECTION target TO postgresql (host = '" + shared_server().socket_dir() +
        "', port = '" + std::to_string(shared_server().port()) + "', database = '" + database_ +
        "', username = 'postgres', table = 't', write_mode = 'changelog'" + sink_options +
        ");\nCREATE CONNECTION feed TO kafka (type = 'source', brokers = '" +
        shared_broker().address() + "', topic = '" + topic_ + "', group_id = 'g-" + topic_ +
        "', stop = 'latest', format = 'debezium_json', columns = MAP {" + columns_ + "}" +
        source_options + ");\n" + query;
    return run_command({PGSINK_COMMAND, "-c", script});
  }

  std::string topic_, database_;
  std::string columns_ =
      "'id': 'BIGINT', 'body': 'VARCHAR', 'raw': 'BLOB', 'price': 'DECIMAL(10,2)', 'day': 'DATE', "
      "'at': 'TIMESTAMP', 'tags': 'VARCHAR[]', 'doc': 'JSON'";
};

constexpr std::string_view kExactlyOnce =
    ", delivery = 'exactly_once', sink_id = 'changes', dead_letter_table = 'bad'";
constexpr int kDoneWithRejects = 3;
const std::string kWhole = "INSERT INTO target SELECT * FROM feed WHERE _op <> 'T';";
/// What row() is in the table.
const std::string kRest =
    "|2026-06-01|2026-06-01 00:00:00.123456|{a,\"b \\\"c\\\"\"}|{\"n\": 1.50}|first";

TEST_F(KafkaDebeziumTest, ATableBecomesEqualToItsSource) {
  for (int id = 1; id <= 4; ++id) {
    send(change(id == 1 ? 'r' : 'c', "null", row(id, "\"body\"", "\"AP9h\"", kPrice)), id);
  }
  // An update that leaves the large values alone, and one that does not.
  send(change('u', "null", row(1, kUnavailable, kUnavailableBytes, kOtherPrice)), 1);
  send(change('u', "null", row(2, "\"new\"", "null", kOtherPrice)), 2);
  send(change('d', only_id(3), "null"), 3);
  send_tombstone(3);
  send_moved(4, 5, row(5, kUnavailable, kUnavailableBytes, kOtherPrice));
  send(R"({"before":null,"after":null,"op":"t"})", 0);  // Left out by the query.
  send(R"({"id":9,"body":"flat","__op":"c","__deleted":"false"})", 9);
  send("not JSON", 7);

  const auto ran = run(kWhole, std::string(kExactlyOnce));
  ASSERT_EQ(ran.exit_code, kDoneWithRejects) << ran.err;
  EXPECT_EQ(rows(), "1|body|\\x00ff61|1.00" + kRest + "\n2|new|1.00" + kRest +
                        "\n5|body|\\x00ff61|1.00" + kRest + "\n9|flat|first");
  EXPECT_EQ(scalar("SELECT count(*) FROM bad"), "1");
  EXPECT_THAT(scalar("SELECT message FROM bad"), HasSubstr("JSON"));
  EXPECT_EQ(scalar("SELECT \"row\" ->> 'input' FROM bad"), "not JSON");
  EXPECT_EQ(scalar("SELECT position FROM pgsink_offsets"), "14");
}

// A limit of rows that separates every second row: the delete and the insert of a row that got
// another key stay together, so that its values move. Without that they would be lost.
TEST_F(KafkaDebeziumTest, ARowThatGetsAnotherKeyKeepsItsValues) {
  send(change('c', "null", row(1, "\"body\"", "\"AP9h\"", kPrice)), 1);
  for (int id = 1; id < 8; ++id) {
    if (id % 3 == 0)
      send(change('u', "null", row(id, kUnavailable, kUnavailableBytes, kPrice)), id);
    send_moved(id, id + 1, row(id + 1, kUnavailable, kUnavailableBytes, kOtherPrice));
  }
  const auto ran = run(kWhole, std::string(kExactlyOnce), ", batch_size = 2");
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(scalar("SELECT string_agg(message, '; ') FROM bad"), "");
  EXPECT_EQ(rows(), "8|body|\\x00ff61|1.00" + kRest);
}

TEST_F(KafkaDebeziumTest, AtLeastOnceWithSeveralLanesDoesTheSame) {
  for (int id = 1; id <= 20; ++id) {
    send(change('c', "null", row(id, "\"body\"", "\"AP9h\"", kPrice), id % 2 == 0), id);
    send_moved(id, id + 100, row(id + 100, kUnavailable, kUnavailableBytes, kOtherPrice));
  }
  // Without a schema a timestamp and a decimal of another form would be refused.
  const auto ran = run(kWhole, ", parallelism = 3, dead_letter_table = 'bad'");
  ASSERT_EQ(ran.exit_code, kDoneWithRejects) << ran.err;
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || min(id) || ' ' || max(id) FROM t WHERE body = 'body' "
                   "AND raw = '\\x00ff61' AND price = 1.00"),
            "10 102 120");
}

TEST_F(KafkaDebeziumTest, ATombstoneWithoutADeleteIsOne) {
  for (int id = 1; id <= 2; ++id) {
    send(R"({"id":)" + std::to_string(id) + R"(,"body":"b","__op":"c"})", id);
  }
  send_tombstone(1);
  const auto ran = run(kWhole, std::string(kExactlyOnce));
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(rows(), "2|b|first");
}

// A micro-batch that has nothing but a tombstone, or a truncate that is left out, moves the
// position.
TEST_F(KafkaDebeziumTest, MessagesThatSayNothingMoveThePosition) {
  send(change('c', "null", row(1, "\"body\"", "null", kPrice)), 1);
  send(change('c', "null", row(2, "\"body\"", "null", kPrice)), 2);
  send(change('d', only_id(1), "null"), 1);
  send_tombstone(1);
  send(R"({"before":null,"after":null,"op":"t"})", 0);
  const auto ran = run(kWhole, std::string(kExactlyOnce), ", batch_size = 1");
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(rows(), "2|body|123.45" + kRest);
  EXPECT_EQ(scalar("SELECT position FROM pgsink_offsets"), "5");
}

// As ExtractNewRecordState and JsonConverter write a delete: the value is null, and has a schema.
TEST_F(KafkaDebeziumTest, ATombstoneMayHaveASchema) {
  const std::string no_value = R"({"schema":)" + envelope_schema() + R"(,"payload":null})";
  const auto created = [](int id, const std::string& body) {
    return R"({"id":)" + std::to_string(id) + R"(,"body":)" + body + R"(,"__op":"c"})";
  };
  for (int id = 1; id <= 3; ++id) send(created(id, "\"body\""), id);
  send(no_value, 1);
  send("null", 2);
  // A row that gets another key, with a value that is left out.
  send(no_value, 3, {{"__debezium.newkey", key(4)}});
  send(no_value, 3);
  send(created(4, kUnavailable), 4, {{"__debezium.oldkey", key(3)}});
  const auto ran = run(kWhole, std::string(kExactlyOnce), ", batch_size = 2");
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(rows(), "4|body|first");
}

TEST_F(KafkaDebeziumTest, AQuerySeesTypedValuesAndNoPlaceholders) {
  send(change('c', "null", row(1, "\"body\"", "\"AP9h\"", kPrice)), 1);
  send(change('u', "null", row(1, kUnavailable, kUnavailableBytes, kOtherPrice)), 1);
  const auto ran = run(
      "INSERT INTO target SELECT id, upper(body) AS body, raw, price * 2 AS price, day + 1 AS day, "
      "\"at\", tags, doc, _op FROM feed;",
      std::string(kExactlyOnce));
  ASSERT_EQ(ran.exit_code, kDoneWithRejects) << ran.err;
  EXPECT_EQ(rows(),
            "1|BODY|\\x00ff61|246.90|2026-06-02|2026-06-01 00:00:00.123456|{a,\"b \\\"c\\\"\"}|"
            "{\"n\": 1.50}|first");
  EXPECT_THAT(scalar("SELECT message FROM bad"), HasSubstr("the source has left out a value"));
}

// What docs/how-to/kafka.md says: the operator empties the target, and goes on after the truncate.
TEST_F(KafkaDebeziumTest, ATruncateStopsAndSaysWhere) {
  send(change('c', "null", row(1, "\"body\"", "null", kPrice)), 1);
  send(R"({"before":null,"after":null,"op":"t"})", 0);
  send(change('c', "null", row(2, "\"body\"", "null", kPrice)), 2);
  const std::string once = ", delivery = 'exactly_once', sink_id = 'changes'";
  const auto stopped = run("INSERT INTO target SELECT * FROM feed;", once);
  EXPECT_EQ(stopped.exit_code, 1);
  EXPECT_THAT(stopped.err, HasSubstr("partition 0, offset 1: "));
  EXPECT_THAT(stopped.err, HasSubstr("the source's table was truncated"));
  shared_server().sql(
      "BEGIN; TRUNCATE t; UPDATE pgsink_offsets SET position = 1 + 1 WHERE sink_id = 'changes' AND "
      "stream LIKE '%/" +
          topic_ + "/0'; COMMIT",
      database_);
  const auto ran = run("INSERT INTO target SELECT * FROM feed;", once);
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(rows(), "2|body|123.45" + kRest);
}

TEST_F(KafkaDebeziumTest, ColumnsOfItsOwnMustNotBeDeclared) {
  columns_ += ", '_op': 'VARCHAR'";
  const auto ran = run(kWhole);
  EXPECT_NE(ran.exit_code, 0);
  EXPECT_THAT(ran.err, HasSubstr("makes the column _op of each change"));
}

}  // namespace
}  // namespace pgsink::test
