// The write modes against the real server: each by arrays and through the staging table.

#include <optional>
#include <random>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;

struct User {
  std::optional<int64_t> id;
  std::optional<std::string> name;
  std::optional<int32_t> version;
};

RecordBatch users(std::vector<User> rows) {
  return batch_of(std::move(rows), column("id", &User::id), column("name", &User::name),
                  column("version", &User::version));
}

/// How the rows travel; every test of a mode runs with each.
enum class Way { kArrays, kPreparedArrays, kStaged };

struct Change {
  std::string op;
  int64_t id = 0;
  std::optional<std::string> name;
};

RecordBatch changes(std::vector<Change> rows) {
  return batch_of(std::move(rows), column("_op", &Change::op), column("id", &Change::id),
                  column("name", &Change::name));
}

class ModesTest : public ::testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("modes");
    sql("CREATE TABLE t (id bigint PRIMARY KEY, name text, version int)");
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.retry_backoff_ms = 10;
    options_.use_copy = GetParam() == Way::kStaged;
    options_.use_prepared_statements = GetParam() == Way::kPreparedArrays;
    if (GetParam() == Way::kStaged) options_.copy_batch_size = 1000;
  }

  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  std::string table() {
    return scalar(
        "SELECT coalesce(string_agg(concat_ws(':', id, coalesce(name, 'NULL'), version), ' ' "
        "ORDER BY id), '') FROM t");
  }

  Status write(std::vector<std::vector<User>> batches) {
    auto sink = Sink::open(options_, users({}).schema());
    if (!sink) return fail(sink.error());
    for (auto& rows : batches) {
      if (auto written = (*sink)->write(users(std::move(rows))); !written) return written;
    }
    return (*sink)->close();
  }
  Status write_changes(std::vector<Change> rows) {
    auto sink = Sink::open(options_, changes({}).schema());
    if (!sink) return fail(sink.error());
    if (auto written = (*sink)->write(changes(std::move(rows))); !written) return written;
    return (*sink)->close();
  }
  void expect_written(std::vector<std::vector<User>> batches) {
    const Status written = write(std::move(batches));
    EXPECT_TRUE(written) << written.error().to_string();
  }
  Error error_of(std::vector<std::vector<User>> batches) {
    const Status written = write(std::move(batches));
    EXPECT_FALSE(written);
    return written ? Error{} : written.error();
  }

  std::string database_;
  SinkOptions options_;
};

INSTANTIATE_TEST_SUITE_P(Ways, ModesTest,
                         ::testing::Values(Way::kArrays, Way::kPreparedArrays, Way::kStaged),
                         [](const auto& instance) {
                           switch (instance.param) {
                             case Way::kArrays:
                               return "Arrays";
                             case Way::kPreparedArrays:
                               return "PreparedArrays";
                             case Way::kStaged:
                               return "Staged";
                           }
                           return "";
                         });

TEST_P(ModesTest, InsertWorksWithoutCopyToo) {
  expect_written({{{1, "a", 1}, {2, std::nullopt, 2}}, {{3, "c", std::nullopt}}});
  EXPECT_EQ(table(), "1:a:1 2:NULL:2 3:c");
}

TEST_P(ModesTest, UpsertAddsAndUpdates) {
  sql("INSERT INTO t VALUES (1, 'old', 1), (2, 'kept', 1)");
  options_.write_mode = WriteMode::kUpsert;
  expect_written({{{1, "new", 2}, {3, "added", 1}}});
  EXPECT_EQ(table(), "1:new:2 2:kept:1 3:added:1");
}

TEST_P(ModesTest, TheLastRowOfAKeyWins) {
  options_.write_mode = WriteMode::kUpsert;
  expect_written({{{1, "first", 1}, {2, "other", 1}, {1, "second", 2}, {1, "third", 3}},
                  {{2, "again", 2}, {2, "last", 3}}});
  EXPECT_EQ(table(), "1:third:3 2:last:3");
}

