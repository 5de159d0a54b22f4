// Inserts, upserts, updates and deletes the same rows of the same table by pgsink and by every way
// that a C programmer writes with libpq, at several batch sizes, each batch a transaction, and says
// whether pgsink keeps what it promises: docs/reference/benchmarks.md.

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <pgsink/sink.h>

#include "bench_server.h"
#include "changes.h"
#include "report.h"
#include "server_cpu.h"
#include "strategies.h"
#include "writers.h"

namespace pgsink::bench {
namespace {

constexpr double kRateToBestMin = 0.97;
constexpr double kRateToPipelinedMin = 1.4;
constexpr double kCpuToPipelinedMax = 0.25;
constexpr size_t kPipelinedGoalAt = 1000;
constexpr double kCliffMin = 0.9;
constexpr size_t kCliffFrom = 5000;
/// A strategy that waits for each row says the same after so many rows.
constexpr size_t kStepwiseRowsMax = 5000;
constexpr std::string_view kTable = "changes";
constexpr std::string_view kModel = "model", kWork = "work";

struct Config {
  size_t rows = 0, table_rows = 0, heat_rows = 0;
  size_t rounds = 0, finalists = 0, window = 0;
  std::vector<size_t> sizes;
  std::vector<WriteMode> modes;
  bool alone = false;            ///< Without rivals: to compare pgsink with itself.
  std::optional<bool> use_copy;  ///< Of pgsink: its own choice, always COPY, or never.
};

struct Outcome {
  double rows_per_s = 0, cpu_us_per_row = 0, server_us_per_row = 0;
};

/// A rival with what it reached, in the heat and beside pgsink.
struct Entry {
  Strategy strategy;
  Outcome heat;
  std::vector<Outcome> rounds;
};

/// Cell is one mode at one batch size.
struct Cell {
  WriteMode mode;
  size_t batch_rows;
  std::vector<Outcome> ours;
  std::vector<Entry> entries;

  Entry* find(Shape shape) {
    const auto found =
        std::ranges::find(entries, shape, [](const Entry& entry) { return entry.strategy.shape; });
    return found == entries.end() ? nullptr : &*found;
  }
};

double rate(const Outcome& result) { return result.rows_per_s; }
double cpu(const Outcome& result) { return result.cpu_us_per_row; }
double server(const Outcome& result) { return result.server_us_per_row; }

double median_of(const std::vector<Outcome>& results, double (*value)(const Outcome&)) {
  std::vector<double> values;
  values.reserve(results.size());
  for (const Outcome& result : results) values.push_back(value(result));
  return median(std::move(values));
}

double median_ratio(const std::vector<Outcome>& ours, const std::vector<Outcome>& theirs,
                    double (*value)(const Outcome&)) {
  std::vector<double> ratios;
  ratios.reserve(ours.size());
  for (size_t i = 0; i < ours.size(); ++i) ratios.push_back(value(ours[i]) / value(theirs[i]));
  return median(std::move(ratios));
}

/// As many rows as are whole batches; all, if they are fewer than one.
size_t whole_batches(size_t rows, size_t batch_rows) {
  return rows < batch_rows ? rows : rows - rows % batch_rows;
}

Run pgsink_run(const Changes& changes, SinkOptions options, size_t rows, size_t batch_rows) {
  options.write_mode = changes.mode();
  options.batch_size = static_cast<int64_t>(batch_rows);
  options.transaction_size = static_cast<int64_t>(batch_rows);
  options.batch_timeout_ms = 3'600'000;
  return [&changes, options = std::move(options), rows, batch_rows](Meter& meter) {
    std::vector<RecordBatch> batches;
    for (size_t at = 0; at < rows; at += batch_rows) {
      batches.push_back(changes.batch(at, std::min(batch_rows, rows - at)));
    }
    auto sink = Sink::open(options, changes.schema());
    if (!sink) throw std::runtime_error(sink.error().to_string());
    changes.touch();
    meter.start();
    for (RecordBatch& batch : batches) check((*sink)->write(std::move(batch)));
    check((*sink)->flush());
    meter.stop();
    if (const uint64_t sent = (*sink)->metrics().batches_sent; sent != batches.size()) {
      throw std::runtime_error("not one transaction a batch, but " + std::to_string(sent));
    }
    check((*sink)->close());
  };
}

/// ServerMeter also reads what the server has used. Its processes live beyond the run.
class ServerMeter final : public Meter {
 public:
  ServerMeter(Meter& client, pid_t postmaster, SharedNumber& used)
      : client_(client), postmaster_(postmaster), used_(used) {}
  void start() override {
    server_.emplace(postmaster_);
    client_.start();
  }
  void stop() override {
    client_.stop();
    used_.set(server_->seconds());
  }

