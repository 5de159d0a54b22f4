// What is looked at before the first row: privileges and all else that does not fit, triggers that
// are switched off for the sink's transactions, foreign tables.

#include <utility>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;
using testing::HasSubstr;

struct Item {
  int64_t id;
  std::string name;
};

RecordBatch items(std::vector<Item> rows) {
  return batch_of(std::move(rows), column("id", &Item::id), column("name", &Item::name));
}

class PreflightTest : public testing::Test {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("preflight");
    sql("CREATE TABLE t (id bigint PRIMARY KEY, name text)");
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.max_retries = 0;
  }

  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }

  Status write(std::vector<Item> rows) {
    auto sink = Sink::open(options_, items({}).schema());
    if (!sink) return fail(sink.error());
    if (auto written = (*sink)->write(items(std::move(rows))); !written) return written;
    return (*sink)->close();
  }
  void expect_written(std::vector<Item> rows) {
    const Status written = write(std::move(rows));
    EXPECT_TRUE(written) << written.error().to_string();
  }
  /// Of opening, and of test_connection(), which must find the same fault.
  Error open_error() {
    const auto sink = Sink::open(options_, items({}).schema());
    const Status tested = test_connection(options_);
    EXPECT_FALSE(tested);
    EXPECT_FALSE(sink);
    if (sink || tested) return {};
    EXPECT_EQ(sink.error().code, tested.error().code);
    return sink.error();
  }

  std::string database_;
  SinkOptions options_;
};

// ---- all that does not fit, and the SQL that mends it

struct ModeCase {
  WriteMode mode;
  const char* word;
  std::vector<std::string> privileges;  ///< That it needs, and no more.
};

class ModesPreflight : public PreflightTest, public testing::WithParamInterface<ModeCase> {
 protected:
  struct Line {
    int64_t id;
    std::string note;
    int64_t amount;
    std::string change;
  };
  void SetUp() override {
    PreflightTest::SetUp();
    sql("DO $$ BEGIN CREATE ROLE \"half \"\"quoted\" LOGIN; EXCEPTION WHEN duplicate_object THEN "
        "END $$");
    options_.username = "half \"quoted";
    options_.table = "od\"d";
    options_.write_mode = GetParam().mode;
    if (GetParam().mode != WriteMode::kInsert) options_.conflict_columns = {"id"};
    if (GetParam().mode == WriteMode::kUpdate || GetParam().mode == WriteMode::kDelete) {
      options_.key_columns = std::exchange(options_.conflict_columns, {});
    }
  }
  static RecordBatch lines(std::vector<Line> rows) {
    const auto id = column("id", &Line::id);
    const auto note = column("note", &Line::note);
    const auto amount = column("amount", &Line::amount);
    if (GetParam().mode == WriteMode::kDelete) return batch_of(std::move(rows), id);
    if (GetParam().mode != WriteMode::kChangelog)
      return batch_of(std::move(rows), id, note, amount);
    return batch_of(std::move(rows), id, note, amount, column("_op", &Line::change));
  }
  Status write_lines() {
    auto sink = Sink::open(options_, lines({}).schema());
    if (!sink) return fail(sink.error());
    const auto written = (*sink)->write(lines({{1, "one", 10, "I"}, {2, "two", 20, "D"}}));
    return written ? (*sink)->close() : written;
  }
  /// The text after "To fix it:".
  static std::string mends(const Error& error) {
    constexpr std::string_view kMark = "To fix it: ";
    const size_t at = error.message.find(kMark);
    return at == std::string::npos ? "" : error.message.substr(at + kMark.size());
  }
};

