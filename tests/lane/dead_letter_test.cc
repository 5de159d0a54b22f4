// Rejected rows against the real server: bad ones of every kind among good ones, in every mode, by
// every path and with every delivery. What is in the table and among the dead letters is compared
// with what was put in.

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <numeric>
#include <random>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>
#include <zlib.h>

#include "pgsink/lane/dead_letter_file.h"
#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;

struct Event {
  std::optional<int64_t> id;
  std::string region;
  int64_t amount = 0;                // the column is an integer that must not be negative
  std::optional<std::string> label;  // unique
  int64_t parent = 0;                // references parents
  int64_t guardian = 0;              // references parents, checked at COMMIT
  std::optional<std::string> note;   // NOT NULL; a trigger raises at 'boom'
  std::string op = "I";
};

RecordBatch events(std::vector<Event> rows, WriteMode mode = WriteMode::kInsert) {
  if (mode == WriteMode::kChangelog) {
    return batch_of(std::move(rows), column("id", &Event::id), column("region", &Event::region),
                    column("amount", &Event::amount), column("label", &Event::label),
                    column("parent", &Event::parent), column("guardian", &Event::guardian),
                    column("note", &Event::note), column("_op", &Event::op));
  }
  return batch_of(std::move(rows), column("id", &Event::id), column("region", &Event::region),
                  column("amount", &Event::amount), column("label", &Event::label),
                  column("parent", &Event::parent), column("guardian", &Event::guardian),
                  column("note", &Event::note));
}

/// One way of being bad, and what the dead letter must say of it.
struct Badness {
  const char* name;
  void (*spoil)(Event& event);
  const char* sqlstate;
  const char* column;
  const char* constraint;
  bool at_update;  ///< Whether an UPDATE of an existing row fails the same way.
};
const std::array<Badness, 9> kBadness{{
    {"not null", [](Event& e) { e.note.reset(); }, "23502", "note", "", true},
    {"check", [](Event& e) { e.amount = -1; }, "23514", "", "amount_check", true},
    {"unique", [](Event& e) { e.label = "taken"; }, "23505", "", "label_key", true},
    {"foreign key", [](Event& e) { e.parent = 99; }, "23503", "", "parent_fkey", true},
    {"deferred", [](Event& e) { e.guardian = 99; }, "23503", "", "guardian_fkey", true},
    {"trigger", [](Event& e) { e.note = "boom"; }, "P0001", "", "", true},
    {"partition", [](Event& e) { e.region = "xx"; }, "23514", "", "", false},
    {"encoding", [](Event& e) { e.note = "\xff"; }, "22021", "note", "", true},
    {"range", [](Event& e) { e.amount = int64_t{1} << 40; }, "22003", "amount", "", true},
}};

struct Case {
  const char* name;
  WriteMode mode;
  std::optional<bool> use_copy;
  bool exactly_once = false;
  bool two_phase = false;
};

size_t rows_from_environment(const char* name, size_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoul(text, nullptr, 10);
}

class DeadLetterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("letters");
    sql("CREATE TABLE parents (id bigint PRIMARY KEY);"
        "INSERT INTO parents SELECT generate_series(0, 9);"
        "CREATE TABLE t (id bigint, region text, amount int CONSTRAINT amount_check"
        " CHECK (amount >= 0), label text, parent bigint CONSTRAINT parent_fkey REFERENCES parents,"
        " guardian bigint CONSTRAINT guardian_fkey REFERENCES parents"
        " DEFERRABLE INITIALLY DEFERRED, note text NOT NULL, PRIMARY KEY (id, region))"
        " PARTITION BY LIST (region);"
        "CREATE TABLE t_eu PARTITION OF t FOR VALUES IN ('eu');"
        "ALTER TABLE t_eu ADD CONSTRAINT label_key UNIQUE (label);"
        "INSERT INTO t VALUES (-1, 'eu', 0, 'taken', 0, 0, '');"
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.note = 'boom' THEN RAISE EXCEPTION 'the trigger refuses'; END IF;"
        " RETURN NULL; END $$;"
        "CREATE TRIGGER refuse AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION refuse()");
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

  static Event good(int64_t id) {
    return {.id = id,
            .region = "eu",
            .amount = id,
            .label = "l" + std::to_string(id),
            .parent = id % 10,
            .guardian = id % 10,
            .note = "note " + std::to_string(id)};
  }

  Status write(std::vector<std::vector<Event>> batches) {
    auto sink = Sink::open(options_, events({}, options_.write_mode).schema());
    if (!sink) return fail(sink.error());
    uint64_t position = 0;
    for (auto& rows : batches) {
      position += rows.size();
      RecordBatch batch = events(std::move(rows), options_.write_mode);
      batch.position = position;
      if (auto written = (*sink)->write(std::move(batch)); !written) return written;
    }
    const Status closed = (*sink)->close();
    metrics_ = (*sink)->metrics();
    return closed;
  }

  std::string letters(const std::string& what) {
    return scalar("SELECT coalesce(string_agg(" + what +
                  ", ' ' ORDER BY input_row), '') FROM t_rejected");
  }

  std::string database_;
  SinkOptions options_;
  SinkMetrics metrics_;
};

