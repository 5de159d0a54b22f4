// Values of standard input arrive as they are written, whatever they look like: the target's type
// reads them, and a query's own types lose nothing.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/shell_support.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string server_says(const std::string& sql) {
  return analytics_server().scalar(sql, "analytics");
}

class StdinValues : public testing::Test {
 protected:
  /// Runs `insert`, which reads feed, over the text; the target is table `written`.
  static Captured run(const std::string& input, const std::string& options,
                      const std::string& insert, const std::string& sink_options = "") {
    return pgsink_input(input, {"-c", connection("w", "written", sink_options) +
                                          "CREATE CONNECTION feed TO stdin (type = 'source', " +
                                          options + ");\n" + insert + ";"});
  }
  static std::string rows() {
    return server_says("SELECT string_agg(r::text, ' ' ORDER BY r::text) FROM written r");
  }
};

// ---- what only passes through --------------------------------------------------------------

TEST_F(StdinValues, TextsOfCsvStayAsTheyAreWritten) {
  create_table("written", "(id int, v text)");
  std::string input = "id,v\n";
  std::string wanted;
  const std::vector<std::string> texts = {"01234",
                                          "+491234",
                                          "1e5",
                                          "1.10",
                                          "12:30",
                                          "2024-01-31",
                                          "t",
                                          "TRUE",
                                          "NaN",
                                          "-0",
                                          "0x1F",
                                          "1_000",
                                          " a ",
                                          ".5",
                                          "5.",
                                          "nan",
                                          "null",
                                          "NULL",
                                          "\\N",
                                          "2024-01-31T00:00:00Z",
                                          "18446744073709551616",
                                          "1e400",
                                          "[1, 2]",
                                          "{\"a\": 1.10}"};
  for (size_t i = 0; i < texts.size(); ++i) {
    std::string quoted;
    for (const char c : texts[i]) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
    input += std::to_string(i) + ",\"" + quoted + "\"\n";
    wanted += (i == 0 ? "" : "|") + texts[i];
  }
  for (const char* query :
       {"SELECT * FROM feed", "SELECT id, v FROM feed WHERE id >= 0",
        "SELECT id, f.v AS v FROM feed f WHERE f.v <> 'zip'",
        "WITH q AS (SELECT v, id FROM feed WHERE v <> '') SELECT * FROM q",
        "SELECT id, v FROM feed WHERE id < 5 UNION ALL FROM feed WHERE id > 4"}) {
    create_table("written", "(id int, v text)");
    const auto done = run(input, "format = 'csv'", "INSERT INTO w " + std::string(query));
    ASSERT_EQ(done.exit_code, 0) << query << "\n" << done.err;
    EXPECT_EQ(server_says("SELECT string_agg(v, '|' ORDER BY id) FROM written"), wanted) << query;
  }
}

TEST_F(StdinValues, NumbersOfJsonKeepEveryDigit) {
  create_table("written", "(id int, n numeric, t text)");
  std::string input;
  std::string wanted;
  const std::vector<std::string> numbers = {"99999999999999.99",
                                            "1234567890123456.78",
                                            "0.1",
                                            "0.10",
                                            "18446744073709551615",
                                            "1e400",
                                            "123456789012345678901234567890.123456789",
                                            "-0.000000000000000000000000000001"};
  for (size_t i = 0; i < numbers.size(); ++i) {
    const std::string id = std::to_string(i);
    input.append("{\"id\":").append(id).append(",\"n\":").append(numbers[i]);
    input.append(",\"t\":").append(numbers[i]).append("}\n");
    wanted += (i == 0 ? "" : "|") + numbers[i];
  }
  for (const char* query :
       {"SELECT * FROM feed", "SELECT id, n, t FROM feed WHERE id >= 0 AND n IS NOT NULL",
        "SELECT f.* FROM feed AS f WHERE coalesce(t, '') <> ''"}) {
    create_table("written", "(id int, n numeric, t text)");
    const auto done = run(input, "format = 'json'", "INSERT INTO w " + std::string(query));
    ASSERT_EQ(done.exit_code, 0) << query << "\n" << done.err;
    EXPECT_EQ(server_says("SELECT string_agg(t, '|' ORDER BY id) FROM written"), wanted) << query;
    EXPECT_EQ(server_says("SELECT bool_and(n = t::numeric) FROM written"), "t") << query;
  }
}