TEST_P(ModesPreflight, AllIsSaidAtOnceAndTheSqlMendsIt) {
  for (const bool by_copy : {false, true}) {
    sql("DROP TABLE IF EXISTS \"od\"\"d\"; CREATE TABLE \"od\"\"d\" (id bigint, amount date, old "
        "text NOT NULL)");
    if (GetParam().mode != WriteMode::kInsert) options_.use_copy = by_copy;
    const Status tested = test_connection(options_);
    ASSERT_FALSE(tested);
    EXPECT_THAT(tested.error().message, HasSubstr("\"half \"\"quoted\" lacks "));
    const Status before = write_lines();
    ASSERT_FALSE(before);
    const std::string& message = before.error().message;
    EXPECT_THAT(message, HasSubstr("\"half \"\"quoted\" lacks "));
    for (const std::string& privilege : GetParam().privileges) {
      EXPECT_THAT(message, HasSubstr(privilege));
    }
    if (GetParam().mode != WriteMode::kDelete) {
      EXPECT_THAT(message, HasSubstr("no column \"note\""));
      EXPECT_THAT(message, HasSubstr("column \"amount\""));
    }
    const bool inserts = GetParam().privileges.front() == "INSERT";
    EXPECT_EQ(message.find("\"old\" is NOT NULL") != std::string::npos, inserts) << message;
    const bool conflicts = inserts && GetParam().mode != WriteMode::kInsert;
    EXPECT_EQ(message.find("no unique index") != std::string::npos, conflicts) << message;
    const std::string mend = mends(before.error());
    // Another type would change or lose the values that the column has; a cast in the query is
    // meant.
    EXPECT_EQ(mend.find("ALTER COLUMN \"amount\""), std::string::npos) << mend;
    sql(mend + " ALTER TABLE \"od\"\"d\" ALTER COLUMN amount TYPE bigint USING 10");
    const Status after = write_lines();
    EXPECT_TRUE(after) << after.error().to_string();
    EXPECT_TRUE(test_connection(options_));
    if (!inserts) continue;
    EXPECT_EQ(scalar("SELECT count(*) FROM \"od\"\"d\" WHERE note = 'one' AND amount = 10"), "1");
  }
}

TEST_P(ModesPreflight, EachPrivilegeIsNeededAndAskedFor) {
  sql("CREATE TABLE \"od\"\"d\" (id bigint PRIMARY KEY, note text, amount bigint)");
  for (const std::string& missing : GetParam().privileges) {
    for (const std::string& privilege : GetParam().privileges) {
      sql((privilege == missing ? "REVOKE " : "GRANT ") + privilege + " ON \"od\"\"d\" " +
          (privilege == missing ? "FROM" : "TO") + " \"half \"\"quoted\"");
    }
    const auto sink = Sink::open(options_, lines({}).schema());
    ASSERT_FALSE(sink);
    EXPECT_EQ(sink.error().code, Errc::kPrivilege);
    EXPECT_THAT(sink.error().message, HasSubstr("lacks " + missing));
    const Status tested = test_connection(options_);
    ASSERT_FALSE(tested);
    EXPECT_EQ(tested.error().to_string(), sink.error().to_string());
    sql(mends(tested.error()));
    const Status written = write_lines();
    EXPECT_TRUE(written) << written.error().to_string();
  }
}

// Column by column: what is asked for is enough, on the way of small batches and of large ones.
TEST_P(ModesPreflight, PrivilegesOfSomeColumnsSuffice) {
  sql("CREATE TABLE \"od\"\"d\" (id bigint PRIMARY KEY, note text, amount bigint, secret text);"
      "GRANT INSERT (id), UPDATE (note), SELECT (id) ON \"od\"\"d\" TO \"half \"\"quoted\"");
  const auto sink = Sink::open(options_, lines({}).schema());
  ASSERT_FALSE(sink);
  EXPECT_EQ(sink.error().code, Errc::kPrivilege);
  EXPECT_EQ(sink.error().message.find("secret"), std::string::npos);
  const std::string mend = mends(sink.error());
  sql(mend);
  for (const bool by_copy : {false, true}) {
    if (GetParam().mode == WriteMode::kInsert && by_copy) break;  // It has one way only.
    if (GetParam().mode != WriteMode::kInsert) options_.use_copy = by_copy;
    const Status written = write_lines();
    EXPECT_TRUE(written) << mend << ": " << written.error().to_string();
  }
}

