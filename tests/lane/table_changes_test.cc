// A table that somebody else changes at random moments while rows are loaded, by every path and
// under every promise. Before each change, behind its lock, all rows that arrived since the one
// before are compared with their source and with the types that the table had until then: what is
// there is exact, what was rejected did not fit, and in the end each row is one or the other, once.

#include <array>
#include <atomic>
#include <cstdlib>
#include <random>
#include <thread>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::query_libpq;
using test::shared_server;

constexpr int64_t kBatchRows = 500;  // 100 for each of five partitions.
constexpr int64_t kOdd = 50;         // Of so many rows one is odd in each way.
constexpr int kLabels = 8;

/// What a row holds follows from its id, here and in SQL.
struct Item {
  int64_t id = 0, v = 0;
  std::string n, s, m;
  int64_t part = 0;
};

Item item(int64_t id) {
  const int64_t odd = id % kOdd;
  return {.id = id,
          .v = odd == 7 ? 3'000'000'000 + id : id,
          .n = std::to_string(id) + (odd == 8 ? ".1250" : ".5"),
          .s = odd == 9 ? "abcdef" : "ab",
          .m = "l" + std::to_string(odd == 10 ? id / kOdd % kLabels : 0),
          .part = id % 5};
}
constexpr const char* kWrongRow =
    "v::numeric IS DISTINCT FROM CASE WHEN id % 50 = 7 THEN 3000000000 + id ELSE id END "
    "OR n::numeric IS DISTINCT FROM id + CASE WHEN id % 50 = 8 THEN 0.125 ELSE 0.5 END "
    "OR s::text IS DISTINCT FROM CASE WHEN id % 50 = 9 THEN 'abcdef' ELSE 'ab' END "
    "OR m::text IS DISTINCT FROM 'l' || CASE WHEN id % 50 = 10 THEN id / 50 % 8 ELSE 0 END";

RecordBatch items(int64_t first, int64_t count) {
  std::vector<Item> rows;
  for (int64_t id = first; id < first + count; ++id) rows.push_back(item(id));
  RecordBatch made = batch_of(std::move(rows), column("id", &Item::id), column("v", &Item::v),
                              column("n", &Item::n), column("s", &Item::s), column("m", &Item::m),
                              column("part", &Item::part));
  made.position = static_cast<uint64_t>(first + count);
  return made;
}

enum class Way : uint8_t { kCopy, kInsertSeries, kSeries, kArrays, kStaged, kLeaves };
enum class Promise : uint8_t { kAtLeastOnce, kOneSnapshot, kExactlyOnce, kTwoPhase };

struct Case {
  Way way = Way::kCopy;
  Promise promise = Promise::kAtLeastOnce;
  int parallelism = 1;

  bool keyed() const { return way == Way::kSeries || way == Way::kArrays || way == Way::kStaged; }
  bool partitioned() const { return way == Way::kLeaves; }
  bool counts_positions() const { return promise >= Promise::kExactlyOnce; }
};

constexpr std::array kCases{Case{Way::kCopy, Promise::kAtLeastOnce, 2},
                            Case{Way::kCopy, Promise::kOneSnapshot, 1},
                            Case{Way::kCopy, Promise::kExactlyOnce, 2},
                            Case{Way::kCopy, Promise::kTwoPhase, 1},
                            Case{Way::kInsertSeries, Promise::kAtLeastOnce, 2},
                            Case{Way::kSeries, Promise::kAtLeastOnce, 2},
                            Case{Way::kArrays, Promise::kAtLeastOnce, 1},
                            Case{Way::kArrays, Promise::kOneSnapshot, 2},
                            Case{Way::kArrays, Promise::kExactlyOnce, 2},
                            Case{Way::kArrays, Promise::kTwoPhase, 2},
                            Case{Way::kStaged, Promise::kAtLeastOnce, 2},
                            Case{Way::kStaged, Promise::kExactlyOnce, 2},
                            Case{Way::kLeaves, Promise::kAtLeastOnce, 2},
                            Case{Way::kLeaves, Promise::kExactlyOnce, 1},
                            Case{Way::kLeaves, Promise::kTwoPhase, 1}};

/// Changes of all cases together.
int changes_wanted() {
  const char* text = std::getenv("PGSINK_TABLE_CHANGES");
  return text == nullptr ? 60 : std::atoi(text);
}

/// The table's owner, who changes it.
class Owner {
 public:
  Owner(const Case& under, std::string conninfo, unsigned seed)
      : case_(under), conninfo_(std::move(conninfo)), random_(seed) {
    query_libpq(conninfo_,
                "CREATE TYPE label AS ENUM ('l0', 'l1'); "
                "CREATE TABLE seen (id bigint); CREATE TABLE refused (id bigint); "
                "CREATE TABLE dl_seen (id bigint)");
    query_libpq(conninfo_, make_table());
  }