// A short row may lie in the gap that a long one left on an earlier page of the staging table.
TEST_P(ModesTest, TheLastRowOfAKeyWinsWhateverTheirLengths) {
  options_.write_mode = WriteMode::kUpsert;
  std::mt19937 random(20261123);
  std::vector<std::vector<User>> batches;
  std::vector<std::optional<std::string>> model(500);
  for (int batch = 0; batch < 20; ++batch) {
    auto& rows = batches.emplace_back();
    for (int row = 0; row < 900; ++row) {
      const int64_t id = static_cast<int64_t>(random() % model.size());
      std::optional<std::string> name;
      if (random() % 3 != 0) name = std::to_string(random()) + std::string(random() % 1500, 'x');
      model[static_cast<size_t>(id)] = name;
      rows.push_back({id, name, batch});
    }
  }
  expect_written(std::move(batches));
  std::string expected;
  for (const auto& name : model) expected += name.value_or("NULL") + ' ';
  EXPECT_TRUE(scalar("SELECT string_agg(coalesce(name, 'NULL') || ' ', '' ORDER BY id) FROM t") ==
              expected);
}

TEST_P(ModesTest, UpsertSetsTheUpdateColumnsOnly) {
  sql("INSERT INTO t VALUES (1, 'old', 1)");
  options_.write_mode = WriteMode::kUpsert;
  options_.update_columns = {"version"};
  expect_written({{{1, "new", 2}, {2, "added", 5}}});
  EXPECT_EQ(table(), "1:old:2 2:added:5");
}

TEST_P(ModesTest, AnOlderRowDoesNotOverwriteANewerOne) {
  sql("INSERT INTO t VALUES (1, 'stored', 5), (2, 'stored', 1), (3, 'unversioned', NULL)");
  options_.write_mode = WriteMode::kUpsert;
  options_.newer_by = "version";
  expect_written({{{1, "older", 4}, {2, "newest", 9}, {2, "late", 3}, {3, "versioned", 1}},
                  {{1, "equal", 5}, {2, "unversioned", std::nullopt}}});
  EXPECT_EQ(table(), "1:stored:5 2:newest:9 3:versioned:1");
}

TEST_P(ModesTest, InsertIgnoreKeepsWhatIsThereAndTheFirstOfAKey) {
  sql("INSERT INTO t VALUES (1, 'old', 1)");
  options_.write_mode = WriteMode::kInsertIgnore;
  expect_written({{{1, "new", 2}, {2, "first", 1}, {2, "second", 2}}});
  EXPECT_EQ(table(), "1:old:1 2:first:1");
}

TEST_P(ModesTest, UpdateTouchesOnlyWhatIsThere) {
  sql("INSERT INTO t VALUES (1, 'old', 1), (2, 'kept', 1)");
  options_.write_mode = WriteMode::kUpdate;
  expect_written({{{1, "new", 2}, {7, "absent", 1}, {1, "newest", 3}}});
  EXPECT_EQ(table(), "1:newest:3 2:kept:1");
}

TEST_P(ModesTest, DeleteTakesTheKeysOnly) {
  sql("INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 1), (3, 'c', 1)");
  options_.write_mode = WriteMode::kDelete;
  expect_written({{{1, std::nullopt, 0}, {7, "absent", 1}, {1, "twice", 3}, {3, "", 0}}});
  EXPECT_EQ(table(), "2:b:1");
}

TEST_P(ModesTest, CompositeKeysMatchAsTuples) {
  sql("DROP TABLE t; CREATE TABLE t (id bigint, version int, name text, "
      "PRIMARY KEY (version, id)); INSERT INTO t VALUES (1, 1, 'a'), (1, 2, 'b'), (2, 1, 'c')");
  options_.write_mode = WriteMode::kDelete;
  expect_written({{{1, "", 2}, {2, "", 2}}});
  EXPECT_EQ(table(), "1:a:1 2:c:1");
  options_.write_mode = WriteMode::kUpdate;
  expect_written({{{2, "new", 1}, {2, "absent", 2}}});
  EXPECT_EQ(table(), "1:a:1 2:new:1");
  options_.write_mode = WriteMode::kUpsert;
  expect_written({{{2, "newer", 1}, {2, "added", 2}}});
  EXPECT_EQ(table(), "1:a:1 2:newer:1 2:added:2");
}

