// Loads the same rows into the same table of the same server by pgsink, by libpq with a binary row
// encoder written by hand, and by the server's own COPY FROM file, in turns, and says whether
// pgsink keeps what it promises: docs/reference/benchmarks.md.

#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench_server.h"
#include "report.h"
#include "writers.h"

namespace pgsink::bench {
namespace {

constexpr double kWallToLibpqMax = 1.15;
constexpr double kWallToLibpqInOneMax = 1.02;
constexpr double kCpuToLibpqNarrowMax = 0.75, kCpuToLibpqMax = 0.95;
constexpr double kWallToServerMax = 1.10;
constexpr double kWritesPer64KiBMax = 1.00;
constexpr double kMemoryMiBMax = 1.00;
constexpr double kMiB = 1 << 20;

/// How pgsink is used: the batches that it is given, and the only option that is set, if any.
struct Use {
  size_t batch_rows = 0;
  bool in_one = false;  ///< One transaction for the whole load, as libpq's.

  std::string name() const {
    return with_commas(batch_rows) + (in_one ? " in one transaction" : "");
  }
};

struct Config {
  size_t rows_narrow = 0, rows_mixed = 0, rows_wide = 0;
  size_t pairs = 0;
  std::string shared_buffers;
  std::vector<Use> uses;
  std::vector<Transport> transports;
};

struct Outputs {
  Table speed{{"rows", "over", "batches", "server's COPY FROM, M rows/s", "libpq, M rows/s",
               "pgsink, M rows/s", "pgsink's time / libpq's", "pgsink's time / server's"}};
  Table cost{{"rows", "over", "batches", "libpq, ns/row", "pgsink, ns/row", "pgsink / libpq"}};
  Table calls{{"rows", "over", "batches", "libpq, writes per 64 KiB", "pgsink, writes per 64 KiB",
               "libpq, MiB", "pgsink, MiB"}};
  Table all{{"rows", "over", "batches", "server's COPY s", "libpq s", "pgsink s", "wall to libpq",
             "wall to server", "libpq CPU µs/row", "pgsink CPU µs/row", "CPU to libpq",
             "libpq writes/64 KiB", "pgsink writes/64 KiB", "libpq memory MiB",
             "pgsink memory MiB"}};
  Report report;
};

/// The samples of one data set over one transport; [i] of each was taken in the same turn.
struct Series {
  std::vector<Sample> server, libpq, pgsink;
  Calls libpq_calls, pgsink_calls;
};

double median_of(const std::vector<Sample>& samples, double (*value)(const Sample&)) {
  std::vector<double> values;
  for (const Sample& sample : samples) values.push_back(value(sample));
  return median(std::move(values));
}

double median_ratio(const std::vector<Sample>& ours, const std::vector<Sample>& theirs,
                    double (*value)(const Sample&)) {
  std::vector<double> ratios;
  for (size_t i = 0; i < ours.size(); ++i) ratios.push_back(value(ours[i]) / value(theirs[i]));
  return median(std::move(ratios));
}

double wall(const Sample& sample) { return sample.wall_s; }
double cpu(const Sample& sample) { return sample.cpu_s; }
double memory(const Sample& sample) { return static_cast<double>(sample.memory_bytes) / kMiB; }

class Bench {
 public:
  explicit Bench(Config config)
      : config_(std::move(config)), server_(start_bench_server(config_.shared_buffers)) {
    database_ = server_->create_database("bench");
  }

  void run(const Rows& rows, Outputs& outputs) {
    const std::string file = prepare(rows);
    for (const Transport transport : config_.transports) {
      for (const Use& use : config_.uses) {
        const Series series = measure_series(rows, use, place(rows, transport), file);
        const double copy_bytes = static_cast<double>(std::filesystem::file_size(file));
        report(rows, use, transport, series, copy_bytes, outputs);
      }
    }
    std::filesystem::remove(file);
    server_->sql("DROP TABLE " + std::string(rows.name()), database_);
  }

 private:
  Place place(const Rows& rows, Transport transport) {
    return {*server_, database_, std::string(rows.name()), transport};
  }

