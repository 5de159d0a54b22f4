// Debezium itself: its embedded engine reads a real PostgreSQL under load and writes its changes
// through a real broker, and pgsink makes a second database equal to the first. tests/soak fetches
// Debezium, and names its folder in PGSINK_DEBEZIUM_JARS; without it there are no such tests.

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kafka/group_support.h"
#include "support/run_command.h"

namespace pgsink::test {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

/// The folder of Debezium's jars; "" if there is none.
std::string debezium_jars() {
  const char* const given = std::getenv("PGSINK_DEBEZIUM_JARS");
  return given == nullptr ? "" : given;
}

/// Form is how the engine writes its changes.
struct Form {
  std::string name;
  std::vector<std::string> properties;
  bool schemas = true;
  bool flattened = false;
};

std::vector<Form> forms() {
  if (debezium_jars().empty()) return {};
  const std::vector<std::string> plain = {"converter.schemas.enable=false",
                                          "time.precision.mode=isostring",
                                          "decimal.handling.mode=string"};
  const std::vector<std::string> flat = {
      "transforms=flat", "transforms.flat.type=io.debezium.transforms.ExtractNewRecordState",
      "transforms.flat.add.fields=op"};
  std::vector<Form> all = {{"Envelopes", {}},
                           {"EnvelopesWithoutSchemas", plain, false, false},
                           {"Flattened", flat, true, true},
                           {"FlattenedWithoutSchemas", flat, false, true}};
  all[3].properties.insert(all[3].properties.end(), plain.begin(), plain.end());
  all[3].properties.emplace_back("transforms.flat.delete.tombstone.handling.mode=rewrite");
  return all;
}

class DebeziumEngineTest : public testing::TestWithParam<Form> {
 protected:
  void SetUp() override {
    source_ = shared_server().create_database("dbz_source");
    target_ = shared_server().create_database("dbz_target");
    std::string name = (std::filesystem::temp_directory_path() / "pgsink-debezium.XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    shared_broker().create_topic(topic("moving"), 1);
    shared_broker().create_topic(topic("still"), 3);
    for (const std::string& database : {source_, target_}) {
      for (const std::string table : {"moving", "still"}) {
        shared_server().sql("CREATE TABLE " + table + std::string(kColumns) +
                                (GetParam().schemas ? ", bits bit(5))" : ")"),
                            database);
        shared_server().sql("ALTER TABLE " + table +
                                " ALTER body SET STORAGE EXTERNAL, ALTER raw SET STORAGE EXTERNAL, "
                                "ALTER tags SET STORAGE EXTERNAL, ALTER doc SET STORAGE EXTERNAL",
                            database);
      }
    }
  }
  ~DebeziumEngineTest() override {
    for (const pid_t pid : running_) {
      kill(pid, SIGKILL);
      std::ignore = wait_for_child(pid);
    }
    if (source_.empty()) return;
    std::ignore = eventually([&] {
      return shared_server().scalar(
                 "SELECT count(pg_drop_replication_slot(slot_name)) FROM pg_replication_slots "
                 "WHERE database = '" +
                 source_ + "' AND NOT active") == "1";
    });
    if (!HasFailure()) std::filesystem::remove_all(directory_);
  }

  /// Bits, too, if the form has schemas: without one their number is not known.
  static constexpr std::string_view kColumns =
      " (id bigint PRIMARY KEY, body text, raw bytea, tags text[], doc jsonb, n integer, "
      "price numeric(10,2), day date, at timestamp, zoned timestamptz, clock time, u uuid, f "
      "float8, "
      "flag boolean";

  std::string topic(const std::string& table) const { return source_ + ".public." + table; }
  std::string log(const std::string& name) const { return directory_ + "/" + name + ".log"; }
  static std::string read(const std::string& file) {
    std::ostringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
  }

  // ---- the source ------------------------------------------------------------------------------
  pid_t start_engine() {
    std::vector<std::string> command{"/usr/bin/env",
                                     "setpriv",
                                     "--pdeathsig",
                                     "KILL",
                                     "java",
                                     "-Xmx256m",
                                     "-XX:+UseSerialGC",
                                     "-XX:TieredStopAtLevel=1",
                                     "-cp",
                                     debezium_jars() + "/*",
                                     PGSINK_SOURCE_DIR "/tests/kafka/DebeziumFeed.java",
                                     shared_broker().address()};
    for (const std::string& property : std::vector<std::string>{
             "name=feed", "connector.class=io.debezium.connector.postgresql.PostgresConnector",
             "database.hostname=127.0.0.1",
             "database.port=" + std::to_string(shared_server().port()), "database.user=postgres",
             "database.password=none", "database.sslmode=disable", "database.dbname=" + source_,
             "topic.prefix=" + source_, "plugin.name=pgoutput", "slot.name=" + source_,
             "publication.name=dbz", "publication.autocreate.mode=filtered",
             "table.include.list=public.moving,public.still", "skipped.operations=none",
             "poll.interval.ms=50", "offset.flush.interval.ms=500",
             "offset.storage=org.apache.kafka.connect.storage.FileOffsetBackingStore",
             "offset.storage.file.filename=" + directory_ + "/offsets"}) {
      command.push_back(property);
    }
    const Form form = GetParam();
    command.insert(command.end(), form.properties.begin(), form.properties.end());
    const pid_t pid = start_process(command, {getuid(), getgid()}, log("engine"));
    running_.push_back(pid);
    return pid;
  }

  /// Changes of both tables by several clients, each with rows of its own.
  void load(const std::string& also_set = "") {
    const std::string at = directory_ + "/load.sql";
    std::ofstream script(at);
    for (const std::string table : {"moving", "still"}) {
      const std::string big = "repeat(md5(random()::text), 100)";
      script << "\\set id :client_id * 1000 + random(1, 60)\n\\set to :client_id * 1000 + "
                "random(1, 60)\n"
             << "INSERT INTO " << table << " VALUES (:id, " << big << ", decode(" << big
             << ", 'hex'), ARRAY[" << big << ", 'a \"b\", {}', NULL, ''], jsonb_build_object('k', "
             << big
             << "), 1, round(random()::numeric * 1000 - 500, 2), date '2000-02-29' + "
                "(random() * 20000)::int, timestamp '1960-01-01 00:00:00.123456' + random() * "
                "interval '90 years', timestamptz '1960-01-01 00:00:00.5+02' + random() * "
                "interval '90 years', time '00:00' + random() * interval '23 hours', "
                "gen_random_uuid(), random() * 1e6, random() < 0.5"
             << (GetParam().schemas ? ", (random() * 31)::int::bit(5)" : "")
             << ") ON CONFLICT DO NOTHING;\n"
             // The large values stay as they are.
             << "UPDATE " << table
             << " SET n = n + 1, price = -price, flag = NOT flag, clock = NULL" << also_set
             << " WHERE id = :to;\n"
             << "\\set what random(1, 6)\n\\if :what = 1\nUPDATE " << table << " SET body = " << big
             << ", n = n + 1 WHERE id = :id;\n\\elif :what = 2\nUPDATE " << table
             << " SET raw = NULL, tags = '{}', doc = '[1.50, null]', at = NULL, zoned = NULL, "
                "day = NULL WHERE id = :id;\n\\elif :what = 3\nDELETE FROM "
             << table << " WHERE id = :to;\n\\elif :what = 4\n";
      if (table == "moving") {
        script
            << "UPDATE moving SET id = :to, n = n + 1 WHERE id = :id AND NOT EXISTS (SELECT FROM "
               "moving WHERE id = :to);\n";
      }
      script << "\\endif\n";
    }
    script.close();
    const auto ran = run_command(
        {shared_server().bin_dir() + "/pgbench", "-h", shared_server().socket_dir(), "-p",
         std::to_string(shared_server().port()), "-U", "postgres", "-n", "-c", "4", "-t",
         std::to_string(number("PGSINK_DEBEZIUM_ROUNDS", 200)), "-f", at, source_},
        {.time_max = std::chrono::seconds(3600)});
    ASSERT_EQ(ran.exit_code, 0) << ran.err;
    EXPECT_THAT(ran.out, HasSubstr("number of failed transactions: 0"));
  }

  // ---- the way to the target -------------------------------------------------------------------
  pid_t start_reader(const std::string& table, const std::string& delivery,
                     const std::string& more_columns = "") {
    const std::string text =
        "CREATE CONNECTION target TO postgresql (host = '" + shared_server().socket_dir() +
        "', port = '" + std::to_string(shared_server().port()) + "', database = '" + target_ +
        "', username = 'postgres', table = '" + table +
        "', write_mode = 'changelog', batch_timeout_ms = 100" + delivery +
        ");\nCREATE CONNECTION feed TO kafka (type = 'source', brokers = '" +
        shared_broker().address() + "', topic = '" + topic(table) + "', group_id = 'g-" +
        topic(table) +
        "', format = 'debezium_json', columns = MAP {'id': 'BIGINT', 'body': 'VARCHAR', 'raw': "
        "'BLOB', 'tags': 'VARCHAR[]', 'doc': 'JSON', 'n': 'INTEGER', 'price': 'DECIMAL(10,2)', "
        "'day': 'DATE', 'at': 'TIMESTAMP', 'zoned': 'TIMESTAMPTZ', 'clock': 'TIME', 'u': 'UUID', "
        "'f': 'DOUBLE', 'flag': 'BOOLEAN'" +
        (GetParam().schemas ? ", 'bits': 'VARCHAR'" : "") + more_columns +
        "});\nINSERT INTO target SELECT * FROM feed;";
    const pid_t pid = start_process({PGSINK_COMMAND, "-c", text}, {getuid(), getgid()}, log(table));
    running_.push_back(pid);
    return pid;
  }
  void end(pid_t pid) {
    kill(pid, SIGTERM);
    const auto status = wait_for_child(pid);
    ASSERT_TRUE(status);
    std::erase(running_, pid);
  }

  static std::string digest(const std::string& table, const std::string& database) {
    return shared_server().scalar(
        "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, ',' ORDER BY id)), '') FROM " +
            table + " AS t",
        database);
  }
  /// Whether the target is as the source; says what differs.
  void expect_equal(const std::string& table) {
    const auto equal = [&] { return digest(table, source_) == digest(table, target_); };
    if (eventually(equal, std::chrono::seconds(120))) return;
    ADD_FAILURE() << table << ": " << digest(table, source_) << " and in the target "
                  << digest(table, target_) << "; see " << directory_;
  }

  /// A truncate stops the reader. Its operator empties the target, and goes on after the message.
  void truncate(pid_t reader) {
    shared_server().sql("TRUNCATE moving", source_);
    load();
    const auto status = wait_for_child(reader);
    std::erase(running_, reader);
    ASSERT_TRUE(status);
    EXPECT_NE(*status, 0);
    const std::string said = read(log("moving")), place = "partition 0, offset ";
    ASSERT_THAT(said, HasSubstr("the source's table was truncated"));
    const std::string offset =
        std::to_string(std::stoll(said.substr(said.rfind(place) + place.size())));
    shared_server().sql("BEGIN; TRUNCATE moving; UPDATE pgsink_offsets SET position = " + offset +
                            " + 1 WHERE sink_id = 'dbz' AND stream LIKE '%/" + topic("moving") +
                            "/0'; COMMIT",
                        target_);
    start_reader("moving", kExactlyOnce, kAdded);
    expect_equal("moving");
  }

  static constexpr const char* kExactlyOnce = ", delivery = 'exactly_once', sink_id = 'dbz'";
  static constexpr const char* kAdded = ", 'added': 'VARCHAR'";

  std::string source_, target_, directory_;
  std::vector<pid_t> running_;
};

TEST_P(DebeziumEngineTest, TheTargetBecomesEqual) {
  load();  // The snapshot has these.
  pid_t engine = start_engine();
  pid_t moving = start_reader("moving", kExactlyOnce);
  pid_t still = start_reader("still", "");
  load();
  if (HasFatalFailure()) return;
  expect_equal("moving");
  expect_equal("still");

  // The engine goes on from where it was.
  end(engine);
  load();
  engine = start_engine();
  if (HasFatalFailure()) return;
  expect_equal("moving");
  expect_equal("still");

  // A new column: first in the target and for the readers, then in the source.
  end(moving);
  end(still);
  if (HasFatalFailure()) return;
  const std::string add = "ALTER TABLE moving ADD added text; ALTER TABLE still ADD added text";
  shared_server().sql(add, target_);
  moving = start_reader("moving", kExactlyOnce, kAdded);
  still = start_reader("still", "", kAdded);
  load();
  shared_server().sql(add, source_);
  load(", added = 'new ' || n");
  if (HasFatalFailure()) return;
  expect_equal("moving");
  expect_equal("still");
  EXPECT_NE(shared_server().scalar("SELECT count(added) FROM moving", target_), "0");
  if (!GetParam().flattened) truncate(moving);  // ExtractNewRecordState leaves truncates out.
  if (HasFatalFailure()) return;

  // It really was what this test is about.
  end(engine);
  EXPECT_THAT(read(log("engine")),
              ContainsRegex("\n[0-9]+ changes, [1-9][0-9]* with values left out, [1-9][0-9]* of "
                            "keys, " +
                            std::string(GetParam().flattened ? "0" : "1") + " truncates\n$"));
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DebeziumEngineTest);
INSTANTIATE_TEST_SUITE_P(Forms, DebeziumEngineTest, testing::ValuesIn(forms()),
                         [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace pgsink::test
