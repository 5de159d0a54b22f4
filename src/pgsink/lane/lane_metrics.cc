#include "pgsink/lane/lane_metrics.h"

#include <algorithm>
#include <chrono>

namespace pgsink {

void LaneMetrics::connected() {
  const Monitor::Lock lock(*monitor_);
  ++metrics_.connections_opened;
  metrics_.connections_open = 1;
}

void LaneMetrics::disconnected() {
  failing_shown_ = false;
  const Monitor::Lock lock(*monitor_);
  metrics_.connections_open = 0;
  metrics_.lanes_failing = 0;  // It does not try any more.
}

void LaneMetrics::lost(size_t flights) {
  const Monitor::Lock lock(*monitor_);
  metrics_.failed_writes += flights;
  ++metrics_.connections_broken;
  metrics_.connections_open = 0;
}

void LaneMetrics::show_failing(bool failing) {
  if (failing_shown_ == failing) return;
  failing_shown_ = failing;
  const Monitor::Lock lock(*monitor_);
  metrics_.lanes_failing = failing ? 1 : 0;
}

void LaneMetrics::error(const Error& error) {
  const Monitor::Lock lock(*monitor_);
  metrics_.count_error(error.sqlstate.is_set() ? error.sqlstate.view() : "");
  metrics_.last_error = error.to_string();
  metrics_.last_error_wall_us = clock_.wall_us();
}

void LaneMetrics::began(const Flight& flight, bool possible_duplicate, uint64_t retries) {
  const Monitor::Lock lock(*monitor_);
  metrics_.retry_count = retries;
  if (possible_duplicate) metrics_.possible_duplicates += flight.rows_kept();
}

void LaneMetrics::in_flight(uint64_t rows) {
  const Monitor::Lock lock(*monitor_);
  metrics_.in_flight_rows = rows;
}

void LaneMetrics::failed_write() {
  const Monitor::Lock lock(*monitor_);
  ++metrics_.failed_writes;
}

void LaneMetrics::committed(const Flight& flight) {
  const Attempt& attempt = flight.attempt;
  // Known by its tag, or, if only the outcome survived the connection, by what was sent.
  const bool counted_by_server = attempt.is_committed() && attempt.path == Path::kCopy;
  const Monitor::Lock lock(*monitor_);
  metrics_.rows_written += counted_by_server ? attempt.copied_rows : flight.rows_kept();
  metrics_.rows_changed += flight.rows_changed();
  metrics_.rejected_rows += flight.rejects.salvage.left_out().size();
  metrics_.bytes_written += attempt.encoded_bytes;
  ++metrics_.batches_sent;
  metrics_.batch_rows.observe(static_cast<double>(flight.rows));
  metrics_.batch_bytes.observe(static_cast<double>(attempt.encoded_bytes));
  ++metrics_.batches_by_trigger[static_cast<size_t>(flight.trigger)];
  metrics_.last_commit_wall_us = clock_.wall_us();
  metrics_.write_latency.observe(
      std::chrono::duration<double>(clock_.now() - attempt.began).count());
}

uint64_t LaneMetrics::rows_written() const {
  const Monitor::Lock lock(*monitor_);
  return metrics_.rows_written;
}

void LaneMetrics::statement(std::string_view text, const Flight& flight, uint64_t rows,
                            bool failed) {
  const TimePoint now = clock_.now();
  const Duration taken = now - std::max(answered_at_, flight.attempt.began);
  answered_at_ = now;
  const Monitor::Lock lock(*monitor_);
  metrics_.count_statement(text, std::chrono::duration<double>(taken).count(), rows, failed);
}

void LaneMetrics::read(SinkMetrics& metrics) const {
  const Monitor::Lock lock(*monitor_);
  metrics.merge(metrics_);
}

}  // namespace pgsink
