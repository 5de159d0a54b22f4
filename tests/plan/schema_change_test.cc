// Tables made from the input's schema, widened to it, or compared with it.

#include "pgsink/plan/schema_change.h"

#include <array>
#include <chrono>
#include <map>
#include <thread>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;
using testing::HasSubstr;

struct Reading {
  int64_t id;
  std::string name;
  std::optional<double> value;
};

RecordBatch readings(std::vector<Reading> rows) {
  return batch_of(std::move(rows), column("id", &Reading::id), column("Name", &Reading::name),
                  column("value", &Reading::value));
}

class SchemaChangeTest : public testing::Test {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("change");
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "a \"table\"";
    options_.create_table = true;
  }

  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  /// Name and type of each column, in order.
  std::string columns() {
    return scalar(
        "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY "
        "attnum) FROM pg_attribute WHERE attnum > 0 AND attrelid = '\"a "
        "\"\"table\"\"\"'::regclass");
  }

  Status write(RecordBatch batch) {
    auto sink = Sink::open(options_, batch.schema());
    if (!sink) return fail(sink.error());
    if (auto written = (*sink)->write(std::move(batch)); !written) return written;
    return (*sink)->close();
  }
  Status write(std::vector<Reading> rows) { return write(readings(std::move(rows))); }
  void expect_written(std::vector<Reading> rows) {
    const Status written = write(std::move(rows));
    EXPECT_TRUE(written) << written.error().to_string();
  }

  std::string database_;
  SinkOptions options_;
};

TEST(ColumnType, HoldsEveryValueOfItsKind) {
  const auto type = [](ColumnKind kind, auto change) {
    Field field;
    field.kind = kind;
    change(field);
    return column_type(field);
  };
  const auto plain = [&](ColumnKind kind) { return type(kind, [](Field&) {}); };
  EXPECT_EQ(plain(ColumnKind::kUint8), "smallint");
  EXPECT_EQ(plain(ColumnKind::kUint32), "bigint");
  EXPECT_EQ(plain(ColumnKind::kUint64), "numeric(20,0)");
  EXPECT_EQ(plain(ColumnKind::kTextView), "text");
  EXPECT_EQ(plain(ColumnKind::kTimestamp), "timestamp");
  EXPECT_EQ(plain(ColumnKind::kDecimal128), "numeric");
  EXPECT_EQ(type(ColumnKind::kTimestamp, [](Field& f) { f.utc = true; }), "timestamptz");
  EXPECT_EQ(type(ColumnKind::kText32, [](Field& f) { f.json = true; }), "jsonb");
  EXPECT_EQ(type(ColumnKind::kDecimal64,
                 [](Field& f) {
                   f.precision = 18;
                   f.scale = 4;
                 }),
            "numeric(18,4)");
  EXPECT_EQ(type(ColumnKind::kList32,
                 [](Field& f) {
                   f.children.resize(1);
                   f.children[0].kind = ColumnKind::kInt16;
                 }),
            "smallint[]");
}

TEST_F(SchemaChangeTest, CreatesWhatIsMissingAndKeepsWhatIsThere) {
  expect_written({{1, "one", 0.5}, {2, "zwei", {}}});
  EXPECT_EQ(columns(), "id bigint, Name text, value double precision");
  sql("ALTER TABLE \"a \"\"table\"\"\" ADD extra int DEFAULT 7");
  expect_written({{3, "three", 1}});
  EXPECT_EQ(scalar("SELECT string_agg(t::text, ' ' ORDER BY id) FROM \"a \"\"table\"\"\" AS t"),
            "(1,one,0.5,7) (2,zwei,,7) (3,three,1,7)");
}

TEST_F(SchemaChangeTest, MakesKeysOfWhatTheModeFindsRowsBy) {
  options_.write_mode = WriteMode::kUpsert;
  options_.conflict_columns = {"id", "Name"};
  expect_written({{1, "one", 0.5}, {1, "one", 0.7}, {1, "two", 3}});
  EXPECT_EQ(scalar("SELECT string_agg(t::text, ' ' ORDER BY value) FROM \"a \"\"table\"\"\" AS t"),
            "(1,one,0.7) (1,two,3)");
}