TEST_P(ModesTest, ANullKeyIsARejectedRow) {
  for (const WriteMode mode : {WriteMode::kUpsert, WriteMode::kUpdate, WriteMode::kDelete}) {
    options_.write_mode = mode;
    const Error error = error_of({{{1, "a", 1}, {std::nullopt, "b", 1}}});
    EXPECT_EQ(error.code, Errc::kRowRejected);
    EXPECT_NE(error.message.find("the key is NULL"), std::string::npos) << error.message;
    EXPECT_NE(error.message.find("input row 2"), std::string::npos) << error.message;
    EXPECT_EQ(table(), "");
  }
}

TEST_P(ModesTest, NamesAreOnlyNames) {
  const std::string table = R"(a"b"; DROP TABLE t; --)";
  sql(R"(CREATE TABLE "a""b""; DROP TABLE t; --" (id bigint PRIMARY KEY, name text, version int))");
  options_.table = table;
  for (const WriteMode mode : {WriteMode::kUpsert, WriteMode::kUpdate, WriteMode::kInsertIgnore,
                               WriteMode::kDelete, WriteMode::kUpsert}) {
    options_.write_mode = mode;
    expect_written({{{1, "a", 1}}});
  }
  EXPECT_EQ(scalar(R"(SELECT count(*) FROM "a""b""; DROP TABLE t; --")"), "1");
}

TEST_P(ModesTest, ColumnsMayHaveTheNamesThatTheStatementsUse) {
  sql("DROP TABLE t; CREATE TABLE t (id bigint PRIMARY KEY, name text, version int, "
      "pgsink_ordinal text DEFAULT 'd', pgsink_change text, count int, target int, given int)");
  options_.write_mode = WriteMode::kUpsert;
  expect_written({{{1, "a", 1}, {1, "b", 2}}});
  EXPECT_EQ(table(), "1:b:2");
}

TEST_P(ModesTest, AKeyWithoutUniqueIndexIsAnErrorAtOpen) {
  options_.write_mode = WriteMode::kUpsert;
  options_.conflict_columns = {"name"};
  const Error error = error_of({});
  EXPECT_EQ(error.code, Errc::kNoUniqueIndex);
  EXPECT_NE(error.message.find("there is no unique index on exactly the columns (name); it has "
                               "t_pkey (id). Partial, expression and deferrable indexes cannot be "
                               "used: CREATE UNIQUE INDEX ON \"public\".\"t\" (\"name\")"),
            std::string::npos)
      << error.message;
}

TEST_P(ModesTest, TestConnectionFindsTheKeysOfTheMode) {
  options_.write_mode = WriteMode::kUpsert;
  EXPECT_TRUE(test_connection(options_));
  options_.conflict_columns = {"version"};
  const Status missing = test_connection(options_);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::kNoUniqueIndex);
  sql("DROP ROLE IF EXISTS modes_deleter; CREATE ROLE modes_deleter LOGIN; "
      "GRANT SELECT, DELETE ON t TO modes_deleter");
  options_.conflict_columns.clear();
  options_.username = "modes_deleter";
  EXPECT_EQ(test_connection(options_).error().code, Errc::kPrivilege);
  options_.write_mode = WriteMode::kDelete;
  EXPECT_TRUE(test_connection(options_));
  sql("DROP OWNED BY modes_deleter; DROP ROLE modes_deleter");
}

TEST_P(ModesTest, ATableWithoutPrimaryKeyNeedsTheOption) {
  sql("DROP TABLE t; CREATE TABLE t (id bigint, name text, version int)");
  options_.write_mode = WriteMode::kUpdate;
  EXPECT_EQ(error_of({}).code, Errc::kMissingOption);
  options_.key_columns = {"id"};
  sql("INSERT INTO t VALUES (1, 'a', 1), (1, 'b', 1), (2, 'c', 1)");
  expect_written({{{1, "new", 2}}});
  EXPECT_EQ(table(), "1:new:2 1:new:2 2:c:1");
}