  /// One change, behind a look at what has arrived; tried again while the load is in the way.
  void change() {
    const Types before = types_;
    const std::string sql = behind_look(before, next_change());
    for (;;) {
      try {
        query_libpq(conninfo_, sql);
        return;
      } catch (const std::exception& error) {
        // Prepared transactions keep their locks until their epoch ends.
        const std::string what = error.what();
        if (!what.contains("lock timeout") && !what.contains("deadlock")) throw;
      }
    }
  }
  void look() { query_libpq(conninfo_, behind_look(types_, "SELECT 1")); }

 private:
  /// What the table has at the moment; each type with which of the odd values it rejects.
  struct Types {
    std::string v = "bigint", n = "numeric(20,4)", s = "text";
    int labels = 2;
  };
  size_t draw(size_t count) { return std::uniform_int_distribution<size_t>(0, count - 1)(random_); }
  std::string draw_type(std::string& current, const std::vector<std::string>& all) {
    std::string other = current;
    while (other == current) other = all[draw(all.size())];
    return current = other;
  }
  std::string draw_v() { return draw_type(types_.v, {"bigint", "float8", "numeric(20,0)", "int"}); }
  std::string draw_n() {
    return draw_type(types_.n, {"numeric", "numeric(20,4)", "numeric(20,1)"});
  }
  std::string draw_s() { return draw_type(types_.s, {"text", "varchar(10)", "varchar(3)"}); }

  std::string make_table() const {
    std::string sql = "CREATE TABLE t (id bigint, v " + types_.v + ", n " + types_.n + ", s " +
                      types_.s + ", m label, part bigint";
    if (case_.keyed()) sql += ", PRIMARY KEY (id)";
    sql += ")";
    if (!case_.partitioned()) return sql;
    sql += " PARTITION BY LIST (part)";
    for (const char* part : {"0", "1", "2", "3", "4"}) {
      sql +=
          std::string("; CREATE TABLE t") + part + " PARTITION OF t FOR VALUES IN (" + part + ")";
    }
    return sql;
  }

  std::string next_change() {
    const std::string alter = "ALTER TABLE t ";
    switch (draw(case_.counts_positions() ? 8 : 9)) {
      case 0:
      case 1:
        return alter + "ALTER v TYPE " + draw_v();
      case 2:
        return alter + "ALTER n TYPE " + draw_n() + ", ALTER s TYPE " + draw_s();
      case 3:
        return alter + "ALTER v SET DEFAULT 7, ALTER n SET NOT NULL";
      case 4:
        return alter + "ADD more" + std::to_string(++added_) + " int NOT NULL DEFAULT 7";
      case 5: {  // Another order; and what has another number is another column.
        std::string sql = alter + "DROP n, DROP v; " + alter + "ADD v " + draw_v();
        return sql + "; " + alter + "ADD n " + draw_n();
      }
      case 6:
      case 7:
        if (types_.labels == kLabels) return alter + "ALTER s TYPE " + draw_s();
        return "ALTER TYPE label ADD VALUE 'l" + std::to_string(types_.labels++) + "'";
      default:
        draw_v();
        draw_s();
        return "DROP TABLE t; " + make_table();
    }
  }

  /// What has arrived is compared with the types that the table had; then the change comes.
  std::string behind_look(const Types& types, const std::string& change) const {
    std::string fits = "id % 50 NOT IN (7, 8, 9, 10)";
    if (types.v != "int") fits += " OR id % 50 = 7";
    if (types.n != "numeric(20,1)") fits += " OR id % 50 = 8";
    if (types.s != "varchar(3)") fits += " OR id % 50 = 9";
    fits += " OR id % 50 = 10 AND id / 50 % 8 < " + std::to_string(types.labels);
    const std::string had =
        types.v + ", " + types.n + ", " + types.s + ", " + std::to_string(types.labels) + " labels";
    const auto none = [&](const std::string& what, const std::string& rows) {
      return "IF EXISTS (" + rows + ") THEN RAISE EXCEPTION '" + what + " % (" + had +
             ")', (SELECT id FROM (" + rows + ") AS found LIMIT 1); END IF; ";
    };
    return "SET lock_timeout = '500ms'; BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE; "
           "INSERT INTO dl_seen SELECT (\"row\"->>'id')::bigint FROM dl; DELETE FROM dl; DO $$ "
           "BEGIN " +
           none("wrong row", std::string("SELECT id FROM t WHERE ") + kWrongRow) +
           none("rejected without a reason: row", "SELECT id FROM dl_seen WHERE " + fits) +
           "END $$; INSERT INTO seen SELECT id FROM t; TRUNCATE t; "
           "INSERT INTO refused SELECT id FROM dl_seen; TRUNCATE dl_seen; " +
           change + "; COMMIT";
  }