TEST_F(StdinValues, NestedJsonBecomesWhatTheColumnIs) {
  create_table("written", "(id int, tags text[], n int[], meta jsonb, raw text, big numeric[])");
  const auto done =
      run("{\"id\":1,\"tags\":[\"a\",\"b\"],\"n\":[1,2],\"meta\":{\"k\":1.10,\"l\":"
          "[99999999999999.99]},\"raw\":{\"k\": 1.10},\"big\":[99999999999999.99]}\n"
          "{\"id\":2,\"tags\":[],\"n\":null,\"meta\":null,\"raw\":\"\\ud83d\\ude00\\n\"}\n"
          "{\"id\":3,\"tags\":[null,\"{,}\"],\"meta\":\"text\",\"raw\":true}\n"
          "{\"id\":4,\"meta\":1e2,\"tags\":\"{x}\"}\n",
          "format = 'json'", "INSERT INTO w SELECT * FROM feed");
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(
      server_says("SELECT string_agg(concat_ws('|', tags, n, meta, raw, big), ' ' ORDER BY id) "
                  "FROM written"),
      "{a,b}|{1,2}|{\"k\": 1.10, \"l\": [99999999999999.99]}|{\"k\": 1.10}|"
      "{99999999999999.99} {}|\xf0\x9f\x98\x80\n {NULL,\"{,}\"}|\"text\"|true {x}|100");
}

TEST_F(StdinValues, ValuesThatDoNotFitTheColumnAreRejectedByTheSink) {
  create_table("written", "(id int, n numeric(18,2))");
  const auto done =
      run("{\"id\":1,\"n\":0.125}\n{\"id\":2.0,\"n\":1e2}\n{\"id\":3.5,\"n\":1}\n",
          "format = 'json'", "INSERT INTO w FROM feed", "dead_letter_table = 'written_rejected'");
  EXPECT_EQ(done.exit_code, 3) << done.err;
  EXPECT_EQ(rows(), "(2,100.00)");
  EXPECT_EQ(server_says("SELECT string_agg(concat_ws('|', input_row, column_name, row->>'n'), ' ' "
                        "ORDER BY input_row) FROM written_rejected"),
            "1|n|0.125 3|id|1");
  analytics_server().sql("DROP TABLE written_rejected", "analytics");
}

TEST_F(StdinValues, TheLastOfSeveralMembersOfOneNameCounts) {
  create_table("written", "(id int, v text)");
  const auto done = run("{\"id\":1,\"v\":\"a\",\"v\":\"b\"}\n", "format = 'json'",
                        "INSERT INTO w SELECT * FROM feed WHERE v LIKE 'b'");
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(rows(), "(1,b)");
}

// ---- what queries compute with -------------------------------------------------------------

TEST_F(StdinValues, AColumnThatIsComputedWithStillArrivesAsItIsWritten) {
  create_table("written", "(id int, amount text, twice numeric, day date, note text)");
  const auto done =
      run("id,amount,at,note\n1,12.50,2026-01-02T23:04:05+01:00,007\n"
          "2,9.5,2026-01-02T23:30:00-05:00,1e5\n3,100,2026-01-03T00:00:00Z,\n4,0.125,,x\n",
          "format = 'csv'",
          "INSERT INTO w SELECT id, amount, amount * 2 AS twice, \"at\"::DATE AS day, note FROM "
          "feed WHERE amount > 1 AND note IS NOT NULL");
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(server_says("SELECT string_agg(concat_ws('|', id, amount, twice = amount::numeric * 2, "
                        "day, note), ' ' ORDER BY id) FROM written"),
            "1|12.50|t|2026-01-02|007 2|9.5|t|2026-01-03|1e5");
}

TEST_F(StdinValues, HiddenColumnsGoThroughWithSubqueryAndUnion) {
  const std::string input =
      "{\"id\":1,\"v\":1.10,\"w\":\"a\",\"m\":\"str\"}\n"
      "{\"id\":2,\"v\":99999999999999.99,\"w\":\"b\",\"m\":{\"k\":1.10}}\n"
      "{\"id\":3,\"v\":0.5,\"w\":\"c\",\"m\":null}\n";
  for (const char* query :
       {"WITH q AS (SELECT id, v AS val, w, m FROM (SELECT id, v, w, m FROM feed WHERE v > 0.1) x "
        "WHERE val > 1) SELECT q.id, q.val AS v, w, m FROM q WHERE w <> 'zz'",
        "WITH a AS (SELECT * FROM feed), b AS (SELECT * FROM a WHERE v > 1 AND w < 'z') SELECT * "
        "FROM b",
        "SELECT * FROM feed WHERE v > 2 AND w <> 'x' UNION ALL SELECT id, v, w, m FROM feed WHERE "
        "v "
        "BETWEEN 1 AND 2"}) {
    create_table("written", "(id int, v numeric, w text, m jsonb)");
    const auto done = run(input, "format = 'json'", "INSERT INTO w " + std::string(query));
    ASSERT_EQ(done.exit_code, 0) << query << "\n" << done.err;
    EXPECT_EQ(rows(), "(1,1.10,a,\"\"\"str\"\"\") (2,99999999999999.99,b,\"{\"\"k\"\": 1.10}\")")
        << query;
  }
}

