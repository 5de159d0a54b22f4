// Which errors of the server are a row's, against the real server: what triggers raise for rows and
// for statements, by every path; and dead letters in a database that lacks their characters.

#include <string>
#include <tuple>
#include <vector>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;

struct Note {
  int64_t id;
  std::string note;
};

enum class Way : uint8_t { kCopy, kArrays, kStaged };
constexpr const char* kWayNames[] = {"Copy", "Arrays", "Staged"};

class RowErrorsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("row_errors");
    sql("CREATE TABLE t (id int PRIMARY KEY, note text)");
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.retry_backoff_ms = 10;
    options_.dead_letter_table = "t_rejected";
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  std::string letters(const std::string& what) {
    return scalar("SELECT coalesce(string_agg(" + what +
                  ", ' ' ORDER BY input_row), '') FROM t_rejected");
  }
  void go_by(Way way) {
    options_.use_copy = way != Way::kArrays;
    if (way != Way::kStaged) return;
    options_.write_mode = WriteMode::kUpsert;
  }
  Status write(std::vector<Note> notes) {
    RecordBatch batch =
        batch_of(std::move(notes), column("id", &Note::id), column("note", &Note::note));
    auto sink = Sink::open(options_, batch.schema());
    if (!sink) return fail(sink.error());
    if (auto written = (*sink)->write(std::move(batch)); !written) return written;
    return (*sink)->close();
  }
  /// Rows 0 to n - 1, of which these are bad.
  Status write(int64_t n, const std::vector<size_t>& bad) {
    std::vector<Note> notes;
    for (int64_t id = 0; id < n; ++id) notes.push_back({id, "good"});
    for (const size_t row : bad) notes[row].note = "bad";
    return write(std::move(notes));
  }

  std::string database_;
  SinkOptions options_;
};

// ---- JSON and XML with faults ------------------------------------------------------------------

struct Document {
  const char* type;
  const char* good;
  const char* bad;
  const char* sqlstate;
};
constexpr Document kDocuments[] = {
    {"json", R"({"a": 1})", R"({"a": 1,})", "22P02"},
    {"jsonb", R"({"a": 1})", R"({"a": 1,})", "22P02"},
    {"jsonb", R"({"a": 1})", R"({"a": "\u0000"})", "22P05"},
    {"xml", "<a>1</a>", "<a>1</b>", "2200N"},
};

class FaultyDocuments : public RowErrorsTest,
                        public ::testing::WithParamInterface<std::tuple<Document, Way>> {
 protected:
  void SetUp() override {
    RowErrorsTest::SetUp();
    sql("ALTER TABLE t ALTER note TYPE " + std::string(document().type) + " USING NULL");
    go_by(way());
  }
  static const Document& document() { return std::get<0>(GetParam()); }
  static Way way() { return std::get<1>(GetParam()); }
};

// The encoder leaves documents to the server until the server has rejected one: then all the others
// of the transaction are found before it is sent again, and those of later ones before they are
// sent. Arrays, which the server takes or rejects as a whole, are always checked.
TEST_P(FaultyDocuments, CostOneAttemptTogether) {
  options_.transaction_size = 500;
  std::vector<Note> notes;
  for (int64_t id = 0; id < 2000; ++id) {
    notes.push_back({id, id % 100 == 42 ? document().bad : document().good});
  }
  const Status written = write(std::move(notes));
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "1980");
  EXPECT_EQ(
      scalar("SELECT count(*) FROM t WHERE note::text <> '" + std::string(document().good) + "'"),
      "0");
  EXPECT_EQ(scalar("SELECT string_agg(input_row::text, ' ' ORDER BY input_row) || ' ' ||"
                   " count(DISTINCT sqlstate) || min(sqlstate) FROM t_rejected"),
            scalar("SELECT string_agg((n * 100 + 43)::text, ' ' ORDER BY n) || ' 1" +
                   std::string(document().sqlstate) + "' FROM generate_series(0, 19) AS n"));
  EXPECT_EQ(scalar("SELECT attempts FROM t_rejected WHERE input_row = 43"),
            way() == Way::kArrays ? "1" : "2");
  // All of later transactions in the first attempt, unless they were on the way when the first one
  // failed.
  EXPECT_LE(std::stoi(scalar("SELECT max(attempts) FROM t_rejected")), 2);
}

TEST_P(FaultyDocuments, StopASinkThatKeepsNone) {
  options_.dead_letter_table = "";
  const Status written = write({{1, document().good}, {2, document().bad}, {3, document().good}});
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, ::testing::HasSubstr("column \"note\""));
  EXPECT_THAT(written.error().message, ::testing::HasSubstr("input row 2"));
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "0");
}

// Rows that are sent cannot be sent again without the faulty one, so that it must be found before.
TEST_P(FaultyDocuments, AreFoundBeforeTheyAreSentInAnAtomicLoad) {
  options_.atomic = true;
  options_.use_copy.reset();  // atomic = true needs COPY.
  const Status written = write({{1, document().good}, {2, document().bad}, {3, document().good}});
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(scalar("SELECT string_agg(id::text, ' ' ORDER BY id) FROM t"), "1 3");
  EXPECT_EQ(letters("input_row || sqlstate || attempts"),
            "2" + std::string(document().sqlstate) + "1");
}

