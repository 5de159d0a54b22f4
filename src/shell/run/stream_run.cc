#include "shell/run/stream_run.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "pgsink/options/rules.h"
#include "shell/run/delivered_rows.h"
#include "shell/run/stopwatch.h"
#include "shell/run/whole_rows.h"

namespace pgsink::shell {
namespace {

using std::chrono::steady_clock;

/// The longest wait for rows; then signals are looked at.
constexpr std::chrono::milliseconds kTick{50};

constexpr std::chrono::seconds kReportEvery{1};
/// How long to wait before a sink that is full is asked again.
constexpr std::chrono::milliseconds kFullSinkPause{2};

/// A batch without rows, which has only a position.
RecordBatch empty_batch(const std::shared_ptr<const Schema>& schema) {
  std::vector<ColumnView> columns(schema->size());
  for (size_t i = 0; i < columns.size(); ++i) columns[i].kind = (*schema)[i].kind;
  return {schema, std::move(columns), 0, 0, {}};
}

/// While it exists, signals do not interrupt the engine: a micro-batch is short, and what was read
/// will be written.
class WithoutInterrupts {
 public:
  WithoutInterrupts(Signals& signals, Engine& engine) : signals_(signals), engine_(engine) {
    signals_.on_signal({});
  }
  ~WithoutInterrupts() {
    signals_.on_signal([&engine = engine_] { engine.interrupt(); });
  }
  WithoutInterrupts(const WithoutInterrupts&) = delete;
  WithoutInterrupts& operator=(const WithoutInterrupts&) = delete;