TEST_F(StdinValues, SeveralBranchesEachGetWhatTheyNeed) {
  create_table("written", "(id int, v text)");
  create_table("others", "(id int, v numeric)");
  const auto done =
      run("id,v\n1,1.10\n2,2.0\n3,30\n", "format = 'csv'",
          connection("o", "others") +
              "CREATE TABLE log (id BIGINT, v DECIMAL(9, 2));"
              "CREATE PIPELINE p AS INSERT INTO w SELECT * FROM feed UNION ALL INSERT "
              "INTO o SELECT id * 10 AS id, v FROM feed WHERE v > 1.5 UNION ALL INSERT "
              "INTO log WITH q AS (SELECT id, v FROM feed) SELECT * FROM q; SELECT "
              "string_agg(v::VARCHAR, '|') AS v FROM log");
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(rows(), "(1,1.10) (2,2.0) (3,30)");
  EXPECT_EQ(server_says("SELECT string_agg(o::text, ' ' ORDER BY id) FROM others o"),
            "(20,2.0) (30,30)");
  EXPECT_THAT(done.out, HasSubstr("1.10|2.00|30.00"));
}

TEST_F(StdinValues, ViewsOfTheSourceAndStatementsAfterOneAnotherSeeTheSameTypes) {
  create_table("written", "(id int, v text)");
  const auto done = run("id,v\n1,1.10\n2,2.0\n", "format = 'csv'",
                        "CREATE VIEW doubled AS SELECT id * 2 AS id, v FROM feed;"
                        "DESCRIBE feed; INSERT INTO w FROM doubled");
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(rows(), "(2,1.10) (4,2.0)");
}

TEST_F(StdinValues, AColumnWithoutATypeIsExplained) {
  create_table("written", "(id int, v numeric)");
  const auto done = run("id,v\n1,abc\n2,2.5\n", "format = 'csv'",
                        "INSERT INTO w SELECT id, v * 2 AS v FROM feed");
  EXPECT_EQ(done.exit_code, 1);
  EXPECT_THAT(done.err,
              AllOf(HasSubstr("'v' is text"), HasSubstr("give columns"), Not(HasSubstr("'id'"))));
}

TEST_F(StdinValues, LaterValuesThatATypeCannotHoldAreRejectedNotChanged) {
  create_table("written", "(id text, twice numeric)");
  std::string input = "id,v\n";
  for (int i = 1; i <= 1000; ++i) input += std::to_string(i) + ",0.5\n";
  input += "1001,0.125\n1002,x\n1003,0.75\n";
  const auto done = run(input, "format = 'csv', max_rejects = 9",
                        "INSERT INTO w SELECT id, v * 2 AS twice FROM feed");
  EXPECT_EQ(done.exit_code, 3) << done.err;
  EXPECT_THAT(done.err, AllOf(HasSubstr("line 1002: column 'v': '0.125' has 3 decimals"),
                              HasSubstr("line 1003: column 'v': 'x' is not of type DECIMAL"),
                              HasSubstr("give columns"), HasSubstr("3 rejected")));
  EXPECT_EQ(server_says("SELECT count(*) || ' ' || sum(twice) FROM written"), "1000 1000.0");
}

TEST_F(StdinValues, ATableThatIsCreatedGetsTypesThatKeepTheTexts) {
  analytics_server().sql("DROP TABLE IF EXISTS written", "analytics");
  const auto done = run("id,zip,ok,v\n1,00501,true,1.5\n2,12345,false,2.5\n", "format = 'csv'",
                        "INSERT INTO w FROM feed", "create_table = true");
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(server_says("SELECT concat_ws('|', pg_typeof(id), pg_typeof(zip), pg_typeof(ok), "
                        "pg_typeof(v)) FROM written LIMIT 1"),
            "bigint|text|boolean|numeric");
  EXPECT_EQ(rows(), "(1,00501,t,1.5) (2,12345,f,2.5)");
}

// ---- declared types ------------------------------------------------------------------------

