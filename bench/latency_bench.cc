// Commits batches of 1,000 rows, one transaction each, to a server 20 ms away (a proxy that delays
// both directions) by libpq, which waits for every answer, and by pgsink with several windows,
// which does not: docs/reference/benchmarks.md.

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <pgsink/sink.h>

#include "bench_server.h"
#include "libpq_connection.h"
#include "report.h"
#include "slow_upserts.h"
#include "support/wire_proxy.h"
#include "writers.h"

namespace pgsink::bench {
namespace {

constexpr double kTimesLibpqMin = 12;
constexpr double kTimesUpsertMin = 10;
constexpr double kTimesFaultyUpsertMin = 3;
/// A failing tenth needs some tens of transactions.
constexpr size_t kUpsertsOfBatch = 3;
constexpr size_t kDefaultWindow = 16;
constexpr std::string_view kTable = "narrow";

struct Config {
  size_t delay_ms = 0;  ///< One way.
  size_t batches = 0;   ///< For each transaction in the window.
  size_t batch_rows = 0;
  size_t buffer_bytes = 0;
  size_t rounds = 0;
  std::vector<size_t> windows;
};

struct Outcome {
  double rows_per_s = 0;
  double buffered_bytes_peak = 0;
};

/// Way is one way of writing, with what it reached in each round.
struct Way {
  std::string name;
  std::function<Outcome()> run;
  std::vector<double> rows_per_s;
  double buffered_bytes_peak = 0;
};

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
  }

 private:
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

class Bench {
 public:
  explicit Bench(const Config& config)
      : config_(config),
        server_(start_bench_server()),
        database_(server_->create_database("bench")),
        proxy_("127.0.0.1", server_->port()),
        place_{*server_, database_, std::string(kTable), Transport::kTcp} {
    const size_t window_max = *std::ranges::max_element(config_.windows);
    rows_ = make_narrow_rows(config_.batch_rows * config_.batches * window_max);
    server_->sql(
        "CREATE UNLOGGED TABLE " + place_.table + " (" + std::string(rows_->table_columns()) + ")",
        database_);
    proxy_.set_delay(std::chrono::milliseconds(config_.delay_ms));
  }

  std::vector<Way> run() {
    std::vector<Way> ways;
    ways.push_back({"libpq: BEGIN, COPY, rows, COMMIT", [this] { return libpq(true); }, {}, 0});
    ways.push_back({"libpq: COPY, rows (commits itself)", [this] { return libpq(false); }, {}, 0});
    for (const size_t window : config_.windows) {
      ways.push_back({"pgsink, in_flight_max = " + std::to_string(window),
                      [this, window] { return pgsink(window); },
                      {},
                      0});
    }
    for (size_t round = 0; round < config_.rounds; ++round) {
      for (Way& way : ways) {
        server_->sql("TRUNCATE " + place_.table, database_);
        const Outcome outcome = way.run();
        way.rows_per_s.push_back(outcome.rows_per_s);
        way.buffered_bytes_peak = std::max(way.buffered_bytes_peak, outcome.buffered_bytes_peak);
        say(way.name + ": " + fixed(outcome.rows_per_s, 0) + " rows/s");
      }
    }
    return ways;
  }

  std::vector<SlowUpserts::Way> run_upserts() {
    SlowUpserts upserts(place_, proxy_, static_cast<int64_t>(config_.batches * kUpsertsOfBatch));
    return upserts.run(config_.rounds);
  }

 private:
  Outcome libpq(bool transaction) {
    // Of keywords given twice libpq takes the last.
    LibpqConnection connection(libpq_conninfo(place_) + " port=" + std::to_string(proxy_.port()));
    const size_t count = config_.batches * config_.batch_rows;
    std::vector<std::byte> buffer(config_.batch_rows * 64 + Rows::kRowBytesMax);
    const Stopwatch watch;
    for (size_t row = 0; row < count;) {
      const size_t end = row + config_.batch_rows;
      if (transaction) connection.run("BEGIN");
      connection.begin_copy("COPY " + place_.table + " FROM STDIN (FORMAT binary)");
      connection.put(copy_signature());
      connection.put(std::span(buffer).first(rows_->encode_rows(row, end, buffer)));
      connection.put(copy_end());
      connection.end_copy();
      if (transaction) connection.run("COMMIT");
    }
    const double seconds = watch.seconds();
    expect_rows(count);
    return {static_cast<double>(count) / seconds, 0};
  }

