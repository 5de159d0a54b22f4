// Rows of a changelog that leave columns unchanged: the table keeps its values, wherever the rows
// are cut into transactions and whichever lanes they take.

#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;
using testing::HasSubstr;

struct Row {
  std::string op;
  int64_t id = 0;
  std::optional<std::string> body;
  std::optional<int32_t> amount;
  std::optional<std::string> unchanged;
};

RecordBatch batch(std::vector<Row> rows) {
  return batch_of(std::move(rows), column("_op", &Row::op), column("id", &Row::id),
                  column("body", &Row::body), column("amount", &Row::amount),
                  column("_unchanged", &Row::unchanged));
}

class UnchangedTest : public testing::Test {
 protected:
  UnchangedTest() : database_(shared_server().create_database("unchanged")) {
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.write_mode = WriteMode::kChangelog;
    options_.batch_timeout_ms = 10;
    options_.retry_backoff_ms = 10;
  }
  void make_table() {
    sql("CREATE TABLE t (id bigint PRIMARY KEY, body text NOT NULL, amount int,"
        " note text DEFAULT 'of ours')");
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  std::string rows() {
    return scalar(
        "SELECT string_agg(concat_ws(' ', id, body, coalesce(amount::text, '-')), ', '"
        " ORDER BY id) FROM t");
  }

  /// Writes the batches and closes.
  Status write(std::vector<std::vector<Row>> batches) {
    auto sink = Sink::open(options_, batch({}).schema());
    if (!sink) return fail(sink.error());
    uint64_t position = 0;
    for (std::vector<Row>& rows : batches) {
      RecordBatch made = batch(std::move(rows));
      made.position = ++position;
      if (auto written = (*sink)->write(std::move(made)); !written) return written;
    }
    const Status closed = (*sink)->close();
    metrics_ = (*sink)->metrics();
    return closed;
  }
  void expect_written(std::vector<std::vector<Row>> batches) {
    const Status done = write(std::move(batches));
    EXPECT_TRUE(done) << done.error().to_string();
  }

  std::string database_;
  SinkOptions options_;
  SinkMetrics metrics_;
};

constexpr const char* kBody = R"(["body"])";

TEST_F(UnchangedTest, AnUpdateKeepsWhatItNames) {
  make_table();
  expect_written({{{"I", 1, "first", 1, {}}, {"I", 2, "second", 2, "[]"}},
                  {{"U", 1, "not looked at", 10, kBody},
                   {"U", 2, {}, 77, R"([ "amount" , "b\u006fdy" ])"},
                   {"U", 1, {}, {}, kBody}}});
  EXPECT_EQ(rows(), "1 first -, 2 second 2");
  EXPECT_EQ(metrics_.rows_written, 5U);
}

TEST_F(UnchangedTest, TheValueMayComeInTheSameTransaction) {
  make_table();
  expect_written({{{"I", 1, "a", 1, {}},
                   {"U", 1, {}, 2, kBody},
                   {"D", 1, {}, {}, {}},
                   {"I", 1, "b", 3, {}},
                   {"U", 1, {}, 4, kBody}}});
  EXPECT_EQ(rows(), "1 b 4");
}

TEST_F(UnchangedTest, ARowMovesToItsNewKeyWithItsValues) {
  make_table();
  sql("INSERT INTO t VALUES (1, 'one', 1, 'kept')");
  expect_written({{{"D", 1, {}, {}, {}}, {"I", 7, {}, 5, kBody}}});
  EXPECT_EQ(rows(), "7 one 5");
  EXPECT_EQ(scalar("SELECT note FROM t"), "kept");
}

TEST_F(UnchangedTest, ADeleteBeforeAnUpdateOfAnotherRowIsNoMove) {
  make_table();
  sql("INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2)");
  expect_written({{{"D", 1, {}, {}, {}}, {"U", 2, {}, 5, kBody}}});
  EXPECT_EQ(rows(), "2 two 5");
}

/// What a replay after a crash meets: the row has moved already, or is there twice.
TEST_F(UnchangedTest, AMoveIsDoneOnceOrTwice) {
  make_table();
  sql("INSERT INTO t VALUES (7, 'one', 1), (2, 'two', 2), (8, 'stale', 0)");
  expect_written({{{"D", 1, {}, {}, {}},
                   {"I", 7, {}, 5, kBody},
                   {"D", 2, {}, {}, {}},
                   {"I", 8, {}, 6, kBody}}});
  EXPECT_EQ(rows(), "7 one 5, 8 two 6");
}

TEST_F(UnchangedTest, KeysOfIdentityAndSeveralColumnsMove) {
  sql("CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY, body text, amount int NOT NULL,"
      " doubled int GENERATED ALWAYS AS (amount * 2) STORED, PRIMARY KEY (id, amount))");
  sql("INSERT INTO t (body, amount) VALUES ('x', 1), ('y', 1)");
  expect_written({{{"D", 1, {}, 1, {}}, {"I", 1, {}, 9, kBody}}});
  EXPECT_EQ(rows(), "1 x 9, 2 y 1");
  EXPECT_EQ(scalar("SELECT doubled FROM t WHERE id = 1"), "18");
}

TEST_F(UnchangedTest, AValueThatWasNeverSeenRejectsTheRow) {
  make_table();
  sql("INSERT INTO t VALUES (1, 'one', 1)");
  options_.dead_letter_table = "rejected";
  expect_written({{{"U", 1, {}, 2, kBody},
                   {"U", 5, {}, 2, kBody},
                   {"I", 3, "three", 3, {}},
                   {"I", 6, {}, 6, kBody},
                   {"U", 3, {}, 4, kBody}}});
  EXPECT_EQ(rows(), "1 one 2, 3 three 4");
  EXPECT_EQ(scalar("SELECT string_agg(input_row || ' ' || sqlstate, ', ' ORDER BY input_row)"
                   " FROM rejected"),
            "2 02000, 4 02000");
  EXPECT_THAT(scalar("SELECT message FROM rejected LIMIT 1"), HasSubstr("never seen"));
}

TEST_F(UnchangedTest, WithoutDeadLettersItStopsTheSink) {
  make_table();
  const Status stopped = write({{{"I", 3, "three", 3, {}}, {"U", 5, {}, 2, kBody}}});
  ASSERT_FALSE(stopped);
  EXPECT_THAT(stopped.error().message, HasSubstr("never seen"));
  EXPECT_THAT(stopped.error().to_string(), HasSubstr("row 2"));
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "0");
}