TEST_F(SchemaChangeTest, TakesEveryKindOfMember) {
  struct Wide {
    bool flag;
    uint16_t small;
    std::vector<std::byte> bytes;
    std::chrono::sys_days day;
    std::chrono::sys_time<std::chrono::microseconds> at;
    std::vector<int32_t> list;
  };
  using namespace std::chrono_literals;
  const Status written = write(batch_of(
      std::vector<Wide>{{true,
                         65535,
                         {std::byte{0}, std::byte{255}},
                         std::chrono::sys_days(std::chrono::days(1)),
                         std::chrono::sys_time<std::chrono::microseconds>(1us),
                         {1, 2}}},
      column("flag", &Wide::flag), column("small", &Wide::small), column("bytes", &Wide::bytes),
      column("day", &Wide::day), column("at", &Wide::at), column("list", &Wide::list)));
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(columns(),
            "flag boolean, small integer, bytes bytea, day date, at timestamp with time zone, "
            "list integer[]");
  sql("SET timezone = 'UTC'");
  EXPECT_EQ(scalar("SELECT concat_ws(' ', flag, small, bytes, day, at AT TIME ZONE 'UTC', list) "
                   "FROM \"a \"\"table\"\"\""),
            "t 65535 \\x00ff 1970-01-02 1970-01-01 00:00:00.000001 {1,2}");
}

TEST_F(SchemaChangeTest, ManyAtOnceCreateOne) {
  constexpr size_t kSinks = 8;
  std::array<Status, kSinks> written;
  {
    std::vector<std::jthread> sinks;
    for (size_t i = 0; i < kSinks; ++i) {
      sinks.emplace_back([&, i] { written[i] = write({{static_cast<int64_t>(i), "x", {}}}); });
    }
  }
  for (const Status& one : written) EXPECT_TRUE(one) << one.error().to_string();
  EXPECT_EQ(scalar("SELECT count(DISTINCT id) FROM \"a \"\"table\"\"\""), "8");
}

TEST_F(SchemaChangeTest, IsDoneByTheRoleThatWrites) {
  const std::string role = "maker_" + database_;
  shared_server().create_role(role);
  options_.set_role = role;
  sql("REVOKE CREATE ON SCHEMA public FROM public");  // Before 15 everybody may.
  const Status refused = write({{1, "one", {}}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().sqlstate, "42501");
  EXPECT_THAT(refused.error().message, HasSubstr("create_table: permission denied for schema"));
  sql("GRANT CREATE ON SCHEMA public TO " + role);
  expect_written({{1, "one", {}}});
  EXPECT_EQ(scalar("SELECT tableowner FROM pg_tables WHERE tablename LIKE 'a %'"), role);
}

TEST_F(SchemaChangeTest, TableToBeMadeIsNoFaultOfAConnection) {
  EXPECT_TRUE(test_connection(options_));
  options_.create_table = false;
  EXPECT_EQ(test_connection(options_).error().code, Errc::kNoSuchTable);
}

TEST_F(SchemaChangeTest, AddsTheColumnsThatTheTableLacks) {
  sql("CREATE TABLE \"a \"\"table\"\"\" (id bigint)");
  EXPECT_EQ(write({{1, "one", {}}}).error().code, Errc::kNoSuchColumn);
  options_.schema_evolution = SchemaEvolution::kAddColumns;
  expect_written({{1, "one", 2.5}});
  expect_written({{2, "two", {}}});
  EXPECT_EQ(columns(), "id bigint, Name text, value double precision");
  EXPECT_EQ(scalar("SELECT string_agg(t::text, ' ' ORDER BY id) FROM \"a \"\"table\"\"\" AS t"),
            "(1,one,2.5) (2,two,)");
}

TEST_F(SchemaChangeTest, ValidateWantsEveryColumnFilled) {
  sql("CREATE TABLE \"a \"\"table\"\"\" (id bigint, name text, value float8,"
      " twice float8 GENERATED ALWAYS AS (value * 2) STORED)");
  options_.schema_evolution = SchemaEvolution::kValidate;
  expect_written({{1, "one", {}}});
  sql("ALTER TABLE \"a \"\"table\"\"\" ADD more text, ADD \"even more\" int");
  const Status refused = write({{1, "one", {}}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kColumnRequired);
  EXPECT_THAT(refused.error().message, HasSubstr("\"more\", \"even more\""));
}

}  // namespace
}  // namespace pgsink