TEST_P(ModesPreflight, AMissingTableComesWithItsStatement) {
  const Status before = write_lines();
  ASSERT_FALSE(before);
  EXPECT_EQ(before.error().code, Errc::kNoSuchTable);
  const std::string mend = mends(before.error());
  EXPECT_THAT(mend, HasSubstr("; or create_table = true"));
  sql(mend.substr(0, mend.find("; or")) + "; GRANT ALL ON \"od\"\"d\" TO \"half \"\"quoted\"");
  const Status after = write_lines();
  EXPECT_TRUE(after) << after.error().to_string();
}

INSTANTIATE_TEST_SUITE_P(
    Modes, ModesPreflight,
    testing::Values(
        ModeCase{WriteMode::kInsert, "Insert", {"INSERT"}},
        ModeCase{WriteMode::kUpsert, "Upsert", {"INSERT", "UPDATE", "SELECT"}},
        ModeCase{WriteMode::kUpdate, "Update", {"UPDATE", "SELECT"}},
        ModeCase{WriteMode::kDelete, "Delete", {"DELETE", "SELECT"}},
        ModeCase{WriteMode::kInsertIgnore, "InsertIgnore", {"INSERT", "SELECT"}},
        ModeCase{WriteMode::kChangelog, "Changelog", {"INSERT", "UPDATE", "SELECT", "DELETE"}}),
    [](const auto& test) { return test.param.word; });

// ---- triggers

class TriggersTest : public PreflightTest {
 protected:
  void SetUp() override {
    PreflightTest::SetUp();
    sql("CREATE TABLE fired (name text);"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO public.fired VALUES (TG_NAME); RETURN NEW; END $$;"
        "CREATE TRIGGER usual BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION note();"
        "CREATE TRIGGER replica BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION note();"
        "ALTER TABLE t ENABLE REPLICA TRIGGER replica");
  }
  void add_stubborn_trigger() {
    sql("CREATE TRIGGER \"All Ways\" BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION note();"
        "ALTER TABLE t ENABLE ALWAYS TRIGGER \"All Ways\"");
  }
  std::string fired() {
    return scalar("SELECT coalesce(string_agg(name, ' ' ORDER BY name), '') FROM fired");
  }
};

TEST_F(TriggersTest, FireAsUsualUnlessSaidOtherwise) {
  add_stubborn_trigger();
  expect_written({{1, "one"}});
  EXPECT_EQ(fired(), "All Ways usual");
}

TEST_F(TriggersTest, ReplicaFiresOnlyThoseOfReplicas) {
  add_stubborn_trigger();
  options_.fire_triggers = FireTriggers::kReplica;
  expect_written({{1, "one"}});
  EXPECT_EQ(fired(), "All Ways replica");
}

TEST_F(TriggersTest, DisabledFiresNoneAndChecksNoForeignKey) {
  sql("DROP TRIGGER replica ON t; CREATE TABLE names (name text PRIMARY KEY);"
      "ALTER TABLE t ADD FOREIGN KEY (name) REFERENCES names");
  options_.disable_triggers = true;
  expect_written({{1, "one"}});
  options_.disable_triggers = false;
  options_.fire_triggers = FireTriggers::kDisabled;
  expect_written({{2, "two"}});
  EXPECT_EQ(fired(), "");
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "2");
  options_.fire_triggers = FireTriggers::kAlways;
  EXPECT_EQ(write({{3, "three"}}).error().sqlstate, "23503");
}

TEST_F(TriggersTest, DisabledHoldsInEveryModeAndPath) {
  sql("DROP TRIGGER replica ON t");
  options_.disable_triggers = true;
  options_.write_mode = WriteMode::kUpsert;
  for (const bool copied : {false, true}) {
    options_.use_copy = copied;
    expect_written({{copied ? 1 : 2, "one"}});
  }
  EXPECT_EQ(fired(), "");
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "2");
}