class EveryKindOfBadRow : public DeadLetterTest, public ::testing::WithParamInterface<Case> {};

TEST_P(EveryKindOfBadRow, IsIsolatedFromTheGoodOnes) {
  const Case& the_case = GetParam();
  options_.write_mode = the_case.mode;
  options_.use_copy = the_case.use_copy;
  if (the_case.exactly_once) options_.delivery = Delivery::kExactlyOnce;
  options_.use_2pc = the_case.two_phase;
  options_.lock_timeout_ms = 20'000;
  const size_t rows = rows_from_environment("PGSINK_DEAD_LETTER_ROWS", 1200);
  const size_t bad_rows = rows_from_environment("PGSINK_DEAD_LETTER_BAD", 9);
  const bool update = the_case.mode == WriteMode::kUpdate;
  if (update) {
    sql("INSERT INTO t SELECT i, 'eu', 0, 'old' || i, 0, 0, '' FROM generate_series(0, " +
        std::to_string(rows - 1) + ") AS i");
  }

  std::mt19937_64 random(7);
  std::map<int64_t, const Badness*> bad;
  while (bad.size() < bad_rows) {
    const Badness& badness = kBadness[bad.size() % kBadness.size()];
    const bool ignored =
        the_case.mode == WriteMode::kInsertIgnore && std::string_view(badness.name) == "unique";
    const bool applies = (!update || badness.at_update) && !ignored;
    bad.emplace(static_cast<int64_t>(random() % rows), applies ? &badness : &kBadness[0]);
  }
  std::vector<std::vector<Event>> batches;
  for (size_t row = 0; row < rows; ++row) {
    if (row % 1000 == 0) batches.emplace_back();
    Event event = good(static_cast<int64_t>(row));
    if (row % 2 == 1) event.op = "U";
    const auto found = bad.find(*event.id);
    if (found != bad.end()) found->second->spoil(event);
    batches.back().push_back(std::move(event));
  }
  const Status written = write(std::move(batches));
  ASSERT_TRUE(written) << written.error().to_string();

  std::string expected;
  for (const auto& [id, badness] : bad) {
    expected += (expected.empty() ? "" : " ") + std::to_string(id + 1) + "|" + std::to_string(id) +
                "|" + badness->sqlstate + "|" + badness->column + "|" + badness->constraint;
  }
  EXPECT_EQ(letters("concat_ws('|', input_row, \"row\" ->> 'id', sqlstate,"
                    " coalesce(column_name, ''), coalesce(constraint_name, ''))"),
            expected);
  EXPECT_EQ(scalar("SELECT count(*) FROM t_rejected WHERE target = 'public.t' AND connection = "
                   "'test' AND message <> '' AND attempts > 0 AND source_position > 0 AND"
                   " rejected_at > now() - interval '1 hour'"),
            std::to_string(bad.size()));
  const std::string is_good = "id >= 0 AND label = 'l' || id AND amount = id";
  EXPECT_EQ(scalar("SELECT count(*) FROM t WHERE " + is_good), std::to_string(rows - bad.size()));
  EXPECT_EQ(scalar("SELECT count(*) FROM t"),
            std::to_string(update ? rows + 1 : rows - bad.size() + 1));
  EXPECT_EQ(metrics_.rejected_rows, bad.size());
  EXPECT_EQ(metrics_.rows_written, rows - bad.size());
  EXPECT_EQ(scalar("SELECT count(*) FROM pg_prepared_xacts"), "0");
}

