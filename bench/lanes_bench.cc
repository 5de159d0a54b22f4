// The same rows into the same empty table by 1, 2, 4 and 10 lanes, in turns: docs/benchmarks.md.

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

struct Config {
  std::vector<size_t> lanes;
  size_t rounds = 0;
};

/// Rows a second by each number of lanes, in the order of `config.lanes`.
std::vector<double> measure_lanes(const Config& config, const Rows& rows,
                                  test::PostgresServer& server) {
  const Place place{server, "postgres", std::string(rows.name())};
  server.sql("CREATE UNLOGGED TABLE " + place.table + " (" + std::string(rows.table_columns()) +
             ")");
  std::vector<std::vector<double>> rates(config.lanes.size());
  for (size_t round = 0; round < config.rounds; ++round) {
    for (size_t i = 0; i < config.lanes.size(); ++i) {
      SinkOptions options = sink_options(place);
      options.parallelism = static_cast<int64_t>(config.lanes[i]);
      server.sql("TRUNCATE " + place.table);
      const Sample sample = measure(pgsink_run(rows, options, kBatchRows));
      rates[i].push_back(static_cast<double>(rows.row_count()) / sample.wall_s);
      if (server.scalar("SELECT count(*) FROM " + place.table) !=
          std::to_string(rows.row_count())) {
        throw std::runtime_error("rows are missing");
      }
    }
  }
  std::vector<double> medians;
  for (auto& of_lanes : rates) medians.push_back(median(std::move(of_lanes)));
  return medians;
}

void run(const Flags& flags) {
  Config config{.rounds = flags.count("rounds")};
  for (const std::string& lanes : flags.list("lanes")) config.lanes.push_back(std::stoull(lanes));
  if (config.lanes.empty() || config.lanes.front() != 1 || config.rounds == 0) {
    throw std::runtime_error("--lanes begins with 1, and there is a round at least");
  }
  const unsigned cores = std::thread::hardware_concurrency();
  std::vector<std::string> head{"rows"};
  for (const size_t lanes : config.lanes) {
    head.push_back(lanes == 1 ? "1 lane" : std::to_string(lanes) + " lanes");
  }
  Table table(head);
  Goals goals;
  Figures figures;
  const auto server = start_bench_server();
  std::vector<std::unique_ptr<Rows>> all;
  all.push_back(make_narrow_rows(flags.count("rows-narrow")));
  all.push_back(make_mixed_rows(flags.count("rows-mixed")));
  for (const auto& rows : all) {
    const std::string name(rows->name());
    const std::vector<double> rates = measure_lanes(config, *rows, *server);
    std::vector<std::string> row{name};
    for (size_t i = 0; i < rates.size(); ++i) {
      row.push_back(fixed(rates[i] / 1e6, 2) + " M/s (" + fixed(rates[i] / rates[0], 2) + "x)");
      figures.add(name + ", " + std::to_string(config.lanes[i]) + " lanes: rows/s", rates[i]);
      if (config.lanes[i] != 2) continue;
      goals.at_least(name + ": two lanes to one", rates[i] / rates[0],
                     cores >= kCoresForTwoLanes ? kTwoLanesMin : kTwoLanesOnTwoCoresMin);
    }
    table.add(std::move(row));
  }
  const std::string text = "Inserts over a Unix socket, " + std::to_string(cores) +
                           " cores for client and server together, medians of " +
                           std::to_string(config.rounds) + " interleaved rounds.\n\n" +
                           table.markdown() + "\n" + goals.markdown();
  finish(flags, text, figures, goals);
}

}  // namespace
}  // namespace pgsink::bench

int main(int argc, char** argv) {
  using namespace pgsink::bench;
  return run_main("lanes_bench", {argv, static_cast<size_t>(argc)}, [](auto arguments) {
    run(Flags(arguments, {{"lanes", "1,2,4,10"},
                          {"rows-narrow", "3000000"},
                          {"rows-mixed", "600000"},
                          {"rounds", "7"},
                          {"markdown", ""},
                          {"json", ""},
                          {"enforce", "no"}}));
  });
}
