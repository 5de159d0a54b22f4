// A pipeline that writes nothing: --check=online compares it with its tables, --dry-run also reads
// and encodes its rows.

#include <algorithm>
#include <chrono>

#include "pgsink/sink/rehearsal.h"
#include "shell/run/pipeline.h"
#include "shell/run/pipeline_branch.h"
#include "shell/text/numbers.h"

namespace pgsink::shell {
namespace {

/// Rows that would be rejected and are told one by one, of each branch.
constexpr uint64_t kRejectsToldMax = 10;

}  // namespace

Outcome Pipeline::check_online() {
  if (auto bound = bind(); !bound) return bound;
  for (const auto& branch : branches_) {
    if (branch->options == nullptr) continue;
    if (auto opened = open_rehearsal(*branch); !opened) return opened;
  }
  return {};
}

Outcome Pipeline::rehearse(uint64_t rows_max) {
  if (auto checked = check_online(); !checked) return checked;
  if (source_ != nullptr) {
    context_.reporter.info("'" + source_->name +
                           "' is an unbounded source: its rows are not read by --dry-run");
    return {};
  }
  if (auto filled = fill_common_tables(); !filled) return filled;
  for (const auto& branch : branches_) {
    if (context_.signals.received() != 0) break;
    if (branch->options == nullptr) {
      if (auto done = run_in_engine(*branch); !done) return done;
    } else if (auto done = rehearse(*branch, rows_max); !done) {
      return done;
    }
  }
  return {};
}

Outcome Pipeline::open_rehearsal(Branch& branch) {
  auto opened = Rehearsal::open(*branch.options, *branch.rows.schema());
  if (!opened) {
    return std::unexpected(context_.places.fault(
        opened.error(), branch.syntax.target_position.offset, branch.syntax.target.size()));
  }
  branch.rehearsal = std::move(*opened);
  return {};
}

Outcome Pipeline::rehearse(Branch& branch, uint64_t rows_max) {
  const auto began = std::chrono::steady_clock::now();
  Rehearsal& rehearsal = *branch.rehearsal;
  if (!rehearsal.missing().empty()) {
    context_.reporter.info(label(branch) + ": " + rehearsal.missing() +
                           ": its rows are not encoded by --dry-run");
    return {};
  }
  SinkReport report;
  report.pipeline = statement_.name;
  report.connection = branch.syntax.target;
  report.table = branch.options->schema + "." + branch.options->table;
  report.outcome = kDryRun;
  std::vector<Rejection> rejected;
  auto started = branch.query.start();
  while (started && report.rows_read < rows_max && context_.signals.received() == 0) {
    auto chunk = branch.query.next();
    if (!chunk) {
      started = std::unexpected(chunk.error());
      break;
    }
    if (!chunk->filled()) break;
    auto batch = branch.rows.batch(*chunk);
    const auto encoded =
        batch ? rehearsal.encode(*batch, rejected) : Result<size_t>(fail(batch.error()));
    if (!encoded) return stopped_by(branch, encoded.error());
    for (const Rejection& rejection : rejected) {
      if (report.rows_rejected++ >= kRejectsToldMax) continue;
      context_.reporter.warning(label(branch) + ": row " +
                                grouped(report.rows_read + rejection.row + 1) +
                                " would be rejected: " + rejection.error.message);
    }
    rejected.clear();
    report.rows_read += batch->row_count();
    report.bytes += *encoded;
  }
  const bool interrupted = !started && started.error().interrupted && context_.signals.received();
  if (!started && !interrupted) {
    return std::unexpected(engine_fault(branch, started.error(), branch.sql));
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  reports_.push_back(std::move(report));
  return {};
}

}  // namespace pgsink::shell