TEST_F(TriggersTest, ThatCannotBeSwitchedOffAreNamed) {
  add_stubborn_trigger();
  options_.fire_triggers = FireTriggers::kDisabled;
  const Error error = open_error();
  EXPECT_EQ(error.code, Errc::kOptionConflict);
  EXPECT_THAT(error.message, HasSubstr("fire_triggers = 'DISABLED': table public.t"));
  EXPECT_THAT(error.message, HasSubstr("\"All Ways\", replica;"));
}

TEST_F(TriggersTest, OfPartitionsCannotBeSwitchedOffEither) {
  sql("CREATE TABLE p (id bigint, name text) PARTITION BY RANGE (id);"
      "CREATE TABLE p1 PARTITION OF p DEFAULT;"
      "CREATE TRIGGER deep BEFORE INSERT ON p1 FOR EACH ROW EXECUTE FUNCTION note();"
      "ALTER TABLE p1 ENABLE ALWAYS TRIGGER deep");
  options_.table = "p";
  options_.disable_triggers = true;
  EXPECT_THAT(open_error().message, HasSubstr("deep"));
}

TEST_F(TriggersTest, NeedARightThatTheErrorNames) {
  auto& server = shared_server();
  server.create_role("loader");
  sql("GRANT ALL ON t, fired TO loader; ALTER TABLE t DISABLE TRIGGER replica");
  options_.username = "loader";
  options_.disable_triggers = true;
  const Error error = open_error();
  EXPECT_EQ(error.code, Errc::kPrivilege);
  EXPECT_EQ(error.sqlstate, "42501");
  EXPECT_THAT(error.message, HasSubstr("GRANT SET ON PARAMETER session_replication_role TO"));
  // Before 15 only a superuser may set it.
  if (server.version() < 150000) return;
  sql("GRANT SET ON PARAMETER session_replication_role TO loader");
  expect_written({{1, "one"}});
  EXPECT_EQ(fired(), "");
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "1");
  sql("REVOKE SET ON PARAMETER session_replication_role FROM loader");
}

TEST_F(TriggersTest, AreSwitchedBeforeTheRoleIsTaken) {
  shared_server().create_role("writer");
  sql("GRANT ALL ON t TO writer; DROP TRIGGER replica ON t");
  options_.set_role = "writer";
  options_.disable_triggers = true;
  expect_written({{1, "one"}});
  EXPECT_EQ(fired(), "");
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "1");
}

using RoleTest = PreflightTest;

TEST_F(RoleTest, IsWhosePrivilegesCount) {
  auto& server = shared_server();
  server.create_role("app", "NOINHERIT");
  server.create_role("keeper");
  sql("GRANT keeper TO app; GRANT INSERT ON t TO keeper");
  options_.username = "app";
  EXPECT_EQ(open_error().code, Errc::kPrivilege);
  options_.set_role = "keeper";
  expect_written({{1, "one"}});
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "1");
  options_.set_role = "postgres";
  EXPECT_THAT(open_error().message, HasSubstr("permission denied to set role \"postgres\""));
  options_.set_role = "nobody at all";
  EXPECT_THAT(open_error().message, HasSubstr("role \"nobody at all\" does not exist"));
}

/// A role under policies: COPY into such a table is refused by the server.
class PoliciesTest : public PreflightTest {
 protected:
  void SetUp() override {
    PreflightTest::SetUp();
    options_.username = "tenant_of_" + database_;
    shared_server().create_role(options_.username);
    sql("ALTER TABLE t ENABLE ROW LEVEL SECURITY; GRANT ALL ON t TO " + options_.username +
        ";CREATE POLICY own ON t USING (name LIKE current_setting('app.tenant') || '%')");
    options_.session_variables = {{"app.tenant", "acme"}};
  }
};

TEST_F(PoliciesTest, LetRowsInByEveryPath) {
  for (const std::optional<bool> use_copy : {std::optional<bool>(), {true}, {false}}) {
    options_.use_copy = use_copy;
    const int64_t id = use_copy.value_or(false) ? 1 : use_copy.has_value() ? 2 : 3;
    expect_written({{id, "acme " + std::to_string(id)}});
    EXPECT_EQ(write({{9, "other"}}).error().sqlstate, "42501");
  }
  EXPECT_EQ(scalar("SELECT string_agg(name, ',' ORDER BY id) FROM t"), "acme 1,acme 2,acme 3");
}