  Outcome pgsink(size_t window) {
    SinkOptions options = sink_options(place_);
    options.port = std::to_string(proxy_.port());
    options.batch_size = static_cast<int64_t>(config_.batch_rows);
    options.transaction_size = options.batch_size;
    options.in_flight_max = static_cast<int64_t>(window);
    options.buffer_bytes = static_cast<int64_t>(config_.buffer_bytes);
    options.batch_bytes = std::min(options.batch_bytes, options.buffer_bytes);
    auto sink = Sink::open(options, rows_->schema());
    if (!sink) throw std::runtime_error(sink.error().to_string());
    const size_t count = config_.batches * window * config_.batch_rows;
    uint64_t buffered_peak = 0;
    const Stopwatch watch;
    for (size_t row = 0; row < count; row += config_.batch_rows) {
      check((*sink)->write(rows_->batch(row, config_.batch_rows)));
      // Only write() adds to it.
      buffered_peak = std::max(buffered_peak, (*sink)->metrics().buffered_bytes);
    }
    check((*sink)->flush());
    const double seconds = watch.seconds();
    const SinkMetrics metrics = (*sink)->metrics();
    check((*sink)->close());
    expect_rows(count);
    if (metrics.batches_sent != count / config_.batch_rows) {
      throw std::runtime_error("not one transaction a batch, but " +
                               std::to_string(metrics.batches_sent) + " in all");
    }
    return {static_cast<double>(count) / seconds, static_cast<double>(buffered_peak)};
  }

  void expect_rows(size_t count) {
    const std::string seen = server_->scalar("SELECT count(*) FROM " + place_.table, database_);
    if (seen != std::to_string(count)) {
      throw std::runtime_error(seen + " rows came where " + std::to_string(count) + " went");
    }
  }