 private:
  Signals& signals_;
  Engine& engine_;
};

}  // namespace

PipelineResult StreamRun::run() {
  if (auto opened = open_sinks(); !opened) return {std::move(opened), {}};
  const WithoutInterrupts guard(pipeline_.context.signals, pipeline_.context.engine);
  const Stopwatch watch;
  flushed_at_ = steady_clock::now();
  Outcome outcome;
  {
    const std::string& name = pipeline_.statement.name;
    const Progress progress(pipeline_.context.progress, name.empty() ? source_.name : name,
                            [this] { return Moved{metrics()}; });
    outcome = move_and_close();
  }
  if (outcome) outcome = confirm_committed();
  std::vector<SinkReport> reports;
  for (const Part& part : parts_) {
    if (!part.sink) continue;
    const auto* word = !outcome ? "failed" : interrupted_ ? "interrupted" : "done";
    reports.push_back(part.sink->report(word, watch.seconds()));
    if (!takes_dead_letters(*part.sink->branch().options)) {
      reports.back().rows_rejected += rejects_.count();
    }
  }
  return {std::move(outcome), std::move(reports)};
}

Outcome StreamRun::open_sinks() {
  if (const auto whole = reads_whole_rows(pipeline_)) {
    pipeline_.branches.front().whole_rows = source_.rows->report_unchanged(whole->no_truncates);
  }
  const bool by_sinks = std::ranges::any_of(pipeline_.branches, [](const Branch& branch) {
    return !branch.into_engine() && branch.options->delivery == Delivery::kExactlyOnce;
  });
  if (control_ != nullptr) control_->begin_run(by_sinks);
  if (by_sinks) {
    holder_.emplace(pipeline_, *control_);
    rejects_.keep();
  }
  const int64_t timeout = source_.rows->limits().delivery_timeout.count();
  for (const Branch& branch : pipeline_.branches) {
    Part& part = parts_.emplace_back();
    if (branch.into_engine()) continue;
    SinkOptions options = *branch.options;
    if (timeout > 0) options.batch_timeout_ms = std::min(options.batch_timeout_ms, timeout);
    options.streams = holder_.has_value();
    auto sink = BranchSink::open(pipeline_, branch, std::move(options));
    if (!sink) return std::unexpected(std::move(sink.error()));
    part.sink = std::move(*sink);
    if (holder_) holder_->add_sink(*part.sink);
    if (takes_dead_letters(*branch.options)) rejects_.add_sink(*part.sink);
  }
  return begin_source();
}

Outcome StreamRun::begin_source() {
  std::optional<uint64_t> durable;
  const SinkOptions* first = nullptr;
  for (const Part& part : parts_) {
    if (!part.sink) continue;
    const uint64_t there = part.sink->sink().durable_position();
    durable = std::min(durable.value_or(there), there);
    if (first == nullptr) first = part.sink->branch().options;
  }
  if (auto begun = source_.rows->begin(durable.value_or(0), first); !begun) {
    return std::unexpected(source_fault(pipeline_, begun.error()));
  }
  return {};
}

/// Everything accepted is committed, however the reading ended: it cannot be read again. A load
/// that is atomic is committed only if all of it was read.
Outcome StreamRun::move_and_close() {
  Outcome outcome = move_until_end();
  for (const Part& part : parts_) {
    if (!part.sink) continue;
    if (!why_atomic(*part.sink->branch().options).empty() && (!outcome || interrupted_)) {
      part.sink->retire();
      continue;
    }
    // A stream cannot be read again, so no later run continues it.
    const bool finish = ends_with_statement(*part.sink->branch().options);
    auto closed = finish ? part.sink->finish() : part.sink->close();
    part.sink->retire();
    if (!closed && outcome) outcome = std::move(closed);
  }
  return outcome;
}

Outcome StreamRun::move_until_end() {
  const size_t rows_max = source_.rows->limits().batch_rows_max;
  for (;;) {
    if (pipeline_.stopped() && !interrupted_) {
      interrupted_ = true;
      source_.rows->finish();
    }
    auto rows = source_.rows->next(rows_max, steady_clock::now() + kTick);
    if (!rows) return std::unexpected(source_fault(pipeline_, rows.error()));
    if (holder_) {
      const auto rejoined = holder_->rejoin_if_fenced();
      if (!rejoined) return std::unexpected(rejoined.error());
      if (*rejoined) continue;  // The next owner reads again what was read.
    }
    // Also while nothing comes: nobody else would say it before the next row.
    if (auto works = check_sinks(); !works) return works;
    const bool end = rows->end;
    read_position_ = std::max(read_position_, rows->batch.position);
    if (rows->batch.row_count() > 0 || !rows->rejected.empty() || !rows->stream.empty()) {
      auto moved = move(std::move(*rows));
      if (!moved && holder_) {
        const auto rejoined = holder_->rejoin_if_fenced();
        if (!rejoined) return std::unexpected(rejoined.error());
        if (*rejoined) continue;
      }
      if (!moved) return moved;
    }
    if (holder_) {
      if (auto answered = holder_->answer(); !answered) return answered;
    }
    if (auto confirmed = confirm_committed(); !confirmed) return confirmed;
    if (end) reading_ = false;
    report_source();
    if (end) return {};
  }
}

Outcome StreamRun::check_sinks() const {
  for (const Part& part : parts_) {
    if (!part.sink) continue;
    if (auto works = part.sink->check(); !works) return works;
  }
  return {};
}

// ---- a micro-batch -------------------------------------------------------------------------

/// Moves one micro-batch into the sinks.
Outcome StreamRun::move(UnboundedSource::Rows rows) {
  read_position_ = rows.batch.position;
  stream_ = std::move(rows.stream);
  stream_position_ = rows.stream_position;
  const size_t rows_read = rows.batch.row_count() + rows.rejected.size();
  for (const Part& part : parts_) {
    if (part.sink) part.sink->rows_read += rows_read;
  }
  if (auto rejected = rejects_.reject(rows.rejected); !rejected) return rejected;
  if (rows.batch.row_count() == 0) return write(std::vector<Made>(parts_.size()));
  if (pipeline_.branches.front().whole_rows) {
    std::vector<Made> whole(1);
    whole.front().push_back(std::move(rows.batch));
    return write(std::move(whole));
  }
  source_.feed.set(std::move(rows.batch));
  auto made = make();
  if (!made) {
    const auto rejected = rejects_.drop_rejected();
    if (!rejected) return std::unexpected(rejected.error());
    if (*rejected) made = make();
  }
  if (!made) {
    EngineFault fault = made.error();
    const size_t last = source_.feed.batch().row_count() - 1;
    fault.error.message += "; in source '" + source_.name + "', between " + source_.rows->place(0) +
                           " and " + source_.rows->place(last);
    return std::unexpected(pipeline_.engine_fault(pipeline_.branches.front(), fault));
  }
  return write(std::move(*made));
}

/// What every branch makes of the micro-batch. Branches into the engine's own tables come last:
/// they are done when they are made.
EngineResult<std::vector<StreamRun::Made>> StreamRun::make() {
  const CommonTables& common_tables = pipeline_.common_tables;
  for (size_t i = 0; i < common_tables.count(); ++i) {
    auto filled = pipeline_.context.engine.execute(common_tables.refill(i).text());
    if (!filled) return std::unexpected(filled.error());
  }
  std::vector<Made> all(pipeline_.branches.size());
  for (const bool into_engine : {false, true}) {
    for (size_t i = 0; i < all.size(); ++i) {
      if (pipeline_.branches[i].into_engine() != into_engine) continue;
      auto made = make(pipeline_.branches[i]);
      if (!made) return std::unexpected(made.error());
      all[i] = std::move(*made);
    }
  }
  return all;
}

EngineResult<StreamRun::Made> StreamRun::make(Branch& branch) const {
  Made made;
  if (auto started = branch.query.start(); !started) return std::unexpected(started.error());
  while (!branch.into_engine()) {
    auto chunk = branch.query.next();
    if (!chunk) return std::unexpected(chunk.error());
    if (!chunk->filled()) break;
    auto batch = branch.rows.batch(*chunk);
    if (!batch) return std::unexpected(EngineFault{batch.error(), std::nullopt, false});
    made.push_back(std::move(*batch));
  }
  return made;
}

Outcome StreamRun::write(std::vector<Made> made) {
  const std::vector<RejectedInput> rejected = rejects_.take();
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (!parts_[i].sink) continue;
    if (holder_) {
      if (auto written = write_of_stream(i, std::move(made[i]), rejected); !written) return written;
      continue;
    }
    for (RecordBatch& batch : made[i]) {
      batch.position = read_position_;
      if (auto written = write_patiently(*parts_[i].sink, std::move(batch)); !written) {
        return written;
      }
      parts_[i].written_position = read_position_;
    }
  }
  return {};
}