 private:
  Meter& client_;
  pid_t postmaster_;
  SharedNumber& used_;
  std::optional<ServerClock> server_;
};

class Bench {
 public:
  explicit Bench(Config config) : config_(std::move(config)), server_(start_bench_server()) {
    server_->sql("CREATE DATABASE " + std::string(kModel));
    const std::string rows = std::to_string(config_.table_rows);
    // No vacuum may come in between: it would meet one writer and not the other.
    server_->sql(
        "CREATE TABLE changes (k int8 PRIMARY KEY, n int4 NOT NULL, v float8 NOT NULL,"
        " s text NOT NULL, at timestamptz NOT NULL) WITH (autovacuum_enabled = false);"
        " INSERT INTO changes SELECT 2 * i, i, i, rpad(i::text, 24, 'x'), now()"
        " FROM generate_series(0, " +
            rows + " - 1) AS i; ANALYZE changes",
        kModel);
    server_->sql("VACUUM changes", kModel);
  }

  std::vector<Cell> run() {
    std::vector<Cell> cells;
    for (const WriteMode mode : config_.modes) {
      changes_.emplace(mode, std::make_unique<Changes>(mode, config_.table_rows, config_.rows));
      for (const size_t size : config_.sizes) cells.push_back({mode, size, {}, {}});
    }
    for (Cell& cell : cells) {
      if (!config_.alone) run_heat(cell);
    }
    for (size_t round = 0; round < config_.rounds; ++round) {
      for (Cell& cell : cells) run_round(cell, round);
    }
    return cells;
  }

 private:
  /// The same pages each time, warm.
  void restore() {
    server_->sql("DROP DATABASE IF EXISTS " + std::string(kWork));
    server_->sql("CREATE DATABASE " + std::string(kWork) + " TEMPLATE " + std::string(kModel));
  }

  std::string digest() {
    return server_->scalar(
        "SELECT count(*) || ' rows, ' || sum(k # n) || ', ' || sum(hashfloat8(v)::int8 +"
        " hashtext(s) + timestamp_hash(at::timestamp)) FROM changes",
        kWork);
  }

  Outcome measure_one(const Run& run, size_t rows) {
    restore();
    const Sample sample = measure([&](Meter& meter) {
      ServerMeter both(meter, server_->postmaster_pid(), server_cpu_s_);
      run(both);
    });
    const auto count = static_cast<double>(rows);
    return {count / sample.wall_s, sample.cpu_s * 1e6 / count, server_cpu_s_.get() * 1e6 / count};
  }

  Outcome run_rival(const Cell& cell, const Strategy& strategy, size_t rows) {
    const Place place{*server_, std::string(kWork), std::string(kTable), Transport::kUnix};
    const Outcome result =
        measure_one(strategy_run(*changes_.at(cell.mode), strategy, libpq_conninfo(place), rows,
                                 cell.batch_rows, config_.window),
                    rows);
    tell(cell, strategy.name, rows, result);
    return result;
  }

  Outcome run_ours(const Cell& cell, size_t rows) {
    const Place place{*server_, std::string(kWork), std::string(kTable), Transport::kUnix};
    SinkOptions options = sink_options(place);
    options.in_flight_max = static_cast<int64_t>(config_.window);
    options.use_copy = config_.use_copy;
    if (config_.use_copy == true) {
      options.copy_batch_size = static_cast<int64_t>(cell.batch_rows);
    }
    const Outcome result = measure_one(
        pgsink_run(*changes_.at(cell.mode), std::move(options), rows, cell.batch_rows), rows);
    tell(cell, "pgsink", rows, result);
    return result;
  }

  static void tell(const Cell& cell, const std::string& who, size_t rows, const Outcome& result) {
    say(std::string(mode_name(cell.mode)) + " " + std::to_string(cell.batch_rows) + ": " + who +
        " " + fixed(result.rows_per_s / 1e3, 1) + " k rows/s, " + fixed(result.cpu_us_per_row, 3) +
        " us/row, server " + fixed(result.server_us_per_row, 2) + " us/row (" +
        std::to_string(rows) + " rows)");
  }

