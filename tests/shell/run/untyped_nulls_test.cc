// NULL and [] without a type fit a column of any type.

#include <gtest/gtest.h>

#include "shell/shell_support.h"

namespace pgsink::test {
namespace {

std::string scalar(const std::string& sql) { return analytics_server().scalar(sql, "analytics"); }

struct UntypedCase {
  std::string name;
  std::string columns;  ///< Of the table, besides id.
  std::string query;    ///< What follows INSERT INTO c.
  std::string rows;     ///< What the table then holds.
};

void PrintTo(const UntypedCase& one, std::ostream* out) { *out << one.name; }

const UntypedCase kCases[] = {
    {"Values", "d date, u uuid", "VALUES (1, NULL, NULL)", "(1,,)"},
    {"SomeRowsOfValues", "d date, n int", "VALUES (1, '2024-01-02', NULL), (2, NULL, 7)",
     "(1,2024-01-02,) (2,,7)"},
    {"Select", "d date, b bytea, j jsonb, i inet, r int4range",
     "SELECT 1 AS id, NULL AS d, NULL AS b, NULL AS j, NULL AS i, NULL AS r", "(1,,,,,)"},
    {"Case", "d date", "SELECT 1 AS id, CASE WHEN random() < 2 THEN NULL ELSE NULL END AS d",
     "(1,)"},
    {"UnionOfNulls", "d date", "SELECT 1 AS id, NULL AS d UNION ALL SELECT 2, NULL ORDER BY 1",
     "(1,) (2,)"},
    {"UnionWithAType", "d date, n int",
     "SELECT 1 AS id, NULL AS d, NULL AS n UNION ALL SELECT 2, DATE '2024-01-02', 3 ORDER BY 1",
     "(1,,) (2,2024-01-02,3)"},
    {"Subquery", "d date", "SELECT * FROM (SELECT 1 AS id, NULL AS d) ORDER BY ALL -- end", "(1,)"},
    {"Arrays", "t text[], d date[], n int[]",
     "SELECT 1 AS id, [] AS t, [NULL] AS d, [NULL, NULL] AS n", "(1,{},{NULL},\"{NULL,NULL}\")"},
    {"ArraysOfArrays", "d date[]", "SELECT 1 AS id, [[NULL], [NULL]] AS d",
     "(1,\"{{NULL},{NULL}}\")"},
    {"FixedArray", "d date[]", "SELECT 1 AS id, array_value(NULL, NULL) AS d",
     "(1,\"{NULL,NULL}\")"},
    {"Members", "c pair, j jsonb",
     "SELECT range AS id, CASE WHEN range < 3 THEN {'at': NULL, 'n': range} END AS c, "
     "{'a': NULL, 'b': [], 'c': 1} AS j FROM range(2, 4)",
     "(2,\"(,2)\",\"{\"\"a\"\": null, \"\"b\"\": [], \"\"c\"\": 1}\") "
     "(3,,\"{\"\"a\"\": null, \"\"b\"\": [], \"\"c\"\": 1}\")"},
    {"Map", "j jsonb", "SELECT 1 AS id, MAP {'a': NULL} AS j", "(1,\"{\"\"a\"\": null}\")"},
    {"BesideBits", "d date, b text, j jsonb",
     "SELECT 1 AS id, NULL AS d, '101'::BIT AS b, {'x': NULL, 'y': '1'::BIT} AS j",
     "(1,,101,\"{\"\"x\"\": null, \"\"y\"\": \"\"1\"\"}\")"},
    {"OuterJoin", "c pair, d date[]",
     "SELECT l.range AS id, r.c, r.d FROM range(1, 3) AS l LEFT JOIN (SELECT 1 AS id, "
     "{'at': NULL, 'n': 5} AS c, array_value(NULL) AS d) AS r ON r.id = l.range ORDER BY 1",
     "(1,\"(,5)\",{NULL}) (2,,)"},
    {"Integers", "d int, e bigint", "SELECT 1 AS id, 5::INTEGER AS d, nullif(5, 5) AS e", "(1,5,)"},
};

class UntypedNulls : public testing::TestWithParam<UntypedCase> {};

TEST_P(UntypedNulls, FitAnyType) {
  analytics_server().sql("DROP TYPE IF EXISTS pair CASCADE; CREATE TYPE pair AS (at date, n int)",
                         "analytics");
  create_table("untyped", "(id int, " + GetParam().columns + ")");
  const auto run =
      pgsink_input(connection("c", "untyped") + "INSERT INTO c " + GetParam().query + "\n;");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(scalar("SELECT string_agg(untyped::text, ' ' ORDER BY id) FROM untyped"),
            GetParam().rows);
}

INSTANTIATE_TEST_SUITE_P(Positions, UntypedNulls, testing::ValuesIn(kCases),
                         [](const auto& parameter) { return parameter.param.name; });

// An INTEGER that is NULL in all rows is still one: what it is shall not depend on the rows.
TEST(UntypedNullsOfAType, StayWhatTheyAre) {
  create_table("untyped", "(id int, d date)");
  const auto run = pgsink_input(connection("c", "untyped") +
                                "INSERT INTO c SELECT 1 AS id, NULL::INTEGER AS d;");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_NE(run.err.find("PGS-3003"), std::string::npos) << run.err;
}

TEST(UntypedNullsInAllTypes, AreWritten) {
  analytics_server();
  std::string columns, query = "SELECT 1 AS id";
  const std::string types = scalar(
      "SELECT string_agg(format_type(t.oid, NULL) || ';' || format_type(t.typarray, NULL), ';') "
      "FROM pg_type t WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typname IN ('bool', "
      "'bytea', 'name', 'int2', 'int4', 'int8', 'text', 'oid', 'json', 'jsonb', 'xml', 'float4', "
      "'float8', 'numeric', 'bpchar', 'varchar', 'date', 'time', 'timetz', 'timestamp', "
      "'timestamptz', 'interval', 'uuid', 'inet', 'cidr', 'macaddr', 'macaddr8', 'bit', 'varbit', "
      "'int4range', 'numrange', 'tstzrange', 'int8multirange')");
  size_t count = 0;
  for (size_t at = 0; at < types.size(); ++count) {
    const size_t end = std::min(types.find(';', at), types.size());
    const std::string name = "c" + std::to_string(count);
    columns += ", " + name + " " + types.substr(at, end - at);
    query += ", NULL AS " + name;
    at = end + 1;
  }
  ASSERT_EQ(count, 2 * 33U);
  create_table("untyped", "(id int" + columns + ")");
  for (const char* mode : {"", "write_mode = 'upsert', conflict_columns = 'id'"}) {
    if (*mode != '\0')
      analytics_server().sql("ALTER TABLE untyped ADD PRIMARY KEY (id)", "analytics");
    const auto run =
        pgsink_input(connection("c", "untyped", mode) + "INSERT INTO c " + query + ";");
    ASSERT_EQ(run.exit_code, 0) << run.err;
    EXPECT_EQ(
        scalar("SELECT num_nulls(VARIADIC array_agg(e.value)) || ' of ' || count(*) FROM untyped, "
               "jsonb_each_text(to_jsonb(untyped)) e WHERE e.key <> 'id'"),
        std::to_string(count) + " of " + std::to_string(count));
    analytics_server().sql("TRUNCATE untyped", "analytics");
  }
}

}  // namespace
}  // namespace pgsink::test