INSTANTIATE_TEST_SUITE_P(
    Modes, EveryKindOfBadRow,
    ::testing::Values(Case{"Insert", WriteMode::kInsert, std::nullopt},
                      Case{"InsertArrays", WriteMode::kInsert, false},
                      Case{"InsertExactlyOnce", WriteMode::kInsert, std::nullopt, true},
                      Case{"InsertTwoPhase", WriteMode::kInsert, std::nullopt, false, true},
                      Case{"UpsertArrays", WriteMode::kUpsert, false},
                      Case{"UpsertStaged", WriteMode::kUpsert, true},
                      Case{"UpsertExactlyOnce", WriteMode::kUpsert, std::nullopt, true},
                      Case{"UpsertTwoPhase", WriteMode::kUpsert, std::nullopt, false, true},
                      Case{"InsertIgnore", WriteMode::kInsertIgnore, std::nullopt},
                      Case{"InsertIgnoreStaged", WriteMode::kInsertIgnore, true},
                      Case{"UpdateArrays", WriteMode::kUpdate, false},
                      Case{"UpdateStaged", WriteMode::kUpdate, true},
                      Case{"ChangelogArrays", WriteMode::kChangelog, false},
                      Case{"ChangelogStaged", WriteMode::kChangelog, true},
                      Case{"ChangelogExactlyOnce", WriteMode::kChangelog, std::nullopt, true}),
    [](const auto& instance) { return instance.param.name; });

TEST_F(DeadLetterTest, ARowThatTheServerNamesCostsOneAttempt) {
  options_.use_copy = true;
  std::vector<Event> rows;
  for (int64_t id = 0; id < 1000; ++id) rows.push_back(good(id));
  for (const int64_t id : {3, 500, 999}) rows[static_cast<size_t>(id)].amount = -1;
  ASSERT_TRUE(write({rows}));
  EXPECT_EQ(letters("attempts::text"), "1 2 3");
}

// gettext translates in the locale C.UTF-8 too if LANGUAGE says so. Where the server was built
// without translations, this is the test before it.
TEST_F(DeadLetterTest, ARowThatTheServerNamesCostsOneAttemptInAnotherLanguage) {
  ::setenv("LANGUAGE", "ja", 1);
  const auto server = test::PostgresServer::start({.settings = {{"lc_messages", "C.UTF-8"}}});
  ::unsetenv("LANGUAGE");
  server->sql(
      "CREATE DOMAIN positive AS int CHECK (VALUE > 0);"
      "CREATE TABLE numbers (id bigint, amount positive)");
  options_ = {};
  options_.host = server->socket_dir();
  options_.port = std::to_string(server->port());
  options_.database = "postgres";
  options_.username = "postgres";
  options_.table = "numbers";
  options_.dead_letter_table = "t_rejected";
  options_.use_copy = true;
  std::vector<int64_t> ids(1000), amounts(1000, 1);
  for (const size_t bad : {3, 500, 999}) amounts[bad] = -1;
  std::iota(ids.begin(), ids.end(), 0);
  auto batch = batch_of_columns(column("id", std::move(ids)), column("amount", std::move(amounts)));
  ASSERT_TRUE(batch);
  auto sink = Sink::open(options_, batch->schema());
  ASSERT_TRUE(sink) << sink.error().to_string();
  ASSERT_TRUE((*sink)->write(*std::move(batch)));
  ASSERT_TRUE((*sink)->close());
  EXPECT_EQ(
      server->scalar("SELECT string_agg(concat_ws(' ', input_row, column_name, attempts, detail),"
                     " ', ' ORDER BY input_row) FROM t_rejected"),
      "4 amount 1, 501 amount 2, 1000 amount 3");
}

