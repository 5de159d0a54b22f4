// What the engine hands over against what the server then holds: every type of DuckDB, alone and in
// every nesting of depth two. The oracle is the engine's own print of the value, read by the
// server. It finds types that an upgrade of the engine hands over in another way.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/shell_support.h"

namespace pgsink::test {
namespace {

using testing::HasSubstr;

struct EngineType {
  std::string name;                  ///< The engine's.
  std::string server;                ///< The type in which both sides are compared.
  std::string values;                ///< A list of SQL expressions, in brackets each.
  std::string print = "v::VARCHAR";  ///< What the server reads as the same value.
};

void PrintTo(const EngineType& type, std::ostream* out) { *out << type.name; }

const EngineType kTypes[] = {
    {"BOOLEAN", "boolean",
     "(true), "
     "(false), "
     "(true), "
     "(true), "
     "(false), "
     "(true), "
     "(false), "
     "(false), "
     "(true)"},
    {"TINYINT", "smallint", "(-128), (127), (0)"},
    {"SMALLINT", "smallint", "(-32768), (32767)"},
    {"INTEGER", "integer", "(-2147483648), (2147483647)"},
    {"BIGINT", "bigint", "(-9223372036854775808), (9223372036854775807)"},
    {"HUGEINT", "numeric",
     "(-170141183460469231731687303715884105728), "
     "(170141183460469231731687303715884105727), "
     "(0)"},
    {"UHUGEINT", "numeric", "(340282366920938463463374607431768211455), (0)"},
    {"UTINYINT", "smallint", "(255), (0)"},
    {"USMALLINT", "integer", "(65535), (0)"},
    {"UINTEGER", "bigint", "(4294967295), (0)"},
    {"UBIGINT", "numeric", "(18446744073709551615), (0)"},
    {"FLOAT", "real", "(1.1), (-0.0), ('NaN'), ('inf'), (3.4028235e38), (1e-45)"},
    {"DOUBLE", "double precision",
     "(1.1), "
     "(-0.0), "
     "('NaN'), "
     "('-inf'), "
     "(1.7976931348623157e308), "
     "(5e-324), "
     "(0.1)"},
    {"DECIMAL(4,1)", "numeric", "(999.9), (-0.1)"},
    {"DECIMAL(9,4)", "numeric", "(99999.9999), (-0.0001)"},
    {"DECIMAL(18,6)", "numeric", "(999999999999.999999), (-0.000001)"},
    {"DECIMAL(38,10)", "numeric", "(9999999999999999999999999999.9999999999), (-0.0000000001)"},
    {"VARCHAR", "text",
     "(''), "
     "('twelve bytes'), "
     "('thirteen byte'), "
     "('quote \" back \\ ü €'), "
     "(repeat('long ', 200))"},
    {"BLOB", "bytea",
     "('\\x00\\xFF'::BLOB), "
     "(''::BLOB), "
     "('thirteen byte'::BLOB)",
     "'\\x' || hex(v)"},
    {"DATE", "date",
     "('0001-01-01'), "
     "('1969-12-31'), "
     "('9999-12-31'), "
     "('infinity'), "
     "('-infinity')"},
    {"TIME", "time", "('00:00:00'), ('23:59:59.999999')"},
    {"TIME_NS", "time", "('23:59:59.999999000')"},
    {"TIMETZ", "timetz", "('23:59:59.999999+05:30'), ('00:00:00-15:59')"},
    {"TIMESTAMP", "timestamp",
     "('0001-01-01 00:00:00'), "
     "('2262-04-12 00:00:00.000001'), "
     "('infinity'), "
     "('-infinity')"},
    {"TIMESTAMP_S", "timestamp", "('1969-12-31 23:59:59')"},
    {"TIMESTAMP_MS", "timestamp", "('1969-12-31 23:59:59.999')"},
    {"TIMESTAMP_NS", "timestamp", "('1969-12-31 23:59:59.999999')"},
    {"TIMESTAMPTZ", "timestamptz",
     "('1969-12-31 23:59:59.999999+00'), "
     "('9999-12-31 23:59:59+14')"},
    {"INTERVAL", "interval",
     "(INTERVAL '9223372036854775807 microseconds'), "
     "(INTERVAL '-9223372036854775807 microseconds'), "
     "(INTERVAL '3000000 hours'), (INTERVAL '14 months 3 days 1 microsecond'), (INTERVAL '0 "
     "days')"},
    {"UUID", "uuid",
     "('00000000-0000-0000-0000-000000000000'), "
     "('ffffffff-ffff-4fff-bfff-ffffffffffff'), "
     "('0123abcd-4567-4def-8123-456789abcdef')"},
    {"BIT", "text", "('0'), ('10101'), ('1111111100000000')"},
    {"JSON", "jsonb",
     "('{\"a\": [1, 2.50, null, true]}'), "
     "('[\"text\"]'), "
     "('12345678901234567890.10')"},
    {"BIGNUM", "numeric",
     "('123456789012345678901234567890123456789012345678901234567890'), "
     "('-1')"},
    {"ENUM('small', 'a larger label')", "text", "('small'), ('a larger label')"},
};

struct Nesting {
  std::string around;  ///< The engine's expression, with V for what is inside.
  std::string path;    ///< To the value, in the server's JSON.
};
const Nesting kNestings[] = {
    {"[NULL, V, V]", "1"},
    {"{'first': 1, 'm': V}", "m"},
    {"MAP {'k': V}", "k"},
    {"array_value(V, V)", "1"},
};

std::string replaced(std::string text, const std::string& with) {
  for (size_t at = text.find('V'); at != std::string::npos; at = text.find('V', at + with.size())) {
    if (text.compare(at, 3, "VAL") == 0) continue;
    text.replace(at, 1, with);
  }
  return text;
}

/// Every nesting of depth two, and the value alone. Those of depth two have depth one inside.
std::vector<Nesting> nestings() {
  std::vector<Nesting> all = {{"V", ""}};
  for (const Nesting& inner : kNestings) {
    all.push_back(inner);
    for (const Nesting& outer : kNestings) {
      // PostgreSQL's arrays of several dimensions have no NULL in the place of a list.
      const bool list = outer.around.starts_with("[NULL");
      all.push_back(
          {replaced(list ? "[V, V]" : outer.around, inner.around), outer.path + "," + inner.path});
    }
  }
  return all;
}

class EngineValues : public testing::TestWithParam<EngineType> {};

TEST_P(EngineValues, ArriveUnchangedInEveryNesting) {
  EngineType type = GetParam();
  // Before 15 PostgreSQL reads no text of so many microseconds.
  if (analytics_server().version() < 150000 && type.name == "INTERVAL") {
    type.values = "(INTERVAL '3000000 hours'), (INTERVAL '14 months 3 days 1 microsecond')";
  }
  std::string name = "engine_values_";
  for (const char c : type.name) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0)
      name += static_cast<char>(std::tolower(c));
  }
  const std::vector<Nesting> all = nestings();
  std::string columns = "id, print";
  for (size_t i = 0; i < all.size(); ++i) {
    columns += ", " + replaced(all[i].around, "v") + " AS n" + std::to_string(i);
  }
  // Seven copies of the values: more than one byte of bits, and NULL at every place of a byte.
  const auto run = pgsink_input(connection("c", name, "create_table = true") +
                                "CREATE TABLE one (v " + type.name + "); INSERT INTO one VALUES " +
                                type.values + ", (NULL); INSERT INTO c SELECT " + columns +
                                " FROM (SELECT row_number() OVER () AS id, v, " + type.print +
                                " AS print FROM one, range(7)) AS t ORDER BY id;");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto scalar = [](const std::string& sql) {
    return analytics_server().scalar(sql, "analytics");
  };
  EXPECT_NE(scalar("SELECT count(*) FROM " + name), "0");
  for (size_t i = 0; i < all.size(); ++i) {
    const std::string value = "(to_jsonb(n" + std::to_string(i) + ") #>> '{" + all[i].path + "}')";
    EXPECT_EQ(
        scalar("SELECT coalesce(string_agg(coalesce(print, 'NULL') || ' arrived as ' || coalesce(" +
               value + ", 'NULL'), E'\\n'), '') FROM " + name + " WHERE " + value +
               "::" + type.server + " IS DISTINCT FROM print::" + type.server),
        "")
        << type.name << " as " << replaced(all[i].around, "v");
  }
}