/// A member of a group must not be silent for long, however slow the sinks are.
Outcome StreamRun::write_patiently(BranchSink& sink, RecordBatch batch) {
  if (control_ == nullptr) return sink.write(std::move(batch));
  for (;;) {
    const auto taken = sink.try_write(batch);
    if (!taken) return std::unexpected(taken.error());
    if (*taken) return {};
    if (auto alive = control_->keep_alive(); !alive) {
      return std::unexpected(source_fault(pipeline_, alive.error()));
    }
    std::this_thread::sleep_for(kFullSinkPause);
  }
}

/// The position moves with what the query made of the micro-batch, also with nothing.
Outcome StreamRun::write_of_stream(size_t part, Made made,
                                   const std::vector<RejectedInput>& rejected) {
  BranchSink& sink = *parts_[part].sink;
  if (made.size() > 1) {
    return std::unexpected(pipeline_.query_fault(
        pipeline_.branches[part],
        make_error(Errc::kLimit,
                   "the query makes more than 2,048 rows of one micro-batch, which "
                   "must be one batch with delivery = 'exactly_once': set a smaller "
                   "batch_size of the source '" +
                       source_.name + "'")));
  }
  RecordBatch batch =
      made.empty() ? empty_batch(pipeline_.branches[part].schema()) : std::move(made.front());
  batch.stream = stream_;
  batch.position = stream_position_;
  if (takes_dead_letters(*sink.branch().options)) batch.rejected = rejected;
  if (auto written = write_patiently(sink, std::move(batch)); !written) return written;
  holder_->wrote(sink, read_position_, stream_, stream_position_);
  return {};
}

/// Once a second, and at the end.
void StreamRun::report_source() {
  const auto now = steady_clock::now();
  if (reading_ && now - reported_at_ < kReportEvery) return;
  reported_at_ = now;
  auto report = source_.rows->report();
  if (!report) return;
  report->name = source_.name;
  pipeline_.context.connections.put_source_report(std::move(*report));
}

// ---- commits ------------------------------------------------------------------------------------

/// Ends epochs in time, and tells the source what every sink has committed.
Outcome StreamRun::confirm_committed() {
  uint64_t committed = read_position_;
  const auto now = steady_clock::now();
  bool flushed = false;
  for (const Part& part : parts_) {
    if (!part.sink) continue;
    const SinkOptions& options = *part.sink->branch().options;
    // Rows of two-phase commit are invisible until their epoch ends.
    const std::chrono::milliseconds timeout(options.batch_timeout_ms);
    if (options.use_2pc && reading_ && now - flushed_at_ >= timeout) {
      flushed = true;
      if (auto done = part.sink->flush(); !done) return done;
    }
    if (holder_) continue;
    const uint64_t durable = part.sink->sink().durable_position();
    if (durable < part.written_position) committed = std::min(committed, durable);
  }
  if (holder_) committed = holder_->committed_through(committed);
  if (flushed) flushed_at_ = now;
  if (committed == 0) return {};
  if (auto confirmed = source_.rows->committed(committed); !confirmed) {
    return std::unexpected(source_fault(pipeline_, confirmed.error()));
  }
  return {};
}

SinkMetrics StreamRun::metrics() const {
  SinkMetrics all;
  for (const Part& part : parts_) {
    if (part.sink) all.merge(part.sink->sink().metrics());
  }
  return all;
}

}  // namespace pgsink::shell
