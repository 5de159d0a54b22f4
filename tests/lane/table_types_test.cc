// Types that change while their values are written: labels of an enum, attributes of a composite.

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;
using testing::HasSubstr;

struct Moods {
  int64_t id = 0;
  std::string one, many, inside;
};

/// Rows of one label, alone and within an array and a composite.
RecordBatch moods(std::vector<std::string> labels, int64_t first) {
  std::vector<Moods> rows;
  for (const std::string& label : labels) {
    rows.push_back({first + static_cast<int64_t>(rows.size()), label, "{sad," + label + "}",
                    "(1," + label + ")"});
  }
  return batch_of(std::move(rows), column("id", &Moods::id), column("one", &Moods::one),
                  column("many", &Moods::many), column("inside", &Moods::inside));
}

class TableTypesTest : public testing::TestWithParam<WriteMode> {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("types");
    sql("CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE pair AS (a int, m mood); "
        "CREATE TABLE t (id bigint PRIMARY KEY, one mood, many mood[], inside pair)");
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.write_mode = GetParam();
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  std::unique_ptr<Sink> open() {
    auto sink = Sink::open(options_, moods({}, 0).schema());
    EXPECT_TRUE(sink) << (sink ? "" : sink.error().to_string());
    return sink ? std::move(*sink) : nullptr;
  }
  static Status write(Sink& sink, std::vector<std::string> labels, int64_t first) {
    if (auto written = sink.write(moods(std::move(labels), first)); !written) return written;
    return sink.flush();
  }

  std::string database_;
  SinkOptions options_;
};

TEST_P(TableTypesTest, ALabelThatCameLater) {
  auto sink = open();
  ASSERT_TRUE(write(*sink, {"ok", "sad"}, 0));
  sql("ALTER TYPE mood ADD VALUE 'happy'");
  const Status after = write(*sink, {"happy", "sad"}, 2);
  ASSERT_TRUE(after) << after.error().to_string();
  EXPECT_EQ(scalar("SELECT string_agg(concat_ws(' ', id, one, many, inside), ' ' ORDER BY id) "
                   "FROM t WHERE id >= 2"),
            "2 happy {sad,happy} (1,happy) 3 sad {sad,sad} (1,sad)");
}

TEST_P(TableTypesTest, ALabelThatCameLaterIsNoDeadLetter) {
  options_.dead_letter_table = "dl";
  auto sink = open();
  ASSERT_TRUE(write(*sink, {"ok", "glad"}, 0));
  EXPECT_EQ(scalar("SELECT count(*) FROM dl"), "1");
  sql("ALTER TYPE mood ADD VALUE 'happy'");
  const Status after = write(*sink, {"happy", "glad", "ok"}, 2);
  ASSERT_TRUE(after) << after.error().to_string();
  EXPECT_EQ(scalar("SELECT string_agg(one::text, ' ' ORDER BY id) FROM t"), "ok happy ok");
  EXPECT_EQ(scalar("SELECT string_agg(\"row\"->>'id', ' ' ORDER BY input_row) FROM dl"), "1 3");
}

TEST_P(TableTypesTest, ALabelThatGotAnotherName) {
  options_.dead_letter_table = "dl";
  auto sink = open();
  ASSERT_TRUE(write(*sink, {"ok"}, 0));
  sql("ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'");
  const Status after = write(*sink, {"ok", "fine", "sad"}, 1);
  ASSERT_TRUE(after) << after.error().to_string();
  EXPECT_EQ(scalar("SELECT string_agg(one::text, ' ' ORDER BY id) FROM t"), "fine fine sad");
  EXPECT_EQ(scalar("SELECT string_agg(\"row\"->>'id', ' ') FROM dl"), "1");
}

TEST_P(TableTypesTest, AnUnknownLabelIsNamed) {
  auto sink = open();
  ASSERT_TRUE(write(*sink, {"ok"}, 0));
  const Status after = write(*sink, {"glad"}, 1);
  ASSERT_FALSE(after);
  EXPECT_THAT(after.error().message, HasSubstr("glad"));
}

/// Rows of one key keep their lane also when its label is known later; a key of another type would
/// send them other ways.
TEST_P(TableTypesTest, KeysOfSeveralLanes) {
  sql("DROP TABLE t; CREATE TABLE t (id bigint, one mood, many mood[], inside pair, "
      "PRIMARY KEY (id, one))");
  options_.parallelism = 4;
  options_.partition_by = "hash(id, one)";
  options_.delivery = Delivery::kExactlyOnce;
  options_.sink_id = "keys";
  auto sink = open();
  const auto put = [&](const char* label, int64_t first) -> Status {
    RecordBatch batch = moods({label, "sad", "ok"}, first);
    batch.position = static_cast<uint64_t>(first) + 3;
    if (auto written = sink->write(std::move(batch)); !written) return written;
    return sink->flush();
  };
  ASSERT_TRUE(put("ok", 0));
  sql("ALTER TYPE mood ADD VALUE 'happy'");
  ASSERT_TRUE(put("happy", 3));
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "6");
  sql("ALTER TABLE t ALTER id TYPE int");
  const Status after = put("ok", 6);
  ASSERT_FALSE(after);
  EXPECT_THAT(after.error().message, HasSubstr("rows would take other lanes"));
  EXPECT_THAT(after.error().message, HasSubstr("now by hash(id integer, one public.mood)"));
}

INSTANTIATE_TEST_SUITE_P(Modes, TableTypesTest,
                         testing::Values(WriteMode::kInsert, WriteMode::kUpsert));

}  // namespace
}  // namespace pgsink