  static SinkOptions options(const Rows& rows, const Use& use, const Place& place) {
    SinkOptions options = sink_options(place);
    if (use.in_one) {
      // Nothing but the end of the rows may end it.
      options.transaction_size = static_cast<int64_t>(rows.row_count());
      options.batch_timeout_ms = 3'600'000;
      options.buffer_bytes = int64_t{16} << 30;
    }
    return options;
  }

  void truncate(const Rows& rows) {
    server_->sql("TRUNCATE " + std::string(rows.name()), database_);
  }

  Sample measure_truncated(const Rows& rows, const Run& run) {
    truncate(rows);
    return measure(run);
  }

  std::string digest(const Rows& rows) {
    const std::string table(rows.name());
    return server_->scalar("SELECT count(*) || ' rows, ' || sum(hashtextextended(" + table +
                               "::text, 0)) FROM " + table,
                           database_);
  }

  /// Makes the table and the server's file; returns the file.
  std::string prepare(const Rows& rows) {
    const std::string table(rows.name());
    server_->sql("CREATE UNLOGGED TABLE " + table + " (" + std::string(rows.table_columns()) + ")",
                 database_);
    const std::string file = server_->directory() + "/" + table + ".copy";
    write_copy_file(rows, file);
    return file;
  }

  /// One load of each that is not counted, which also proves that all three write the same rows.
  void warm_up(const Rows& rows, const std::vector<Run>& runs) {
    std::string first;
    for (const Run& run : runs) {
      measure_truncated(rows, run);
      const std::string seen = digest(rows);
      if (first.empty()) first = seen;
      if (seen != first) throw std::runtime_error("the writers differ: " + first + " / " + seen);
    }
    if (!first.starts_with(std::to_string(rows.row_count()) + " rows")) {
      throw std::runtime_error("rows are missing: " + first);
    }
  }

  Series measure_series(const Rows& rows, const Use& use, const Place& place,
                        const std::string& file) {
    const Run server = server_run(place, file);
    const Run libpq = libpq_run(rows, place);
    const Run pgsink = pgsink_run(rows, options(rows, use, place), use.batch_rows);
    warm_up(rows, {server, libpq, pgsink});
    Series series;
    for (size_t pair = 0; pair < config_.pairs; ++pair) {
      series.server.push_back(measure_truncated(rows, server));
      // Who comes second finds the caches of the first: each is first as often as the other.
      const bool ours_first = pair % 2 == 1;
      if (ours_first) series.pgsink.push_back(measure_truncated(rows, pgsink));
      series.libpq.push_back(measure_truncated(rows, libpq));
      if (!ours_first) series.pgsink.push_back(measure_truncated(rows, pgsink));
      say(std::string(rows.name()) + " " + std::string(transport_name(place.transport)) + ", " +
          use.name() + ": server " + fixed(series.server.back().wall_s, 3) + " s; libpq " +
          describe(rows, series.libpq.back()) + "; pgsink " + describe(rows, series.pgsink.back()));
    }
    truncate(rows);
    series.libpq_calls = count_calls(libpq);
    truncate(rows);
    series.pgsink_calls = count_calls(pgsink);
    return series;
  }

  static std::string describe(const Rows& rows, const Sample& sample) {
    return fixed(sample.wall_s, 3) + " s, " +
           fixed(sample.cpu_s * 1e6 / static_cast<double>(rows.row_count()), 4) + " us/row, " +
           fixed(memory(sample), 2) + " MiB, " + std::to_string(sample.waits) + " waits";
  }

