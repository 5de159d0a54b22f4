// Random texts of every type by every path into a table: what arrives is what the server's own
// input function makes of the text, and nothing of it is lost.
//
// PGSINK_TEXTS_PER_TYPE sets how many texts each type gets on each path.

#include <array>
#include <cstdlib>
#include <iostream>

#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/arrow_builder.h"
#include "support/postgres_server.h"
#include "support/random_texts.h"

namespace pgsink {
namespace {

using test::shared_server;
using test::TextType;

size_t texts_per_type() {
  const char* wanted = std::getenv("PGSINK_TEXTS_PER_TYPE");
  constexpr size_t kTexts = 300;
  return wanted != nullptr ? std::strtoul(wanted, nullptr, 10) : kTexts;
}

/// pgvector's types, which not every server has.
const std::vector<TextType>& vector_types() {
  static const std::vector<TextType> kTypes{
      {"vector", "vector", {"[1,2.5,-3]", "[1e-3]"}, "[],0123.-e "},
      {"vector(3)", "vector(3)", {"[1,2,3]", "[0.1,-0,4e5]"}, "[],012.-e "},
      {"halfvec", "halfvec", {"[1,2.5,-3]", "[0.1]"}, "[],0123.-e "},
      {"sparsevec", "sparsevec", {"{1:2,3:0.5}/5", "{}/2"}, "{}:/,0123.- "},
      {"vector[]", "vector[]", {R"({"[1,2]",NULL})", "{}"}, "{}[],012\" "},
  };
  return kTypes;
}

/// Types that the server's input functions read.
const std::vector<TextType>& server_types() {
  static const std::vector<TextType> kTypes{
      {"hstore", "hstore", {"a=>1, b=>NULL", "\"x y\"=>\"z\""}, "ab=>,\" 1"},
      {"ltree", "ltree", {"a.b.c", "Top"}, "ab._1"},
      {"cube", "cube", {"(1,2),(3,4)", "5", "(0.1)"}, "0123(),. "},
      {"citext", "citext", {"Same", "sAME"}, "abAB "},
      {"money", "money", {"12.34", "-$1,000.50", "(5)"}, "0123$,.-()"},
      {"point", "point", {"(1,2)", "3.5,-4"}, "0123(),.-e "},
      {"box", "box", {"(3,4),(1,2)"}, "0123(),.- "},
      {"path", "path", {"[(1,2),(3,4)]", "((1,2),(3,4))"}, "0123(),[] "},
      {"circle", "circle", {"<(1,2),3>", "1,2,3"}, "0123(),<>. "},
      {"tsvector", "tsvector", {"a:1 fat:2A", "'x y'"}, "ab:12A' "},
      {"tsquery", "tsquery", {"a & !b", "a <-> b"}, "ab&|!() "},
      {"pg_lsn", "pg_lsn", {"0/1", "FFFFFFFF/FFFFFFFF"}, "0123F/ "},
      {"xid8", "xid8", {"5", "18446744073709551615"}, "0123456789x "},
      {"jsonpath", "jsonpath", {"$.a[*]", "strict $.b"}, "$.ab[]*01 "},
      {"int2vector", "int2vector", {"1 2 3"}, "0123 -"},
      {"tagged", "tagged", {"(a=>1,1.25)", "(,)"}, "(),ab=>1. "},
      {"hstore[]", "hstore[]", {"{a=>1,NULL}", "{}"}, "{},ab=>1\" "},
      {"box[]", "box[]", {"{(3,4),(1,2);(1,1),(0,0)}"}, "{};(),0123 "},
      {"tree_range", "tree_range", {"[a,b)", "empty", "(,b]"}, "[](),ab."},
  };
  return kTypes;
}

enum class Way { kCopy, kArrays, kStaged };

class PathProperty : public ::testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("paths");
    sql("CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION cube;"
        "CREATE EXTENSION citext; CREATE TYPE tagged AS (tags hstore, amount numeric);"
        "CREATE TYPE tree_range AS RANGE (subtype = ltree);" +
        test::text_types_sql());
    if (has_vector()) sql("CREATE EXTENSION vector");
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.batch_size = 5000;
    options_.on_dead_letters = [this](std::span<const DeadLetter> letters) -> Status {
      rejected_ += letters.size();
      return {};
    };
    options_.use_copy = GetParam() != Way::kArrays;
    if (GetParam() == Way::kStaged) options_.write_mode = WriteMode::kUpsert;
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  bool has_vector() {
    return shared_server().scalar(
               "SELECT count(*) FROM pg_available_extensions"
               " WHERE name = 'vector'") == "1";
  }

  /// Texts that the server makes a value of; the table `probes` has what it makes of them.
  test::Nullable<std::string> make_texts(const TextType& type, std::mt19937_64& engine);
  /// The texts as rows 1, 2, … of (id, v).
  Status write(const test::Nullable<std::string>& texts);
  void compare(const TextType& type, std::mt19937_64& engine, bool takes_all);