TEST_F(UnchangedTest, NamesMustBeColumnsBesideTheKey) {
  make_table();
  options_.dead_letter_table = "rejected";
  expect_written({{{"I", 1, "a", 1, {}},
                   {"U", 1, "b", 2, R"(["id"])"},
                   {"U", 1, "b", 2, R"(["other"])"},
                   {"U", 1, "b", 2, R"([""])"},
                   {"U", 1, "b", 2, "body"},
                   {"U", 1, "b", 2, R"(["body")"},
                   {"U", 1, "b", 2, R"(["body"] x)"}}});
  EXPECT_EQ(rows(), "1 a 1");
  EXPECT_EQ(scalar("SELECT count(*) FROM rejected WHERE column_name = '_unchanged'"), "6");
}

/// Otherwise the values that a source leaves out would be overwritten by NULL.
TEST_F(UnchangedTest, AColumnOfThatNameInTheTableIsLeftAlone) {
  sql("CREATE TABLE t (id bigint PRIMARY KEY, body text, amount int, _unchanged text)");
  expect_written({{{"I", 1, "a", 1, {}}, {"U", 1, {}, 2, kBody}}});
  EXPECT_EQ(rows(), "1 a 2");
  EXPECT_EQ(scalar("SELECT count(_unchanged) FROM t"), "0");
}

TEST_F(UnchangedTest, AtomicDoesNotKnowThemInTime) {
  sql("CREATE TABLE t (id bigint PRIMARY KEY, body text, amount int)");
  options_.atomic = true;
  const Status refused = write({});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("_unchanged"));
}

// ---- any changes, in any cut --------------------------------------------------------------------

struct Way {
  const char* name;
  int64_t lanes;
  Delivery delivery = Delivery::kAtLeastOnce;
  bool two_phase = false;
  int64_t transaction_size = 0;
  bool staged = false;
};

class UnchangedModel : public UnchangedTest, public testing::WithParamInterface<Way> {};

