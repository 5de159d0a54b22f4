#include "shell/run/batch_run.h"

#include <algorithm>
#include <utility>

#include "pgsink/options/rules.h"
#include "shell/run/sink_watch.h"
#include "shell/run/sniffed_csv.h"
#include "shell/run/stopwatch.h"
#include "shell/text/numbers.h"

namespace pgsink::shell {
namespace {

/// The committed part of the input that was read; at the end nothing is read any more.
Moved moved_so_far(const Sink& sink, std::optional<double> read, bool& known) {
  Moved moved{.metrics = sink.metrics(), .fraction = read};
  known = known || read;
  const auto accepted = static_cast<double>(moved.metrics.rows_accepted);
  if (known && accepted > 0) {
    const double written = static_cast<double>(moved.metrics.rows_written) / accepted;
    moved.fraction = moved.fraction.value_or(1) * written;
  }
  return moved;
}

}  // namespace

PipelineResult BatchRun::run() {
  PipelineResult result;
  result.outcome = run_all();
  result.reports = std::move(reports_);
  // A load that was interrupted is continued by the next run, in all of its branches.
  if (result.outcome && !pipeline_.stopped() && !to_finish_.empty()) {
    result.finish = [sinks = std::move(sinks_), ended = std::move(to_finish_)]() -> Outcome {
      for (BranchSink* sink : ended) {
        if (auto done = sink->finish(); !done) return done;
      }
      return {};
    };
  }
  return result;
}

Outcome BatchRun::run_all() {
  if (auto opened = open_sinks(); !opened) return opened;
  const auto one_thread = repeat_order();
  if (!one_thread) return std::unexpected(one_thread.error());
  if (auto filled = pipeline_.fill_common_tables(); !filled) return filled;
  for (size_t i = 0; i < pipeline_.branches.size() && !pipeline_.stopped(); ++i) {
    Branch& branch = pipeline_.branches[i];
    auto done =
        branch.into_engine() ? pipeline_.run_in_engine(branch) : run_branch(branch, *sinks_[i]);
    if (!done) return done;
  }
  return {};
}

Outcome BatchRun::open_sinks() {
  for (const Branch& branch : pipeline_.branches) {
    auto& place = sinks_.emplace_back();
    if (branch.into_engine()) continue;
    auto sink = BranchSink::open(pipeline_, branch, *branch.options);
    if (!sink) return std::unexpected(std::move(sink.error()));
    place = std::move(*sink);
    warn_of_sniffed_csv(pipeline_, branch);
  }
  return {};
}

/// Rows that a later run may have to find again must come in the same order then. Plans that do not
/// promise it run in one thread. Null if nothing need be done.
std::expected<std::unique_ptr<OneEngineThread>, Faults> BatchRun::repeat_order() const {
  const auto may_resume = [](const Branch& branch) {
    return !branch.into_engine() && goes_on_after_earlier_runs(*branch.options);
  };
  if (std::ranges::none_of(pipeline_.branches, may_resume)) return nullptr;
  Engine& engine = pipeline_.context.engine;
  std::optional<std::string> cause;
  if (!keeps_insertion_order(engine)) cause = "preserve_insertion_order = false";
  for (size_t i = 0; !cause && i < pipeline_.common_tables.count(); ++i) {
    const EngineSql sql = pipeline_.common_tables.select(i);
    const auto plan = plan_of(engine, sql.text());
    if (!plan) return std::unexpected(pipeline_.with_fault(plan.error(), sql));
    cause = operator_without_order(*plan);
  }
  for (size_t i = 0; !cause && i < pipeline_.branches.size(); ++i) {
    const Branch& branch = pipeline_.branches[i];
    const auto plan = plan_of(engine, branch.sql.text());
    if (!plan) return std::unexpected(pipeline_.engine_fault(branch, plan.error()));
    cause = operator_without_order(*plan);
  }
  if (!cause) return nullptr;
  auto one_thread = std::make_unique<OneEngineThread>(engine);
  if (one_thread->changed()) {
    pipeline_.context.reporter.info(
        "the query runs in one thread, because its rows must come in "
        "the same order each time (" +
        *cause + ")");
  }
  return one_thread;
}

Outcome BatchRun::run_branch(Branch& branch, BranchSink& sink) {
  const Stopwatch watch;
  const PipelineContext& context = pipeline_.context;
  std::expected<End, Faults> end;
  {
    const Progress progress(context.progress, pipeline_.label(branch),
                            [&, known = false]() mutable {
                              return moved_so_far(sink.sink(), context.engine.progress(), known);
                            });
    const SinkWatch watch_sink(sink.sink(), context.engine);
    end = move_rows(branch, sink);
  }
  sink.retire();
  const std::string_view outcome = !end ? "failed" : *end == End::kDone ? "done" : "interrupted";
  reports_.push_back(sink.report(outcome, watch.seconds()));
  if (!end) return std::unexpected(std::move(end.error()));
  return {};
}

// ---- the rows of a branch ------------------------------------------------------------------

/// Moves the rows of a branch that are not delivered yet, and commits them.
std::expected<BatchRun::End, Faults> BatchRun::move_rows(Branch& branch, BranchSink& sink) {
  const SinkOptions& options = *branch.options;
  const DeliveredRows delivered(options, sink.sink());
  NumberedRows rows(branch, delivered.cuts(), goes_on_after_earlier_runs(options));
  std::expected<End, Faults> end = End::kEnough;
  if (!delivered.empty()) end = prove(rows, delivered, sink);
  // Where lanes have come to different positions, rows before the last of them are missing still.
  const bool all_lanes = delivered.through() == delivered.last();
  if (end == End::kEnough && (delivered.empty() || !all_lanes)) end = start(rows, sink);
  if (end == End::kEnough) {
    end = read(rows, sink, [&](RecordBatch batch) -> std::expected<bool, Faults> {
      if (auto same = delivered.check(batch); !same) {
        return std::unexpected(pipeline_.target_fault(branch, same.error()));
      }
      if (batch.position <= delivered.through()) return true;
      if (auto written = sink.write(std::move(batch)); !written) {
        return std::unexpected(std::move(written.error()));
      }
      return true;
    });
  }
  if (!end) return end;
  if (*end == End::kInterrupted && !why_atomic(options).empty())
    return end;  // Nothing of it is committed.
  const bool finishes = *end == End::kDone && ends_with_statement(options);
  if (auto committed = finishes ? sink.flush() : sink.close(); !committed) {
    return std::unexpected(std::move(committed.error()));
  }
  if (finishes) to_finish_.push_back(&sink);
  if (*end == End::kDone && !delivered.empty()) sink.count_delivered_before();
  return end;
}

/// Reads the rows that earlier runs delivered, and fails if they are others. kEnough: they are the
/// same.
std::expected<BatchRun::End, Faults> BatchRun::prove(NumberedRows& rows,
                                                     const DeliveredRows& delivered,
                                                     BranchSink& sink) {
  auto end = start(rows, sink);
  if (end != End::kEnough) return end;
  const auto fault = [&](const Status& status) {
    return std::unexpected(pipeline_.target_fault(sink.branch(), status.error()));
  };
  end = read(rows, sink, [&](RecordBatch batch) -> std::expected<bool, Faults> {
    if (auto same = delivered.check(batch); !same) return fault(same);
    return batch.position < delivered.last();
  });
  if (end != End::kDone) return end;
  const Status enough = delivered.check_end(rows.position());
  if (!enough) return fault(enough);
  return end;
}

/// kEnough if the query runs.
std::expected<BatchRun::End, Faults> BatchRun::start(NumberedRows& rows, const BranchSink& sink) {
  auto started = rows.start();
  if (started) return End::kEnough;
  if (pipeline_.was_interrupted(started.error())) return End::kInterrupted;
  return std::unexpected(query_failed(sink, started.error()));
}

/// Gives batches to `take` until it has enough, the query ends, or a signal comes.
std::expected<BatchRun::End, Faults> BatchRun::read(NumberedRows& rows, BranchSink& sink,
                                                    const Take& take) {
  while (!pipeline_.stopped()) {
    auto batch = rows.next();
    sink.rows_read = rows.position();
    if (!batch && pipeline_.was_interrupted(batch.error())) break;
    if (!batch) return std::unexpected(query_failed(sink, batch.error()));
    if (!*batch) return End::kDone;
    const auto more = take(std::move(**batch));
    if (!more) return std::unexpected(more.error());
    if (!*more) return End::kEnough;
  }
  return End::kInterrupted;
}

/// The engine ended the query with an error: the message adds what is in the target.
Faults BatchRun::query_failed(const BranchSink& sink, const EngineFault& fault) const {
  if (fault.interrupted) {
    if (auto works = sink.check(); !works) return std::move(works.error());
  }
  Faults faults = pipeline_.engine_fault(sink.branch(), fault);
  faults.front().error.message += "; the query had returned " + grouped(sink.rows_read) +
                                  " rows, of which " + grouped(sink.sink().metrics().rows_written) +
                                  " are committed";
  return faults;
}

}  // namespace pgsink::shell