  static void report(const Rows& rows, const Use& use, Transport transport, const Series& series,
                     double copy_bytes, Outputs& outputs) {
    const double us_per_row = 1e6 / static_cast<double>(rows.row_count());
    const double pieces = copy_bytes / 65536;
    const double wall_to_libpq = median_ratio(series.pgsink, series.libpq, wall);
    const double wall_to_server = median_ratio(series.pgsink, series.server, wall);
    const double cpu_to_libpq = median_ratio(series.pgsink, series.libpq, cpu);
    const double libpq_writes = static_cast<double>(series.libpq_calls.writes) / pieces;
    const double pgsink_writes = static_cast<double>(series.pgsink_calls.writes) / pieces;
    const double pgsink_memory = median_of(series.pgsink, memory);
    const double libpq_cpu = median_of(series.libpq, cpu) * us_per_row;
    const double pgsink_cpu = median_of(series.pgsink, cpu) * us_per_row;
    const std::string over(transport_name(transport));
    const std::string name = std::string(rows.name()) + ", " + over + ", " + use.name();
    const std::string kind(rows.name());
    const auto rate = [&](const std::vector<Sample>& samples) {
      return fixed(1 / (median_of(samples, wall) * us_per_row), 2);
    };
    outputs.speed.add({kind, over, use.name(), rate(series.server), rate(series.libpq),
                       rate(series.pgsink), fixed(wall_to_libpq, 2), fixed(wall_to_server, 2)});
    outputs.cost.add({kind, over, use.name(), fixed(libpq_cpu * 1e3, 1), fixed(pgsink_cpu * 1e3, 1),
                      fixed(cpu_to_libpq, 2)});
    outputs.calls.add({kind, over, use.name(), fixed(libpq_writes, 2), fixed(pgsink_writes, 2),
                       fixed(median_of(series.libpq, memory), 2), fixed(pgsink_memory, 2)});
    outputs.all.add({kind, over, use.name(), fixed(median_of(series.server, wall), 3),
                     fixed(median_of(series.libpq, wall), 3),
                     fixed(median_of(series.pgsink, wall), 3), fixed(wall_to_libpq, 3),
                     fixed(wall_to_server, 3), fixed(libpq_cpu, 4), fixed(pgsink_cpu, 4),
                     fixed(cpu_to_libpq, 3), fixed(libpq_writes, 2), fixed(pgsink_writes, 2),
                     fixed(median_of(series.libpq, memory), 2), fixed(pgsink_memory, 2)});
    Goals& goals = outputs.report.goals;
    goals.at_most(name + ": wall to libpq", wall_to_libpq,
                  use.in_one ? kWallToLibpqInOneMax : kWallToLibpqMax);
    goals.at_most(name + ": CPU to libpq", cpu_to_libpq,
                  kind == "narrow" ? kCpuToLibpqNarrowMax : kCpuToLibpqMax);
    // The server's own COPY reads a file: it neither receives nor decrypts.
    if (transport == Transport::kUnix && use.in_one) {
      goals.at_most(name + ": wall to the server's COPY", wall_to_server, kWallToServerMax);
    }
    goals.at_most(name + ": writes per 64 KiB", pgsink_writes, kWritesPer64KiBMax);
    goals.at_most(name + ": memory above the rows, MiB", pgsink_memory, kMemoryMiBMax);
    const std::string key =
        kind + "_" + over + "_" + std::to_string(use.batch_rows) + (use.in_one ? "_in_one_" : "_");
    Figures& figures = outputs.report.figures;
    figures.add(key + "server_wall_s", median_of(series.server, wall));
    figures.add(key + "libpq_wall_s", median_of(series.libpq, wall));
    figures.add(key + "pgsink_wall_s", median_of(series.pgsink, wall));
    figures.add(key + "wall_to_libpq", wall_to_libpq);
    figures.add(key + "wall_to_server", wall_to_server);
    figures.add(key + "libpq_cpu_us_per_row", libpq_cpu);
    figures.add(key + "pgsink_cpu_us_per_row", pgsink_cpu);
    figures.add(key + "cpu_to_libpq", cpu_to_libpq);
    figures.add(key + "libpq_writes_per_64kib", libpq_writes);
    figures.add(key + "pgsink_writes_per_64kib", pgsink_writes);
    figures.add(key + "libpq_reads", static_cast<double>(series.libpq_calls.reads));
    figures.add(key + "pgsink_reads", static_cast<double>(series.pgsink_calls.reads));
    figures.add(key + "libpq_waits", static_cast<double>(series.libpq_calls.waits));
    figures.add(key + "pgsink_waits", static_cast<double>(series.pgsink_calls.waits));
    figures.add(key + "pgsink_memory_mib", pgsink_memory);
  }