  Config config_;
  std::unique_ptr<test::PostgresServer> server_;
  std::string database_;
  test::WireProxy proxy_;
  Place place_;
  std::unique_ptr<Rows> rows_;
};

Config read_config(const Flags& flags) {
  Config config{.delay_ms = flags.count("delay-ms"),
                .batches = flags.count("batches"),
                .batch_rows = flags.count("batch-rows"),
                .buffer_bytes = flags.count("buffer-bytes"),
                .rounds = flags.count("rounds"),
                .windows = {}};
  for (const std::string& window : flags.list("windows")) {
    config.windows.push_back(std::stoull(window));
  }
  if (config.batches == 0 || config.batch_rows == 0 || config.rounds == 0 ||
      std::ranges::find(config.windows, kDefaultWindow) == config.windows.end()) {
    throw std::runtime_error("nothing to measure; --windows must hold " +
                             std::to_string(kDefaultWindow));
  }
  return config;
}

/// The section about upserts, after that about loads.
std::string report_upserts(const Config& config, const std::vector<SlowUpserts::Way>& ways,
                           Report& report) {
  Table table({"writer", "every tenth transaction fails", "rows/s", "ms per transaction",
               "times libpq's first"});
  for (const SlowUpserts::Way& way : ways) {
    const double rate = median(way.rows_per_s);
    const size_t rival = way.faults ? SlowUpserts::kStepsFaulty : SlowUpserts::kSteps;
    table.add({way.name, way.faults ? "yes" : "no", with_commas(static_cast<size_t>(rate)),
               fixed(1e3 * static_cast<double>(SlowUpserts::kBatchRows) / rate, 1),
               fixed(rate / median(ways[rival].rows_per_s), 1)});
    report.figures.add("upsert, " + way.name + (way.faults ? ", with faults" : "") + ": rows/s",
                       rate);
  }
  const auto times = [&](size_t ours, size_t rival) {
    return median(ways[ours].rows_per_s) / median(ways[rival].rows_per_s);
  };
  report.goals.at_least("upserts by pgsink: times libpq with BEGIN and COMMIT",
                        times(SlowUpserts::kPgsink, SlowUpserts::kSteps), kTimesUpsertMin);
  report.goals.at_least(
      "upserts by pgsink, every tenth transaction failing: times the same of libpq",
      times(SlowUpserts::kPgsinkFaulty, SlowUpserts::kStepsFaulty), kTimesFaultyUpsertMin);
  return section(
      "How fast are upserts into a distant server, and when transactions fail?",
      "The same round trip, " + std::to_string(config.batches * kUpsertsOfBatch) + " batches of " +
          with_commas(SlowUpserts::kBatchRows) +
          " rows, one transaction each. The failures are serialization failures, deadlocks and "
          "terminated backends in turns. After each run the table is compared with the rows that "
          "it must hold. \"Times libpq's first\" compares with libpq's BEGIN … COMMIT under the "
          "same failures.",
      table);
}

void report_ways(const Config& config, const std::vector<Way>& ways,
                 const std::vector<SlowUpserts::Way>& upserts, const Flags& flags) {
  Table table({"writer", "rows/s", "ms per transaction", "times libpq's BEGIN, COPY, COMMIT",
               "times libpq's COPY alone"});
  Report report;
  const double stepwise = median(ways[0].rows_per_s);
  const double autocommit = median(ways[1].rows_per_s);
  for (const Way& way : ways) {
    const double rate = median(way.rows_per_s);
    table.add({way.name, with_commas(static_cast<size_t>(rate)),
               fixed(1e3 * static_cast<double>(config.batch_rows) / rate, 1),
               fixed(rate / stepwise, 1), fixed(rate / autocommit, 1)});
    report.figures.add(way.name + ": rows/s", rate);
    if (!way.name.starts_with("pgsink")) continue;
    report.goals.at_most(way.name + ": peak of buffered_bytes, KiB", way.buffered_bytes_peak / 1024,
                         static_cast<double>(config.buffer_bytes) / 1024, 0);
    if (!way.name.ends_with(" " + std::to_string(kDefaultWindow))) continue;
    report.goals.at_least(way.name + ": times libpq with BEGIN and COMMIT", rate / stepwise,
                          kTimesLibpqMin);
    report.goals.at_least(way.name + ": times libpq's COPY alone", rate / autocommit,
                          kTimesLibpqMin);
  }
  report.page = section("How fast is a load into a distant server?",
                        "A proxy delays both directions: the round trip is " +
                            std::to_string(2 * config.delay_ms) + " ms. Batches of " +
                            with_commas(config.batch_rows) +
                            " narrow rows, one transaction each; `buffer_bytes` is " +
                            with_commas(config.buffer_bytes) + ". Medians of " +
                            std::to_string(config.rounds) + " interleaved rounds.",
                        table);
  report.page += report_upserts(config, upserts, report);
  finish(flags, report);
}

}  // namespace
}  // namespace pgsink::bench

int main(int argc, char** argv) {
  using namespace pgsink::bench;
  return run_main("latency_bench", {argv, static_cast<size_t>(argc)}, [](auto arguments) {
    const Flags flags(arguments, {{"delay-ms", "10"},
                                  {"batches", "40"},
                                  {"batch-rows", "1000"},
                                  {"buffer-bytes", "1048576"},
                                  {"rounds", "3"},
                                  {"windows", "1,4,16"},
                                  {"markdown", ""},
                                  {"details", ""},
                                  {"json", ""},
                                  {"enforce", "no"}});
    const Config config = read_config(flags);
    Bench bench(config);
    const auto ways = bench.run();
    report_ways(config, ways, bench.run_upserts(), flags);
  });
}