TEST_F(PoliciesTest, LetColumnsInThatNoArrayCanHold) {
  sql("ALTER TABLE t ADD tags text[]");
  struct Tagged {
    int64_t id;
    std::string name;
    std::vector<std::string> tags;
  };
  RecordBatch rows =
      batch_of(std::vector<Tagged>{{1, "acme", {"a", "b"}}}, column("id", &Tagged::id),
               column("name", &Tagged::name), column("tags", &Tagged::tags));
  auto sink = Sink::open(options_, rows.schema());
  ASSERT_TRUE(sink) << sink.error().to_string();
  ASSERT_TRUE((*sink)->write(std::move(rows)));
  const Status closed = (*sink)->close();
  EXPECT_TRUE(closed) << closed.error().to_string();
  EXPECT_EQ(scalar("SELECT tags FROM t"), "{a,b}");
}

TEST_F(PoliciesTest, LetUpsertsInAndKeepOthersOut) {
  options_.write_mode = WriteMode::kUpsert;
  expect_written({{1, "acme"}});
  expect_written({{1, "acme again"}});
  options_.session_variables = {{"app.tenant", "other"}};
  EXPECT_EQ(write({{1, "other"}}).error().sqlstate, "42501");
  EXPECT_EQ(scalar("SELECT string_agg(name, ',') FROM t"), "acme again");
}

TEST_F(PoliciesTest, DoNotConcernTheOwner) {
  options_.username = "postgres";
  options_.session_variables.clear();
  expect_written({{1, "anything"}});
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "1");
}

// ---- views and rules ----------------------------------------------------------------------------

/// Targets that COPY would not enter, or would enter past the rules: INSERT is chosen for them.
class NotByCopyTest : public PreflightTest {
 protected:
  void expect_copy_refused() {
    options_.use_copy = true;
    const Error error = open_error();
    EXPECT_EQ(error.code, Errc::kOptionConflict);
    EXPECT_THAT(error.message, HasSubstr("use_copy = true"));
    EXPECT_THAT(error.message, HasSubstr("public." + options_.table));
    options_.use_copy.reset();
  }
  std::string rows(const std::string& table) {
    return scalar("SELECT coalesce(string_agg(id || ':' || name, ' ' ORDER BY id), '') FROM " +
                  table);
  }
};

TEST_F(NotByCopyTest, AViewThatUpdatesItselfTakesRowsThatMeetItsCheck) {
  sql("CREATE VIEW v AS SELECT id, name FROM t WHERE name <> 'bad' WITH CHECK OPTION");
  options_.table = "v";
  options_.dead_letter_table = "letters";
  expect_copy_refused();
  expect_written({{1, "one"}, {2, "bad"}, {3, "three"}});
  EXPECT_EQ(rows("t"), "1:one 3:three");
  EXPECT_EQ(scalar("SELECT string_agg(sqlstate || ':' || input_row, ' ') FROM letters"), "44000:2");
}

TEST_F(NotByCopyTest, AViewHasNoUniqueIndexToUpsertBy) {
  sql("CREATE VIEW v AS SELECT id, name FROM t");
  options_.table = "v";
  options_.write_mode = WriteMode::kUpsert;
  for (const auto& columns : {std::vector<std::string>{}, {"id"}}) {
    options_.conflict_columns = columns;
    const Error error = open_error();
    EXPECT_EQ(error.code, Errc::kNoUniqueIndex);
    EXPECT_THAT(error.message, HasSubstr("it is a view, which has no unique index"));
  }
}