  Config config_;
  std::unique_ptr<test::PostgresServer> server_;
  std::string database_;
};

Config read_config(const Flags& flags) {
  Config config{.rows_narrow = flags.count("rows-narrow"),
                .rows_mixed = flags.count("rows-mixed"),
                .rows_wide = flags.count("rows-wide"),
                .pairs = flags.count("pairs"),
                .shared_buffers = flags.text("shared-buffers"),
                .uses = {{.batch_rows = 1000}, {.batch_rows = 65'536}},
                .transports = {}};
  if (flags.text("in-one") == "yes") config.uses.push_back({.batch_rows = 65'536, .in_one = true});
  for (const std::string& name : flags.list("transports")) {
    bool known = false;
    for (const Transport one : {Transport::kUnix, Transport::kTcp, Transport::kTls}) {
      if (name != transport_name(one)) continue;
      config.transports.push_back(one);
      known = true;
    }
    if (!known) throw std::runtime_error("--transports: " + name + " is none of unix, tcp, tls");
  }
  if (config.pairs == 0) throw std::runtime_error("--pairs must be at least 1");
  return config;
}

std::string describe_method(const Config& config) {
  return "The same rows go into the same empty table in three ways, in turns. One is the server's "
         "own `COPY FROM` a file, which no client beats on one connection. libpq encodes row by "
         "row from structs, calls `PQputCopyData` with 64 KiB, and loads all in one transaction. "
         "pgsink gets batches of so many rows in Arrow's layout; all of its options have their "
         "defaults, unless the whole load is to be one transaction. The server's `shared_buffers` "
         "are " +
         config.shared_buffers + ".\n\n" + with_commas(config.rows_narrow) + " narrow, " +
         with_commas(config.rows_mixed) + " mixed and " + with_commas(config.rows_wide) +
         " wide rows. Medians of " + std::to_string(config.pairs) +
         " rounds. Ratios are medians of the ratio within each round, not quotients of the medians "
         "beside them.";
}

std::string compose_page(const Config& config, const Outputs& outputs) {
  return section("How fast is a load on one connection?", describe_method(config), outputs.speed) +
         section("How much CPU does a load cost the client?",
                 "The same runs. Each is a process of its own; CPU is the user and system time of "
                 "all its threads.",
                 outputs.cost) +
         section("How many system calls and how much memory does a load take?",
                 "Calls that write to the socket, counted under ptrace in a run that is not timed. "
                 "Memory is the peak above the rows, which the process held before.",
                 outputs.calls);
}

void run(std::span<char* const> arguments) {
  const Flags flags(arguments, {{"rows-narrow", "3000000"},
                                {"rows-mixed", "500000"},
                                {"pairs", "5"},
                                {"transports", "unix,tcp,tls"},
                                {"rows-wide", "300000"},
                                {"shared-buffers", "256MB"},
                                {"in-one", "yes"},
                                {"markdown", ""},
                                {"details", ""},
                                {"json", ""},
                                {"enforce", "no"}});
  const Config config = read_config(flags);
  Bench bench(config);
  Outputs outputs;
  if (config.rows_narrow > 0) bench.run(*make_narrow_rows(config.rows_narrow), outputs);
  if (config.rows_mixed > 0) bench.run(*make_mixed_rows(config.rows_mixed), outputs);
  if (config.rows_wide > 0) bench.run(*make_wide_rows(config.rows_wide), outputs);
  outputs.report.page = compose_page(config, outputs);
  outputs.report.details = outputs.all.markdown() + "\n";
  finish(flags, outputs.report);
}

}  // namespace
}  // namespace pgsink::bench

int main(int argc, char** argv) {
  using namespace pgsink::bench;
  return run_main("copy_vs_libpq_bench", {argv, static_cast<size_t>(argc)}, run);
}
