// Random streams of changes, cut into batches anyhow, written by any number of lanes: the table
// must be what the rows leave one by one.

#include <cstdlib>
#include <map>
#include <random>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;

struct Change {
  std::string op;
  int32_t a = 0;
  std::string b;
  std::optional<std::string> value;
  std::optional<int64_t> version;
};

RecordBatch changes(std::vector<Change> rows, bool with_op) {
  auto a = column("a", &Change::a);
  auto b = column("b", &Change::b);
  auto value = column("value", &Change::value);
  auto version = column("version", &Change::version);
  if (!with_op) return batch_of(std::move(rows), a, b, value, version);
  return batch_of(std::move(rows), column("_op", &Change::op), a, b, value, version);
}

/// The table, row by row.
class Model {
 public:
  void apply(WriteMode mode, const Change& row) {
    const Key key{row.a, row.b};
    const bool present = rows_.contains(key);
    switch (mode) {
      case WriteMode::kInsertIgnore:
        if (!present) rows_[key] = {row.value, row.version};
        break;
      case WriteMode::kUpdate:
        if (present) rows_[key] = {row.value, row.version};
        break;
      case WriteMode::kDelete:
        rows_.erase(key);
        break;
      case WriteMode::kChangelog:
        if (row.op == "D") {
          rows_.erase(key);
          break;
        }
        [[fallthrough]];
      default:
        rows_[key] = {row.value, row.version};
    }
  }
  void apply_newer(const Change& row) {
    const auto [at, added] = rows_.try_emplace({row.a, row.b}, Value{row.value, row.version});
    if (!added && row.version > at->second.second) at->second = {row.value, row.version};
  }
  /// Upsert with update_columns = 'version'.
  void apply_version(const Change& row) {
    const auto [at, added] = rows_.try_emplace({row.a, row.b}, Value{row.value, row.version});
    if (!added) at->second.second = row.version;
  }
  std::string text() const {
    std::string all;
    for (const auto& [key, value] : rows_) {
      all += std::to_string(key.first) + "|" + key.second + "|" + value.first.value_or("NULL") +
             "|" + (value.second ? std::to_string(*value.second) : "NULL") + "\n";
    }
    return all;
  }

 private:
  using Key = std::pair<int32_t, std::string>;
  using Value = std::pair<std::optional<std::string>, std::optional<int64_t>>;
  std::map<Key, Value> rows_;
};

class ModelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("model");
    sql("CREATE TABLE t (b text COLLATE \"C\", value text, a int, version bigint, "
        "PRIMARY KEY (a, b))");
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.retry_backoff_ms = 10;
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string table() {
    return shared_server().scalar(
        "SELECT coalesce(string_agg(concat_ws('|', a, b, coalesce(value, 'NULL'), "
        "coalesce(version::text, 'NULL')) || E'\\n', '' ORDER BY a, b), '') FROM t",
        database_);
  }
  uint64_t draw(uint64_t below) { return random_() % below; }

  Change change() {
    static constexpr std::string_view kNames[] = {"", "x", "y", "it's", "Ünïcode \xF0\x9F\x90\x98"};
    static constexpr std::string_view kOps[] = {"I", "U", "D"};
    Change made{.op = std::string(kOps[draw(3)]),
                .a = static_cast<int32_t>(draw(keys_)) - 2,
                .b = std::string(kNames[draw(5)]),
                .value = "v" + std::to_string(draw(1000)),
                .version = static_cast<int64_t>(draw(50))};
    // Lengths differ, so that rows do not lie in a staging table as they came.
    if (draw(4) == 0) *made.value += std::string(draw(1800), '.');
    if (draw(5) == 0) made.value.reset();
    if (draw(5) == 0) made.version.reset();
    return made;
  }

  /// One stream; the seed says all about it.
  void run(uint64_t seed, bool use_2pc = false) {
    random_.seed(seed);
    static constexpr WriteMode kModes[] = {WriteMode::kUpsert, WriteMode::kUpdate,
                                           WriteMode::kDelete, WriteMode::kInsertIgnore,
                                           WriteMode::kChangelog};
    const WriteMode mode = kModes[draw(5)];
    const bool newer = mode == WriteMode::kUpsert && draw(3) == 0;
    const bool version_only = mode == WriteMode::kUpsert && !newer && draw(3) == 0;
    keys_ = 1 + draw(12);
    options_.write_mode = mode;
    options_.newer_by = newer ? "version" : "";
    options_.update_columns.clear();
    if (version_only) options_.update_columns.emplace_back("version");
    options_.parallelism = static_cast<int64_t>(1 + draw(4));
    const uint64_t rows_max = draw(4) == 0 ? 400 : 40;
    options_.batch_size = static_cast<int64_t>(1 + draw(rows_max / 2));
    options_.transaction_size = static_cast<int64_t>(1 + draw(rows_max));
    options_.in_flight_max = static_cast<int64_t>(1 + draw(16));
    options_.use_copy.reset();
    if (draw(3) == 0 && !use_2pc) options_.use_copy = true;
    options_.use_2pc = use_2pc;
    options_.copy_batch_size = options_.batch_size;

    Model model;
    sql("TRUNCATE t");
    if (draw(2) == 0) {
      for (int i = 0; i < 10; ++i) {
        const Change row{.op = "I", .a = i, .b = "x", .value = "start", .version = 10};
        model.apply(WriteMode::kUpsert, row);
      }
      sql("INSERT INTO t (a, b, value, version) SELECT i, 'x', 'start', 10 FROM "
          "generate_series(0, 9) i");
    }
    const bool with_op = mode == WriteMode::kChangelog;
    auto sink = Sink::open(options_, changes({}, with_op).schema());
    ASSERT_TRUE(sink) << sink.error().to_string();
    for (uint64_t batches = 1 + draw(8); batches > 0; --batches) {
      std::vector<Change> rows;
      for (uint64_t count = draw(rows_max); count > 0; --count) rows.push_back(change());
      for (const Change& row : rows) {
        if (newer) {
          model.apply_newer(row);
        } else if (version_only) {
          model.apply_version(row);
        } else {
          model.apply(mode, row);
        }
      }
      ASSERT_TRUE((*sink)->write(changes(std::move(rows), with_op)));
      if (draw(4) == 0) {
        ASSERT_TRUE((*sink)->flush());
      }
    }
    const Status closed = (*sink)->close();
    ASSERT_TRUE(closed) << "seed " << seed << ": " << closed.error().to_string();
    ASSERT_EQ(table(), model.text()) << "seed " << seed;
    ASSERT_EQ((*sink)->metrics().failed_writes, 0U) << "seed " << seed;
  }

  std::string database_;
  SinkOptions options_;
  std::mt19937_64 random_;
  uint64_t keys_ = 1;
};

/// PGSINK_MODEL_STREAMS asks for more than a commit can wait for: tests/soak runs thousands.
uint64_t streams() {
  constexpr uint64_t kStreams = 150;
  const char* asked = std::getenv("PGSINK_MODEL_STREAMS");
  return asked != nullptr ? std::strtoull(asked, nullptr, 10) : kStreams;
}

TEST_F(ModelTest, EveryStreamLeavesWhatItsRowsLeaveOneByOne) {
  for (uint64_t seed = 1; seed <= streams() && !HasFatalFailure(); ++seed) run(seed);
}

TEST_F(ModelTest, EveryStreamLeavesTheSameByTwoPhaseCommit) {
  for (uint64_t seed = 1; seed <= streams() / 10 && !HasFatalFailure(); ++seed) run(seed, true);
  EXPECT_EQ(shared_server().scalar("SELECT count(*) FROM pg_prepared_xacts WHERE database = "
                                   "current_database()",
                                   database_),
            "0");
}

}  // namespace
}  // namespace pgsink
