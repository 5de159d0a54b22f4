// A table whose key is WITHOUT OVERLAPS (PostgreSQL 18): what each write mode leaves is what its
// rows leave as plain statements, one by one; modes that cannot work say so when they are opened.

#include <random>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;
using ::testing::HasSubstr;

struct Booking {
  int32_t room;
  std::string during, guest;
};

RecordBatch bookings(std::vector<Booking> rows) {
  return batch_of(std::move(rows), column("room", &Booking::room),
                  column("during", &Booking::during), column("guest", &Booking::guest));
}

struct Case {
  const char* name;
  WriteMode mode;
  bool use_copy;
  const char* statement;  ///< What a row means.
  int lanes = 1;
};

constexpr const char* kInsert = "INSERT INTO plain VALUES (%s, %L, %L)";
constexpr const char* kIgnore = "INSERT INTO plain VALUES (%s, %L, %L) ON CONFLICT DO NOTHING";
constexpr const char* kUpdate = "UPDATE plain SET guest = %3$L WHERE room = %1$s AND during = %2$L";
constexpr const char* kDelete = "DELETE FROM plain WHERE room = %s AND during = %L";

const std::vector<Case>& cases() {
  static const std::vector<Case> kCases{
      {"InsertCopy", WriteMode::kInsert, true, kInsert},
      {"InsertArrays", WriteMode::kInsert, false, kInsert},
      {"IgnoreStaged", WriteMode::kInsertIgnore, true, kIgnore},
      {"IgnoreArrays", WriteMode::kInsertIgnore, false, kIgnore},
      {"IgnoreInLanes", WriteMode::kInsertIgnore, true, kIgnore, 3},
      {"UpdateStaged", WriteMode::kUpdate, true, kUpdate},
      {"UpdateArrays", WriteMode::kUpdate, false, kUpdate},
      {"DeleteStaged", WriteMode::kDelete, true, kDelete},
      {"DeleteArrays", WriteMode::kDelete, false, kDelete},
  };
  return kCases;
}

class TemporalKeyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (shared_server().version() < 180000) {
      GTEST_SKIP() << "keys WITHOUT OVERLAPS come with PostgreSQL 18";
    }
    database_ = shared_server().create_database("temporal");
    sql("CREATE EXTENSION btree_gist;"
        // The SQLSTATE of a statement that fails; otherwise "".
        "CREATE FUNCTION attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$"
        "BEGIN EXECUTE statement; RETURN ''; EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END $$");
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.dead_letter_table = "letters";
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }

  void make_tables() {
    for (const std::string table : {"t", "plain"}) {
      sql("DROP TABLE IF EXISTS letters, " + table + "; CREATE TABLE " + table +
          " (room int, during daterange, guest text, PRIMARY KEY (room, during WITHOUT OVERLAPS));"
          "INSERT INTO " +
          table +
          " SELECT n, daterange('2024-01-01'::date + n * 3,"
          " '2024-01-01'::date + n * 3 + 2), 'first' FROM generate_series(1, 6) n");
    }
  }
  Status write(std::vector<Booking> rows) {
    RecordBatch batch = bookings(std::move(rows));
    auto sink = Sink::open(options_, batch.schema());
    if (!sink) return fail(sink.error());
    if (auto written = (*sink)->write(std::move(batch)); !written) return written;
    return (*sink)->close();
  }
  std::string content(const std::string& table) {
    return scalar(
        "SELECT string_agg(concat_ws(' ', room, during, guest), '; ' ORDER BY room, during)"
        " FROM " +
        table);
  }
  /// The rows that plain statements fail for, with what the server says.
  std::string refused(const std::vector<Booking>& rows, const std::string& statement) {
    std::string values;
    for (size_t i = 0; i < rows.size(); ++i) {
      values += (i == 0 ? "(" : ", (") + std::to_string(i + 1) + ", " +
                std::to_string(rows[i].room) + ", " + quote(rows[i].during) + ", " +
                quote(rows[i].guest) + ")";
    }
    return scalar(
        "SELECT coalesce(string_agg(n || ':' || state, ' ' ORDER BY n), '') FROM (SELECT n,"
        " attempt(format(" +
        quote(statement) +
        ", room, during, guest)) AS state"
        " FROM (VALUES " +
        values +
        ") AS v (n, room, during, guest) OFFSET 0) AS tried"
        " WHERE state <> ''");
  }
  static std::string quote(const std::string& text) { return "'" + text + "'"; }
  std::string letters() {
    return scalar(
        "SELECT coalesce(string_agg(input_row || ':' || sqlstate, ' ' ORDER BY input_row),"
        " '') FROM letters");
  }

  std::string database_;
  SinkOptions options_;
};

