// The same rows into the same empty table by 1, 2, 4 and 10 lanes, in turns, and into partitions
// straight and through their table: docs/reference/benchmarks.md.

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "bench_server.h"
#include "measured_child.h"
#include "report.h"
#include "rows.h"
#include "writers.h"

namespace pgsink::bench {
namespace {

/// Where client and server have a core each, two lanes have no core to use that one has not.
constexpr double kTwoLanesOnTwoCoresMin = 0.95;
constexpr double kTwoLanesMin = 1.6;
constexpr unsigned kCoresForTwoLanes = 4;  // two clients, two backends
constexpr size_t kBatchRows = 10'000;
constexpr size_t kTransactionRows = 1'000'000;
/// The values of narrow rows' n, half of them negative.
constexpr int64_t kNumbers = 2'000'000;
constexpr double kStraightMin = 1.12;

struct Config {
  std::vector<size_t> lanes, partitions;
  size_t rounds = 0;
};

/// Rows a second in each of several ways to write all rows into the place's table, in turns.
std::vector<double> measure_ways(const Rows& rows, const Place& place,
                                 const std::vector<SinkOptions>& ways, size_t rounds) {
  std::vector<std::vector<double>> rates(ways.size());
  for (size_t round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < ways.size(); ++i) {
      place.server.sql("TRUNCATE " + place.table);
      const Sample sample = measure(pgsink_run(rows, ways[i], kBatchRows));
      rates[i].push_back(static_cast<double>(rows.row_count()) / sample.wall_s);
      if (place.server.scalar("SELECT count(*) FROM " + place.table) !=
          std::to_string(rows.row_count())) {
        throw std::runtime_error("rows are missing");
      }
    }
  }
  std::vector<double> medians;
  for (auto& of_way : rates) medians.push_back(median(std::move(of_way)));
  return medians;
}

std::vector<double> measure_lanes(const Config& config, const Rows& rows,
                                  test::PostgresServer& server) {
  const Place place{server, "postgres", std::string(rows.name())};
  server.sql("CREATE UNLOGGED TABLE " + place.table + " (" + std::string(rows.table_columns()) +
             ")");
  std::vector<SinkOptions> ways(config.lanes.size(), sink_options(place));
  for (size_t i = 0; i < ways.size(); ++i) {
    ways[i].parallelism = static_cast<int64_t>(config.lanes[i]);
  }
  return measure_ways(rows, place, ways, config.rounds);
}

/// Rows that come in no order, through the partitioned table and straight into its partitions.
std::string report_partitions(const Config& config, const Rows& rows, test::PostgresServer& server,
                              Report& report) {
  Table table({"partitions", "through the table, M rows/s", "straight, M rows/s",
               "straight / through the table"});
  for (const size_t count : config.partitions) {
    const Place place{server, "postgres", "split_by_" + std::to_string(count)};
    server.sql("CREATE TABLE " + place.table + " (" + std::string(rows.table_columns()) +
               ") PARTITION BY RANGE (n)");
    const int64_t width = kNumbers / static_cast<int64_t>(count) + 1;
    for (size_t i = 0; i < count; ++i) {
      const int64_t first = static_cast<int64_t>(i) * width - kNumbers / 2;
      server.sql("CREATE TABLE " + place.table + "_" + std::to_string(i) + " PARTITION OF " +
                 place.table + " FOR VALUES FROM (" + std::to_string(first) + ") TO (" +
                 std::to_string(first + width) + ")");
    }
    std::vector<SinkOptions> ways(2, sink_options(place));
    for (SinkOptions& way : ways) {
      way.batch_size = kTransactionRows;
      way.batch_bytes = way.buffer_bytes = int64_t{256} << 20;
    }
    ways[0].partition_copy_min_rows = 0;
    const std::vector<double> rates = measure_ways(rows, place, ways, config.rounds);
    const std::string name = std::to_string(count) + " partitions";
    table.add({std::to_string(count), fixed(rates[0] / 1e6, 2), fixed(rates[1] / 1e6, 2),
               fixed(rates[1] / rates[0], 2)});
    report.figures.add(name + ", through the table: rows/s", rates[0]);
    report.figures.add(name + ", straight: rows/s", rates[1]);
    report.goals.at_least(name + ": straight to through the table", rates[1] / rates[0],
                          kStraightMin);
  }
  return section("Does it help to copy rows straight into their partitions?",
                 "One lane, " + std::string(rows.name()) + " rows in random order of the key, " +
                     with_commas(kTransactionRows) + " per transaction.",
                 table);
}

void run(const Flags& flags) {
  Config config{.rounds = flags.count("rounds")};
  for (const std::string& lanes : flags.list("lanes")) config.lanes.push_back(std::stoull(lanes));
  for (const std::string& count : flags.list("partitions")) {
    config.partitions.push_back(std::stoull(count));
  }
  if (config.lanes.empty() || config.lanes.front() != 1 || config.rounds == 0) {
    throw std::runtime_error("--lanes begins with 1, and there is a round at least");
  }
  const unsigned cores = std::thread::hardware_concurrency();
  Table table({"rows", "lanes", "M rows/s", "times one lane"});
  Report report;
  const auto server = start_bench_server();
  std::vector<std::unique_ptr<Rows>> all;
  all.push_back(make_narrow_rows(flags.count("rows-narrow")));
  all.push_back(make_mixed_rows(flags.count("rows-mixed")));
  for (const auto& rows : all) {
    const std::string name(rows->name());
    const std::vector<double> rates = measure_lanes(config, *rows, *server);
    for (size_t i = 0; i < rates.size(); ++i) {
      const std::string lanes = std::to_string(config.lanes[i]);
      table.add({name, lanes, fixed(rates[i] / 1e6, 2), fixed(rates[i] / rates[0], 2)});
      report.figures.add(name + ", " + lanes + " lanes: rows/s", rates[i]);
      if (config.lanes[i] != 2) continue;
      report.goals.at_least(name + ": two lanes to one", rates[i] / rates[0],
                            cores >= kCoresForTwoLanes ? kTwoLanesMin : kTwoLanesOnTwoCoresMin);
    }
  }
  all.clear();
  const auto spread = make_narrow_rows(flags.count("rows-partitioned"));
  report.page =
      section("How much do more lanes help?",
              "Inserts over a Unix socket. Client and server share " + std::to_string(cores) +
                  " cores. Medians of " + std::to_string(config.rounds) + " interleaved rounds.",
              table);
  report.page += report_partitions(config, *spread, *server, report);
  finish(flags, report);
}

}  // namespace
}  // namespace pgsink::bench

int main(int argc, char** argv) {
  using namespace pgsink::bench;
  return run_main("lanes_bench", {argv, static_cast<size_t>(argc)}, [](auto arguments) {
    run(Flags(arguments, {{"lanes", "1,2,4,10"},
                          {"partitions", "10,50"},
                          {"rows-narrow", "3000000"},
                          {"rows-partitioned", "5000000"},
                          {"rows-mixed", "600000"},
                          {"rounds", "7"},
                          {"markdown", ""},
                          {"details", ""},
                          {"json", ""},
                          {"enforce", "no"}}));
  });
}