  std::string database_;
  SinkOptions options_;
  size_t rejected_ = 0;
};

test::Nullable<std::string> PathProperty::make_texts(const TextType& type,
                                                     std::mt19937_64& engine) {
  const std::string sql_type = type.sql_type;
  sql("DROP TABLE IF EXISTS probes; DROP FUNCTION IF EXISTS probe;"
      "CREATE TABLE probes (id serial PRIMARY KEY, raw text, shown text);"
      "CREATE FUNCTION probe(h text) RETURNS text LANGUAGE plpgsql AS $probe$ DECLARE v " +
      sql_type +
      "; t text; BEGIN t := convert_from(decode(h, 'hex'), 'UTF8'); v := t; RETURN v::text; "
      "EXCEPTION WHEN OTHERS THEN RETURN NULL; END $probe$");
  test::Nullable<std::string> texts;
  constexpr size_t kAtOnce = 2000;
  for (size_t tries = 0; texts.size() < texts_per_type() && tries < 100'000; ++tries) {
    std::string list;
    for (size_t i = 0; i < kAtOnce; ++i) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      list += i == 0 ? "" : ",";
      for (const char c : test::random_text(engine, type)) {
        list += kDigits[static_cast<unsigned char>(c) >> 4];
        list += kDigits[static_cast<unsigned char>(c) & 15];
      }
      if (list.empty() || list.back() == ',') list += "\"\"";
    }
    for (const test::SqlRow& row : shared_server().sql(
             "INSERT INTO probes (raw, shown) SELECT convert_from(decode(h, 'hex'), 'UTF8'), shown"
             " FROM (SELECT h, probe(h) AS shown FROM unnest('{" +
                 list + "}'::text[]) AS h OFFSET 0) s WHERE shown IS NOT NULL LIMIT " +
                 std::to_string(texts_per_type() - texts.size()) + " RETURNING raw",
             database_)) {
      texts.push_back(row[0]);
    }
  }
  return texts;
}

Status PathProperty::write(const test::Nullable<std::string>& texts) {
  std::unique_ptr<Sink> sink;
  constexpr size_t kBatch = 5000;
  for (size_t done = 0; done < texts.size(); done += kBatch) {
    test::Nullable<int32_t> ids;
    test::Nullable<std::string> values;
    for (size_t i = done; i < std::min(done + kBatch, texts.size()); ++i) {
      ids.emplace_back(static_cast<int32_t>(i + 1));
      values.push_back(texts[i]);
    }
    RecordBatch batch = test::import_columns(
        {test::arrow_fixed("i", ids).named("id"), test::arrow_text("u", values).named("v")});
    if (sink == nullptr) {
      auto opened = Sink::open(options_, batch.schema());
      if (!opened) return fail(opened.error());
      sink = std::move(*opened);
    }
    if (auto written = sink->write(std::move(batch)); !written) return written;
  }
  return sink->close();
}

/// `takes_all`: every text that the server reads must arrive. Otherwise those that the encoder
/// rejects (what would be rounded, what depends on the session) are counted.
void PathProperty::compare(const TextType& type, std::mt19937_64& engine, bool takes_all) {
  SCOPED_TRACE(type.sql_type);
  const test::Nullable<std::string> texts = make_texts(type, engine);
  ASSERT_EQ(texts.size(), texts_per_type()) << "too few of the texts are values";
  sql("DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, v " +
      std::string(type.sql_type) + ")");
  rejected_ = 0;
  const Status written = write(texts);
  ASSERT_TRUE(written) << written.error().to_string();
  const std::string stored = shared_server().scalar("SELECT count(*) FROM t", database_);
  EXPECT_EQ(std::to_string(texts.size() - rejected_), stored);
  if (takes_all) {
    EXPECT_EQ(rejected_, 0U);
  }
  const test::SqlRows wrong = shared_server().sql(
      "SELECT raw, shown, v::text FROM probes JOIN t USING (id)"
      " WHERE shown IS DISTINCT FROM v::text LIMIT 5",
      database_);
  for (const test::SqlRow& row : wrong) {
    ADD_FAILURE() << "\"" << row[0].value_or("NULL") << "\" became " << row[2].value_or("NULL")
                  << ", the server makes of it " << row[1].value_or("NULL");
  }
  std::cout << "| " << type.sql_type << " | " << texts.size() << " | " << stored << " | "
            << wrong.size() << " |\n";
}

std::string way_of(const ::testing::TestParamInfo<Way>& instance) {
  static constexpr std::array kNames{"Copy", "Arrays", "Staged"};
  return kNames[static_cast<size_t>(instance.param)];
}
INSTANTIATE_TEST_SUITE_P(Ways, PathProperty,
                         ::testing::Values(Way::kCopy, Way::kArrays, Way::kStaged), way_of);

TEST_P(PathProperty, TypesOfTheServersInputFunctionsTakeAllThatThoseRead) {
  uint64_t seed = 5000;
  for (const TextType& type : server_types()) {
    std::mt19937_64 engine(seed++);
    compare(type, engine, true);
  }
  if (!has_vector()) return;
  for (const TextType& type : vector_types()) {
    std::mt19937_64 engine(seed++);
    compare(type, engine, true);
  }
}

TEST_P(PathProperty, EveryOtherTypeGetsWhatTheServerWouldMakeOfIt) {
  uint64_t seed = 7000;
  for (const TextType& type : test::text_types()) {
    // Arrays and composites go by COPY only.
    const std::string name = type.sql_type;
    const bool whole = name.ends_with("[]") || name == "pair" || name == "nested";
    if (GetParam() == Way::kArrays && whole) continue;
    std::mt19937_64 engine(seed++);
    compare(type, engine, false);
  }
}

}  // namespace
}  // namespace pgsink