/// Changes of a few keys, most of them partial, and the table that they should make.
struct Model {
  explicit Model(uint32_t seed) : random(seed) {}

  std::vector<Row> batch_of_changes() {
    std::vector<Row> rows;
    const size_t count = 1 + random() % 40;
    while (rows.size() < count) change(rows);
    return rows;
  }
  void change(std::vector<Row>& rows) {
    const auto id = static_cast<int64_t>(random() % 30);
    const auto found = table.find(id);
    const auto amount = static_cast<int32_t>(random() % 1000);
    const std::string body = "body " + std::to_string(random() % 1000);
    if (found == table.end()) {
      table[id] = {body, amount};
      rows.push_back({"I", id, body, amount, {}});
      return;
    }
    auto& [old_body, old_amount] = found->second;
    const auto other = static_cast<int64_t>(random() % 30);
    switch (random() % 6) {
      case 0:
        table.erase(found);
        rows.push_back({"D", id, {}, {}, {}});
        return;
      case 1:
        old_body = body;
        old_amount = amount;
        rows.push_back({"U", id, body, amount, {}});
        return;
      case 2:
        old_body = body;
        rows.push_back({"U", id, body, {}, R"(["amount"])"});
        return;
      case 3:
        if (table.contains(other)) return;
        table[other] = {old_body, amount};
        table.erase(id);
        rows.push_back({"D", id, {}, {}, {}});
        rows.push_back({"I", other, {}, amount, kBody});
        return;
      default:
        old_amount = amount;
        rows.push_back({"U", id, {}, amount, kBody});
        return;
    }
  }
  std::string rows() const {
    std::string text;
    for (const auto& [id, row] : table) {
      text += (text.empty() ? "" : ", ") + std::to_string(id) + " " + row.first + " " +
              std::to_string(row.second);
    }
    return text;
  }

  std::mt19937 random;
  std::map<int64_t, std::pair<std::string, int32_t>> table;
};

TEST_P(UnchangedModel, TheTableIsWhatTheChangesSay) {
  const Way& way = GetParam();
  make_table();
  options_.parallelism = way.lanes;
  options_.delivery = way.delivery;
  options_.use_2pc = way.two_phase;
  options_.transaction_size = way.transaction_size;
  if (way.staged) options_.use_copy = true;
  if (way.delivery == Delivery::kExactlyOnce || way.two_phase) options_.sink_id = "s";
  options_.dead_letter_table = "rejected";
  Model model(4711);
  std::vector<std::vector<Row>> batches;
  for (int i = 0; i < 60; ++i) batches.push_back(model.batch_of_changes());
  expect_written(std::move(batches));
  EXPECT_EQ(rows(), model.rows());
  EXPECT_EQ(scalar("SELECT count(*) FROM rejected"), "0");
}

INSTANTIATE_TEST_SUITE_P(
    , UnchangedModel,
    testing::Values(Way{.name = "OneLane", .lanes = 1},
                    Way{.name = "CutAnywhere", .lanes = 1, .transaction_size = 3},
                    Way{.name = "Staged", .lanes = 1, .transaction_size = 7, .staged = true},
                    Way{.name = "Lanes", .lanes = 3},
                    Way{.name = "ExactlyOnce", .lanes = 1, .delivery = Delivery::kExactlyOnce},
                    Way{.name = "ExactlyOnceLanes", .lanes = 3, .delivery = Delivery::kExactlyOnce},
                    Way{.name = "TwoPhaseLanes", .lanes = 3, .two_phase = true}),
    [](const auto& tested) { return std::string(tested.param.name); });

/// Exactly-once resends everything: nothing is applied twice, and no value is missed.
TEST_F(UnchangedTest, AReplayChangesNothing) {
  make_table();
  options_.delivery = Delivery::kExactlyOnce;
  options_.sink_id = "s";
  options_.parallelism = 3;
  Model model(42);
  std::vector<std::vector<Row>> batches;
  for (int i = 0; i < 40; ++i) batches.push_back(model.batch_of_changes());
  const std::vector<std::vector<Row>> half(batches.begin(), batches.begin() + 25);
  expect_written(half);
  expect_written(std::move(batches));
  EXPECT_EQ(rows(), model.rows());
}

}  // namespace
}  // namespace pgsink