TEST_P(ModesTest, AnIdentityIsOverriddenAndNeverSet) {
  sql("DROP TABLE t; CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
      "name text, version int, double_version int GENERATED ALWAYS AS (version * 2) STORED)");
  options_.write_mode = WriteMode::kUpsert;
  expect_written({{{7, "a", 1}}, {{7, "b", 2}}});
  EXPECT_EQ(scalar("SELECT id || name || double_version FROM t"), "7b4");
}

TEST_P(ModesTest, KeysAreEqualWhenTheServerSaysSo) {
  sql("DROP TABLE t; CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', "
      "deterministic = false); "
      "CREATE TABLE t (name text COLLATE ci PRIMARY KEY, id bigint, version int)");
  options_.write_mode = WriteMode::kUpsert;
  expect_written({{{1, "Key", 1}, {2, "key", 2}, {3, "KEY", 3}}});
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || max(id) FROM t"), "1 3");
}

TEST_P(ModesTest, ARoleOfTheTransactionWritesThroughTheStagingTable) {
  sql("DROP ROLE IF EXISTS modes_writer; CREATE ROLE modes_writer; "
      "GRANT SELECT, INSERT, UPDATE ON t TO modes_writer");
  options_.set_role = "modes_writer";
  options_.write_mode = WriteMode::kUpsert;
  expect_written({{{1, "a", 1}}, {{1, "b", 2}}});
  EXPECT_EQ(table(), "1:b:2");
  sql("DROP OWNED BY modes_writer; DROP ROLE modes_writer");
}

TEST_P(ModesTest, AChangelogDoesWhatEachRowSays) {
  sql("ALTER TABLE t ALTER name SET NOT NULL; "
      "INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3)");
  options_.write_mode = WriteMode::kChangelog;
  auto sink = Sink::open(options_, changes({}).schema());
  ASSERT_TRUE(sink) << sink.error().to_string();
  ASSERT_TRUE((*sink)->write(changes({{"D", 1, std::nullopt},
                                      {"update", 2, "zwei"},
                                      {"Insert", 4, "vier"},
                                      {"delete", 4, std::nullopt},
                                      {"d", 3, std::nullopt},
                                      {"I", 3, "drei"}})));
  ASSERT_TRUE((*sink)->write(changes({{"I", 5, "five"}, {"D", 2, std::nullopt}})));
  const Status closed = (*sink)->close();
  ASSERT_TRUE(closed) << closed.error().to_string();
  EXPECT_EQ(table(), "3:drei 5:five");  // Row 3 is another one: it was deleted.
}

TEST_P(ModesTest, ADeleteAndAnInsertOfAKeyAreBoth) {
  sql("DROP TABLE t; CREATE TABLE t (id bigint PRIMARY KEY, name text, note text DEFAULT 'fresh', "
      "version int); CREATE TABLE c (id bigint REFERENCES t ON DELETE CASCADE); "
      "INSERT INTO t VALUES (1, 'old', 'by hand', 1), (2, 'old', 'by hand', 1); "
      "INSERT INTO c VALUES (1), (2)");
  options_.write_mode = WriteMode::kChangelog;
  const Status written = write_changes({{"D", 1, std::nullopt}, {"I", 1, "new"}, {"U", 2, "new"}});
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(scalar("SELECT string_agg(concat_ws(':', id, name, note, version), ' ' ORDER BY id) "
                   "FROM t"),
            "1:new:fresh 2:new:by hand:1");
  EXPECT_EQ(scalar("SELECT string_agg(id::text, ' ') FROM c"), "2");
}

TEST_P(ModesTest, RowsOfAChangelogHandAValueOver) {
  sql("ALTER TABLE t ADD UNIQUE (name); INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 1)");
  options_.write_mode = WriteMode::kChangelog;
  const Status written = write_changes({{"D", 1, std::nullopt},
                                        {"I", 3, "a"},
                                        {"U", 2, "c"},
                                        {"I", 1, "b"},
                                        {"U", 3, "d"},
                                        {"U", 2, "a"}});
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(table(), "1:b 2:a:1 3:d");
}