TEST_F(DeadLetterTest, ARowThatNobodyNamesCostsItsBisection) {
  std::vector<Event> rows;
  for (int64_t id = 0; id < 1000; ++id) rows.push_back(good(id));
  for (const int64_t id : {3, 500, 999}) rows[static_cast<size_t>(id)].guardian = 99;
  ASSERT_TRUE(write({rows}));
  EXPECT_EQ(letters("input_row::text"), "4 501 1000");
  // Three rows at log2(1000) + 2 attempts each, the last of which commits.
  EXPECT_LE(std::stoi(scalar("SELECT max(attempts) FROM t_rejected")), 3 * (10 + 2) - 1);
}

// The flight that was to prepare the statement for its letters fails, and others use it already.
TEST_F(DeadLetterTest, LettersOfFlightsBehindOneThatFails) {
  sql("CREATE SEQUENCE calls; CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$"
      " BEGIN IF nextval('calls') = 1 THEN RAISE EXCEPTION 'once' USING ERRCODE = '40001'; END IF;"
      " RETURN NEW; END $$;"
      "CREATE TRIGGER fail_once BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION fail_once()");
  options_.batch_size = 10;
  options_.transaction_size = 10;
  std::vector<Event> rows;
  for (int64_t id = 0; id < 200; ++id) rows.push_back(good(id));
  for (size_t bad = 5; bad < rows.size(); bad += 10) rows[bad].amount = int64_t{1} << 40;
  const Status written = write({rows});
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(scalar("SELECT count(*) FROM t WHERE id >= 0"), "180");
  EXPECT_EQ(scalar("SELECT count(*) FROM t_rejected WHERE sqlstate = '22003'"), "20");
}

TEST_F(DeadLetterTest, DeletesRejectTheirKeys) {
  sql("INSERT INTO t SELECT i, 'eu', 0, 'l' || i, 0, 0, '' FROM generate_series(0, 9) AS i;"
      "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
      " IF OLD.id = 4 THEN RAISE EXCEPTION 'row 4 stays'; END IF; RETURN OLD; END $$;"
      "CREATE TRIGGER keep BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION keep()");
  options_.write_mode = WriteMode::kDelete;
  std::vector<Event> rows;
  for (int64_t id = 0; id < 10; ++id) rows.push_back(good(id));
  rows[7].id.reset();
  ASSERT_TRUE(write({rows}));
  EXPECT_EQ(scalar("SELECT string_agg(id::text, ' ' ORDER BY id) FROM t"), "-1 4 7");
  EXPECT_EQ(letters("input_row || '|' || sqlstate"), "5|P0001 8|22004");
}

TEST_F(DeadLetterTest, OrderHoldsAcrossFlightsWithBadRows) {
  options_.write_mode = WriteMode::kUpsert;
  std::vector<std::vector<Event>> batches;
  for (int64_t version = 0; version < 60; ++version) {
    std::vector<Event> rows{good(1), good(2), good(3)};
    for (Event& event : rows) event.amount = version;
    if (version % 7 == 3) rows[1].guardian = 99;
    batches.push_back(std::move(rows));
  }
  options_.batch_size = 3;
  // A later version of a row in the same transaction would mend what is only checked at its end.
  options_.transaction_size = 3;
  ASSERT_TRUE(write(std::move(batches)));
  EXPECT_EQ(scalar("SELECT string_agg(id || ':' || amount, ' ' ORDER BY id) FROM t WHERE id > 0"),
            "1:59 2:58 3:59");
  EXPECT_EQ(letters("\"row\" ->> 'amount'"), "3 10 17 24 31 38 45 52 59");
}

TEST_F(DeadLetterTest, TheWholeRowStandsInTheLetter) {
  Event event = good(5);
  event.note = "\xc3\x28 \"quoted\"";
  event.label.reset();
  ASSERT_TRUE(write({{event}}));
  EXPECT_EQ(letters("\"row\"::text"),
            R"({"id": 5, "note": "\\xc328202271756f74656422", "label": null, "amount": 5, )"
            R"("parent": 5, "region": "eu", "guardian": 5})");
}

TEST_F(DeadLetterTest, WithoutAPlaceForThemTheSinkStops) {
  options_.dead_letter_table.clear();
  std::vector<Event> rows{good(1), good(2), good(3)};
  rows[1].amount = -1;
  const Status written = write({rows});
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message.find("(input row 2)"), std::string::npos)
      << written.error().message;
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "1");
}

