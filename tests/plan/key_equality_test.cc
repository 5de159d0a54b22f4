// Keys are equal exactly when the server says so, by its operators and no others. Each mode by
// arrays and through the staging table.

#include <optional>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;

struct Entry {
  std::string key;
  int32_t part = 0;
  std::optional<std::string> value;
  int32_t version = 0;
};

RecordBatch entries(std::vector<Entry> rows) {
  return batch_of(std::move(rows), column("k", &Entry::key), column("p", &Entry::part),
                  column("v", &Entry::value), column("n", &Entry::version));
}

struct EntryChange {
  std::string op, key;
  int32_t part = 0;
  std::optional<std::string> value;
  int32_t version = 0;
};

RecordBatch entry_changes(std::vector<EntryChange> rows) {
  return batch_of(std::move(rows), column("_op", &EntryChange::op), column("k", &EntryChange::key),
                  column("p", &EntryChange::part), column("v", &EntryChange::value),
                  column("n", &EntryChange::version));
}

class KeyEqualityTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("keys");
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.retry_backoff_ms = 10;
    options_.use_copy = GetParam();
    if (GetParam()) options_.copy_batch_size = 1000;
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  std::string table() {
    return scalar(
        "SELECT coalesce(string_agg(concat_ws(':', k::text, p, coalesce(v, 'NULL'), n), ' ' "
        "ORDER BY k::text COLLATE \"C\", p, n), '') FROM public.t");
  }
  void write(WriteMode mode, RecordBatch batch) {
    options_.write_mode = mode;
    auto sink = Sink::open(options_, batch.schema());
    ASSERT_TRUE(sink) << sink.error().to_string();
    Status written = (*sink)->write(std::move(batch));
    if (written) written = (*sink)->close();
    ASSERT_TRUE(written) << written.error().to_string();
  }

  std::string database_;
  SinkOptions options_;
};

INSTANTIATE_TEST_SUITE_P(Ways, KeyEqualityTest, ::testing::Bool(),
                         [](const auto& instance) { return instance.param ? "Staged" : "Arrays"; });

TEST_P(KeyEqualityTest, OperatorsOfAnExtensionAreFoundInItsSchema) {
  for (const std::string_view type : {"ext.citext", "name_of_person"}) {
    for (const std::string_view key : {"k", "k, p"}) {
      sql("DROP TABLE IF EXISTS t; DROP SCHEMA IF EXISTS ext CASCADE; CREATE SCHEMA ext; "
          "CREATE EXTENSION citext SCHEMA ext; CREATE DOMAIN name_of_person AS ext.citext; "
          "CREATE TABLE t (k " +
          std::string(type) + ", p int, v text, n int, PRIMARY KEY (" + std::string(key) +
          ")); INSERT INTO t VALUES ('Alice', 1, 'a', 1), ('Bob', 1, 'b', 1), ('Carol', 1, 'c', "
          "1), ('Dave', 1, 'd', 1)");
      write(WriteMode::kDelete, entries({{"ALICE", 1, "", 0}}));
      write(WriteMode::kUpdate, entries({{"BOB", 1, "old", 2}, {"bOB", 1, "new", 2}}));
      write(WriteMode::kChangelog,
            entry_changes({{"D", "CAROL", 1, std::nullopt, 0}, {"U", "DAVE", 1, "dd", 2}}));
      write(WriteMode::kUpsert, entries({{"DAVE", 1, "ddd", 3}, {"Eve", 1, "e", 1}}));
      EXPECT_EQ(table(), "Bob:1:new:2 Dave:1:ddd:3 Eve:1:e:1") << type << " (" << key << ")";
    }
  }
}

TEST_P(KeyEqualityTest, TheNewerRowIsFoundByTheOperatorsOfItsType) {
  sql("CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE TABLE t (k text PRIMARY KEY, "
      "p int, v ext.citext, n int); INSERT INTO t VALUES ('a', 1, 'B', 1), ('b', 1, 'B', 1)");
  options_.newer_by = "v";
  // For text 'a' is greater than 'B', for citext it is not.
  write(WriteMode::kUpsert, entries({{"a", 1, "a", 2}, {"b", 1, "c", 2}}));
  EXPECT_EQ(table(), "a:1:B:1 b:1:c:2");
}