  /// Every rival once with few rows: who is slow here need not be measured again. Also proves that
  /// all of them, and pgsink, produce the same table.
  void run_heat(Cell& cell) {
    const size_t heat_rows = whole_batches(
        std::clamp(cell.batch_rows, config_.heat_rows, config_.rows), cell.batch_rows);
    run_ours(cell, heat_rows);
    const std::string expected = digest();
    for (Strategy& strategy : strategies(cell.mode, cell.batch_rows)) {
      const bool stepwise = strategy.shape == Shape::kRows;
      const size_t rows = stepwise ? std::min(heat_rows, kStepwiseRowsMax) : heat_rows;
      const Outcome heat = run_rival(cell, strategy, rows);
      if (rows == heat_rows && digest() != expected) {
        throw std::runtime_error(strategy.name + " leaves " + digest() + ", pgsink " + expected);
      }
      cell.entries.push_back({std::move(strategy), heat, {}});
    }
    std::ranges::sort(cell.entries, [](const Entry& left, const Entry& right) {
      return left.heat.rows_per_s > right.heat.rows_per_s;
    });
    const auto alone = std::ranges::stable_partition(
        cell.entries, [](const Entry& entry) { return !entry.strategy.alone(); });
    // Where others use the machine the clock alone picks by chance: who costs the server least is
    // the second.
    const auto cheapest =
        std::ranges::min_element(cell.entries.begin(), alone.begin(), {},
                                 [](const Entry& entry) { return entry.heat.server_us_per_row; });
    if (cheapest > cell.entries.begin() + 1) {
      std::rotate(cell.entries.begin() + 1, cheapest, cheapest + 1);
    }
  }

  /// The finalists among those that stand other writers, and the first of those that do not.
  bool in_rounds(const Cell& cell, size_t place) const {
    const Strategy& strategy = cell.entries[place].strategy;
    if (strategy.alone()) return !cell.entries[place - 1].strategy.alone();
    return place < config_.finalists ||
           (cell.batch_rows == kPipelinedGoalAt && strategy.shape == Shape::kRowsPipelined);
  }

  void run_round(Cell& cell, size_t round) {
    const size_t rows = whole_batches(config_.rows, cell.batch_rows);
    // Who comes second finds the caches of the first: each is first as often as the other.
    const bool ours_first = round % 2 == 1;
    if (ours_first) cell.ours.push_back(run_ours(cell, rows));
    for (size_t place = 0; place < cell.entries.size(); ++place) {
      if (!in_rounds(cell, place)) continue;
      Entry& entry = cell.entries[place];
      entry.rounds.push_back(run_rival(cell, entry.strategy, rows));
    }
    if (!ours_first) cell.ours.push_back(run_ours(cell, rows));
  }