TEST_F(DeadLetterTest, TooManyStopTheSinkWithNothingOfTheTransaction) {
  options_.max_rejects = 2;
  std::vector<Event> rows;
  for (int64_t id = 0; id < 10; ++id) rows.push_back(good(id));
  for (const size_t bad : {2, 4, 6}) rows[bad].amount = -1;
  const Status written = write({rows});
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Errc::kRowRejected);
  EXPECT_NE(written.error().message.find("3 rows are rejected, more than max_rejects = 2"),
            std::string::npos)
      << written.error().message;
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "1");
  EXPECT_EQ(scalar("SELECT count(*) FROM t_rejected"), "0");
}

TEST_F(DeadLetterTest, ARatioIsOfTheRowsSoFar) {
  options_.max_reject_ratio = 0.2;
  std::vector<Event> rows;
  for (int64_t id = 0; id < 10; ++id) rows.push_back(good(id));
  rows[0].amount = rows[1].amount = -1;
  ASSERT_TRUE(write({rows}));
  rows[0].id = 100;
  rows[2].amount = -1;
  EXPECT_FALSE(write({rows}));
}

TEST_F(DeadLetterTest, ALimitNeedsAPlaceForTheRest) {
  options_.dead_letter_table.clear();
  options_.max_rejects = 2;
  const auto sink = Sink::open(options_, events({}).schema());
  ASSERT_FALSE(sink);
  EXPECT_EQ(sink.error().code, Errc::kOptionConflict);
  EXPECT_NE(sink.error().message.find("dead_letter_table"), std::string::npos);
}

TEST_F(DeadLetterTest, AFaultOfTheSessionIsNoRows) {
  options_.session_variables = {{"statement_timeout", "nonsense"}};
  const Status written = write({{good(1)}});
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().sqlstate, "22023");
  EXPECT_EQ(scalar("SELECT count(*) FROM t_rejected"), "0");
}

TEST_F(DeadLetterTest, ATableOfAnotherShapeIsRefusedAtOpen) {
  sql("CREATE TABLE t_rejected (message text)");
  const auto sink = Sink::open(options_, events({}).schema());
  ASSERT_FALSE(sink);
  EXPECT_EQ(sink.error().code, Errc::kControlTable);
  EXPECT_NE(sink.error().message.find("\"sqlstate\""), std::string::npos) << sink.error().message;
}

TEST_F(DeadLetterTest, ATableThatCannotTakeThemStopsTheSink) {
  ASSERT_TRUE(write({{good(1)}}));
  sql("ALTER TABLE t_rejected ADD CHECK (sqlstate <> '23514')");
  Event event = good(2);
  event.amount = -1;
  const Status written = write({{event, good(3)}});
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message.find("dead_letter_table: "), std::string::npos)
      << written.error().message;
  EXPECT_EQ(scalar("SELECT count(*) FROM t WHERE id = 3"), "0");
}

TEST_F(DeadLetterTest, TheCallbackGetsEachRowOnce) {
  options_.dead_letter_table.clear();
  std::mutex mutex;
  std::vector<uint64_t> told;
  options_.on_dead_letters = [&](std::span<const DeadLetter> letters) -> Status {
    const std::scoped_lock lock(mutex);
    for (const DeadLetter& letter : letters) told.push_back(letter.input_row);
    return {};
  };
  std::vector<Event> rows;
  for (int64_t id = 0; id < 100; ++id) rows.push_back(good(id));
  rows[10].note = "\xff";
  rows[20].amount = -1;
  rows[30].guardian = 99;
  ASSERT_TRUE(write({rows}));
  std::ranges::sort(told);
  EXPECT_EQ(told, (std::vector<uint64_t>{11, 21, 31}));
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "98");
}

TEST_F(DeadLetterTest, ACallbackThatFailsStopsTheSink) {
  options_.on_dead_letters = [](std::span<const DeadLetter>) {
    return fail(Errc::kFile, "the queue is full");
  };
  Event event = good(2);
  event.amount = -1;
  const Status written = write({{good(1), event}});
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message.find("the queue is full"), std::string::npos);
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "1");
}

