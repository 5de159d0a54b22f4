// Results on standard output, in every format.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/engine/cell_text.h"
#include "shell/shell_support.h"
#include "shell/text/display_width.h"

namespace pgsink::test {
namespace {

using testing::HasSubstr;

constexpr const char* kRows =
    "SELECT * FROM (VALUES (1, 'plain', 1.50), (-20, E'two\\nlines, \"quoted\"', NULL), "
    "(300, '日本', 0.05), (4, '', 1)) AS t(id, name, amount)";

std::string printed(const std::string& format, const std::string& sql) {
  const auto run = pgsink({"--format", format, "-c", sql});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.err, "");
  return run.out;
}

TEST(Output, TableAlignsByWhatIsSeen) {
  EXPECT_EQ(printed("table", kRows),
            "  id | name            | amount\n"
            "-----+-----------------+--------\n"
            "   1 | plain           |   1.50\n"
            " -20 | two            +|   NULL\n"
            "     | lines, \"quoted\" |\n"
            " 300 | 日本            |   0.05\n"
            "   4 |                 |   1.00\n"
            "(4 rows)\n");
}

TEST(Output, CsvTellsNullFromEmpty) {
  EXPECT_EQ(printed("csv", kRows),
            "id,name,amount\n"
            "1,plain,1.50\n"
            "-20,\"two\nlines, \"\"quoted\"\"\",\n"
            "300,日本,0.05\n"
            "4,\"\",1.00\n");
}

TEST(Output, JsonKeepsNumbersNumbers) {
  EXPECT_EQ(printed("json", kRows),
            "[\n"
            "{\"id\":1,\"name\":\"plain\",\"amount\":1.50},\n"
            "{\"id\":-20,\"name\":\"two\\nlines, \\\"quoted\\\"\",\"amount\":null},\n"
            "{\"id\":300,\"name\":\"日本\",\"amount\":0.05},\n"
            "{\"id\":4,\"name\":\"\",\"amount\":1.00}\n"
            "]\n");
  EXPECT_EQ(printed("json", "SELECT 1 AS a WHERE false"), "[]\n");
}

TEST(Output, JsonLinesHasALineARow) {
  EXPECT_EQ(printed("jsonl", "SELECT unnest([1, 2]) AS a, {'b': [NULL, 1.5]} AS s"),
            "{\"a\":1,\"s\":{\"b\":[null,1.5]}}\n{\"a\":2,\"s\":{\"b\":[null,1.5]}}\n");
}

TEST(Output, LineHasALineAValue) {
  EXPECT_EQ(printed("line", "SELECT 1 AS a, 'x' AS longer UNION ALL SELECT 2, NULL"),
            "     a = 1\nlonger = x\n\n     a = 2\nlonger = NULL\n");
}

TEST(Output, EveryTypeHasAForm) {
  EXPECT_EQ(printed("line", R"sql(SELECT
    true AS bool, (-128)::TINYINT AS i1, 18446744073709551615::UBIGINT AS u8,
    (-170141183460469231731687303715884105727)::HUGEINT - 1 AS h,
    340282366920938463463374607431768211455::UHUGEINT AS uh,
    0.1::FLOAT AS f4, 1e300::DOUBLE AS f8, 'NaN'::DOUBLE AS nan, 0::DECIMAL(4,3) AS zero,
    -12345678901234567890123456789.012345678::DECIMAL(38,9) AS wide,
    '\x00\xFFa'::BLOB AS bytes, DATE '0044-03-15 (BC)' AS bc, TIME '10:00:00.5' AS tm,
    '10:00:00-01:30'::TIMETZ AS tz, TIMESTAMP '1969-12-31 23:59:59.999999' AS ts,
    TIMESTAMPTZ '2026-01-01 00:30:00+02' AS tstz, 'infinity'::TIMESTAMP AS inf,
    '2026-01-01 00:00:00.123456789'::TIMESTAMP_NS AS ns,
    INTERVAL '14 months -3 days 04:05:06.7' AS iv, INTERVAL '0 days' AS none,
    '6ec0bd7f-11c0-43da-975e-2a8ad9ebae0b'::UUID AS u, '{"a": 1}'::JSON AS j,
    [1, NULL] AS l, {'a': 'x', 'b': DATE '2026-01-01'} AS s, MAP {'k': 1} AS m,
    'y'::ENUM('x', 'y') AS e, [1, 2]::INT[2] AS arr, '101'::BIT AS bit,
    '12345678901234567890123456789012345678901234567890'::BIGNUM AS big)sql"),
            " bool = true\n   i1 = -128\n   u8 = 18446744073709551615\n"
            "    h = -170141183460469231731687303715884105728\n"
            "   uh = 340282366920938463463374607431768211455\n"
            "   f4 = 0.1\n   f8 = 1e+300\n  nan = NaN\n zero = 0.000\n"
            " wide = -12345678901234567890123456789.012345678\n"
            "bytes = \\x00ff61\n   bc = 0044-03-15 (BC)\n   tm = 10:00:00.5\n"
            "   tz = 10:00:00-01:30\n   ts = 1969-12-31 23:59:59.999999\n"
            " tstz = 2025-12-31 22:30:00+00\n  inf = infinity\n"
            "   ns = 2026-01-01 00:00:00.123456789\n"
            "   iv = 1 year 2 months -3 days 04:05:06.7\n none = 00:00:00\n"
            "    u = 6ec0bd7f-11c0-43da-975e-2a8ad9ebae0b\n    j = {\"a\": 1}\n"
            "    l = [1, NULL]\n    s = {a: x, b: 2026-01-01}\n    m = {k=1}\n"
            "    e = y\n  arr = [1, 2]\n  bit = 101\n"
            "  big = 12345678901234567890123456789012345678901234567890\n");
}

TEST(Output, CannotMoveTheCursorOfATerminal) {
  EXPECT_EQ(printed("table", R"(SELECT E'\x1b[2J\ttab' AS "a\x07")"),
            " a\\x07\n--------------\n \\x1b[2J\\ttab\n(1 row)\n");
}

TEST(Output, ResultOfAnySizeNeedsTheMemoryOfAFewChunks) {
  const auto run =
      pgsink({"--format", "csv", "-c", "SELECT i, 'row ' || i AS t FROM range(3000000) AS r(i)"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_GT(run.out.size(), 50'000'000U);
  EXPECT_LT(run.peak_kilobytes, 200'000);
}

TEST(Output, ClosedOutputIsAnErrorNotAnEarlyDeath) {
  RunOptions options;
  options.close_stdout = true;
  const auto run = pgsink({"-c", "SELECT * FROM range(100000)"}, options);
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("cannot write the results to standard output: "));
}

TEST(Output, ToJsonbIsToJson) {
  EXPECT_EQ(printed("csv", "SELECT TO_JSON({'a': 1}) AS j, TO_JSONB([1, 2]) AS b"),
            "j,b\n\"{\"\"a\"\":1}\",\"[1,2]\"\n");
}

TEST(DisplayWidth, CountsColumnsNotBytes) {
  EXPECT_EQ(shell::display_width("abc"), 3U);
  EXPECT_EQ(shell::display_width("Zoë"), 3U);
  EXPECT_EQ(shell::display_width("e\xcc\x81"), 1U);  // e and a combining accent
  EXPECT_EQ(shell::display_width("日本"), 4U);
  EXPECT_EQ(shell::display_width("🐘"), 2U);
  EXPECT_EQ(shell::display_width("\xff"), 1U);
}

}  // namespace
}  // namespace pgsink::test