std::string document_name(const ::testing::TestParamInfo<FaultyDocuments::ParamType>& instance) {
  const auto& [document, way] = instance.param;
  return std::string(document.type) + document.sqlstate + kWayNames[static_cast<size_t>(way)];
}
INSTANTIATE_TEST_SUITE_P(Types, FaultyDocuments,
                         ::testing::Combine(::testing::ValuesIn(kDocuments),
                                            ::testing::Values(Way::kCopy, Way::kArrays,
                                                              Way::kStaged)),
                         document_name);

// ---- what a trigger raises for a row -----------------------------------------------------------

struct Raised {
  const char* name;
  const char* statement;  ///< Of the trigger's function, for a bad row.
  const char* sqlstate;
};

class EveryErrorOfATrigger
    : public RowErrorsTest,
      public ::testing::WithParamInterface<std::tuple<Raised, const char*, Way>> {};

TEST_P(EveryErrorOfATrigger, IsOfTheRowThatItIsRaisedFor) {
  const auto& [raised, when, way] = GetParam();
  go_by(way);
  sql(std::string("CREATE FUNCTION deep(i int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN"
                  " deep(i + 1); END $$;"
                  "CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE found_id"
                  " int; BEGIN IF NEW.note = 'bad' THEN ") +
      raised.statement + "; END IF; RETURN NEW; END $$; CREATE TRIGGER own " + when +
      " INSERT ON t FOR EACH ROW EXECUTE FUNCTION own()");
  const Status written = write(20, {0, 7, 19});
  ASSERT_TRUE(written) << written.error().to_string();
  const std::string state = raised.sqlstate;
  EXPECT_EQ(letters("input_row || '|' || sqlstate"), "1|" + state + " 8|" + state + " 20|" + state);
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "17");
}

INSTANTIATE_TEST_SUITE_P(
    Triggers, EveryErrorOfATrigger,
    ::testing::Combine(
        ::testing::Values(
            Raised{"Own", "RAISE EXCEPTION 'no' USING ERRCODE = '45000'", "45000"},
            Raised{"NoData", "SELECT id INTO STRICT found_id FROM t WHERE id = -7", "P0002"},
            Raised{"CaseNotFound", "CASE 1 WHEN 2 THEN found_id := 1; END CASE", "20000"},
            Raised{"External", "RAISE EXCEPTION 'no' USING ERRCODE = '38001'", "38001"},
            Raised{"Internal", "RAISE EXCEPTION 'no' USING ERRCODE = 'XX000'", "XX000"},
            Raised{"StackDepth", "found_id := deep(1)", "54001"},
            Raised{"Routine", "RAISE EXCEPTION 'no' USING ERRCODE = '2F002'", "2F002"},
            Raised{"Privilege", "RAISE EXCEPTION 'no' USING ERRCODE = '42501'", "42501"},
            Raised{"NoSuchTable", "SELECT 1 INTO found_id FROM nowhere", "42P01"}),
        ::testing::Values("BEFORE", "AFTER"),
        ::testing::Values(Way::kCopy, Way::kArrays, Way::kStaged)),
    [](const auto& instance) {
      return std::string(std::get<0>(instance.param).name) + std::get<1>(instance.param) +
             kWayNames[static_cast<size_t>(std::get<2>(instance.param))];
    });

// ---- the statement, not a row ------------------------------------------------------------------

class AStatementTrigger : public RowErrorsTest,
                          public ::testing::WithParamInterface<std::tuple<const char*, Way>> {};

TEST_P(AStatementTrigger, ThatAlwaysRaisesStopsTheSinkWithItsError) {
  const auto& [when, way] = GetParam();
  go_by(way);
  sql(std::string("CREATE SEQUENCE calls; CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql"
                  " AS $$ BEGIN PERFORM nextval('calls'); RAISE EXCEPTION 'closed today' USING"
                  " ERRCODE = '45000'; END $$; CREATE TRIGGER never ") +
      when + " INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION never()");
  const Status written = write(100, {});
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().sqlstate.view(), "45000");
  EXPECT_NE(written.error().message.find("closed today"), std::string::npos);
  EXPECT_NE(written.error().message.find("without rows"), std::string::npos)
      << written.error().message;
  EXPECT_EQ(scalar("SELECT count(*) FROM t_rejected"), "0");
  // One attempt, by arrays another one row by row, and one without rows.
  EXPECT_EQ(scalar("SELECT last_value FROM calls"), way == Way::kArrays ? "3" : "2");
}

INSTANTIATE_TEST_SUITE_P(Ways, AStatementTrigger,
                         ::testing::Combine(::testing::Values("BEFORE", "AFTER"),
                                            ::testing::Values(Way::kCopy, Way::kArrays,
                                                              Way::kStaged)),
                         [](const auto& instance) {
                           return std::string(std::get<0>(instance.param)) +
                                  kWayNames[static_cast<size_t>(std::get<1>(instance.param))];
                         });