TEST_F(NotByCopyTest, AViewWithATriggerInsteadTakesRows) {
  sql("CREATE VIEW v AS SELECT id, name FROM t UNION ALL SELECT -1, 'not of the table';"
      "CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
      " INSERT INTO t (id, name) VALUES (NEW.id, 'by trigger ' || NEW.name); RETURN NEW; END $$;"
      "CREATE TRIGGER instead INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION instead()");
  options_.table = "v";
  expect_copy_refused();
  expect_written({{1, "one"}});
  EXPECT_EQ(rows("t"), "1:by trigger one");
}

TEST_F(NotByCopyTest, RulesOfATableAreObeyed) {
  sql("CREATE TABLE log (id bigint, name text);"
      "CREATE RULE elsewhere AS ON INSERT TO t DO INSTEAD"
      " INSERT INTO log VALUES (NEW.id, NEW.name)");
  expect_copy_refused();
  for (const std::optional<bool> use_copy : {std::optional<bool>(), {false}}) {
    options_.use_copy = use_copy;
    expect_written({{use_copy.has_value() ? 1 : 2, "row"}});
  }
  EXPECT_EQ(rows("t"), "");
  EXPECT_EQ(rows("log"), "1:row 2:row");
}

TEST_F(NotByCopyTest, RulesForOtherStatementsDoNotConcernInserts) {
  sql("CREATE RULE keep AS ON DELETE TO t DO INSTEAD NOTHING;"
      "CREATE RULE off AS ON INSERT TO t DO INSTEAD NOTHING; ALTER TABLE t DISABLE RULE off");
  options_.use_copy = true;
  expect_written({{1, "one"}});
  EXPECT_EQ(rows("t"), "1:one");
}

class ForeignTableTest : public PreflightTest {
 protected:
  void SetUp() override {
    PreflightTest::SetUp();
    auto& server = shared_server();
    sql("CREATE EXTENSION postgres_fdw;"
        "CREATE SERVER there FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '" +
        server.socket_dir() + "', port '" + std::to_string(server.port()) + "', dbname '" +
        database_ + "'); CREATE USER MAPPING FOR postgres SERVER there OPTIONS (user 'postgres');" +
        "CREATE FOREIGN TABLE f (id bigint, name text) SERVER there OPTIONS (table_name 't')");
    options_.table = "f";
  }
  std::string rows() {
    return scalar("SELECT coalesce(string_agg(id || ':' || name, ' ' ORDER BY id), '') FROM t");
  }
};

TEST_F(ForeignTableTest, TakesInsertUpdateAndDelete) {
  for (const bool copied : {true, false}) {
    options_.use_copy = copied;
    options_.key_columns.clear();
    options_.write_mode = WriteMode::kInsert;
    expect_written({{1, "one"}, {2, "two"}, {3, "three"}});
    EXPECT_EQ(rows(), "1:one 2:two 3:three");
    options_.key_columns = {"id"};
    options_.write_mode = WriteMode::kUpdate;
    expect_written({{2, "zwei"}, {4, "vier"}});
    EXPECT_EQ(rows(), "1:one 2:zwei 3:three");
    options_.write_mode = WriteMode::kDelete;
    expect_written({{1, ""}, {2, ""}, {3, ""}});
    EXPECT_EQ(rows(), "");
  }
}

TEST_F(ForeignTableTest, KnowsNoConflict) {
  options_.write_mode = WriteMode::kUpsert;
  options_.conflict_columns = {"id"};
  const Error error = open_error();
  EXPECT_EQ(error.code, Errc::kOptionConflict);
  EXPECT_THAT(error.message, HasSubstr("foreign table"));
  EXPECT_THAT(error.message, HasSubstr("'update'"));
}

TEST_F(ForeignTableTest, IsToldByTheCatalogWhateverTheOptionSays) {
  options_.is_foreign_table = true;
  expect_written({{1, "one"}});
  options_.is_foreign_table = false;
  EXPECT_THAT(open_error().message,
              HasSubstr("is_foreign_table = false: table public.f is a foreign table"));
  options_.table = "t";
  options_.is_foreign_table = true;
  EXPECT_THAT(open_error().message,
              HasSubstr("is_foreign_table = true: table public.t is not a foreign table"));
}

