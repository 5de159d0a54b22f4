#include "shell/run/source_rejects.h"

namespace pgsink::shell {
namespace {

/// Rejected rows that are named one by one.
constexpr uint64_t kRowsNamedMax = 10;

}  // namespace

Faults source_fault(const Pipeline& pipeline, Error error) {
  error.message = "source '" + pipeline.source->name + "': " + error.message;
  return pipeline.query_fault(pipeline.branches.front(), std::move(error));
}

std::expected<bool, Faults> SourceRejects::drop_rejected() {
  auto all_columns =
      pipeline_.context.engine.prepare("SELECT * FROM temp." + engine_identifier(source_.name));
  if (!all_columns) return std::unexpected(source_fault(pipeline_, all_columns.error().error));
  const size_t rows = source_.feed.batch().row_count();
  const auto rejected = find(*all_columns, 0, rows);
  source_.feed.narrow(0, rows);
  std::vector<RejectedInput> inputs;
  for (const auto& [row, reason] : rejected) {
    source_.feed.drop(row);
    inputs.push_back(source_.rows->input(row));
    inputs.back().error.message = source_.rows->place(row) + ": " + reason;
  }
  if (auto done = reject(inputs); !done) return std::unexpected(std::move(done.error()));
  return !rejected.empty();
}

Outcome SourceRejects::reject(const std::vector<RejectedInput>& inputs) {
  if (inputs.empty()) return {};
  const auto max = source_.rows->limits().rejects_max;
  for (const RejectedInput& input : inputs) {
    const std::string& what = input.error.message;
    ++count_;
    if (max && count_ > *max) {
      const std::string limit = "; that is one more than max_rejects = " + std::to_string(*max);
      return std::unexpected(source_fault(pipeline_, make_error(Errc::kRowRejected, what + limit)));
    }
    if (!max && sinks_.empty()) {
      return std::unexpected(source_fault(
          pipeline_,
          make_error(Errc::kRowRejected,
                     what + "; give a sink a dead_letter_table to store such input, or set "
                            "max_rejects of the source to tolerate it")));
    }
    if (count_ <= kRowsNamedMax) {
      pipeline_.context.reporter.warning("source " + source_.name + ", " + what +
                                         "; it is rejected");
    }
  }
  if (keeps_) {
    kept_.insert(kept_.end(), inputs.begin(), inputs.end());
    return {};
  }
  for (BranchSink* const sink : sinks_) {
    if (auto done = sink->reject(inputs); !done) return done;
  }
  return {};
}

/// Of `count` rows from `begin` on.
std::vector<SourceRejects::Rejected> SourceRejects::find(Query& all_columns, size_t begin,
                                                         size_t count) {
  source_.feed.narrow(begin, count);
  std::string reason;
  auto started = all_columns.start();
  if (!started) reason = started.error().error.message;
  while (started) {
    const auto chunk = all_columns.next();
    if (!chunk) reason = chunk.error().error.message;
    if (!chunk || !chunk->filled()) break;
  }
  if (reason.empty()) return {};
  if (count == 1) return {{begin, reason}};
  auto rejected = find(all_columns, begin, count / 2);
  for (auto& row : find(all_columns, begin + count / 2, count - count / 2)) {
    rejected.push_back(std::move(row));
  }
  return rejected;
}

}  // namespace pgsink::shell
