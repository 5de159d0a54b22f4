// Types without a binary form here: their text goes through the server's own input functions, in
// every mode and by every path, one rejected row for each value that they refuse.

#include <array>
#include <optional>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/arrow_builder.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;

struct TextType {
  const char* sql_type;
  std::vector<std::string> good;
  std::vector<std::string> bad;
};

const std::vector<TextType>& text_types() {
  static const std::vector<TextType> kTypes{
      {"ext.hstore", {"a=>1, \"b c\"=>NULL", ""}, {"a=>", "=>"}},
      {"ext.ltree", {"a.b.c", "Top"}, {"a..b", "."}},
      {"ext.lquery", {"*.b{1}.c"}, {"{"}},
      {"ext.cube", {"(1,2),(3,4)", "5"}, {"(1", "x"}},
      {"ext.citext", {"Same", "sAME"}, {}},
      {"money", {"12.34", "-$1,000.50"}, {"x"}},
      {"point", {"(1,2)", "3.5,-4"}, {"(1)", ""}},
      {"line", {"{1,2,3}", "[(0,0),(1,1)]"}, {"{0,0,1}"}},
      {"lseg", {"[(1,2),(3,4)]"}, {"[(1,2)]"}},
      {"box", {"(3,4),(1,2)"}, {"(1,2,3)"}},
      {"path", {"[(1,2),(3,4)]", "((1,2),(3,4))"}, {"[]"}},
      {"polygon", {"((0,0),(1,1),(2,0))"}, {"(0"}},
      {"circle", {"<(1,2),3>"}, {"<(1,2),-3>"}},
      {"tsvector", {"a:1 fat:2A", "'x y'"}, {"'"}},
      {"tsquery", {"a & !b", "a <-> b"}, {"a &"}},
      {"pg_lsn", {"0/1", "FFFFFFFF/FFFFFFFF"}, {"1", "G/0"}},
      {"xid", {"5", "4294967295"}, {}},
      {"xid8", {"5", "18446744073709551615"}, {}},
      {"tid", {"(1,2)"}, {"(1,2,3"}},
      {"jsonpath", {"$.a[*]", "strict $.b ? (@ > 1)"}, {"$.", ""}},
      {"regclass", {"pg_class", "1259", "\"odd name\".t"}, {"no_such_table", "a.b.c.d"}},
      {"regtype", {"integer", "ext.hstore", "23"}, {"no_such_type"}},
      {"regproc", {"now"}, {"no_such_function"}},
      {"regrole", {"postgres"}, {"no_such_role"}},
      {"regnamespace", {"ext"}, {"no_such_schema"}},
      {"int2vector", {"1 2 3", ""}, {"1 x"}},
      {"oidvector", {"1 2"}, {"x"}},
      {"aclitem", {"postgres=r/postgres"}, {"nobody_at_all=r/x"}},
      {"pg_snapshot", {"10:20:10,14"}, {"20:10:"}},
      {"tree_range", {"[a,b)", "empty"}, {"[b,a)", "[a"}},
      {"tag_list", {"a=>1"}, {"forbidden=>1", "x"}},
      {"labelled", {"(\"a=>1\",1.25,\"(1,2)\")", "(,,)"}, {"(x,1,)", "(a=>1,1.005,)", "(a=>1)"}},
      {"ext.hstore[]", {"{\"a=>1\",NULL}", "{}"}, {"{x}", "{"}},
      {"box[]", {"{(3,4),(1,2);(1,1),(0,0)}"}, {"{(3,4),(1,2),(1,1),(0,0)}"}},
      {"labelled[]", {R"q({"(\"a=>1\",1,\"(1,2)\")"})q"}, {R"q({"(a=>1,1.005,)"})q"}},
      {"money[]", {"{1.5,NULL}"}, {"{x}"}},
  };
  return kTypes;
}

/// How the rows travel.
enum class Way { kInsert, kArrays, kStaged, kUpsertArrays, kUpsertStaged };

class ServerText : public ::testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("server_text");
    sql("CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext; CREATE EXTENSION ltree SCHEMA ext;"
        "CREATE EXTENSION cube SCHEMA ext; CREATE EXTENSION citext SCHEMA ext;"
        "CREATE SCHEMA \"odd name\"; CREATE TABLE \"odd name\".t ();"
        "CREATE TYPE tree_range AS RANGE (subtype = ext.ltree);"
        "CREATE DOMAIN tag_list AS ext.hstore"
        " CHECK (NOT VALUE OPERATOR(ext.?) 'forbidden');"
        "CREATE TYPE labelled AS (tags ext.hstore, amount numeric(10,2), place point)");
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.dead_letter_table = "letters";
    const Way way = GetParam();
    if (way != Way::kInsert) options_.use_copy = way == Way::kStaged || way == Way::kUpsertStaged;
    if (way == Way::kUpsertArrays || way == Way::kUpsertStaged) {
      options_.write_mode = WriteMode::kUpsert;
    }
  }

  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }

  Status write(std::vector<test::ArrowNode> columns) {
    RecordBatch batch = test::import_columns(std::move(columns));
    auto sink = Sink::open(options_, batch.schema());
    if (!sink) return fail(sink.error());
    if (auto written = (*sink)->write(std::move(batch)); !written) return written;
    return (*sink)->close();
  }
  /// Rows 1, 2, … of (id, v).
  Status write_values(test::ArrowNode values, size_t count) {
    test::Nullable<int32_t> ids;
    for (size_t i = 1; i <= count; ++i) ids.emplace_back(static_cast<int32_t>(i));
    test::ArrowNode id = test::arrow_fixed("i", ids);
    id.name = "id";
    values.name = "v";
    return write({std::move(id), std::move(values)});
  }
  void make_table(const std::string& sql_type) {
    sql("DROP TABLE IF EXISTS t, letters; CREATE TABLE t (id int PRIMARY KEY, v " + sql_type + ")");
  }
  std::string values() {
    return scalar("SELECT string_agg(coalesce(v::text, 'NULL'), ' | ' ORDER BY id) FROM t");
  }

  std::string database_;
  SinkOptions options_;
};