TEST_F(RowErrorsTest, AStatementTriggerThatLooksAtRowsRejectsThese) {
  sql("CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
      " IF EXISTS (SELECT FROM given WHERE note = 'bad') THEN RAISE EXCEPTION 'no' USING"
      " ERRCODE = '45000'; END IF; RETURN NULL; END $$;"
      "CREATE TRIGGER look AFTER INSERT ON t REFERENCING NEW TABLE AS given FOR EACH STATEMENT"
      " EXECUTE FUNCTION look()");
  const Status written = write(20, {0, 13});
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(letters("input_row || '|' || sqlstate"), "1|45000 14|45000");
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "18");
}

// ---- encodings ---------------------------------------------------------------------------------

/// The type of the column "row", "" for the one that pgsink creates; and the path.
class LettersInLatin1 : public RowErrorsTest,
                        public ::testing::WithParamInterface<std::tuple<const char*, Way>> {
 protected:
  void SetUp() override {
    RowErrorsTest::SetUp();
    shared_server().sql("DROP DATABASE " + database_);
    shared_server().sql("CREATE DATABASE " + database_ +
                        " TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'");
    sql("CREATE TABLE t (id int PRIMARY KEY, note text CHECK (note !~ '^caf'))");
    go_by(std::get<1>(GetParam()));
    if (!type().empty()) {
      EXPECT_TRUE(write({{0, "creates the table"}}));
      sql("ALTER TABLE t_rejected ALTER \"row\" TYPE " + type() +
          " USING \"row\"::text::" + type());
    }
  }
  static std::string type() { return std::get<0>(GetParam()); }
};

TEST_P(LettersInLatin1, HoldCharactersThatTheEncodingLacks) {
  const Status written =
      write({{1, "r\u00e9sum\u00e9"}, {2, "\u0141\u00f3d\u017a \U0001f600"}, {3, "ok"}});
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(scalar("SELECT string_agg(id::text, ' ' ORDER BY id) FROM t WHERE id > 0"), "1 3");
  EXPECT_EQ(letters("input_row || '|' || sqlstate"), "2|22P05");
  EXPECT_EQ(letters("\"row\"::text"),
            type() == "jsonb"
                ? "{\"id\": 2, \"note\": \"\\\\u0141\\\\u00f3d\\\\u017a \\\\ud83d\\\\ude00\"}"
                : "{\"id\":2,\"note\":\"\\u0141\\u00f3d\\u017a \\ud83d\\ude00\"}");
}

TEST_P(LettersInLatin1, AreReadableWhereTheEncodingHasTheCharacters) {
  const Status written = write({{1, "caf\u00e9"}, {2, "ok"}});
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(scalar("SELECT count(*) FROM t_rejected WHERE \"row\"::json ->> 'note' = 'caf' ||"
                   " chr(233)"),
            "1");
}

INSTANTIATE_TEST_SUITE_P(Types, LettersInLatin1,
                         ::testing::Combine(::testing::Values("", "jsonb", "text"),
                                            ::testing::Values(Way::kCopy, Way::kArrays)),
                         [](const auto& instance) {
                           const std::string type = std::get<0>(instance.param);
                           return (type.empty() ? "created" : type) +
                                  kWayNames[static_cast<size_t>(std::get<1>(instance.param))];
                         });

// ---- small inserts -----------------------------------------------------------------------------

TEST_F(RowErrorsTest, SmallInsertsGoAsArraysAndLargerOnesByCopy) {
  sql("CREATE TABLE said (query text); CREATE FUNCTION note_query() RETURNS trigger LANGUAGE "
      "plpgsql"
      " AS $$ BEGIN INSERT INTO said VALUES (current_query()); RETURN NULL; END $$;"
      " CREATE TRIGGER noted AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION note_query()");
  for (const auto& [rows, copies] :
       {std::pair(1, "f"), std::pair(1000, "f"), std::pair(1001, "t")}) {
    sql("TRUNCATE t, said");
    ASSERT_TRUE(write(rows, {}));
    EXPECT_EQ(scalar("SELECT string_agg((query ~ 'COPY')::text, ' ') FROM said"),
              std::string(copies) == "t" ? "true" : "false")
        << rows;
    EXPECT_EQ(scalar("SELECT count(*) FROM t"), std::to_string(rows));
  }
}

// The statement over arrays does not say which row failed; the COPY after it does.
TEST_F(RowErrorsTest, TheRowThatFailsAmongFewIsNamed) {
  sql("ALTER TABLE t ADD CHECK (note <> 'bad')");
  ASSERT_TRUE(write(10, {3, 7}));
  EXPECT_EQ(letters("input_row::text"), "4 8");
  EXPECT_EQ(letters("attempts::text"), "2 3");
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "8");

  sql("TRUNCATE t");
  options_.dead_letter_table.clear();
  const Status stopped = write(10, {3});
  ASSERT_FALSE(stopped);
  EXPECT_NE(stopped.error().message.find("row 4"), std::string::npos) << stopped.error().message;
}

}  // namespace
}  // namespace pgsink
