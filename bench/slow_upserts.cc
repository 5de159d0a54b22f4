#include "slow_upserts.h"

#include <chrono>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <pgsink/batch_of.h>
#include <pgsink/sink.h>

#include "libpq_connection.h"
#include "report.h"

namespace pgsink::bench {
namespace {

constexpr int64_t kKeys = 50'021;  // A prime: the keys of a batch differ.

struct Row {
  int64_t id = 0;
  int64_t flight = 0;
  int64_t value = 0;
};

/// Row i of flight n; row 0 always has the key 0.
Row row_of(int64_t flight, int64_t i) {
  const int64_t id = i == 0 ? 0 : 1 + (flight * 331 + i * 7919) % (kKeys - 1);
  return {.id = id, .flight = flight, .value = flight * 1000 + i};
}

RecordBatch batch(int64_t flight) {
  std::vector<Row> rows;
  rows.reserve(SlowUpserts::kBatchRows);
  for (int64_t i = 0; i < SlowUpserts::kBatchRows; ++i) rows.push_back(row_of(flight, i));
  return batch_of(std::move(rows), column("id", &Row::id), column("flight", &Row::flight),
                  column("value", &Row::value));
}

/// The best statement that a client without arrays of its own can send: one for the whole batch.
std::string statement(int64_t flight) {
  std::string ids, values;
  for (int64_t i = 0; i < SlowUpserts::kBatchRows; ++i) {
    const Row row = row_of(flight, i);
    ids += (i > 0 ? "," : "") + std::to_string(row.id);
    values += (i > 0 ? "," : "") + std::to_string(row.value);
  }
  return "INSERT INTO upserted (id, flight, value) SELECT i, " + std::to_string(flight) +
         ", v FROM unnest('{" + ids + "}'::bigint[], '{" + values +
         "}'::bigint[]) AS given(i, v) ON CONFLICT (id) DO UPDATE SET flight = EXCLUDED.flight, "
         "value = EXCLUDED.value";
}

double seconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

}  // namespace

SlowUpserts::SlowUpserts(Place place, const test::WireProxy& proxy, int64_t flights)
    : place_(std::move(place)), port_(proxy.port()), flights_(flights) {
  place_.table = "upserted";
}

void SlowUpserts::make_table(bool faults) {
  // A sequence remembers what a transaction that rolls back forgets.
  place_.server.sql(
      "DROP TABLE IF EXISTS upserted, flights; DROP SEQUENCE IF EXISTS failed; "
      "CREATE TABLE upserted (id bigint PRIMARY KEY, flight bigint, value bigint); "
      "CREATE SEQUENCE failed MINVALUE 0 START 0; "
      "CREATE TABLE flights (at bigserial, flight bigint); "
      "CREATE OR REPLACE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
      "IF NEW.flight % 10 = 0 AND NEW.flight > (SELECT last_value FROM failed) THEN "
      "PERFORM setval('failed', NEW.flight); CASE NEW.flight / 10 % 3 "
      "WHEN 0 THEN RAISE EXCEPTION 'could not serialize' USING ERRCODE = '40001'; "
      "WHEN 1 THEN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; "
      "ELSE PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10); END CASE; "
      "END IF; INSERT INTO flights (flight) VALUES (NEW.flight); RETURN NEW; END $$",
      place_.database);
  if (!faults) return;
  place_.server.sql(
      "CREATE TRIGGER fail_once BEFORE INSERT ON upserted FOR EACH ROW WHEN (NEW.id = 0) EXECUTE "
      "FUNCTION fail_once()",
      place_.database);
}

double SlowUpserts::libpq(bool transaction) {
  const std::string conninfo = libpq_conninfo(place_) + " port=" + std::to_string(port_);
  auto connection = std::make_unique<LibpqConnection>(conninfo);
  const auto began = std::chrono::steady_clock::now();
  for (int64_t flight = 1; flight <= flights_;) {
    try {
      if (transaction) connection->run("BEGIN");
      connection->run(statement(flight));
      if (transaction) connection->run("COMMIT");
      ++flight;
    } catch (const std::runtime_error&) {
      try {
        connection->run("ROLLBACK");
      } catch (const std::runtime_error&) {
        connection = std::make_unique<LibpqConnection>(conninfo);
      }
    }
  }
  return static_cast<double>(flights_ * kBatchRows) / seconds_since(began);
}

double SlowUpserts::pgsink() {
  SinkOptions options = sink_options(place_);
  options.port = std::to_string(port_);
  options.write_mode = WriteMode::kUpsert;
  options.batch_size = kBatchRows;
  options.transaction_size = kBatchRows;
  options.retry_backoff_ms = 1;  // As soon as libpq's client.
  options.max_retries = 100;
  auto sink = Sink::open(options, batch(0).schema());
  if (!sink) throw std::runtime_error(sink.error().to_string());
  const auto began = std::chrono::steady_clock::now();
  for (int64_t flight = 1; flight <= flights_; ++flight) check((*sink)->write(batch(flight)));
  check((*sink)->flush());
  const double seconds = seconds_since(began);
  check((*sink)->close());
  return static_cast<double>(flights_ * kBatchRows) / seconds;
}

void SlowUpserts::check_table(bool faults, bool pipelined) {
  std::map<int64_t, int64_t> model;
  for (int64_t flight = 1; flight <= flights_; ++flight) {
    for (int64_t i = 0; i < kBatchRows; ++i) {
      const Row row = row_of(flight, i);
      model[row.id] = row.value;
    }
  }
  int64_t sum = 0;
  for (const auto& [id, value] : model) sum += id * 31 + value;
  const auto expect = [&](const std::string& query, const std::string& expected) {
    const std::string seen = place_.server.scalar(query, place_.database);
    if (seen != expected) {
      throw std::runtime_error("upserts by " + std::string(pipelined ? "pgsink" : "libpq") +
                               ": not " + expected + " but " + seen + ": " + query);
    }
  };
  expect("SELECT count(*) || ' ' || sum(id * 31 + value) FROM upserted",
         std::to_string(model.size()) + " " + std::to_string(sum));
  if (!faults) return;
  expect("SELECT last_value FROM failed", std::to_string(flights_ / 10 * 10));
  expect("SELECT count(DISTINCT flight) FROM flights", std::to_string(flights_));
  expect("SELECT flight FROM flights ORDER BY at DESC LIMIT 1", std::to_string(flights_));
}

std::vector<SlowUpserts::Way> SlowUpserts::run(size_t rounds) {
  std::vector<Way> ways{{"libpq: BEGIN, one statement a batch, COMMIT", false, {}},
                        {"libpq: one statement a batch (commits itself)", false, {}},
                        {"pgsink", false, {}},
                        {"libpq: BEGIN, one statement a batch, COMMIT", true, {}},
                        {"pgsink", true, {}}};
  for (size_t round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < ways.size(); ++i) {
      Way& way = ways[i];
      const bool ours = i == kPgsink || i == kPgsinkFaulty;
      make_table(way.faults);
      way.rows_per_s.push_back(ours ? pgsink() : libpq(i != kSingle));
      check_table(way.faults, ours);
      say("upsert, " + way.name + (way.faults ? ", every tenth fails: " : ": ") +
          fixed(way.rows_per_s.back(), 0) + " rows/s");
    }
  }
  return ways;
}

}  // namespace pgsink::bench