std::string way_name(const ::testing::TestParamInfo<Way>& instance) {
  static constexpr std::array kNames{"Insert", "Arrays", "Staged", "UpsertArrays", "UpsertStaged"};
  return kNames[static_cast<size_t>(instance.param)];
}
INSTANTIATE_TEST_SUITE_P(Ways, ServerText,
                         ::testing::Values(Way::kInsert, Way::kArrays, Way::kStaged,
                                           Way::kUpsertArrays, Way::kUpsertStaged),
                         way_name);

TEST_P(ServerText, EveryTypeTakesWhatItsInputFunctionReads) {
  for (const TextType& type : text_types()) {
    SCOPED_TRACE(type.sql_type);
    make_table(type.sql_type);
    test::Nullable<std::string> texts;
    std::string expected;
    for (const std::string& text : type.good) {
      texts.emplace_back(text);
      expected += shared_server().scalar("SELECT ($q$" + text + "$q$::" + type.sql_type + ")::text",
                                         database_) +
                  " | ";
    }
    for (const std::string& text : type.bad) texts.emplace_back(text);
    texts.emplace_back(std::nullopt);
    const Status written = write_values(test::arrow_text("u", texts), texts.size());
    ASSERT_TRUE(written) << written.error().to_string();
    EXPECT_EQ(values(), expected + "NULL");
    EXPECT_EQ(scalar("SELECT count(*) FROM letters"), std::to_string(type.bad.size()));
    EXPECT_EQ(scalar("SELECT string_agg(input_row::text, ' ' ORDER BY input_row) FROM letters"
                     " WHERE input_row <= " +
                     std::to_string(type.good.size())),
              "");
  }
}

TEST_P(ServerText, ListsMapsAndStructsBecomeTheTextOfTheType) {
  const test::ArrowNode entries = test::arrow_struct(
      {true, true, true}, {test::arrow_text("u", {"a", "b \"c\"", "\\"}).named("key"),
                           test::arrow_text("u", {"1", std::nullopt, "x,y"}).named("value")});
  make_table("ext.hstore");
  auto written = write_values(test::arrow_list("+m", {2, 1, 0, std::nullopt}, entries), 4);
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(values(), R"q("a"=>"1", "b \"c\""=>NULL | "\\"=>"x,y" |  | NULL)q");

  make_table("ext.cube");
  written = write_values(
      test::arrow_list("+l", {2, 1}, test::arrow_fixed<double>("g", {0.1, -2.0, 1e300})), 2);
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(values(), "(0.1, -2) | (1e+300)");

  make_table("ext.hstore[]");
  written = write_values(
      test::arrow_list("+l", {2, 1}, test::arrow_list("+m", {2, std::nullopt, 1}, entries)), 2);
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(values(), scalar(R"(SELECT concat_ws(' | ',
      ARRAY['a=>1, "b \"c\""=>NULL'::ext.hstore, NULL], ARRAY['"\\"=>"x,y"'::ext.hstore]))"));

  make_table("labelled");
  written = write_values(
      test::arrow_struct(
          {true, true, false},
          {test::arrow_list("+m", {2, std::nullopt, 1}, entries).named("tags"),
           test::arrow_fixed<int32_t>("d:9,3,32", {1250, 1005, 0}).named("amount"),
           test::arrow_text("u", {"(1,2)", std::nullopt, std::nullopt}).named("place")}),
      3);
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(scalar("SELECT (v).tags OPERATOR(ext.->) 'a' || (v).amount || (v).place FROM t"
                   " WHERE id = 1"),
            "11.25(1,2)");
  EXPECT_EQ(scalar("SELECT message FROM letters WHERE input_row = 2"),
            "column \"v\" (public.labelled): attribute \"amount\": 1.005 would be rounded: "
            "the type is numeric(10,2), at most 2 digits after the decimal point");
}

// The text of money means what lc_monetary says; numbers mean what they are.
TEST_P(ServerText, NumbersBecomeMoneyWhateverTheLocale) {
  sql("ALTER ROLE postgres SET lc_monetary = 'C'");
  make_table("money");
  auto written = write_values(
      test::arrow_fixed<int64_t>("d:18,3,64", {12340, 12345, std::nullopt, -1'000'500}), 4);
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(scalar("SELECT string_agg(coalesce((v::numeric)::text, 'NULL'), ' ' ORDER BY id) FROM "
                   "t"),
            "12.34 NULL -1000.50");
  EXPECT_NE(scalar("SELECT message FROM letters").find("12.345 would be rounded"),
            std::string::npos);
  options_.on_rounding = OnRounding::kRound;
  make_table("money");
  written = write_values(test::arrow_fixed<int64_t>("d:18,3,64", {12345}), 1);
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(scalar("SELECT v::numeric FROM t"), "12.35");
}

TEST_P(ServerText, WhatNoTypeReadsIsSaidAtOpen) {
  make_table("point");
  const Status written = write_values(
      test::arrow_struct({true}, {test::arrow_fixed<double>("g", {1.5}).named("x")}), 1);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Errc::kColumnType);
  EXPECT_EQ(written.error().message.find("ALTER"), std::string::npos) << written.error().message;
}

}  // namespace
}  // namespace pgsink
