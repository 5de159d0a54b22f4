#include "shell/run/rehearsal_run.h"

#include <utility>

#include "shell/run/stopwatch.h"
#include "shell/text/numbers.h"

namespace pgsink::shell {
namespace {

/// Rows of each branch that would be rejected and are named one by one.
constexpr uint64_t kRejectsNamedMax = 10;

}  // namespace

Outcome RehearsalRun::check() {
  for (const Branch& branch : pipeline_.branches) {
    auto& place = rehearsals_.emplace_back();
    if (branch.into_engine()) continue;
    auto opened = Rehearsal::open(*branch.options, *branch.rows.schema());
    if (!opened) return std::unexpected(pipeline_.target_fault(branch, opened.error()));
    place = std::move(*opened);
  }
  return {};
}

PipelineResult RehearsalRun::run(uint64_t rows_max) {
  Outcome outcome = run_all(rows_max);
  return {std::move(outcome), std::move(reports_)};
}

Outcome RehearsalRun::run_all(uint64_t rows_max) {
  if (auto checked = check(); !checked) return checked;
  if (pipeline_.source != nullptr) {
    pipeline_.context.reporter.info("'" + pipeline_.source->name +
                                    "' is an unbounded source: its rows are not read by --dry-run");
    return {};
  }
  if (auto filled = pipeline_.fill_common_tables(); !filled) return filled;
  for (size_t i = 0; i < pipeline_.branches.size() && !pipeline_.stopped(); ++i) {
    Branch& branch = pipeline_.branches[i];
    auto done = branch.into_engine() ? pipeline_.run_in_engine(branch)
                                     : encode_rows(branch, *rehearsals_[i], rows_max);
    if (!done) return done;
  }
  return {};
}

Outcome RehearsalRun::encode_rows(Branch& branch, Rehearsal& rehearsal, uint64_t rows_max) {
  const Stopwatch watch;
  if (!rehearsal.missing().empty()) {
    pipeline_.context.reporter.info(pipeline_.label(branch) + ": " + rehearsal.missing() +
                                    ": its rows are not encoded by --dry-run");
    return {};
  }
  SinkReport report = pipeline_.blank_report(branch);
  report.outcome = kDryRun;
  auto started = branch.query.start();
  while (started && report.rows_read < rows_max && !pipeline_.stopped()) {
    auto chunk = branch.query.next();
    if (!chunk) {
      started = std::unexpected(chunk.error());
      break;
    }
    if (!chunk->filled()) break;
    if (auto encoded = encode_chunk(branch, rehearsal, *chunk, report); !encoded) return encoded;
  }
  if (!started && !pipeline_.was_interrupted(started.error())) {
    return std::unexpected(pipeline_.engine_fault(branch, started.error()));
  }
  report.seconds = watch.seconds();
  reports_.push_back(std::move(report));
  return {};
}

Outcome RehearsalRun::encode_chunk(const Branch& branch, Rehearsal& rehearsal,
                                   const OwnedChunk& chunk, SinkReport& report) {
  std::vector<Rejection> rejected;
  auto batch = branch.rows.batch(chunk);
  const auto encoded =
      batch ? rehearsal.encode(*batch, rejected) : Result<size_t>(fail(batch.error()));
  if (!encoded) return std::unexpected(pipeline_.target_fault(branch, encoded.error()));
  for (const Rejection& rejection : rejected) {
    if (report.rows_rejected++ >= kRejectsNamedMax) continue;
    pipeline_.context.reporter.warning(pipeline_.label(branch) + ": row " +
                                       grouped(report.rows_read + rejection.row + 1) +
                                       " would be rejected: " + rejection.error.message);
  }
  report.rows_read += batch->row_count();
  report.bytes += *encoded;
  return {};
}

}  // namespace pgsink::shell
