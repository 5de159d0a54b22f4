// The order of flights in the modes where a later row replaces an earlier one. Flights are sent
// without waiting for answers, so the one after a failed one is at the server already: it must fail
// with it, or the row that is sent again would replace a newer one.

#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include "pgsink/sink.h"
#include "support/patience.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;

struct Row {
  std::string op = "U";
  int64_t id = 1;
  std::string value;
};

RecordBatch batch(std::vector<Row> rows, WriteMode mode, uint64_t position = 0) {
  auto id = column("id", &Row::id);
  auto value = column("value", &Row::value);
  RecordBatch made = mode == WriteMode::kChangelog
                         ? batch_of(std::move(rows), column("_op", &Row::op), id, value)
                         : batch_of(std::move(rows), id, value);
  made.position = position;
  return made;
}

/// Which way the rows travel.
enum class Way : uint8_t { kArrays, kStaged };

using Case = std::tuple<WriteMode, Way, Delivery>;

class FlightOrderTest : public ::testing::TestWithParam<Case> {
 protected:
  static constexpr int kFlights = 3;

  void SetUp() override {
    const auto& [mode, way, delivery] = GetParam();
    database_ = shared_server().create_database("order");
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.write_mode = mode;
    if (mode == WriteMode::kUpsert) options_.conflict_columns = {"id"};
    if (mode == WriteMode::kUpdate) options_.key_columns = {"id"};
    options_.use_copy = way == Way::kStaged;
    options_.batch_size = options_.transaction_size = 1;  // Each row is a flight of its own.
    if (options_.use_copy == true) options_.copy_batch_size = 1;
    options_.delivery = delivery;
    options_.sink_id = delivery == Delivery::kExactlyOnce ? "order" : "";
    options_.retry_backoff_ms = 1;
    options_.max_retries = 20;
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }

  /// One row with the key 1, and what is committed to it, in order. The first transaction that
  /// brings `failing` finds a deadlock; a sequence does not roll back.
  void make_table(const std::string& failing) {
    sql("DROP TABLE IF EXISTS t, applied; DROP SEQUENCE IF EXISTS tries; "
        "DROP FUNCTION IF EXISTS fail_once, note; "
        "CREATE TABLE t (id bigint PRIMARY KEY, value text); INSERT INTO t VALUES (1, 'v0'); "
        "CREATE TABLE applied (n bigserial, value text); CREATE SEQUENCE tries; "
        "CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.value = '" +
        failing +
        "' AND nextval('tries') = 1 THEN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; "
        "END IF; RETURN NEW; END $$; "
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO applied (value) VALUES (NEW.value); RETURN NULL; END $$; "
        "CREATE TRIGGER fail_once BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION "
        "fail_once(); "
        "CREATE TRIGGER note AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note()");
  }

  std::string database_;
  SinkOptions options_;
};

std::string name_of(const Case& one) {
  const auto& [mode, way, delivery] = one;
  const std::string mode_name = mode == WriteMode::kUpsert   ? "Upsert"
                                : mode == WriteMode::kUpdate ? "Update"
                                                             : "Changelog";
  return mode_name + (way == Way::kStaged ? "Staged" : "Arrays") +
         (delivery == Delivery::kExactlyOnce ? "ExactlyOnce" : "AtLeastOnce");
}

INSTANTIATE_TEST_SUITE_P(
    Modes, FlightOrderTest,
    ::testing::Combine(::testing::Values(WriteMode::kUpsert, WriteMode::kUpdate,
                                         WriteMode::kChangelog),
                       ::testing::Values(Way::kArrays, Way::kStaged),
                       ::testing::Values(Delivery::kAtLeastOnce, Delivery::kExactlyOnce)),
    [](const auto& instance) { return name_of(instance.param); });

TEST_P(FlightOrderTest, AFlightAfterAFailedOneFailsWithIt) {
  const WriteMode mode = std::get<0>(GetParam());
  for (int failing = 1; failing <= kFlights; ++failing) {
    SCOPED_TRACE("flight " + std::to_string(failing) + " fails");
    make_table("v" + std::to_string(failing));
    options_.sink_id += options_.sink_id.empty() ? "" : "'";  // Positions begin anew.
    auto sink = Sink::open(options_, batch({}, mode).schema());
    ASSERT_TRUE(sink) << sink.error().to_string();
    // The server answers nothing before all flights are on their way.
    const std::unique_ptr<PGconn, decltype(&PQfinish)> holder(
        PQconnectdb(shared_server().conninfo(database_).c_str()), PQfinish);
    PQclear(PQexec(holder.get(), "BEGIN; LOCK TABLE t"));
    for (int flight = 1; flight <= kFlights; ++flight) {
      ASSERT_TRUE((*sink)->write(
          batch({{.value = "v" + std::to_string(flight)}}, mode, static_cast<uint64_t>(flight))));
    }
    ASSERT_TRUE(test::eventually([&] { return (*sink)->metrics().in_flight_rows == kFlights; }));
    PQclear(PQexec(holder.get(), "COMMIT"));
    const Status closed = (*sink)->close();
    ASSERT_TRUE(closed) << closed.error().to_string();

    EXPECT_EQ(scalar("SELECT value FROM t"), "v3");
    EXPECT_EQ(scalar("SELECT string_agg(value, ' ' ORDER BY n) FROM applied"), "v1 v2 v3");
    // One failed try, and one that went well. INSERT … ON CONFLICT into a row that is there fires
    // the triggers of INSERT and then those of UPDATE.
    EXPECT_EQ(scalar("SELECT last_value FROM tries"), mode == WriteMode::kUpdate ? "2" : "3");
    // The one that failed, and those that were on the wire after it.
    EXPECT_EQ((*sink)->metrics().failed_writes, static_cast<uint64_t>(kFlights - failing) + 1);
    EXPECT_EQ((*sink)->metrics().possible_duplicates, 0U);
  }
}

}  // namespace
}  // namespace pgsink