TEST_P(KeyEqualityTest, NothingOfTheSearchPathIsUsed) {
  sql("CREATE SCHEMA evil; "
      "CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS "
      "'SELECT ''2000-01-01''::timestamptz'; "
      "CREATE FUNCTION evil.unnest(anyarray) RETURNS SETOF anyelement LANGUAGE sql AS "
      "'SELECT $1[1]'; "
      "CREATE FUNCTION evil.count() RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint'; "
      "CREATE TABLE t (k text, p int, v text, n int, PRIMARY KEY (k, p)); "
      "INSERT INTO t VALUES ('a', 1, 'a', 1), ('b', 2, 'b', 1), ('c', 3, 'c', 1)");
  for (const std::string_view type : {"int", "text", "bigint", "\"char\"", "oid"}) {
    const std::string one(type);
    sql("CREATE FUNCTION evil.wrong(" + one + ", " + one +
        ") RETURNS bool LANGUAGE sql AS 'SELECT NULL::bool'");
    for (const std::string_view name : {"=", "<>", "<"}) {
      sql("CREATE OPERATOR evil." + std::string(name) + " (LEFTARG = " + one +
          ", RIGHTARG = " + one + ", FUNCTION = evil.wrong)");
    }
  }
  sql("CREATE FUNCTION evil.zero(int, int) RETURNS int LANGUAGE sql AS 'SELECT 0'; "
      "CREATE OPERATOR evil./ (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.zero); "
      "ALTER DATABASE " +
      database_ + " SET search_path = evil, pg_catalog, public");
  write(WriteMode::kUpdate, entries({{"a", 1, "a2", 2}}));
  write(WriteMode::kDelete, entries({{"b", 2, "", 0}}));
  EXPECT_EQ(table(), "a:1:a2:2 c:3:c:1");
  options_.newer_by = "n";
  write(WriteMode::kUpsert, entries({{"a", 1, "a3", 3}, {"c", 3, "old", 0}, {"d", 4, "d", 1}}));
  options_.newer_by.clear();
  EXPECT_EQ(table(), "a:1:a3:3 c:3:c:1 d:4:d:1");
  write(WriteMode::kChangelog,
        entry_changes(
            {{"D", "c", 3, std::nullopt, 0}, {"U", "d", 4, "d2", 2}, {"I", "e", 5, "e", 1}}));
  write(WriteMode::kInsertIgnore, entries({{"e", 5, "again", 9}, {"f", 6, "f", 1}}));
  EXPECT_EQ(table(), "a:1:a3:3 d:4:d2:2 e:5:e:1 f:6:f:1");
}

// ---- NULLS NOT DISTINCT ------------------------------------------------------------------------

struct Pair {
  std::optional<int32_t> a, b;
  std::string value;
};

RecordBatch pairs(std::vector<Pair> rows) {
  return batch_of(std::move(rows), column("a", &Pair::a), column("b", &Pair::b),
                  column("v", &Pair::value));
}

struct PairChange {
  std::string op;
  std::optional<int32_t> a, b;
  std::string value;
};

class NullKeysTest : public KeyEqualityTest {
 protected:
  /// Whether the server has NULLS NOT DISTINCT.
  static bool can() { return shared_server().version() >= 150000; }
  std::string pairs_there() {
    return scalar(
        "SELECT string_agg(concat_ws(':', coalesce(a::text, '-'), coalesce(b::text, '-'), v), ' ' "
        "ORDER BY a, b) FROM t");
  }
};

INSTANTIATE_TEST_SUITE_P(Ways, NullKeysTest, ::testing::Bool(),
                         [](const auto& instance) { return instance.param ? "Staged" : "Arrays"; });

TEST_P(NullKeysTest, AreKeysWhereTheIndexSaysSo) {
  if (!can()) return;
  sql("CREATE TABLE t (a int, b int, v text, UNIQUE NULLS NOT DISTINCT (a, b)); "
      "INSERT INTO t VALUES (1, NULL, 'old'), (NULL, NULL, 'none'), (3, NULL, 'three')");
  options_.conflict_columns = {"a", "b"};
  write(WriteMode::kUpsert,
        pairs({{1, std::nullopt, "first"}, {2, 2, "x"}, {1, std::nullopt, "new"}}));
  EXPECT_EQ(pairs_there(), "1:-:new 2:2:x 3:-:three -:-:none");
  write(WriteMode::kInsertIgnore, pairs({{1, std::nullopt, "ignored"}, {std::nullopt, 7, "y"}}));
  EXPECT_EQ(pairs_there(), "1:-:new 2:2:x 3:-:three -:7:y -:-:none");
  std::vector<PairChange> rows{{"D", 3, std::nullopt, ""},
                               {"U", std::nullopt, std::nullopt, "all"},
                               {"D", std::nullopt, 7, ""}};
  write(WriteMode::kChangelog,
        batch_of(std::move(rows), column("_op", &PairChange::op), column("a", &PairChange::a),
                 column("b", &PairChange::b), column("v", &PairChange::value)));
  EXPECT_EQ(pairs_there(), "1:-:new 2:2:x -:-:all");
  options_.conflict_columns.clear();
  options_.key_columns = {"a", "b"};
  write(WriteMode::kUpdate, pairs({{1, std::nullopt, "updated"}}));
  write(WriteMode::kDelete, pairs({{std::nullopt, std::nullopt, ""}}));
  EXPECT_EQ(pairs_there(), "1:-:updated 2:2:x");
}

TEST_P(NullKeysTest, OfOneColumnAreDeleted) {
  if (!can()) return;
  sql("CREATE TABLE t (a int, b int, v text, UNIQUE NULLS NOT DISTINCT (a)); "
      "INSERT INTO t VALUES (1, 1, 'one'), (NULL, 2, 'none')");
  options_.key_columns = {"a"};
  write(WriteMode::kDelete, pairs({{std::nullopt, 5, ""}}));
  EXPECT_EQ(pairs_there(), "1:1:one");
}

