// pgsink load: files and standard input into a table, and the script that it makes.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/shell_support.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr const char* kUrl = "postgresql://user@localhost:5432/analytics";

/// pgsink load, with the password in PGPASSWORD unless the URL has one.
Captured load(std::vector<std::string> arguments, const std::string& input = "",
              const std::string& url = kUrl) {
  arguments.insert(arguments.begin(), "load");
  arguments.insert(arguments.end(), {"--to", url});
  RunOptions options;
  options.input = input;
  if (url == kUrl) options.environment.emplace_back("PGPASSWORD", "s3cret'pw");
  return pgsink(std::move(arguments), options);
}

std::string in_analytics(const std::string& query) {
  return analytics_server().scalar(query, "analytics");
}

std::string rows_of(const std::string& table, const std::string& order = "1") {
  return in_analytics(
      "SELECT coalesce(string_agg(to_jsonb(t)::text, ' '), '') FROM (SELECT * FROM " + table +
      " ORDER BY " + order + ") AS t");
}

void drop_table(const std::string& table) {
  analytics_server().sql("DROP TABLE IF EXISTS " + table, "analytics");
}

/// Writes a Parquet file by DuckDB.
std::string parquet(const TemporaryFolder& folder, const std::string& name,
                    const std::string& query) {
  std::string path = folder.path() + "/" + name;
  const auto run = pgsink({"-c", "COPY (" + query + ") TO '" + path + "' (FORMAT parquet)"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  return path;
}

// ---- formats ------------------------------------------------------------------------------------

TEST(Load, ParquetFilesOfAPatternAreUnitedByName) {
  create_table("load_events", "(id bigint, kind text, at timestamptz)");
  const TemporaryFolder folder;
  parquet(folder, "1.parquet", "SELECT 1::BIGINT AS id, 'a' AS kind");
  parquet(folder, "2.parquet",
          "SELECT TIMESTAMPTZ '2024-01-01 00:00:00+00' AS at, 'b' AS kind, 2::BIGINT AS id");
  const auto run = load({folder.path() + "/*.parquet", "--table", "load_events"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("load -> target (public.load_events): 2 rows"));
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(rows_of("load_events"), R"({"at": null, "id": 1, "kind": "a"} )"
                                    R"({"at": "2024-01-01T00:00:00+00:00", "id": 2, "kind": "b"})");
}

TEST(Load, CsvIsReadAsCopyReadsIt) {
  create_table("load_csv", "(id int, zip text, price numeric(10,3), note text)");
  const TemporaryFolder folder;
  const auto file = folder.write("a.csv",
                                 "id,zip,price,note\n1,00501,1.10,\n2,1e5,2,\"\"\n"
                                 "3,\"NULL\",0.125,\"x, \"\"y\"\"\n2nd line\"\n");
  const auto run = load({file, "--table", "load_csv"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(rows_of("load_csv"),
            R"({"id": 1, "zip": "00501", "note": null, "price": 1.100} )"
            R"({"id": 2, "zip": "1e5", "note": "", "price": 2.000} )"
            R"({"id": 3, "zip": "NULL", "note": "x, \"y\"\n2nd line", "price": 0.125})");
}

TEST(Load, CsvInOtherDialects) {
  create_table("load_dialect", "(a text, b text)");
  const TemporaryFolder folder;
  const std::string other = folder.write("a.txt", "1;x\n\\N;\n");
  const auto run = load({other, "--table", "load_dialect", "--input-format", "csv", "--delimiter",
                         ";", "--null", "\\N", "--no-header", "--columns", "a,b"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const std::string tabs = folder.write("b.TSV", "b\ta\n2\ty,z\n");
  ASSERT_EQ(load({tabs, "--table", "load_dialect"}).exit_code, 0);
  EXPECT_EQ(rows_of("load_dialect"),
            R"({"a": "1", "b": "x"} {"a": "y,z", "b": "2"} {"a": null, "b": ""})");
}

TEST(Load, LongRecordsOfManyLines) {
  create_table("load_long", "(id int, s text)");
  const TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 2'000'000; ++i) lines += "a\n";
  std::string wide;
  wide.resize(10'000'000, 'b');
  const auto file = folder.write("a.csv", "id,s\n1,\"" + lines + "\"\n2," + wide + "\n3,x\n");
  const auto run = load({file, "--table", "load_long"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(in_analytics("SELECT string_agg(length(s)::text, ' ' ORDER BY id) FROM load_long"),
            "4000000 10000000 1");
}

TEST(Load, AnotherDelimiterIsSuspected) {
  create_table("load_semicolon", "(a int, b int)");
  const TemporaryFolder folder;
  const auto file = folder.write("a.csv", "a;b\n1;2\n");
  const auto run = load({file, "--table", "load_semicolon"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, AllOf(HasSubstr("no column \"a;b\""), HasSubstr("by --delimiter"),
                             Not(HasSubstr("ALTER TABLE"))));
}

TEST(Load, ColumnsThatAreNotNamedAreNotLoaded) {
  create_table("load_some", "(a int, \"B b\" int DEFAULT 7)");
  const TemporaryFolder folder;
  const auto csv = folder.write("a.csv", "x,a,B b\n0,1,2\n");
  ASSERT_EQ(load({csv, "--table", "load_some", "--columns", "a, \"B b\""}).exit_code, 0);
  const auto json = folder.write("a.ndjson", R"({"x": 0, "a": 3})");
  const auto run = load({json, "--table", "load_some", "--columns", "a"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.err, Not(HasSubstr("left out")));
  const auto stdin_run =
      load({"-", "--input-format", "csv", "--table", "load_some", "--columns", "a"}, "x,a\n0,5\n");
  ASSERT_EQ(stdin_run.exit_code, 0) << stdin_run.err;
  EXPECT_EQ(rows_of("load_some"), R"({"a": 1, "B b": 2} {"a": 3, "B b": 7} {"a": 5, "B b": 7})");
}

TEST(Load, JsonKeepsEveryDigitAndEveryForm) {
  create_table("load_json", "(id int, price numeric, zip text, tags text[], doc jsonb, n text)");
  const std::string first =
      R"({"id": 1, "price": 12345678901234567.99, "zip": "00501", "tags": ["a", null],)"
      R"( "doc": {"v": 1.10}, "n": 1.10})";
  const std::string second = R"({"doc": "text", "id": 2.0, "zip": null, "tags": []})";
  const std::string wanted =
      R"({"n": "1.10", "id": 1, "doc": {"v": 1.10}, "zip": "00501", "tags": ["a", null], )"
      R"("price": 12345678901234567.99} )"
      R"({"n": null, "id": 2, "doc": "text", "zip": null, "tags": [], "price": null})";
  const TemporaryFolder folder;
  folder.write("a.ndjson", first + "\n" + second + "\n");
  folder.write("b.jsonl", first + "\n" + second + "\n");
  folder.write("c.json", "[" + first + ",\n " + second + "]");
  folder.write("d.json", first + "\n" + second + "\n");
  for (const char* const name : {"a.ndjson", "b.jsonl", "c.json", "d.json"}) {
    analytics_server().sql("TRUNCATE load_json", "analytics");
    const auto run = load({folder.path() + "/" + name, "--table", "load_json"});
    ASSERT_EQ(run.exit_code, 0) << name << run.err;
    EXPECT_EQ(rows_of("load_json", "id"), wanted) << name;
  }
}

TEST(Load, ColumnsOfJsonThatNoRowHasYetAreCreatedAsText) {
  drop_table("load_sparse");
  const TemporaryFolder folder;
  const auto file = folder.write("a.ndjson", R"({"x": 1, "id": 2})");
  const auto run =
      load({file, "--table", "load_sparse", "--create-table", "--columns", "later,id"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(rows_of("load_sparse"), R"({"id": 2, "later": null})");
}

TEST(Load, MembersOfJsonThatComeLateAreNamed) {
  create_table("load_late", "(id int)");
  std::string lines;
  for (int i = 0; i < 30'000; ++i) lines += "{\"id\": " + std::to_string(i) + "}\n";
  const TemporaryFolder folder;
  const auto file = folder.write("a.ndjson", lines + "{\"id\": 1, \"late\": 2}\n");
  const auto run = load({file, "--table", "load_late"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("the member 'late' was in none of the first rows"));
  EXPECT_EQ(in_analytics("SELECT count(*) FROM load_late"), "30001");
}

TEST(Load, WhatIsNoObjectIsNamed) {
  create_table("load_broken", "(id int)");
  const TemporaryFolder folder;
  for (const char* const text : {"{\"id\": 1}\n[2]\n", "{\"id\": 1}\n{\"id\": }\n"}) {
    const auto run = load({folder.write("a.ndjson", text), "--table", "load_broken"});
    EXPECT_NE(run.exit_code, 0) << text;
    EXPECT_THAT(run.err, AllOf(HasSubstr("pgsink"), HasSubstr("JSON"))) << text;
  }
  EXPECT_EQ(in_analytics("SELECT count(*) FROM load_broken"), "0");
}

TEST(Load, PackedFiles) {
  create_table("load_packed", "(id int)");
  const TemporaryFolder folder;
  for (const char* const query :
       {"'csv.gz' (FORMAT csv, HEADER)", "'tsv.zst' (FORMAT csv, HEADER, DELIMITER '\t')",
        "'ndjson.gz' (FORMAT json)", "'jsonl.zst' (FORMAT json)"}) {
    std::string copy = query;
    copy.insert(1, folder.path() + "/a.");
    const auto written = pgsink({"-c", "COPY (SELECT 1 AS id) TO " + copy});
    ASSERT_EQ(written.exit_code, 0) << written.err;
    const std::string path = copy.substr(1, copy.find('\'', 1) - 1);
    const auto run = load({path, "--table", "load_packed"});
    EXPECT_EQ(run.exit_code, 0) << path << run.err;
  }
  EXPECT_EQ(in_analytics("SELECT count(*) FROM load_packed"), "4");
}

TEST(Load, StandardInput) {
  create_table("load_stdin", "(id int, zip text)");
  const std::vector<std::string> table{"-", "--table", "load_stdin", "--input-format"};
  const auto with = [&](std::vector<std::string> more, const std::string& input) {
    more.insert(more.begin(), table.begin(), table.end());
    const auto run = load(std::move(more), input);
    EXPECT_EQ(run.exit_code, 0) << run.err;
  };
  with({"csv"}, "id,zip\n1,00501\n");
  with({"tsv"}, "id\tzip\n2\t00502\n");
  with({"json"}, "{\"id\": 3, \"zip\": \"00503\"}\n");
  with({"ndjson", "--atomic"}, "{\"id\": 4, \"zip\": \"00504\"}\n");
  with({"csv", "--no-header", "--columns", "zip,id", "--delimiter", ";"}, "00505;5\n");
  with({"csv"}, "");
  EXPECT_EQ(in_analytics("SELECT string_agg(id || ':' || zip, ' ' ORDER BY id) FROM load_stdin"),
            "1:00501 2:00502 3:00503 4:00504 5:00505");
}

// ---- the table ----------------------------------------------------------------------------------

TEST(Load, NamesAreTakenAsTheyAreWritten) {
  analytics_server().sql(
      "DROP SCHEMA IF EXISTS \"My Schema\" CASCADE; CREATE SCHEMA \"My Schema\" AUTHORIZATION "
      "\"user\"; SET ROLE \"user\"; CREATE TABLE \"My Schema\".\"A.b\" (\"Id\" int)",
      "analytics");
  create_table("\"Load_Mixed\"", "(\"Id\" int)");
  const TemporaryFolder folder;
  const auto file = folder.write("it's [1] $x.csv", "Id\n1\n");
  const auto dotted = load({file, "--table", "My Schema.\"A.b\""});
  EXPECT_EQ(dotted.exit_code, 0) << dotted.err;
  const auto mixed = load({file, "--table", "Load_Mixed"});
  EXPECT_EQ(mixed.exit_code, 0) << mixed.err;
  EXPECT_EQ(in_analytics("SELECT (SELECT count(*) FROM \"My Schema\".\"A.b\") + (SELECT count(*) "
                         "FROM \"Load_Mixed\")"),
            "2");
}

TEST(Load, AMissingTableIsCreatedOnlyWhenAskedTo) {
  drop_table("load_new");
  const TemporaryFolder folder;
  const auto file = folder.write(
      "a.csv", "id,zip,price,day,at,ok\n1,00501,1.50,2024-01-31,2024-01-31 10:00:00,true\n");
  const auto refused = load({file, "--table", "load_new"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("there is no table \"public\".\"load_new\""),
                                 HasSubstr("--create-table"), Not(HasSubstr("create_table ="))));
  const auto created =
      load({file, "--table", "load_new", "--create-table", "--mode", "upsert", "--key", "id"});
  ASSERT_EQ(created.exit_code, 0) << created.err;
  EXPECT_EQ(in_analytics("SELECT string_agg(format_type(atttypid, atttypmod), ', ' ORDER BY attnum)"
                         " FROM pg_attribute WHERE attrelid = 'load_new'::regclass AND attnum > 0"),
            "bigint, text, numeric(18,2), date, timestamp without time zone, boolean");
  EXPECT_EQ(in_analytics("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p' "
                         "AND conrelid = 'load_new'::regclass"),
            "PRIMARY KEY (id)");
  EXPECT_EQ(rows_of("load_new"),
            R"({"at": "2024-01-31T10:00:00", "id": 1, "ok": true, "day": "2024-01-31", )"
            R"("zip": "00501", "price": 1.50})");
}

TEST(Load, CreatedTablesChangeNoValueThatComesLater) {
  drop_table("load_later");
  std::string lines = "id,price\n";
  for (int i = 0; i < 25'000; ++i) lines += std::to_string(i) + ",1.25\n";
  const TemporaryFolder folder;
  const auto file = folder.write("a.csv", lines + "25000,1.255\n25001,x\n");
  const std::string rejected = folder.path() + "/rejected.ndjson.gz";
  const auto run =
      load({file, "--table", "load_later", "--create-table", "--dead-letters", rejected});
  EXPECT_EQ(run.exit_code, 3) << run.err;
  EXPECT_EQ(in_analytics("SELECT count(*) FROM load_later WHERE price = 1.25"), "25000");
  EXPECT_EQ(in_analytics("SELECT count(*) FROM load_later"), "25000");
  EXPECT_TRUE(std::filesystem::exists(rejected));
}

TEST(Load, CreateTableLeavesTheTypesOfATableThatExists) {
  create_table("load_old", "(id text, at text)");
  const TemporaryFolder folder;
  const auto csv = folder.write("a.csv", "id,at\n7,2024-01-31\n");
  ASSERT_EQ(load({csv, "--table", "load_old", "--create-table"}).exit_code, 0);
  const auto json = folder.write("a.json", R"({"id": 8.50, "at": "2024-01-31T10:00:00Z"})");
  ASSERT_EQ(load({json, "--table", "load_old", "--create-table"}).exit_code, 0);
  EXPECT_EQ(rows_of("load_old"),
            R"({"at": "2024-01-31", "id": "7"} {"at": "2024-01-31T10:00:00Z", "id": "8.50"})");
}

TEST(Load, CreatesTablesOfParquetAndJsonAndStandardInput) {
  const TemporaryFolder folder;
  const auto file = parquet(folder, "a.parquet", "SELECT 1::INTEGER AS id, [1, 2] AS tags");
  const auto json = folder.write("a.ndjson", "{\"id\": 1, \"tags\": [1, 2]}\n");
  const auto types = [](const std::string& table) {
    return in_analytics(
        "SELECT string_agg(format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM "
        "pg_attribute WHERE attrelid = '" +
        table + "'::regclass AND attnum > 0");
  };
  drop_table("load_made");
  ASSERT_EQ(load({file, "--table", "load_made", "--create-table"}).exit_code, 0);
  EXPECT_EQ(types("load_made"), "integer, integer[]");
  drop_table("load_made");
  const auto run = load({json, "--table", "load_made", "--create-table"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(types("load_made"), "bigint, jsonb");
  drop_table("load_made");
  const auto input = load({"-", "--input-format", "csv", "--table", "load_made", "--create-table"},
                          "id,zip\n1,01\n");
  ASSERT_EQ(input.exit_code, 0) << input.err;
  EXPECT_EQ(types("load_made"), "bigint, text");
}

// ---- flags --------------------------------------------------------------------------------------

TEST(Load, ModesAndKeys) {
  create_table("load_modes", "(a int, \"b,c\" int, v text, PRIMARY KEY (a, \"b,c\"))");
  const TemporaryFolder folder;
  const auto run = [&](const std::string& rows, std::vector<std::string> flags) {
    flags.insert(flags.begin(), {folder.write("a.csv", rows), "--table", "load_modes"});
    const auto done = load(std::move(flags));
    EXPECT_EQ(done.exit_code, 0) << done.err;
  };
  run("a,\"b,c\",v\n1,1,x\n2,2,x\n3,3,x\n", {});
  run("a,\"b,c\",v\n1,1,y\n", {"--mode", "upsert", "--key", "a,\"b,c\""});
  run("a,\"b,c\",v\n2,2,z\n", {"--mode", "update", "--key", "a", "--key", "\"b,c\""});
  run("a,\"b,c\"\n3,3\n", {"--mode=delete", "--key=a,\"b,c\""});
  run("a,\"b,c\",v\n1,1,no\n", {"--mode", "insert_ignore"});
  EXPECT_EQ(rows_of("load_modes"), R"({"a": 1, "v": "y", "b,c": 1} {"a": 2, "v": "z", "b,c": 2})");
}

TEST(Load, AtomicIsAllOrNothing) {
  create_table("load_atomic", "(id int)");
  std::string lines = "id\n";
  for (int i = 0; i < 20'000; ++i) lines += std::to_string(i) + "\n";
  const TemporaryFolder folder;
  const auto broken = folder.write("a.csv", lines + "x\n");
  EXPECT_EQ(load({broken, "--table", "load_atomic", "--atomic"}).exit_code, 1);
  EXPECT_EQ(in_analytics("SELECT count(*) FROM load_atomic"), "0");
  const auto whole = folder.write("b.csv", lines);
  const auto run = load({whole, "--table", "load_atomic", "--atomic"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(in_analytics("SELECT count(*) || ' ' || count(DISTINCT xmin::text) FROM load_atomic"),
            "20000 1");
}

TEST(Load, ReplaceAndSnapshots) {
  create_table("load_replace", "(id int PRIMARY KEY, v int)");
  analytics_server().sql("INSERT INTO load_replace VALUES (1, 1), (9, 1)", "analytics");
  const auto rows = [] {
    return in_analytics("SELECT string_agg(id || ':' || v, ' ' ORDER BY id) FROM load_replace");
  };
  const TemporaryFolder folder;
  const auto file = folder.write("a.csv", "id,v\n1,2\n2,2\n");
  const auto snapshot = load({file, "--table", "load_replace", "--mode", "upsert", "--key", "id",
                              "--option", "delete_missing=true"});
  EXPECT_EQ(snapshot.exit_code, 0) << snapshot.err;
  EXPECT_EQ(rows(), "1:2 2:2");
  const auto other = folder.write("b.csv", "id,v\n7,3\n");
  const auto replaced = load({other, "--table", "load_replace", "--mode", "replace"});
  EXPECT_EQ(replaced.exit_code, 0) << replaced.err;
  EXPECT_EQ(rows(), "7:3");
  const auto broken = folder.write("c.csv", "id,v\n8,3\nx,3\n");
  EXPECT_EQ(load({broken, "--table", "load_replace", "--mode", "replace"}).exit_code, 1);
  EXPECT_EQ(rows(), "7:3");
}

TEST(Load, ParallelAndOtherOptions) {
  create_table("load_parallel", "(id int)");
  const TemporaryFolder folder;
  const auto file = folder.write("a.csv", "id\n1\n2\n3\n");
  const auto run = load({file, "--table", "load_parallel", "--parallel", "3", "--option",
                         "batch_size=1", "--option", "Transaction_Size=1", "--option",
                         "session_variables=MAP {'app.name': 'it''s'}"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(in_analytics("SELECT count(DISTINCT xmin::text) FROM load_parallel"), "3");
}

TEST(Load, RejectedRowsGoToTheFile) {
  create_table("load_rejects", "(id int CHECK (id < 3))");
  const TemporaryFolder folder;
  const std::string rejected = folder.path() + "/rejected.ndjson.gz";
  const auto file = folder.write("a.csv", "id\n1\nx\n3\n2\n");
  const auto run = load({file, "--table", "load_rejects", "--dead-letters", rejected, "--summary",
                         folder.path() + "/summary.json"});
  EXPECT_EQ(run.exit_code, 3) << run.err;
  EXPECT_EQ(rows_of("load_rejects"), R"({"id": 1} {"id": 2})");
  EXPECT_THAT(read_file(folder.path() + "/summary.json"), HasSubstr("\"rows_rejected\": 2"));
  const auto letters =
      pgsink({"--format", "csv", "-c", "SELECT count(*) AS n FROM read_json('" + rejected + "')"});
  EXPECT_EQ(letters.out, "n\n2\n") << letters.err;
}

TEST(Load, ChecksWriteNothing) {
  create_table("load_check", "(id int)");
  const TemporaryFolder folder;
  const auto file = folder.write("a.csv", "id\n1\nx\n");
  EXPECT_EQ(load({file, "--table", "load_check", "--check"}).exit_code, 0);
  EXPECT_EQ(load({file, "--table", "no_such_table", "--check"}).exit_code, 0);
  EXPECT_EQ(load({file, "--table", "no_such_table", "--check=online"}).exit_code, 1);
  const auto rehearsed = load({file, "--table", "load_check", "--dry-run"});
  EXPECT_EQ(rehearsed.exit_code, 3) << rehearsed.err;
  EXPECT_EQ(load({file, "--table", "load_never", "--create-table", "--dry-run"}).exit_code, 0);
  EXPECT_EQ(in_analytics("SELECT count(*) FROM load_check"), "0");
  EXPECT_EQ(in_analytics("SELECT coalesce(to_regclass('load_never')::text, 'none')"), "none");
}

// ---- the script ---------------------------------------------------------------------------------

/// The script as a whole: what a user saves and goes on with.
TEST(Load, TheScriptIsReadable) {
  const TemporaryFolder folder;
  folder.write("it's.csv", "id\n1\n");
  RunOptions options;
  options.directory = folder.path();
  const auto run =
      pgsink({"load", "it's.csv", "--to", kUrl, "--table", "raw.Events", "--mode", "upsert",
              "--key", "id,\"a b\"", "--parallel", "2", "--atomic", "--dead-letters", "x.gz",
              "--option", "batch_timeout_ms=200", "--print-script"},
             options);
  EXPECT_EQ(run.err, "");
  EXPECT_EQ(run.out,
            R"(CREATE CONNECTION target TO postgresql (
    url = 'postgresql://user@localhost:5432/analytics',
    schema = 'raw',
    table = 'Events',
    write_mode = 'upsert',
    conflict_columns = 'id, "a b"',
    parallelism = 2,
    atomic = true,
    dead_letter_file = 'x.gz',
    batch_timeout_ms = 200,
    batch_size = 16384
);
CREATE PIPELINE load AS
INSERT INTO target
SELECT *
FROM read_csv('it''s.csv', all_varchar = true, header = true,
    delim = ',', quote = '"', escape = '"', allow_quoted_nulls = false,
    max_line_size = 16777216, buffer_size = 33554432);
)");
}

TEST(Load, ThePrintedScriptDoesTheSame) {
  create_table("load_script", "(id int PRIMARY KEY, name text)");
  drop_table("load_script_new");
  const TemporaryFolder folder;
  const auto csv = folder.write("it's.csv", "id,name\n1,a\n");
  const auto json = folder.write("a.ndjson", "{\"id\": 2, \"name\": \"b\"}\n");
  const auto feed_back = [&](std::vector<std::string> flags, const std::string& input = "") {
    flags.emplace_back("--print-script");
    const auto printed = load(std::move(flags), input);
    ASSERT_EQ(printed.exit_code, 0) << printed.err;
    RunOptions options;
    options.input = input;
    options.environment.emplace_back("PGPASSWORD", "s3cret'pw");
    const auto run = pgsink({"-f", folder.write("load.sql", printed.out)}, options);
    EXPECT_EQ(run.exit_code, 0) << run.err << printed.out;
  };
  feed_back({csv, "--table", "load_script", "--mode", "upsert", "--key", "id"});
  feed_back({json, "--table", "public.load_script", "--atomic", "--parallel", "1"});
  feed_back({"-", "--input-format", "csv", "--table", "load_script"}, "id,name\n3,c\n");
  feed_back({csv, "--table", "load_script_new", "--create-table"});
  EXPECT_EQ(rows_of("load_script"),
            R"({"id": 1, "name": "a"} {"id": 2, "name": "b"} {"id": 3, "name": "c"})");
  EXPECT_EQ(rows_of("load_script_new"), R"({"id": 1, "name": "a"})");
}

TEST(Load, APasswordIsNeverShown) {
  create_table("load_secret", "(id int)");
  const TemporaryFolder folder;
  const auto file = folder.write("a.csv", "id\n1\n");
  for (const std::string& url :
       {std::string("postgresql://user:s3cret%27pw@localhost:5432/analytics"),
        std::string("postgresql://user@localhost:5432/analytics?password=s3cret%27pw"),
        std::string("host=localhost dbname=analytics user=user password='s3cret\\'pw'"),
        std::string("postgresql://user:${secret:password}@localhost:5432/analytics")}) {
    const auto printed = load({file, "--table", "load_secret", "--print-script"}, "", url);
    ASSERT_EQ(printed.exit_code, 0) << printed.err;
    EXPECT_THAT(printed.out, Not(HasSubstr("s3cret")));
    EXPECT_THAT(printed.err, Not(HasSubstr("s3cret")));
    if (url.find("${") != std::string::npos) continue;  // That text is part of a URL, unescaped.
    const auto run = load({file, "--table", "load_secret"}, "", url);
    EXPECT_EQ(run.exit_code, 0) << run.err;
  }
  const auto wrong = load({file, "--table", "load_secret"}, "",
                          "postgresql://user:wr0ng@localhost:5432/analytics");
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_THAT(wrong.err, AllOf(HasSubstr("PGS-2004"), Not(HasSubstr("wr0ng"))));
  for (const char* const option : {"password=wr0ng", "url=postgresql://me:wr0ng@x/y"}) {
    const auto refused = load({file, "--table", "load_secret", "--option", option});
    EXPECT_EQ(refused.exit_code, 2);
    EXPECT_THAT(refused.err, Not(HasSubstr("wr0ng")));
  }
}

// ---- mistakes -----------------------------------------------------------------------------------

struct Mistake {
  std::vector<std::string> arguments;
  const char* message;
};

TEST(Load, MistakesAreNamedBeforeAnythingRuns) {
  const TemporaryFolder folder;
  const std::string csv = folder.write("a.csv", "id\n1\n");
  const std::string json = folder.write("a.json", "{}");
  const std::string text = folder.write("a.txt", "id\n1\n");
  const std::string empty = folder.write("empty.csv", "");
  const std::string packed = folder.write("a.parquet.gz", "x");
  const std::string none = folder.write("none.ndjson", "");
  const Mistake mistakes[] = {
      {{"--table", "t"}, "load needs the files to read, or - for standard input"},
      {{csv}, "load needs --table, the table to write to"},
      {{"nowhere.csv", "--table", "t"}, "there is no file 'nowhere.csv'"},
      {{folder.path() + "/*.nothing", "--table", "t"}, "no file matches '"},
      {{folder.path(), "--table", "t"}, "is a folder: give the files in it"},
      {{"/dev/null", "--table", "t"}, "is a pipe or a device, which cannot be read twice"},
      {{text, "--table", "t"}, "does not end in a known format (.csv, .tsv, .json"},
      {{csv, json, "--table", "t"}, "a.json' has another format than '"},
      {{packed, "--table", "t"}, "is a packed Parquet file, which cannot be read: unpack it"},
      {{empty, "--table", "t"}, "empty.csv' is empty: it does not even have a header"},
      {{folder.path() + "/e*.csv", "--table", "t"}, "empty.csv' is empty"},
      {{none, "--table", "t"}, "none.ndjson' has no rows, or none with a member"},
      {{"-", "--table", "t"}, "standard input has no name that ends in its format"},
      {{"-", csv, "--table", "t", "--input-format", "csv"}, "- is standard input, which is read"},
      {{"-", "--table", "t", "--input-format", "parquet"}, "Parquet is read from its end"},
      {{csv, "--table", "t", "--input-format", "xml"}, "--input-format takes one of csv|tsv|json"},
      {{csv, "--table", "t", "--mode", "upset"}, "did you mean upsert?"},
      {{csv, "--table", "t", "--key", "id"}, "--key says how --mode upsert"},
      {{csv, "--table", "t", "--mode", "upsert", "--key", "a,,b"},
       "--key has a name that is empty"},
      {{csv, "--table", "t", "--mode", "upsert", "--key", "\"a"}, "a quote that is not closed"},
      {{csv, "--table", "a.b.c"}, "--table takes a table or schema.table"},
      {{csv, "--table", "t", "--no-header"}, "--no-header: nothing names the columns"},
      {{json, "--table", "t", "--no-header"}, "--no-header is for CSV"},
      {{json, "--table", "t", "--delimiter", ";"}, "--delimiter is for CSV"},
      {{json, "--table", "t", "--null", "x"}, "--null is for CSV"},
      {{csv, "--table", "t", "--option", "batchsize=1"}, "did you mean 'batch_size'?"},
      {{csv, "--table", "t", "--option", "batch_size"}, "--option takes NAME=VALUE"},
      {{csv, "--table", "t", "--option", "atomic=true"}, "atomic is given by --atomic"},
      {{csv, "--table", "t", "--option", "host=x"}, "host is a part of --to"},
      {{csv, "--table", "t", "-f", "x.sql"}, "unknown flag -f"},
  };
  for (const Mistake& mistake : mistakes) {
    const auto run = load(mistake.arguments);
    EXPECT_EQ(run.exit_code, 2) << mistake.message;
    EXPECT_EQ(run.out, "");
    EXPECT_THAT(run.err, AllOf(StartsWith("pgsink: "), HasSubstr(mistake.message)));
  }
  const auto no_url = pgsink({"load", csv, "--table", "t"});
  EXPECT_EQ(no_url.exit_code, 2);
  EXPECT_THAT(no_url.err, HasSubstr("load needs --to"));
  const auto wrong_url = load({csv, "--table", "t"}, "", "postgresql://me:pw0rd@[x/y");
  EXPECT_EQ(wrong_url.exit_code, 2);
  EXPECT_THAT(wrong_url.err, AllOf(HasSubstr("--to: "), Not(HasSubstr("pw0rd"))));
}

}  // namespace
}  // namespace pgsink::test