TEST_F(StdinValues, DeclaredTypesNeverRound) {
  create_table("written",
               "(k text, dec numeric, num numeric, ts timestamp, tss timestamp, tsm timestamp, tm "
               "time, i8 bigint, d date, ob boolean, f double precision, iv interval)");
  const std::string columns =
      "columns = MAP {'k': 'VARCHAR', 'dec': 'DECIMAL(6,2)', 'num': 'NUMERIC', 'ts': 'TIMESTAMP', "
      "'tss': 'TIMESTAMP_S', 'tsm': 'TIMESTAMP_MS', 'tm': 'TIME', 'i8': 'LONG', 'd': 'DATE', 'ob': "
      "'BOOLEAN', 'f': 'DOUBLE', 'iv': 'INTERVAL'}";
  const std::pair<std::string, std::string> rejected[] = {
      {"dec", "1.005"},
      {"num", "1.23456"},
      {"ts", "2024-01-01 12:00:00.1234567"},
      {"tss", "2024-01-01 12:00:00.6"},
      {"tsm", "2024-01-01 12:00:00.1236"},
      {"tm", "12:00:00.1234567"},
      {"i8", "3.7"},
      {"i8", "9223372036854775808"},
      {"d", "2024-01-01 10:00:00"},
      {"ob", "2"},
      {"f", "1e400"},
      {"f", "1e-400"},
      {"iv", "0.0000001 seconds"},
      {"dec", "99999.5"},
  };
  std::string json;
  for (const auto& [name, text] : rejected) {
    json.append("{\"k\":\"").append(name).append("\",\"").append(name).append("\":\"");
    json.append(text).append("\"}\n");
  }
  json += "{\"k\":\"n\",\"i8\":3.7}\n{\"k\":\"n\",\"dec\":1.005}\n{\"k\":\"n\",\"dec\":[1]}\n";
  json +=
      "{\"k\":\"good\",\"dec\":1e2,\"num\":-1.230,\"ts\":\"2024-01-01 12:00:00.123456000\",\"tss\":"
      "\"2024-01-01 12:00:00.000\",\"i8\":1e3,\"ob\":true,\"f\":0.1,\"iv\":\"1.5 seconds\"}\n";
  const auto done = run(json, "format = 'json', max_rejects = 100, " + columns,
                        "INSERT INTO w SELECT * FROM feed");
  EXPECT_EQ(done.exit_code, 3) << done.err;
  EXPECT_EQ(rows(),
            "(good,100.00,-1.230,\"2024-01-01 12:00:00.123456\",\"2024-01-01 "
            "12:00:00\",,,1000,,t,0.1,00:00:01.5)");
}

TEST_F(StdinValues, DeclaredNestedTypesNeverRound) {
  create_table("written", "(id int, x int[], y numeric[], s text)");
  const auto done = run(
      "{\"id\":1,\"x\":[1,2],\"y\":[99999999999999.99,1e2,null],\"s\":{\"b\":\"z\",\"a\":1.5}}\n"
      "{\"id\":2,\"x\":[1.5]}\n{\"id\":3,\"y\":[1.005]}\n{\"id\":4,\"s\":{\"a\":1.005}}\n"
      "{\"id\":5,\"x\":null,\"y\":[]}\n{\"id\":6,\"x\":7}\n",
      "format = 'json', max_rejects = 9, columns = MAP {'id': 'INTEGER', 'x': 'INTEGER[]', 'y': "
      "'DECIMAL(18,2)[]', 's': 'STRUCT(a DECIMAL(5,2), b VARCHAR)'}",
      "INSERT INTO w SELECT * FROM feed");
  EXPECT_EQ(done.exit_code, 3) << done.err;
  EXPECT_EQ(rows(),
            "(1,\"{1,2}\",\"{99999999999999.99,100.00,NULL}\",\"{\"\"a\"\":1.50,\"\"b\"\":"
            "\"\"z\"\"}\") (5,,{},)");
}

// ---- the beginning and the end -------------------------------------------------------------