TEST_F(TemporalKeyTest, EachModeLeavesWhatPlainStatementsLeave) {
  std::mt19937_64 random(1);
  const auto any = [&](size_t end) {
    return std::uniform_int_distribution<size_t>(0, end - 1)(random);
  };
  constexpr size_t kRounds = 6, kRows = 40;
  for (const Case& under : cases()) {
    for (size_t round = 0; round < kRounds; ++round) {
      SCOPED_TRACE(std::string(under.name) + " " + std::to_string(round));
      make_tables();
      std::vector<Booking> rows;
      for (size_t i = 0; i < kRows; ++i) {
        const size_t first = 1 + any(25), days = any(4);  // None: an empty range, which no key has.
        const std::string date = "2024-01-";
        std::string during =
            "[" + date + std::to_string(first) + "," + date + std::to_string(first + days) + ")";
        if (any(20) == 0) during = "[2024-02-01,)";
        rows.push_back(
            {static_cast<int32_t>(1 + any(6)), std::move(during), "g" + std::to_string(i)});
        // Some rows mean a row of the table.
        if (any(3) != 0) continue;
        const size_t start = 1 + static_cast<size_t>(rows.back().room) * 3;
        rows.back().during =
            "[" + date + std::to_string(start) + "," + date + std::to_string(start + 1) + "]";
      }
      options_.write_mode = under.mode;
      options_.use_copy = under.use_copy;
      options_.parallelism = under.lanes;
      const std::string refused_rows = refused(rows, under.statement);
      const Status written = write(rows);
      ASSERT_TRUE(written) << written.error().to_string();
      EXPECT_EQ(content("t"), content("plain"));
      EXPECT_EQ(letters(), refused_rows);
      EXPECT_EQ(refused_rows.empty(),
                under.mode != WriteMode::kInsert && under.mode != WriteMode::kInsertIgnore);
    }
  }
}

TEST_F(TemporalKeyTest, OnConflictCannotUseItWhichIsSaidAtOpen) {
  make_tables();
  for (const WriteMode mode : {WriteMode::kUpsert, WriteMode::kInsertIgnore}) {
    for (const bool named : {false, true}) {
      if (mode == WriteMode::kInsertIgnore && !named) continue;
      options_.write_mode = mode;
      options_.conflict_columns.clear();
      if (named) options_.conflict_columns = {"room", "during"};
      const Status written = write({{1, "[2024-03-01,2024-03-02)", "a"}});
      ASSERT_FALSE(written);
      EXPECT_EQ(written.error().code, Errc::kNoUniqueIndex);
      EXPECT_THAT(
          written.error().message,
          HasSubstr("the key t_pkey on (room, during) is WITHOUT OVERLAPS, which ON CONFLICT "
                    "does not support: use write_mode = 'insert', 'update' or 'delete'"));
    }
  }
  struct Change {
    std::string op;
    int32_t room;
    std::string during, guest;
  };
  options_.write_mode = WriteMode::kChangelog;
  options_.conflict_columns.clear();
  const auto schema =
      batch_of(std::vector<Change>{}, column("_op", &Change::op), column("room", &Change::room),
               column("during", &Change::during), column("guest", &Change::guest))
          .schema();
  const auto opened = Sink::open(options_, schema);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::kNoUniqueIndex);
  EXPECT_THAT(opened.error().message, HasSubstr("is WITHOUT OVERLAPS"));
}

// A unique constraint beside it is one that ON CONFLICT can use; the other one rejects rows.
TEST_F(TemporalKeyTest, AnotherKeyOfTheTableCanBeNamed) {
  make_tables();
  sql("ALTER TABLE t ADD number int UNIQUE; UPDATE t SET number = room");
  struct Numbered {
    int32_t room;
    std::string during, guest;
    int32_t number;
  };
  options_.write_mode = WriteMode::kUpsert;
  options_.conflict_columns = {"number"};
  std::vector<Numbered> rows{{1, "[2024-05-01,2024-05-02)", "moved", 1},
                             {2, "[2024-01-08,2024-01-09)", "overlaps", 7},
                             {2, "[2024-05-01,2024-05-02)", "new", 8}};
  auto batch = batch_of(std::move(rows), column("room", &Numbered::room),
                        column("during", &Numbered::during), column("guest", &Numbered::guest),
                        column("number", &Numbered::number));
  auto sink = Sink::open(options_, batch.schema());
  ASSERT_TRUE(sink) << sink.error().to_string();
  ASSERT_TRUE((*sink)->write(std::move(batch)));
  const Status closed = (*sink)->close();
  ASSERT_TRUE(closed) << closed.error().to_string();
  EXPECT_EQ(scalar("SELECT string_agg(number || guest, ' ' ORDER BY number) FROM t"),
            "1moved 2first 3first 4first 5first 6first 8new");
  EXPECT_EQ(letters(), "2:23P01");
}

// A foreign key with PERIOD wants the whole of the time in the other table.
TEST_F(TemporalKeyTest, AForeignKeyWithPeriodRejectsRowsThatItDoesNotCover) {
  make_tables();
  sql("CREATE TABLE dinners (room int, during daterange, guest text,"
      " FOREIGN KEY (room, PERIOD during) REFERENCES t (room, PERIOD during))");
  options_.table = "dinners";
  const Status written = write({{1, "[2024-01-04,2024-01-05)", "covered"},
                                {1, "[2024-01-05,2024-01-08)", "too long"},
                                {9, "[2024-01-04,2024-01-05)", "no room"},
                                {2, "[2024-01-07,2024-01-09)", "covered"}});
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(scalar("SELECT string_agg(room::text, ' ' ORDER BY room) FROM dinners"), "1 2");
  EXPECT_EQ(letters(), "2:23503 3:23503");
}

}  // namespace
}  // namespace pgsink