TEST_P(ModesTest, RowsOfAnUpsertHandAValueOver) {
  sql("ALTER TABLE t ADD UNIQUE (name); INSERT INTO t VALUES (2, 'a', 1)");
  options_.write_mode = WriteMode::kUpsert;
  expect_written({{{2, "b", 2}, {1, "a", 1}, {2, "c", 3}, {3, "b", 1}}});
  EXPECT_EQ(table(), "1:a:1 2:c:3 3:b:1");
}

TEST_P(ModesTest, TheRowThatMeetsAnotherIsNamed) {
  sql("ALTER TABLE t ADD UNIQUE (name); INSERT INTO t VALUES (7, 'taken', 1)");
  options_.write_mode = WriteMode::kUpsert;
  const Error error = error_of({{{1, "a", 1}, {2, "b", 1}, {3, "taken", 1}, {4, "c", 1}}});
  EXPECT_EQ(error.sqlstate, "23505");
  EXPECT_NE(error.message.find("input row 3"), std::string::npos) << error.message;
  EXPECT_EQ(table(), "7:taken:1");
}

TEST_P(ModesTest, ADeleteCarriesItsKeyOnly) {
  sql("CREATE DOMAIN kept AS text NOT NULL CHECK (VALUE <> ''); DROP TABLE t; CREATE TABLE t "
      "(id bigint PRIMARY KEY, name kept, code char(3) NOT NULL DEFAULT 'x', version int); "
      "INSERT INTO t VALUES (1, 'a'), (2, 'b')");
  options_.write_mode = WriteMode::kChangelog;
  const Status written =
      write_changes({{"D", 1, std::nullopt}, {"I", 3, "c"}, {"D", 2, ""}, {"D", 9, std::nullopt}});
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(table(), "3:c");
  const Status refused = write_changes({{"I", 4, "d"}, {"I", 5, ""}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().sqlstate, "23514") << refused.error().to_string();
}

TEST_P(ModesTest, AnUnknownChangeIsARejectedRow) {
  options_.write_mode = WriteMode::kChangelog;
  auto sink = Sink::open(options_, changes({}).schema());
  ASSERT_TRUE(sink) << sink.error().to_string();
  ASSERT_TRUE((*sink)->write(changes({{"I", 1, "a"}, {"truncate", 2, "b"}})));
  const Status closed = (*sink)->close();
  ASSERT_FALSE(closed);
  EXPECT_NE(closed.error().message.find("\"truncate\" is not a kind of change"), std::string::npos)
      << closed.error().message;
  EXPECT_EQ(table(), "");
}

TEST_P(ModesTest, AChangelogNeedsItsColumn) {
  options_.write_mode = WriteMode::kChangelog;
  const Error error = error_of({});
  EXPECT_EQ(error.code, Errc::kColumnRequired);
  EXPECT_NE(error.message.find("_op"), std::string::npos) << error.message;
}

TEST_P(ModesTest, AFailedFlightTakesTheLaterOnesBackAndAllComeAgainInOrder) {
  // The trigger fails the third flight's first attempt with a transient error: those after it
  // must not have committed by then, and must come after it.
  sql("CREATE SEQUENCE attempts; "
      "CREATE TABLE log (at bigserial, version int); "
      "CREATE FUNCTION sometimes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
      "IF NEW.version = 3 AND nextval('attempts') < 3 THEN "
      "RAISE EXCEPTION 'not now' USING ERRCODE = '40001'; END IF; "
      "INSERT INTO log (version) VALUES (NEW.version); RETURN NEW; END $$; "
      "CREATE TRIGGER sometimes BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION sometimes()");
  options_.write_mode = WriteMode::kUpsert;
  options_.batch_size = 1;
  options_.transaction_size = 1;
  options_.in_flight_max = 8;
  std::vector<std::vector<User>> batches;
  for (int32_t i = 1; i <= 20; ++i) batches.push_back({{1, "v" + std::to_string(i), i}});
  expect_written(std::move(batches));
  EXPECT_EQ(table(), "1:v20:20");
  EXPECT_EQ(scalar("SELECT string_agg(version::text, ' ' ORDER BY at) FROM log"),
            "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20");
}

/// The statements of a load that write the table.
std::string inserts(const Sink& sink) {
  std::string texts;
  for (const StatementMetrics& statement : sink.metrics().statements) {
    if (statement.text.starts_with("INSERT")) texts += statement.text + "\n";
  }
  return texts;
}

TEST_P(ModesTest, RowsWhoseKeysAscendAreNotSorted) {
  sql("INSERT INTO t VALUES (2, 'old', 1)");
  for (const WriteMode mode : {WriteMode::kInsertIgnore, WriteMode::kUpsert}) {
    options_.write_mode = mode;
    auto sink = Sink::open(options_, users({}).schema());
    ASSERT_TRUE(sink) << sink.error().to_string();
    ASSERT_TRUE((*sink)->write(users({{-3, "a", 1}, {2, "b", 2}, {9, "c", 1}})));
    ASSERT_TRUE((*sink)->flush());
    const std::string in_order = inserts(**sink);
    ASSERT_TRUE((*sink)->write(users({{5, "d", 1}, {4, "first", 1}, {4, "last", 2}})));
    ASSERT_TRUE((*sink)->close());
    const bool arrays = GetParam() != Way::kStaged;
    EXPECT_EQ(in_order.find("ORDER BY") == std::string::npos, arrays) << in_order;
    EXPECT_NE(inserts(**sink).find("ORDER BY"), std::string::npos);
    const bool upserts = mode == WriteMode::kUpsert;
    EXPECT_EQ(table(), upserts ? "-3:a:1 2:b:2 4:last:2 5:d:1 9:c:1"
                               : "-3:a:1 2:old:1 4:first:1 5:d:1 9:c:1");
  }
}

TEST_P(ModesTest, ArraysAndCompositesGoThroughTheStagingTableOnly) {
  struct Tagged {
    int64_t id = 0;
    std::vector<int32_t> tags;
  };
  sql("DROP TABLE t; CREATE TABLE t (id bigint PRIMARY KEY, tags int[])");
  options_.write_mode = WriteMode::kUpsert;
  const auto tagged = [](std::vector<Tagged> rows) {
    return batch_of(std::move(rows), column("id", &Tagged::id), column("tags", &Tagged::tags));
  };
  auto sink = Sink::open(options_, tagged({}).schema());
  if (GetParam() != Way::kStaged) {
    ASSERT_FALSE(sink);
    EXPECT_EQ(sink.error().code, Errc::kOptionConflict);
    options_.use_copy.reset();
    sink = Sink::open(options_, tagged({}).schema());
  }
  ASSERT_TRUE(sink) << sink.error().to_string();
  ASSERT_TRUE((*sink)->write(tagged({{1, {1, 2}}, {1, {3}}, {2, {}}})));
  ASSERT_TRUE((*sink)->close());
  EXPECT_EQ(scalar("SELECT string_agg(id || tags::text, ' ' ORDER BY id) FROM t"), "1{3} 2{}");
}

TEST_P(ModesTest, ADeferredConstraintThatFailsAtCommitIsAFailure) {
  sql("CREATE TABLE names (name text PRIMARY KEY); INSERT INTO names VALUES ('known');"
      "ALTER TABLE t ADD FOREIGN KEY (name) REFERENCES names DEFERRABLE INITIALLY DEFERRED");
  options_.write_mode = WriteMode::kUpsert;
  options_.max_retries = 0;
  expect_written({{{1, "known", 1}}});
  EXPECT_EQ(error_of({{{2, "known", 1}, {3, "unknown", 1}}}).sqlstate, "23503");
  EXPECT_EQ(table(), "1:known:1");
}

TEST_P(ModesTest, ADefaultOfReadOnlyTransactionsIsNoObstacle) {
  sql("ALTER DATABASE " + database_ + " SET default_transaction_read_only = on");
  options_.target_session_attrs = "primary";
  options_.write_mode = WriteMode::kUpsert;
  expect_written({{{1, "one", 1}}});
  shared_server().sql("ALTER DATABASE " + database_ + " RESET default_transaction_read_only");
  EXPECT_EQ(table(), "1:one:1");
}

}  // namespace
}  // namespace pgsink
