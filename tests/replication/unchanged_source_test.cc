// Sources whose tables have the default replica identity: updates leave large values alone, which
// the server does not send then, and the tables are equal all the same.

#include <atomic>
#include <random>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "replication/source_support.h"
#include "support/patience.h"

namespace pgsink {
namespace {

using test::PostgresServer;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kTable =
    "CREATE TABLE t (id int, part text, small int, \"a \"\"big\\one\" text, other text,"
    " PRIMARY KEY (id, part));"
    "ALTER TABLE t ALTER \"a \"\"big\\one\" SET STORAGE EXTERNAL,"
    " ALTER other SET STORAGE EXTERNAL";
constexpr const char* kDigest =
    "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY id, part)), '')"
    " FROM t";

struct Way {
  const char* name;
  Delivery delivery;
  int64_t lanes;
};

class UnchangedSourceTest : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    from_ = PostgresServer::start({.settings = {{"wal_level", "logical"}}});
    source_database_ = from_->create_database("origin");
    target_database_ = from_->create_database("copy");
    from_->sql(kTable, source_database_);
    from_->sql(kTable, target_database_);
    source_ = test::source_options(*from_, source_database_);
    target_.connection_name = "copy";
    target_.host = from_->socket_dir();
    target_.port = std::to_string(from_->port());
    target_.database = target_database_;
    target_.username = "postgres";
    target_.table = "t";
    target_.write_mode = WriteMode::kChangelog;
    target_.batch_timeout_ms = 20;
    target_.delivery = GetParam().delivery;
    target_.parallelism = GetParam().lanes;
    target_.sink_id = "copy";
  }
  void change(const std::string& sql) { from_->sql(sql, source_database_); }
  std::string source_says(const std::string& sql) { return from_->scalar(sql, source_database_); }
  std::string target_says(const std::string& sql) { return from_->scalar(sql, target_database_); }

  /// Replicates while `body` runs.
  template <typename Body>
  void replicate_while(Body body) {
    auto source = Source::open(source_);
    ASSERT_TRUE(source) << source.error().to_string();
    std::atomic<bool> ends = false, returned = false;
    Status outcome;
    std::thread thread([&] {
      outcome = replicate(**source, target_, [&] { return !ends; });
      returned = true;
    });
    // What changes before that is in the snapshot.
    EXPECT_TRUE(test::eventually([&] {
      return returned.load() ||
             source_says(
                 "SELECT count(*) FROM pg_replication_slots WHERE active AND NOT temporary"
                 " AND database = current_database()") == "1";
    }));
    body();
    EXPECT_TRUE(test::eventually(
        [&] { return returned.load() || source_says(kDigest) == target_says(kDigest); }));
    ends = true;
    thread.join();
    EXPECT_TRUE(outcome) << outcome.error().to_string();
    EXPECT_THAT((*source)->warnings(), Not(Contains(HasSubstr("REPLICA IDENTITY"))));
    EXPECT_EQ(source_says(kDigest), target_says(kDigest));
  }

  std::unique_ptr<PostgresServer> from_;
  std::string source_database_, target_database_;
  SinkOptions source_, target_;
};

/// Random transactions over a few rows with large values.
class Changes {
 public:
  explicit Changes(uint32_t seed) : random_(seed) {}

  std::string transaction() {
    std::string sql = "BEGIN;";
    for (auto left = 1 + random_() % 12; left > 0; --left) sql += statement();
    return sql + "COMMIT";
  }

 private:
  std::string number(uint32_t below) { return std::to_string(random_() % below); }
  std::string large() { return "repeat('" + number(100000) + "', " + number(1500) + ")"; }
  std::string row() { return " WHERE id = " + number(40) + ";"; }
  std::string statement() {
    const auto what = random_() % 100;
    if (what < 30) {
      return "INSERT INTO t VALUES (" + number(40) + ", 'p', " + number(1000) + ", " + large() +
             ", " + large() + ") ON CONFLICT DO NOTHING;";
    }
    if (what < 55) return "UPDATE t SET small = " + number(1000) + row();
    if (what < 65) return "UPDATE t SET other = " + large() + row();
    if (what < 70) return "UPDATE t SET \"a \"\"big\\one\" = NULL" + row();
    if (what < 88) {
      const std::string to = number(40);
      return "UPDATE t SET small = small + 1, id = " + to + " WHERE id = " + number(40) +
             " AND NOT EXISTS (SELECT FROM t AS o WHERE o.id = " + to + ");";
    }
    if (what < 99) return "DELETE FROM t" + row();
    return "TRUNCATE t;";
  }

  std::mt19937 random_;
};

TEST_P(UnchangedSourceTest, TablesAreEqualUnderLoad) {
  change(
      "INSERT INTO t SELECT i, 'p', 0, repeat('s', 3000), repeat('t', 5000)"
      " FROM generate_series(0, 30) AS i");
  replicate_while([&] {
    Changes changes(20261201);
    for (int i = 0; i < 300; ++i) change(changes.transaction());
  });
  EXPECT_EQ(source_says("SELECT count(*) FROM pg_class WHERE relname = 't' AND relreplident = 'd'"),
            "1");
}

TEST_P(UnchangedSourceTest, AMovedRowKeepsItsValues) {
  replicate_while([&] {
    change("INSERT INTO t VALUES (1, 'a', 1, repeat('x', 5000), repeat('y', 5000))");
    change("UPDATE t SET id = 2");
    change("BEGIN; UPDATE t SET id = 3; UPDATE t SET small = 9; UPDATE t SET part = 'b'; COMMIT");
  });
  EXPECT_EQ(target_says("SELECT id || part || small || length(other) FROM t"), "3b95000");
}

INSTANTIATE_TEST_SUITE_P(, UnchangedSourceTest,
                         testing::Values(Way{"AtLeastOnce", Delivery::kAtLeastOnce, 1},
                                         Way{"ExactlyOnce", Delivery::kExactlyOnce, 1},
                                         Way{"ExactlyOnceInLanes", Delivery::kExactlyOnce, 3}),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace pgsink