// ---- the file ----------------------------------------------------------------------------------

class DeadLetterFileTest : public DeadLetterTest {
 protected:
  void SetUp() override {
    DeadLetterTest::SetUp();
    folder_ = std::filesystem::temp_directory_path() / ("pgsink_letters_" + database_);
    std::filesystem::create_directory(folder_);
    options_.dead_letter_table.clear();
    options_.dead_letter_file = folder_ / "rejected.ndjson.gz";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Status write_bad(int64_t id) {
    Event event = good(id);
    event.amount = -1;
    return write({{good(id + 1), event}});
  }
  static std::vector<std::string> lines(const std::filesystem::path& path) {
    const gzFile file = gzopen(path.c_str(), "rb");
    std::string text(1 << 20, '\0');
    const int size = gzread(file, text.data(), static_cast<unsigned>(text.size()));
    EXPECT_GE(size, 0) << "not a whole gzip file";
    gzclose(file);
    text.resize(static_cast<size_t>(std::max(size, 0)));
    std::vector<std::string> found;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) found.push_back(line);
    return found;
  }

  std::filesystem::path folder_;
};

TEST_F(DeadLetterFileTest, HoldsALineForEachRowOfEveryRun) {
  for (const int64_t id : {10, 20, 30}) {
    const Status written = write_bad(id);
    ASSERT_TRUE(written) << written.error().to_string();
  }
  const auto found = lines(options_.dead_letter_file);
  ASSERT_EQ(found.size(), 3U);
  // The server reads each line, and says the same.
  EXPECT_EQ(scalar("SELECT concat_ws('|', j ->> 'sqlstate', j ->> 'constraint_name', j ->> "
                   "'target', j -> 'row' ->> 'id', (j ->> 'rejected_at')::timestamptz > now() - "
                   "interval '1 hour') FROM (SELECT $letter$" +
                   found[1] + "$letter$::jsonb AS j) AS x"),
            "23514|amount_check|public.t|20|t");
  EXPECT_EQ(std::filesystem::status(options_.dead_letter_file).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(DeadLetterFileTest, LosesOnlyWhatACrashLeftHalfWritten) {
  ASSERT_TRUE(write_bad(10));
  ASSERT_TRUE(write_bad(20));
  const std::filesystem::path path = options_.dead_letter_file;
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 5);
  ASSERT_TRUE(write_bad(30));
  const auto found = lines(path);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_NE(found[0].find("\"id\":10"), std::string::npos) << found[0];
  EXPECT_NE(found[1].find("\"id\":30"), std::string::npos) << found[1];
}

TEST_F(DeadLetterFileTest, IsNotMadeOfAnotherProgramsFile) {
  std::ofstream(options_.dead_letter_file) << "precious\n";
  const Status written = write_bad(10);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Errc::kFile);
  std::string text;
  std::getline(std::ifstream(options_.dead_letter_file), text);
  EXPECT_EQ(text, "precious");
}

TEST_F(DeadLetterFileTest, HasOneWriter) {
  const auto first = Sink::open(options_, events({}).schema());
  ASSERT_TRUE(first);
  const auto second = Sink::open(options_, events({}).schema());
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("another one is writing to it"), std::string::npos)
      << second.error().message;
}

TEST_F(DeadLetterFileTest, GetsANumberWhenItIsFull) {
  OsEnv os;
  const std::string path = folder_ / "small.gz";
  auto file = DeadLetterFile::open(path, os.env(), 200);
  ASSERT_TRUE(file);
  for (uint64_t row = 1; row <= 3; ++row) {
    DeadLetter letter;
    letter.input_row = row;
    letter.row = "{\"a\":1}";
    letter.message = std::string(300, static_cast<char>('a' + row));
    ASSERT_TRUE((*file)->append(std::span(&letter, 1)));
  }
  size_t found = lines(path).size();
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("small.gz.")) found += lines(entry.path()).size();
  }
  EXPECT_EQ(found, 3U);
  EXPECT_TRUE(std::filesystem::exists(path + ".1"));
}

}  // namespace
}  // namespace pgsink
