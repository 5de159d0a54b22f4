#include "shell/run/branch_sink.h"

#include <algorithm>
#include <utility>

#include "shell/text/numbers.h"

namespace pgsink::shell {

std::expected<std::unique_ptr<BranchSink>, Faults> BranchSink::open(const Pipeline& pipeline,
                                                                    const Branch& branch,
                                                                    SinkOptions options) {
  Connections& connections = pipeline.context.connections;
  const auto pool = connections.pool(branch.syntax.target);
  auto sink = pool ? Sink::open(std::move(options), branch.schema(), nullptr, *pool)
                   : std::unexpected(pool.error());
  if (!sink) return std::unexpected(pipeline.target_fault(branch, sink.error()));
  std::unique_ptr<BranchSink> opened(new BranchSink(pipeline, branch));
  opened->sink_ = std::move(*sink);
  for (const std::string& text : opened->sink_->warnings()) pipeline.context.reporter.warning(text);
  connections.attach(branch.syntax.target, opened->sink_.get());
  return opened;
}

BranchSink::~BranchSink() { retire(); }

void BranchSink::retire() const {
  pipeline_.context.connections.retire(branch_.syntax.target, sink_.get());
}

Outcome BranchSink::write(RecordBatch batch) { return checked(sink_->write(std::move(batch))); }

std::expected<bool, Faults> BranchSink::try_write(RecordBatch& batch) {
  auto taken = sink_->try_write(batch);
  if (!taken) return std::unexpected(stopped_by(std::move(taken.error())));
  return *taken;
}

Outcome BranchSink::reject(std::span<const RejectedInput> inputs) {
  return checked(sink_->reject(inputs));
}

Outcome BranchSink::flush() { return checked(sink_->flush()); }

Outcome BranchSink::check() const { return checked(sink_->status()); }

Outcome BranchSink::close() { return checked(sink_->close()); }

Outcome BranchSink::finish() { return checked(sink_->finish()); }

Outcome BranchSink::checked(Status status) const {
  if (!status) return std::unexpected(stopped_by(std::move(status.error())));
  return {};
}

Faults BranchSink::stopped_by(Error error) const {
  error.message += "; " + grouped(rows_read) + " rows of the query were read";
  return pipeline_.target_fault(branch_, std::move(error));
}

void BranchSink::count_delivered_before() {
  const SinkMetrics metrics = sink_->metrics();
  const uint64_t now = metrics.rows_written + metrics.rejected_rows;
  rows_delivered_before_ = rows_read - std::min(now, rows_read);
}

SinkReport BranchSink::report(std::string_view outcome, double seconds) const {
  const SinkMetrics metrics = sink_->metrics();
  SinkReport report = pipeline_.blank_report(branch_);
  report.outcome = outcome;
  report.rows_read = rows_read;
  report.rows_written = metrics.rows_written;
  report.rows_changed = metrics.rows_changed;
  report.rows_rejected = metrics.rejected_rows;
  report.rows_delivered_before = rows_delivered_before_;
  report.batches_retried = metrics.retry_count;
  report.bytes = metrics.bytes_written;
  report.seconds = seconds;
  report.commit_p99_seconds = metrics.write_latency.quantile(0.99);
  return report;
}

}  // namespace pgsink::shell