INSTANTIATE_TEST_SUITE_P(EveryType, EngineValues, testing::ValuesIn(kTypes),
                         [](const auto& parameter) {
                           std::string name;
                           for (const char c : parameter.param.name.substr(
                                    0, parameter.param.name.find("small"))) {
                             name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
                           }
                           return name;
                         });

TEST(EngineBoundary, LongListsOfBooleansArriveWhole) {
  analytics_server();
  const auto run = pgsink_input(
      connection("c", "long_list", "create_table = true") +
      "INSERT INTO c SELECT 1 AS id, list(i % 3 = 0 ORDER BY i) AS a FROM range(3000000) AS t(i);");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(analytics_server().scalar("SELECT cardinality(a) || ' ' || (SELECT count(*) FROM "
                                      "unnest(a) WITH ORDINALITY AS u(x, n) WHERE x = ((n - 1) % 3 "
                                      "= 0)) FROM long_list",
                                      "analytics"),
            "3000000 3000000");
}

// The machine's time zone must not decide which instants a script writes.
TEST(EngineBoundary, TimeZoneIsUtcUnlessTheScriptSetsIt) {
  create_table("zoned", "(id int, tz timestamptz, d date, s text)");
  const TemporaryFolder folder;
  const std::string file = folder.write("zoned.csv", "id,tz\n2,2024-03-10 12:00:00\n");
  const std::string late = "TIMESTAMPTZ '2024-03-10 20:00:00+00'";
  const auto run = pgsink_input(
      connection("c", "zoned") +
          "INSERT INTO c SELECT 1 AS id, '2024-03-10 12:00:00'::TIMESTAMPTZ AS tz, " + late +
          "::DATE AS d, " + late + "::VARCHAR AS s;" + "INSERT INTO c SELECT * FROM read_csv('" +
          file + "', types = {'tz': 'TIMESTAMPTZ'});" +
          "SET TimeZone = 'Asia/Tokyo';"
          "INSERT INTO c SELECT 3 AS id, '2024-03-10 12:00:00'::TIMESTAMPTZ AS tz, " +
          late + "::DATE AS d;",
      {}, {.environment = {{"TZ", "America/New_York"}}});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(analytics_server().scalar("SELECT string_agg(concat_ws(' ', id, tz AT TIME ZONE 'UTC', "
                                      "d, s), ', ' ORDER BY id) FROM zoned",
                                      "analytics"),
            "1 2024-03-10 12:00:00 2024-03-10 2024-03-10 20:00:00+00, 2 2024-03-10 12:00:00, "
            "3 2024-03-10 03:00:00 2024-03-11");
}

TEST(EngineBoundary, StructWithoutNamesGetsThoseOfPostgres) {
  create_table("unnamed", "(id int, a jsonb, b text)");
  const auto run = pgsink_input(connection("c", "unnamed") +
                                "INSERT INTO c SELECT 1 AS id, row(1, 'a') AS a, row(2) AS b;");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(analytics_server().scalar("SELECT a::text || ' ' || b FROM unnamed", "analytics"),
            R"({"f1": 1, "f2": "a"} {"f1":2})");
}

}  // namespace
}  // namespace pgsink::test
