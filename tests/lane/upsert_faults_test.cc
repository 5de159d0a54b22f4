// Upserts in a window of flights over a slow line, where every tenth flight fails by itself: all
// must come in order, and leave what they would have left one by one.

#include <chrono>
#include <cstdlib>
#include <map>
#include <random>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"
#include "support/wire_proxy.h"

namespace pgsink {
namespace {

using test::shared_server;

constexpr int64_t kBatchRows = 300;
constexpr int64_t kKeys = 900;
constexpr auto kOneWay = std::chrono::milliseconds(10);

/// How many flights there are, a multiple of 10: PGSINK_UPSERT_FLIGHTS, or 30.
int64_t flights() {
  const char* const text = std::getenv("PGSINK_UPSERT_FLIGHTS");
  return text == nullptr ? 30 : std::atoll(text);
}

struct Row {
  int64_t id = 0;
  int64_t flight = 0;
  int64_t value = 0;
};

RecordBatch batch(std::vector<Row> rows) {
  return batch_of(std::move(rows), column("id", &Row::id), column("flight", &Row::flight),
                  column("value", &Row::value));
}

/// What makes every tenth flight fail: its first row raises it inside of the server.
struct Fault {
  const char* name;
  const char* statement;
};
std::ostream& operator<<(std::ostream& out, const Fault& fault) { return out << fault.name; }

constexpr const char* kSerialization =
    "RAISE EXCEPTION 'could not serialize' USING ERRCODE = '40001';";
constexpr const char* kDeadlock = "RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01';";
constexpr const char* kKill =
    "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10);";

/// Which way the rows travel.
enum class Way : uint8_t { kArrays, kStaged };

using Case = std::tuple<Fault, Way>;

class UpsertFaultsTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("faults");
    proxy_ =
        std::make_unique<test::WireProxy>(shared_server().socket_dir(), shared_server().port());
    const auto& [fault, way] = GetParam();
    // A sequence remembers what a transaction that rolls back forgets: which flight failed last.
    sql("CREATE TABLE t (id bigint PRIMARY KEY, flight bigint, value bigint); "
        "CREATE SEQUENCE failed MINVALUE 0 START 0; "
        "CREATE TABLE flights (at bigserial, flight bigint); "
        "CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.flight % 10 = 0 AND NEW.flight > (SELECT last_value FROM failed) THEN "
        "PERFORM setval('failed', NEW.flight); " +
        std::string(fault.statement) +
        " END IF; INSERT INTO flights (flight) VALUES (NEW.flight); RETURN NEW; END $$; "
        "CREATE TRIGGER fail_once BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.id = 0) "
        "EXECUTE FUNCTION fail_once()");
    options_.connection_name = "test";
    options_.host = "127.0.0.1";
    options_.port = std::to_string(proxy_->port());
    options_.ssl_mode = "disable";
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.write_mode = WriteMode::kUpsert;
    options_.retry_backoff_ms = 2;
    options_.max_retries = 100;
    options_.use_copy = way == Way::kStaged;
    if (way == Way::kStaged) options_.copy_batch_size = kBatchRows;
    options_.transaction_size = kBatchRows;
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }

  /// Flight n: the key 0, and many others in any order, some of them twice.
  std::vector<Row> rows(int64_t flight) {
    std::vector<Row> made{{.id = 0, .flight = flight, .value = flight}};
    while (made.size() < kBatchRows) {
      made.push_back({.id = 1 + static_cast<int64_t>(random_() % kKeys),
                      .flight = flight,
                      .value = static_cast<int64_t>(random_() % 1'000'000)});
    }
    return made;
  }

  std::string database_;
  std::unique_ptr<test::WireProxy> proxy_;
  SinkOptions options_;
  std::mt19937_64 random_{11};
};

INSTANTIATE_TEST_SUITE_P(
    EveryTenth, UpsertFaultsTest,
    ::testing::Combine(::testing::Values(Fault{"SerializationFailure", kSerialization},
                                         Fault{"Deadlock", kDeadlock}, Fault{"Kill", kKill}),
                       ::testing::Values(Way::kArrays, Way::kStaged)),
    [](const auto& instance) {
      const bool is_staged = std::get<1>(instance.param) == Way::kStaged;
      return std::get<0>(instance.param).name + std::string(is_staged ? "Staged" : "Arrays");
    });

TEST_P(UpsertFaultsTest, LeaveTheOrderAndTheModel) {
  const bool kills = std::get<0>(GetParam()).statement == kKill;
  const int64_t last_flight = flights();
  auto sink = Sink::open(options_, batch({}).schema());
  ASSERT_TRUE(sink) << sink.error().to_string();
  proxy_->set_delay(kOneWay);
  std::map<int64_t, Row> model;
  for (int64_t flight = 1; flight <= last_flight; ++flight) {
    std::vector<Row> made = rows(flight);
    for (const Row& row : made) model[row.id] = row;
    ASSERT_TRUE((*sink)->write(batch(std::move(made))));
  }
  const Status closed = (*sink)->close();
  ASSERT_TRUE(closed) << closed.error().to_string();
  const SinkMetrics metrics = (*sink)->metrics();

  int64_t sum = 0;
  for (const auto& [id, row] : model) sum += id * 31 + row.flight * 1009 + row.value;
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || sum(id * 31 + flight * 1009 + value) FROM t"),
            std::to_string(model.size()) + " " + std::to_string(sum));
  EXPECT_EQ(scalar("SELECT last_value FROM failed"), std::to_string(last_flight)) << "no faults";
  EXPECT_GE(metrics.failed_writes, static_cast<uint64_t>(last_flight) / 10);
  EXPECT_GE(metrics.retry_count, static_cast<uint64_t>(last_flight) / 10);
  EXPECT_EQ(metrics.connections_opened, kills ? 1 + static_cast<uint64_t>(last_flight) / 10 : 1U);

  // Only what was sent again without knowing may have come before.
  const int64_t stepped_back = std::stoll(
      scalar("SELECT count(*) FROM (SELECT flight - lag(flight) OVER (ORDER BY at) AS step FROM "
             "flights) s WHERE step <> 1"));
  const int64_t again = std::stoll(scalar("SELECT count(*) - count(DISTINCT flight) FROM flights"));
  EXPECT_EQ(scalar("SELECT count(DISTINCT flight) FROM flights"), std::to_string(last_flight));
  EXPECT_LE(again * kBatchRows, static_cast<int64_t>(metrics.possible_duplicates));
  EXPECT_LE(stepped_back, again);
  if (!kills) {
    EXPECT_EQ(again, 0);
    EXPECT_EQ(metrics.possible_duplicates, 0U);
  }
}

}  // namespace
}  // namespace pgsink
