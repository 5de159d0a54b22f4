// What of a table sees its rows, as the catalog says it, and what each mode may do then.

#include "pgsink/plan/row_order.h"

#include <array>

#include <gtest/gtest.h>

#include "pgsink/plan/keys.h"
#include "support/client_fixture.h"

namespace pgsink::test {
namespace {

constexpr auto kAlways = Together::kAlways, kDistinct = Together::kDistinctKeys,
               kNever = Together::kNever;

/// A table t with a key k and columns v and w, all of them sent.
struct Case {
  const char* name;
  const char* sql;
  /// insert, upsert, update, delete, insert_ignore, changelog
  std::array<Together, 6> together;
};

constexpr const char* kFunction =
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';";

// clang-format off
const std::vector<Case>& cases() {
  static const std::vector<Case> kCases{
      {"nothing", "", {kAlways, kAlways, kAlways, kAlways, kAlways, kAlways}},
      {"after row", "CREATE TRIGGER a AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
       {kAlways, kNever, kNever, kAlways, kAlways, kNever}},
      {"of a statement", "CREATE TRIGGER a BEFORE INSERT ON t EXECUTE FUNCTION f()",
       {kAlways, kNever, kAlways, kAlways, kNever, kNever}},
      {"before row",
       "CREATE TRIGGER a BEFORE INSERT OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION f()",
       {kAlways, kDistinct, kAlways, kNever, kAlways, kNever}},
      {"switched off", "CREATE TRIGGER a AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f(); "
       "ALTER TABLE t DISABLE TRIGGER a",
       {kAlways, kAlways, kAlways, kAlways, kAlways, kAlways}},
      {"for replicas", "CREATE TRIGGER a AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f(); "
       "ALTER TABLE t ENABLE REPLICA TRIGGER a",
       {kAlways, kAlways, kAlways, kAlways, kAlways, kAlways}},
      {"unique", "CREATE UNIQUE INDEX ON t (v)",
       {kAlways, kDistinct, kNever, kAlways, kAlways, kNever}},
      {"partial", "CREATE UNIQUE INDEX ON t (k) WHERE v > 1",
       {kAlways, kDistinct, kNever, kAlways, kAlways, kNever}},
      {"deferrable", "ALTER TABLE t ADD UNIQUE (v) DEFERRABLE",
       {kAlways, kNever, kNever, kAlways, kNever, kNever}},
      {"exclusion", "ALTER TABLE t ADD EXCLUDE (v WITH =)",
       {kAlways, kDistinct, kNever, kAlways, kAlways, kNever}},
      {"referenced", "CREATE TABLE c (k int REFERENCES t)",
       {kAlways, kAlways, kAlways, kNever, kAlways, kNever}},
      {"itself", "ALTER TABLE t ADD FOREIGN KEY (w) REFERENCES t",
       {kAlways, kNever, kDistinct, kNever, kNever, kNever}},
      {"refers", "CREATE TABLE p (k int PRIMARY KEY); ALTER TABLE t ADD FOREIGN KEY (w) "
       "REFERENCES p", {kAlways, kDistinct, kDistinct, kAlways, kAlways, kDistinct}},
      {"check", "ALTER TABLE t ADD CHECK (v > 0)",
       {kAlways, kDistinct, kDistinct, kAlways, kAlways, kDistinct}},
      {"not null", "ALTER TABLE t ALTER v SET NOT NULL",
       {kAlways, kAlways, kDistinct, kAlways, kAlways, kAlways}},
      {"generated", "ALTER TABLE t ADD g int GENERATED ALWAYS AS (1 / v) STORED",
       {kAlways, kDistinct, kDistinct, kAlways, kAlways, kDistinct}},
      {"not sent", "ALTER TABLE t ADD note text",
       {kAlways, kAlways, kAlways, kAlways, kAlways, kDistinct}},
      {"a sequence", "ALTER TABLE t ADD n serial",
       {kAlways, kDistinct, kAlways, kAlways, kAlways, kNever}},
      {"an identity", "ALTER TABLE t ADD n int GENERATED ALWAYS AS IDENTITY",
       {kAlways, kDistinct, kAlways, kAlways, kAlways, kNever}},
      {"the same in a transaction", "ALTER TABLE t ADD n timestamptz DEFAULT now()",
       {kAlways, kAlways, kAlways, kAlways, kAlways, kDistinct}},
      {"random", "ALTER TABLE t ADD n uuid DEFAULT gen_random_uuid()",
       {kAlways, kDistinct, kAlways, kAlways, kAlways, kNever}},
      {"of an heir", "CREATE TABLE heir () INHERITS (t); "
       "CREATE TRIGGER a AFTER DELETE ON heir FOR EACH ROW EXECUTE FUNCTION f()",
       {kAlways, kAlways, kAlways, kNever, kAlways, kNever}},
      {"a partition's", "DROP TABLE t; CREATE TABLE t (k int PRIMARY KEY, v int, w int) "
       "PARTITION BY RANGE (k); CREATE TABLE p PARTITION OF t DEFAULT; "
       "CREATE UNIQUE INDEX ON p (v)", {kAlways, kDistinct, kNever, kAlways, kAlways, kNever}},
      {"a key that may be spelled differently", "ALTER TABLE t ALTER k TYPE numeric; "
       "ALTER TABLE t ADD CHECK (v > 0)",
       {kAlways, kNever, kNever, kAlways, kAlways, kNever}},
  };
  return kCases;
}
// clang-format on

class RowOrderTest : public ClientTest {
 protected:
  RowOrder order(WriteMode mode, FireTriggers triggers = FireTriggers::kAlways) {
    auto connection = connect(unix_way());
    auto table = read_table(*connection, "public", "t", soon());
    if (!table) throw std::runtime_error(table.error().to_string());
    SinkOptions options;
    options.write_mode = mode;
    options.fire_triggers = triggers;
    std::vector<EncodeColumn> columns;
    std::vector<const CatalogColumn*> used;
    for (const char* name : {"k", "v", "w"}) {
      used.push_back(table->find_column(name));
      columns.emplace_back().target_name = name;
    }
    const auto keys = find_keys(options, *table, used);
    if (!keys) throw std::runtime_error(keys.error().to_string());
    return row_order(options, *table, columns, *keys);
  }
  void make(const std::string& sql) {
    server().sql(
        "DROP TABLE IF EXISTS t, c, p CASCADE; DROP FUNCTION IF EXISTS f; "
        "CREATE TABLE t (k int PRIMARY KEY, v int, w int);" +
            std::string(kFunction) + sql,
        database());
  }
};

TEST_F(RowOrderTest, SaysWhichRowsMayGoTogether) {
  for (const Case& one : cases()) {
    make(one.sql);
    for (size_t mode = 0; mode < one.together.size(); ++mode) {
      const auto write_mode = static_cast<WriteMode>(mode);
      // ON CONFLICT works with no deferrable constraint, and insert has no key.
      const bool refused =
          write_mode == WriteMode::kInsert ||
          (write_mode == WriteMode::kInsertIgnore && std::string_view(one.name) == "deferrable");
      if (refused) continue;
      EXPECT_EQ(order(write_mode).together, one.together[mode]) << one.name << ", mode " << mode;
    }
  }
}

TEST_F(RowOrderTest, TriggersOfReplicasCountWhereTheyFire) {
  make(
      "CREATE TRIGGER a AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f(); "
      "CREATE TABLE c (k int REFERENCES t)");
  EXPECT_EQ(order(WriteMode::kUpsert, FireTriggers::kReplica).together, kAlways);
  EXPECT_EQ(order(WriteMode::kDelete, FireTriggers::kReplica).together, kAlways);
  server().sql("ALTER TABLE t ENABLE ALWAYS TRIGGER a", database());
  EXPECT_EQ(order(WriteMode::kUpsert, FireTriggers::kReplica).together, kNever);
}

TEST_F(RowOrderTest, NamesWhereRowsOfDifferentKeysMeet) {
  make("");
  EXPECT_EQ(order(WriteMode::kUpsert).meeting_place, "");
  make("CREATE UNIQUE INDEX by_v ON t (v)");
  EXPECT_EQ(order(WriteMode::kUpsert).meeting_place, "by_v");
  EXPECT_EQ(order(WriteMode::kChangelog).meeting_place, "by_v");
  EXPECT_EQ(order(WriteMode::kDelete).meeting_place, "");
  EXPECT_TRUE(order(WriteMode::kUpsert).by_arrival);
}

}  // namespace
}  // namespace pgsink::test