TEST_F(StdinValues, AByteOrderMarkIsNoPartOfTheFirstValue) {
  const std::string mark = "\xef\xbb\xbf";
  const std::tuple<std::string, std::string, std::string> inputs[] = {
      {mark + "k1,a\nk2,b\n",
       "format = 'csv', header = false, columns = MAP {'k': 'VARCHAR', 'v': 'VARCHAR'}", ""},
      {mark + "k,v\nk1,a\nk2,b\n", "format = 'csv'", ""},
      {mark + "\"k\",v\r\nk1,a\r\nk2,b",
       "format = 'csv', columns = MAP {'k': 'VARCHAR', 'v': "
       "'VARCHAR'}",
       ""},
      {mark + "{\"k\":\"k1\",\"v\":\"a\"}\n{\"k\":\"k2\",\"v\":\"b\"}\n", "format = 'json'", ""},
  };
  for (const auto& [input, options, unused] : inputs) {
    create_table("written", "(k text PRIMARY KEY, v text)");
    const auto done = run(input, options, "INSERT INTO w FROM feed");
    ASSERT_EQ(done.exit_code, 0) << options << done.err;
    EXPECT_EQ(rows(), "(k1,a) (k2,b)") << options;
  }
}

TEST_F(StdinValues, InputWithoutRowsIsWrittenAsNothing) {
  create_table("written", "(id int, v text)");
  const std::string declared = ", columns = MAP {'id': 'INTEGER', 'v': 'VARCHAR'}";
  for (const std::string options : {"format = 'json'", "format = 'csv'"}) {
    for (const std::string& more : {std::string(), declared}) {
      for (const std::string input : {"", "\n"}) {
        const auto done = run(input, options + more, "INSERT INTO w SELECT id, v FROM feed");
        EXPECT_EQ(done.exit_code, 0) << options << more << done.err;
      }
    }
  }
  for (const std::string query : {"SELECT * FROM feed",
                                  "SELECT id * 10 AS id, upper(v) AS v FROM "
                                  "feed WHERE id > 5"}) {
    for (const std::string input : {"id,v\n", "id,v", "ID, V \r\n"}) {
      const auto done = run(input, "format = 'csv'", "INSERT INTO w " + query);
      EXPECT_EQ(done.exit_code, 0) << query << done.err;
      EXPECT_THAT(done.err, HasSubstr("0 rows"));
    }
  }
  EXPECT_EQ(server_says("SELECT count(*) FROM written"), "0");
}

TEST_F(StdinValues, HeadersAreNamesWithoutTheBlanksAroundThem) {
  create_table("written", "(id int, first_name text)");
  const auto done = run("ID, First_Name\n1,a\n2, b\n", "format = 'csv'", "INSERT INTO w FROM feed");
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(rows(), "(1,a) (2,\" b\")");
  EXPECT_THAT(run("id,v,ID\n1,2,3\n", "format = 'csv'", "INSERT INTO w FROM feed").err,
              HasSubstr("the header, line 1: two fields have the name 'id' and 'ID'"));
  EXPECT_THAT(run("id,v\n1,2\n", "format = 'csv', columns = MAP {'ix': 'INTEGER'}",
                  "INSERT INTO w SELECT ix AS id FROM feed")
                  .err,
              HasSubstr("the header, line 1: it has no field 'ix'"));
}

TEST_F(StdinValues, CompressedInputIsNamed) {
  const auto done =
      run(std::string("\x1f\x8b\x08\x00\x00", 5), "format = 'json'", "INSERT INTO w FROM feed");
  EXPECT_EQ(done.exit_code, 1);
  EXPECT_THAT(done.err,
              AllOf(HasSubstr("PGS-4002"), HasSubstr("compressed by gzip"), HasSubstr("zcat")));
}

TEST_F(StdinValues, MembersThatOnlyLaterLinesHaveAreToldOnce) {
  create_table("written", "(id int)");
  std::string input;
  for (int i = 1; i <= 1000; ++i) input += "{\"id\":" + std::to_string(i) + "}\n";
  input += "{\"id\":1001,\"late\":1}\n{\"id\":1002,\"late\":2}\n";
  const auto done = run(input, "format = 'json'", "INSERT INTO w SELECT id FROM feed");
  EXPECT_EQ(done.exit_code, 0) << done.err;
  const size_t first = done.err.find("the member 'late'");
  ASSERT_NE(first, std::string::npos) << done.err;
  EXPECT_EQ(done.err.find("the member 'late'", first + 1), std::string::npos) << done.err;
}

TEST_F(StdinValues, ErrorsNameNoTemporaryFile) {
  const auto done = run("[1]\nnonsense\n", "format = 'json'", "INSERT INTO w FROM feed");
  EXPECT_EQ(done.exit_code, 1);
  EXPECT_THAT(done.err, AllOf(HasSubstr("line 1: it is not a JSON object"), Not(HasSubstr("/tmp")),
                              Not(HasSubstr("pgsink-sample"))));
}

}  // namespace
}  // namespace pgsink::test