  Config config_;
  std::unique_ptr<test::PostgresServer> server_;
  std::map<WriteMode, std::unique_ptr<Changes>> changes_;
  SharedNumber server_cpu_s_;
};

// ---- what it says ------------------------------------------------------------------------------

std::string cell_name(const Cell& cell) {
  return std::string(mode_name(cell.mode)) + ", " + std::to_string(cell.batch_rows) + " a batch";
}

/// The best of those that stand other writers of the table, or of those that do not; null if no
/// such one ran in the rounds.
const Entry* best_of(const Cell& cell, bool alone) {
  const Entry* best = nullptr;
  for (const Entry& entry : cell.entries) {
    if (entry.strategy.alone() != alone || entry.rounds.empty()) continue;
    if (best == nullptr || median_of(entry.rounds, rate) > median_of(best->rounds, rate)) {
      best = &entry;
    }
  }
  return best;
}

std::string in_thousands(double rows_per_s) { return fixed(rows_per_s / 1e3, 1); }

/// What pgsink does not do, and what that costs.
std::string report_merge(const std::vector<Cell>& cells, Figures& figures) {
  Table table({"rows per batch", "fastest MERGE", "MERGE, k rows/s", "pgsink's rate / MERGE's",
               "server's CPU, pgsink / MERGE"});
  for (const Cell& cell : cells) {
    const Entry* merge = best_of(cell, true);
    if (merge == nullptr) continue;
    const double ratio = median_ratio(cell.ours, merge->rounds, rate);
    table.add({std::to_string(cell.batch_rows), merge->strategy.name,
               in_thousands(median_of(merge->rounds, rate)), fixed(ratio, 2),
               fixed(median_ratio(cell.ours, merge->rounds, server), 2)});
    figures.add(cell_name(cell) + ": rows/s to MERGE", ratio);
  }
  return section("How do upserts compare with MERGE?",
                 "`MERGE` is not an upsert: it fails with a unique violation if another session "
                 "inserts one of its keys at the same time. It skips the work that `ON CONFLICT` "
                 "does to prevent that. This table is for users who are the only writer of a "
                 "table.",
                 table);
}

/// The tables of all cells: what the page shows, and all that was measured.
struct CellTables {
  Table page{{"mode", "rows per batch", "pgsink, k rows/s", "libpq's fastest way",
              "libpq, k rows/s", "pgsink's rate / libpq's", "server's CPU, pgsink / libpq"}};
  Table all{{"mode", "batch", "pgsink, k rows/s", "CPU µs/row", "best of libpq", "k rows/s",
             "CPU µs/row", "pgsink to it", "server's CPU to it"}};
};

void report_cell(Cell& cell, CellTables& tables, Goals& goals, Figures& figures) {
  const Entry& best = *best_of(cell, false);
  const double to_best = median_ratio(cell.ours, best.rounds, rate);
  const double server_to_best = median_ratio(cell.ours, best.rounds, server);
  const std::string mode(mode_name(cell.mode));
  const std::string size = std::to_string(cell.batch_rows);
  const std::string ours = in_thousands(median_of(cell.ours, rate));
  const std::string theirs = in_thousands(median_of(best.rounds, rate));
  tables.page.add(
      {mode, size, ours, best.strategy.name, theirs, fixed(to_best, 2), fixed(server_to_best, 2)});
  tables.all.add({mode, size, ours, fixed(median_of(cell.ours, cpu), 3), best.strategy.name, theirs,
                  fixed(median_of(best.rounds, cpu), 3), fixed(to_best, 3),
                  fixed(server_to_best, 3)});
  const std::string name = cell_name(cell);
  goals.at_least(name + ": rows/s to the best of libpq", to_best, kRateToBestMin, 3);
  figures.add(name + ": rows/s", median_of(cell.ours, rate));
  figures.add(name + ": cpu_us_per_row", median_of(cell.ours, cpu));
  figures.add(name + ": rows/s to the best of libpq", to_best);
  figures.add(name + ": server's CPU to that of the best", server_to_best);
  const Entry* pipelined = cell.find(Shape::kRowsPipelined);
  if (cell.batch_rows != kPipelinedGoalAt || pipelined == nullptr) return;
  goals.at_least(name + ": rows/s to pipelined rows",
                 median_ratio(cell.ours, pipelined->rounds, rate), kRateToPipelinedMin);
  goals.at_most(name + ": CPU to pipelined rows", median_ratio(cell.ours, pipelined->rounds, cpu),
                kCpuToPipelinedMax, 3);
}

/// Larger batches must not be slower: the planner may take another plan for them.
void report_cliffs(const std::vector<Cell>& cells, Goals& goals) {
  for (const Cell& from : cells) {
    if (from.batch_rows != kCliffFrom) continue;
    for (const Cell& cell : cells) {
      if (cell.mode != from.mode || cell.batch_rows <= kCliffFrom) continue;
      goals.at_least(cell_name(cell) + ": rows/s to those at 5000",
                     median_ratio(cell.ours, from.ours, rate), kCliffMin);
    }
  }
}

/// All strategies of a mode, sizes side by side: k rows/s / CPU µs a row.
std::string heat_table(const Config& config, const std::vector<Cell>& cells, WriteMode mode) {
  std::vector<std::string> head{std::string(mode_name(mode)) + ": k rows/s / client CPU, µs/row"};
  std::map<std::string, std::vector<std::string>> lines;
  size_t column = 0;
  for (const Cell& cell : cells) {
    if (cell.mode != mode) continue;
    head.push_back(std::to_string(cell.batch_rows));
    for (const Entry& entry : cell.entries) {
      auto& line = lines[entry.strategy.name];
      line.resize(config.sizes.size(), "-");
      const bool final = !entry.rounds.empty();
      const Outcome shown =
          final ? Outcome{median_of(entry.rounds, rate), median_of(entry.rounds, cpu)} : entry.heat;
      line[column] = in_thousands(shown.rows_per_s) + " / " + fixed(shown.cpu_us_per_row, 3) +
                     (final ? " *" : "");
    }
    ++column;
  }
  Table table(head);
  for (const auto& [name, line] : lines) {
    std::vector<std::string> row{name};
    row.insert(row.end(), line.begin(), line.end());
    table.add(std::move(row));
  }
  return table.markdown();
}

std::string describe_method(const Config& config) {
  return with_commas(config.rows) + " rows change a logged table of " +
         with_commas(config.table_rows) +
         " rows (int8 key, int4, float8, text of 24 bytes, timestamptz). The keys come in random "
         "order; an insert's keys are new, and half of an upsert's. Each batch is a transaction, "
         "and up to " +
         std::to_string(config.window) +
         " of them are in flight where a way allows it. libpq is measured in every way that it "
         "offers: prepared statements, binary parameters, pipeline mode wherever there is no "
         "`COPY`, joins also with `enable_hashjoin` and `enable_mergejoin` off (\"nested "
         "loops\"). Each run starts from the same pages, in a fresh copy of one database. Where "
         "other programs use the machine, the server's CPU says more than the clock.";
}

std::string describe_selection(const Config& config) {
  return "Each way of libpq ran once with at least " + with_commas(config.heat_rows) +
         " rows (rows one by one: at most " + with_commas(kStepwiseRowsMax) +
         "). Of the ways that tolerate other writers of the table, the fastest and the one that "
         "cost the server least, " +
         std::to_string(config.finalists) + " in all, then ran with all rows in " +
         std::to_string(config.rounds) +
         " rounds in turns with pgsink; so did the fastest MERGE and, at " +
         with_commas(kPipelinedGoalAt) +
         " rows, pipelined rows. These are marked *. Figures are medians; ratios are medians of "
         "the ratio within each round.\n\n";
}

void report_cells(const Config& config, std::vector<Cell> cells, const Flags& flags) {
  CellTables tables;
  Report report;
  for (Cell& cell : cells) report_cell(cell, tables, report.goals, report.figures);
  report_cliffs(cells, report.goals);
  report.page =
      section("How fast are inserts, upserts, updates and deletes in transactions of one batch?",
              describe_method(config), tables.page);
  if (std::ranges::find(config.modes, WriteMode::kUpsert) != config.modes.end()) {
    report.page += report_merge(cells, report.figures);
  }
  report.details = describe_selection(config) + tables.all.markdown() + "\n";
  for (const WriteMode mode : config.modes) {
    report.details += heat_table(config, cells, mode) + "\n";
  }
  finish(flags, report);
}

Config read_config(const Flags& flags) {
  Config config{.rows = flags.count("rows"),
                .table_rows = flags.count("table-rows"),
                .heat_rows = 0,
                .rounds = flags.count("rounds"),
                .finalists = flags.count("finalists"),
                .window = flags.count("window"),
                .sizes = {},
                .modes = {},
                .alone = flags.is_set("alone"),
                .use_copy = std::nullopt};
  if (const std::string& copy = flags.text("use-copy"); copy != "auto") {
    if (copy != "true" && copy != "false") {
      throw std::runtime_error("--use-copy: " + copy + " is none of auto, true, false");
    }
    config.use_copy = copy == "true";
  }
  config.heat_rows = std::min(flags.count("heat-rows"), config.rows);
  for (const std::string& size : flags.list("sizes")) config.sizes.push_back(std::stoull(size));
  for (const std::string& name : flags.list("modes")) {
    for (const WriteMode mode :
         {WriteMode::kInsert, WriteMode::kUpsert, WriteMode::kUpdate, WriteMode::kDelete}) {
      if (name == mode_name(mode)) config.modes.push_back(mode);
    }
  }
  if (config.rows == 0 || config.rows > config.table_rows || config.rounds == 0 ||
      config.finalists == 0 || config.window == 0 || config.modes.empty() ||
      std::ranges::find(config.sizes, 0U) != config.sizes.end()) {
    throw std::runtime_error(
        "nothing to measure: --rows must be 1 to --table-rows, --modes some of insert, upsert, "
        "update, delete, all others at least 1");
  }
  return config;
}

}  // namespace
}  // namespace pgsink::bench

int main(int argc, char** argv) {
  using namespace pgsink::bench;
  return run_main("modes_vs_libpq_bench", {argv, static_cast<size_t>(argc)}, [](auto arguments) {
    const Flags flags(arguments, {{"rows", "1000000"},
                                  {"table-rows", "1000000"},
                                  {"heat-rows", "50000"},
                                  {"rounds", "5"},
                                  {"finalists", "2"},
                                  {"window", "16"},
                                  {"sizes", "1,10,100,1000,5000,10000,100000"},
                                  {"modes", "insert,upsert,update,delete"},
                                  {"alone", "no"},
                                  {"use-copy", "auto"},
                                  {"markdown", ""},
                                  {"details", ""},
                                  {"json", ""},
                                  {"enforce", "no"}});
    const Config config = read_config(flags);
    std::vector<Cell> cells = Bench(config).run();
    if (!config.alone) report_cells(config, std::move(cells), flags);
  });
}