// ---- names, widths and keys that the server treats in its own way -------------------------------

TEST_F(PreflightTest, NamesAreCutAsTheServerCutsThem) {
  const std::string kept = std::string(60, 'n') + "ü";  // 62 bytes
  const std::string given = kept + "ö and more";        // "ö" would end at byte 64.
  sql("CREATE TABLE long (id bigint PRIMARY KEY, \"" + given + "\" text)");
  EXPECT_EQ(
      scalar("SELECT attname FROM pg_attribute WHERE attrelid = 'long'::regclass AND attnum = "
             "2"),
      kept);
  options_.table = "long";
  const auto batch =
      batch_of(std::vector<Item>{{1, "a"}}, column("id", &Item::id), column(given, &Item::name));
  auto sink = Sink::open(options_, batch.schema());
  ASSERT_TRUE(sink) << sink.error().to_string();
  ASSERT_TRUE((*sink)->write(
      batch_of(std::vector<Item>{{1, "a"}}, column("id", &Item::id), column(given, &Item::name))));
  ASSERT_TRUE((*sink)->close());
  EXPECT_EQ(scalar("SELECT count(\"" + kept + "\") FROM long"), "1");
  // Two names that the server keeps as one.
  struct Twice {
    int64_t id;
    std::string a, b;
  };
  const auto twice = batch_of(std::vector<Twice>{}, column("id", &Twice::id),
                              column(given + "1", &Twice::a), column(given + "2", &Twice::b));
  const auto refused = Sink::open(options_, twice.schema());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kColumnAmbiguous) << refused.error().to_string();
}

TEST_F(PreflightTest, OptionsThatNameMoreThanTheServerKeepsAreRefused) {
  options_.table = std::string(64, 't');
  const auto refused = Sink::open(options_, items({}).schema());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kOptionValue);
  EXPECT_THAT(refused.error().message,
              HasSubstr("table is 64 bytes long. PostgreSQL names have at most 63 bytes"));
}

TEST_F(PreflightTest, AnIdentityThatIsAlwaysGeneratedIsNotSetByUpdate) {
  sql("CREATE TABLE always (id bigint PRIMARY KEY, name bigint GENERATED ALWAYS AS IDENTITY)");
  options_.table = "always";
  options_.write_mode = WriteMode::kUpsert;
  struct Pair {
    int64_t id, name;
  };
  const auto batch =
      batch_of(std::vector<Pair>{}, column("id", &Pair::id), column("name", &Pair::name));
  options_.update_columns = {"name"};
  const auto refused = Sink::open(options_, batch.schema());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kColumnGenerated) << refused.error().to_string();
  options_.update_columns = {};
  EXPECT_TRUE(Sink::open(options_, batch.schema()));
}

