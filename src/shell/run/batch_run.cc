#include "shell/run/batch_run.h"

#include <utility>

#include "shell/run/stopwatch.h"
#include "shell/text/numbers.h"

namespace pgsink::shell {
namespace {

/// What is committed of the input that was read; at the end nothing is read any more.
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
  Outcome outcome = run_all();
  return {std::move(outcome), std::move(reports_)};
}

Outcome BatchRun::run_all() {
  if (auto opened = open_sinks(); !opened) return opened;
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
  }
  return {};
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
    end = move_rows(branch, sink);
  }
  sink.retire();
  const std::string_view outcome = !end ? "failed" : *end == End::kDone ? "done" : "interrupted";
  reports_.push_back(sink.report(outcome, watch.seconds()));
  if (!end) return std::unexpected(std::move(end.error()));
  return {};
}

/// Moves the rows of a branch and commits them.
std::expected<BatchRun::End, Faults> BatchRun::move_rows(Branch& branch, BranchSink& sink) {
  End end = End::kInterrupted;
  auto started = branch.query.start();
  while (started && !pipeline_.stopped()) {
    auto chunk = branch.query.next();
    if (!chunk) {
      started = std::unexpected(chunk.error());
      break;
    }
    if (!chunk->filled()) {
      end = End::kDone;
      break;
    }
    auto batch = branch.rows.batch(*chunk);
    if (!batch) return std::unexpected(sink.stopped_by(batch.error()));
    sink.rows_read += batch->row_count();
    batch->position = sink.rows_read;  // Exactly-once goes on after it.
    if (auto written = sink.write(std::move(*batch)); !written) {
      return std::unexpected(std::move(written.error()));
    }
  }
  if (!started && !pipeline_.was_interrupted(started.error())) {
    return std::unexpected(query_failed(branch, sink, started.error()));
  }
  if (auto closed = sink.close(); !closed) return std::unexpected(std::move(closed.error()));
  return end;
}

/// The engine ended the query with an error: says what is in the target.
Faults BatchRun::query_failed(const Branch& branch, const BranchSink& sink,
                              const EngineFault& fault) const {
  Faults faults = pipeline_.engine_fault(branch, fault);
  faults.front().error.message += "; " + grouped(sink.sink().metrics().rows_written) + " of the " +
                                  grouped(sink.rows_read) + " rows before it are committed";
  return faults;
}

}  // namespace pgsink::shell