// ---- constraints that are checked later --------------------------------------------------------

TEST_P(KeyEqualityTest, ADeferrableConstraintIsRefusedAtOpen) {
  sql("CREATE TABLE t (k text CONSTRAINT late PRIMARY KEY DEFERRABLE, p int, v text, n int)");
  for (const WriteMode mode :
       {WriteMode::kInsertIgnore, WriteMode::kUpsert, WriteMode::kChangelog}) {
    options_.write_mode = mode;
    const auto schema =
        mode == WriteMode::kChangelog ? entry_changes({}).schema() : entries({}).schema();
    const auto sink = Sink::open(options_, schema);
    ASSERT_FALSE(sink);
    EXPECT_EQ(sink.error().code, Errc::kNoUniqueIndex);
    EXPECT_NE(sink.error().message.find("late on (k) is DEFERRABLE"), std::string::npos)
        << sink.error().message;
  }
  // Not even beside an index that is not.
  sql("CREATE UNIQUE INDEX ON t (k)");
  options_.write_mode = WriteMode::kUpsert;
  EXPECT_FALSE(Sink::open(options_, entries({}).schema()));
  // Another one decides, or none is needed.
  sql("CREATE UNIQUE INDEX ON t (p)");
  options_.conflict_columns = {"p"};
  write(WriteMode::kInsertIgnore, entries({{"a", 1, "a", 1}, {"b", 1, "b", 1}}));
  options_.conflict_columns.clear();
  write(WriteMode::kUpdate, entries({{"a", 1, "new", 2}}));
  EXPECT_EQ(table(), "a:1:new:2");
}

// ---- a batch means its rows one by one ---------------------------------------------------------

TEST_P(KeyEqualityTest, ColumnsThatUpdatesLeaveComeFromTheFirstRow) {
  sql("CREATE TABLE t (k text PRIMARY KEY, p int, v text, n int); "
      "INSERT INTO t VALUES ('there', 0, 'kept', 1)");
  options_.update_columns = {"n"};
  write(WriteMode::kUpsert, entries({{"new", 1, "first", 1},
                                     {"there", 2, "ignored", 2},
                                     {"new", 2, "second", 2},
                                     {"new", 3, std::nullopt, 3}}));
  EXPECT_EQ(table(), "new:1:first:3 there:0:kept:2");
}

TEST_P(KeyEqualityTest, ColumnsThatUpdatesLeaveComeFromTheFirstRowByVersionToo) {
  sql("CREATE TABLE t (k text PRIMARY KEY, p int, v text, n int); "
      "INSERT INTO t VALUES ('there', 0, 'kept', 5)");
  options_.update_columns = {"v"};
  options_.newer_by = "n";
  const std::vector<Entry> rows{{"new", 1, "first", 2},     {"new", 2, "newest", 9},
                                {"new", 3, "late", 3},      {"there", 4, "older", 4},
                                {"there", 5, "newer", 6},   {"there", 6, "late", 5},
                                {"single", 1, "single", 1}, {"new", 4, "as new", 9}};
  write(WriteMode::kUpsert, entries(rows));
  const std::string at_once = table();
  EXPECT_EQ(at_once, "new:1:newest:9 single:1:single:1 there:0:newer:6");
  sql("TRUNCATE t; INSERT INTO t VALUES ('there', 0, 'kept', 5)");
  for (const Entry& row : rows) write(WriteMode::kUpsert, entries({row}));
  EXPECT_EQ(table(), at_once);
}

TEST_P(KeyEqualityTest, AKeyIsSpelledAsItsFirstRowHasIt) {
  sql("CREATE EXTENSION citext; CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', "
      "deterministic = false); CREATE DOMAIN ci_text AS text COLLATE ci");
  for (const std::string_view type : {"citext", "text COLLATE ci", "ci_text"}) {
    sql("DROP TABLE IF EXISTS t; CREATE TABLE t (k " + std::string(type) +
        " PRIMARY KEY, p int, v text, n int)");
    write(WriteMode::kUpsert,
          entries({{"Key", 1, "a", 1}, {"key", 2, "b", 2}, {"KEY", 3, "c", 3}}));
    EXPECT_EQ(table(), "Key:3:c:3") << type;
  }
}

TEST_P(KeyEqualityTest, InsertIgnoreMeetsEveryConstraintRowByRow) {
  sql("CREATE TABLE t (k text PRIMARY KEY, p int, v text UNIQUE, n int, EXCLUDE (n WITH =)); "
      "INSERT INTO t VALUES ('9', 0, 'a', 0)");
  write(WriteMode::kInsertIgnore, entries({{"1", 0, "a", 1},
                                           {"1", 0, "b", 1},
                                           {"2", 0, "b", 2},
                                           {"5", 0, "d", 3},
                                           {"3", 0, "c", 3},
                                           {"3", 0, "c", 4},
                                           {"4", 0, "c", 5}}));
  EXPECT_EQ(table(), "1:0:b:1 3:0:c:4 5:0:d:3 9:0:a:0");
}

}  // namespace
}  // namespace pgsink