  const Case case_;
  const std::string conninfo_;
  std::mt19937 random_;
  Types types_;
  int added_ = 0;
};

class TableChangesTest : public testing::TestWithParam<size_t> {
 protected:
  SinkOptions options_for(const Case& under, const std::string& database) const {
    SinkOptions options;
    options.connection_name = "test";
    options.host = shared_server().socket_dir();
    options.port = std::to_string(shared_server().port());
    options.database = database;
    options.username = "postgres";
    options.table = "t";
    options.dead_letter_table = "dl";
    options.batch_size = options.copy_batch_size = under.partitioned() ? kBatchRows : 100;
    options.partition_copy_min_rows = 20;
    options.retry_backoff_ms = 1;
    options.parallelism = under.parallelism;
    if (under.keyed()) {
      options.write_mode = WriteMode::kUpsert;
      options.conflict_columns = {"id"};
    }
    if (under.way == Way::kArrays) options.lock_timeout_ms = 60'000;
    const bool copies =
        under.way == Way::kCopy || under.way == Way::kStaged || under.way == Way::kLeaves;
    if (copies) options.use_copy = true;
    if (under.promise == Promise::kOneSnapshot) {
      options.isolation_level = IsolationLevel::kRepeatableRead;
    }
    if (under.promise == Promise::kExactlyOnce) options.delivery = Delivery::kExactlyOnce;
    if (under.promise == Promise::kTwoPhase) options.use_2pc = true;
    if (under.counts_positions()) {
      options.sink_id = "changes";
      if (under.parallelism > 1) options.partition_by = "hash(id)";
    }
    return options;
  }
};

TEST_P(TableChangesTest, EachRowIsExactOrRejected) {
  const Case& under = kCases[GetParam()];
  const std::string database = shared_server().create_database("changes");
  const std::string conninfo = shared_server().conninfo(database);
  Owner owner(under, conninfo, static_cast<unsigned>(GetParam()) + 1);
  auto opened = Sink::open(options_for(under, database), items(0, 0).schema());
  ASSERT_TRUE(opened) << opened.error().to_string();
  Sink& sink = **opened;

  const int changes = std::max(1, changes_wanted() / static_cast<int>(kCases.size()));
  std::atomic<bool> changing = true;
  std::string owner_failed;
  std::jthread owning([&](const std::stop_token& stop) {
    std::mt19937 random(static_cast<unsigned>(GetParam()) + 100);
    try {
      for (int i = 0; i < changes && !stop.stop_requested(); ++i) {
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
        owner.change();
      }
    } catch (const std::exception& error) {
      owner_failed = error.what();
    }
    changing = false;
  });
  int64_t next = 0;
  Status written;
  for (bool last = false; written && !last; next += kBatchRows) {
    last = !changing;  // One more, after the last change.
    written = sink.write(items(next, kBatchRows));
    if (written && next / kBatchRows % 2 == 1) written = sink.flush();
  }
  owning.request_stop();
  owning.join();
  if (written) written = sink.close();
  ASSERT_TRUE(written) << written.error().to_string();
  ASSERT_EQ(owner_failed, "");
  ASSERT_NO_THROW(owner.look());
  const auto count = [&](const std::string& rows) {
    return shared_server().scalar("SELECT count(*) FROM (" + rows + ") AS found", database);
  };
  const std::string all = "SELECT id FROM seen UNION ALL SELECT id FROM refused";
  EXPECT_EQ(count(all), std::to_string(next));
  EXPECT_EQ(count("SELECT DISTINCT id FROM (" + all + ") AS each"), std::to_string(next));
  EXPECT_EQ(sink.metrics().possible_duplicates, 0U);
  RecordProperty("changes", changes);
}

std::string case_name(const testing::TestParamInfo<size_t>& info) {
  static constexpr std::array<const char*, 6> kWays{"Copy",   "InsertSeries", "Series",
                                                    "Arrays", "Staged",       "Leaves"};
  static constexpr std::array<const char*, 4> kPromises{"AtLeastOnce", "OneSnapshot", "ExactlyOnce",
                                                        "TwoPhase"};
  const Case& under = kCases[info.param];
  return std::string(kWays[static_cast<size_t>(under.way)]) +
         kPromises[static_cast<size_t>(under.promise)] + std::to_string(under.parallelism);
}

INSTANTIATE_TEST_SUITE_P(Ways, TableChangesTest, testing::Range(size_t{0}, kCases.size()),
                         case_name);

}  // namespace
}  // namespace pgsink
