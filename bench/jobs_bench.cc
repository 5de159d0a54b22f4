// The same rows into the same empty table by one sink with several lanes, and by a job of as many
// parts in each of its ways, in turns: docs/how-to/jobs.md.

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <pgsink/job.h>

#include "bench_server.h"
#include "measured_child.h"
#include "report.h"
#include "rows.h"
#include "writers.h"

namespace pgsink::bench {
namespace {

constexpr size_t kBatchRows = 10'000;

/// Way is how a job writes, and how much of a sink's speed it has to reach.
struct Way {
  std::string_view name;
  Atomic atomic;
  double without_index, with_key;
};
constexpr Way kWays[] = {{"none", Atomic::kNone, 0.85, 0.85},
                         {"2pc", Atomic::kTwoPhase, 0.85, 0.85},
                         {"staging", Atomic::kStaging, 0.35, 0.30}};

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  return *std::move(result);
}

/// Writes rows [begin, end).
Status write_rows(Sink& sink, const Rows& rows, size_t begin, size_t end) {
  for (size_t row = begin; row < end; row += kBatchRows) {
    Status written = sink.write(rows.batch(row, std::min(kBatchRows, end - row)));
    if (!written) return written;
  }
  return {};
}

/// One sink, from open to close.
Run sink_run(const Rows& rows, SinkOptions options, size_t lanes) {
  options.parallelism = static_cast<int64_t>(lanes);
  return [&rows, options](Meter& meter) {
    rows.touch();
    meter.start();
    const auto sink = must(Sink::open(options, rows.schema()));
    check(write_rows(*sink, rows, 0, rows.row_count()));
    check(sink->close());
    meter.stop();
  };
}

/// The n-th part of a job. It runs in a thread, as it would in a process elsewhere.
Result<std::string> write_part(const Rows& rows, const SinkOptions& options,
                               const std::string& ticket, size_t n, size_t parts) {
  const auto part = open_part(options, ticket, static_cast<uint32_t>(n), rows.schema());
  if (!part) return fail(part.error());
  const size_t all = rows.row_count();
  const Status written = write_rows(**part, rows, all * n / parts, all * (n + 1) / parts);
  return written ? finish_part(**part) : fail(written.error());
}

/// A job, from open to commit.
Run job_run(const Rows& rows, const SinkOptions& options, size_t parts, Atomic atomic) {
  return [&rows, options, parts, atomic](Meter& meter) {
    rows.touch();
    meter.start();
    const auto job = must(Job::open(options, rows.schema(), {.atomic = atomic}));
    std::vector<Result<std::string>> tokens(parts, std::string());
    {
      std::vector<std::jthread> tasks;
      for (size_t n = 0; n < parts; ++n) {
        tasks.emplace_back(
            [&, n] { tokens[n] = write_part(rows, options, job->ticket(), n, parts); });
      }
    }
    std::vector<std::string> texts;
    for (auto& token : tokens) texts.push_back(must(std::move(token)));
    must(job->commit(texts));
    meter.stop();
  };
}

/// Rows a second of the sink, then of the job in each way: medians of rounds in turns.
std::vector<double> rates(const Rows& rows, const Place& place, size_t lanes, size_t rounds) {
  const SinkOptions options = sink_options(place);
  std::vector<Run> runs{sink_run(rows, options, lanes)};
  for (const Way& way : kWays) runs.push_back(job_run(rows, options, lanes, way.atomic));
  std::vector<std::vector<double>> measured(runs.size());
  for (size_t round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < runs.size(); ++i) {
      place.server.sql("TRUNCATE " + place.table);
      const Sample sample = measure(runs[i]);
      measured[i].push_back(static_cast<double>(rows.row_count()) / sample.wall_s);
      if (place.server.scalar("SELECT count(*) FROM " + place.table) !=
          std::to_string(rows.row_count())) {
        throw std::runtime_error("rows are missing");
      }
    }
  }
  std::vector<double> medians;
  for (auto& of_run : measured) medians.push_back(median(std::move(of_run)));
  return medians;
}

void run(const Flags& flags) {
  const auto rows = make_narrow_rows(flags.count("rows"));
  const size_t lanes = flags.count("parts"), rounds = flags.count("rounds");
  if (lanes == 0 || rounds == 0) throw std::runtime_error("--parts and --rounds are 1 at least");
  const auto server = start_bench_server();
  Report report;
  Table table({"table", "one sink, M rows/s", "job", "M rows/s", "times the sink"});
  for (const bool key : {false, true}) {
    const std::string name = key ? "with primary key" : "without index";
    const Place place{*server, "postgres", key ? "with_key" : "without_index"};
    server->sql("CREATE TABLE " + place.table + " (" + std::string(rows->table_columns()) + ")");
    if (key) server->sql("ALTER TABLE " + place.table + " ADD PRIMARY KEY (id)");
    const std::vector<double> measured = rates(*rows, place, lanes, rounds);
    report.figures.add(name + ", sink: rows/s", measured[0]);
    for (size_t i = 0; i < std::size(kWays); ++i) {
      const Way& way = kWays[i];
      const double ratio = measured[i + 1] / measured[0];
      table.add({name, fixed(measured[0] / 1e6, 2), std::string(way.name),
                 fixed(measured[i + 1] / 1e6, 2), fixed(ratio, 2)});
      report.figures.add(name + ", " + std::string(way.name) + ": rows/s", measured[i + 1]);
      report.goals.at_least(name + ": job with " + std::string(way.name) + " to a sink", ratio,
                            key ? way.with_key : way.without_index);
    }
  }
  report.page = section("What does a job cost?",
                        "Inserts of " + with_commas(rows->row_count()) + " narrow rows by " +
                            std::to_string(lanes) +
                            " parts, from the opening of the job to its "
                            "commit, and by a sink with as many lanes. Logged tables. Medians of " +
                            std::to_string(rounds) + " interleaved rounds.",
                        table);
  finish(flags, report);
}

}  // namespace
}  // namespace pgsink::bench

int main(int argc, char** argv) {
  using namespace pgsink::bench;
  return run_main("jobs_bench", {argv, static_cast<size_t>(argc)}, [](auto arguments) {
    run(Flags(arguments, {{"rows", "3000000"},
                          {"parts", "2"},
                          {"rounds", "5"},
                          {"markdown", ""},
                          {"details", ""},
                          {"json", ""},
                          {"enforce", "no"}}));
  });
}