/// A key WITHOUT OVERLAPS, or what stands behind it before PostgreSQL 18.
TEST_F(PreflightTest, ATemporalKeyIsNoKeyOfOnConflict) {
  const bool temporal = shared_server().version() >= 180000;
  sql(std::string("CREATE TABLE booked (id int4range, during daterange, name text, ") +
      (temporal ? "PRIMARY KEY (id, during WITHOUT OVERLAPS))"
                : "EXCLUDE USING gist (id WITH =, during WITH &&))"));
  options_.table = "booked";
  options_.key_columns = {};
  struct Booking {
    std::string id, during, name;
  };
  const auto batch = [](std::vector<Booking> rows) {
    return batch_of(std::move(rows), column("id", &Booking::id), column("during", &Booking::during),
                    column("name", &Booking::name));
  };
  const auto write = [&](std::vector<Booking> rows) -> Status {
    auto sink = Sink::open(options_, batch({}).schema());
    if (!sink) return fail(sink.error());
    if (auto written = (*sink)->write(batch(std::move(rows))); !written) return written;
    return (*sink)->close();
  };
  for (const WriteMode mode : {WriteMode::kUpsert, WriteMode::kInsertIgnore}) {
    options_.write_mode = mode;
    options_.conflict_columns = {"id", "during"};
    const Status refused = write({});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::kNoUniqueIndex) << refused.error().to_string();
    EXPECT_THAT(refused.error().message,
                HasSubstr(temporal ? "is WITHOUT OVERLAPS" : "no unique index"));
  }
  options_.conflict_columns = {};
  const std::string days = "[2024-01-01,2024-02-01)";
  options_.write_mode = WriteMode::kInsert;
  Status done = write({{"[1,2)", days, "a"}});
  ASSERT_TRUE(done) << done.error().to_string();
  options_.write_mode = WriteMode::kInsertIgnore;
  done = write({{"[1,2)", "[2024-01-15,2024-03-01)", "b"}, {"[2,3)", days, "c"}});
  ASSERT_TRUE(done) << done.error().to_string();
  options_.key_columns = {"id", "during"};
  options_.write_mode = WriteMode::kUpdate;
  done = write({{"[1,2)", days, "d"}});
  ASSERT_TRUE(done) << done.error().to_string();
  EXPECT_EQ(scalar("SELECT string_agg(name, ' ' ORDER BY id) FROM booked"), "d c");
  options_.write_mode = WriteMode::kDelete;
  done = write({{"[1,2)", days, ""}});
  ASSERT_TRUE(done) << done.error().to_string();
  EXPECT_EQ(scalar("SELECT string_agg(name, ' ' ORDER BY id) FROM booked"), "c");
}

TEST_F(PreflightTest, TablesAsWideAsTheServerAllowsAreWritten) {
  sql("DO $$ BEGIN EXECUTE 'CREATE TABLE wide (id int PRIMARY KEY' || (SELECT string_agg(', c' || "
      "i || ' bool', '') FROM generate_series(1, 1599) i) || ')'; END $$");
  options_.table = "wide";
  std::vector<Field> fields(1600);
  fields[0].name = "id";
  fields[0].kind = ColumnKind::kInt32;
  for (size_t i = 1; i < fields.size(); ++i) {
    fields[i].name = "c" + std::to_string(i);
    fields[i].kind = ColumnKind::kBoolBytes;
  }
  const auto schema = std::make_shared<const Schema>(std::move(fields));
  constexpr size_t kRows = 2000;
  const auto ids = std::make_shared<std::vector<int32_t>>(kRows);
  for (size_t i = 0; i < kRows; ++i) (*ids)[i] = static_cast<int32_t>(i);
  const auto flags = std::make_shared<std::vector<uint8_t>>(kRows, uint8_t{1});
  const auto rows = [&] {
    std::vector<ColumnView> columns;
    for (size_t i = 0; i < schema->size(); ++i) {
      ColumnView view;
      view.kind = (*schema)[i].kind;
      view.values = i == 0 ? static_cast<const void*>(ids->data()) : flags->data();
      view.stride_bytes = i == 0 ? sizeof(int32_t) : 1;
      columns.push_back(view);
    }
    // As if it were more than arrays take where there is a choice.
    return RecordBatch(schema, std::move(columns), kRows, size_t{16} << 20, [ids, flags] {});
  };
  for (const WriteMode mode : {WriteMode::kUpsert, WriteMode::kUpdate, WriteMode::kDelete}) {
    options_.write_mode = mode;
    options_.use_copy.reset();
    auto sink = Sink::open(options_, schema);
    ASSERT_TRUE(sink) << sink.error().to_string();
    ASSERT_TRUE((*sink)->write(rows()));
    const Status closed = (*sink)->close();
    ASSERT_TRUE(closed) << closed.error().to_string();
    EXPECT_EQ(scalar("SELECT count(c1599) FROM wide"),
              mode == WriteMode::kDelete ? "0" : std::to_string(kRows));
    options_.use_copy = true;
    const auto refused = Sink::open(options_, schema);
    ASSERT_EQ(refused.has_value(), mode == WriteMode::kDelete);
  }
}

}  // namespace
}  // namespace pgsink
