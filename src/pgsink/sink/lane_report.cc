// What a lane tells of itself: metrics, and errors with what was and was not written.

#include <algorithm>

#include "pgsink/sink/lane.h"

namespace pgsink {

void Lane::note_error(const Error& error) {
  const Monitor::Lock lock(*metrics_monitor_);
  metrics_.last_error = error.to_string();
  metrics_.last_error_wall_us = env_.clock.wall_us();
}

void Lane::count_in_flight() {
  uint64_t rows = 0;
  for (const FlightLog::Seq seq : wire_) rows += flight(seq).rows;
  const Monitor::Lock lock(*metrics_monitor_);
  metrics_.in_flight_rows = rows;
}

void Lane::name_row(Error& error, uint64_t row) {
  error.message += " (input row " + std::to_string(row) + ")";
}

Error Lane::explain(Error cause) const {
  std::string text =
      "connection \"" + setup_.name + "\", table " + plan_.table + ": " + cause.message + ". ";
  uint64_t committed = 0;
  if (committer_ != nullptr) {
    committed = committer_->rows_committed();
  } else {
    const Monitor::Lock lock(*metrics_monitor_);
    committed = metrics_.rows_written;
  }
  text += std::to_string(committed) + " rows are committed";
  const FlightLog::Seq failed = log_.stop_seq();
  if (failed != 0 && !flights_.empty() && failed >= flights_.front().seq) {
    const Flight& flight = flights_[static_cast<size_t>(failed - flights_.front().seq)];
    const uint64_t first = flight.input_row(0);
    const uint64_t last = flight.input_row(flight.rows - 1);
    text += last - first + 1 == flight.rows ? "; rows "
                                            : "; " + std::to_string(flight.rows) + " of rows ";
    text += std::to_string(first) + " to " + std::to_string(last) +
            " were one transaction and were rolled back";
  }
  if (const size_t unknown = log_.unknown_count(); unknown > 0) {
    text +=
        "; of " + std::to_string(unknown) + " transactions it is not known whether they committed";
  }
  cause.message = text + "; what was accepted behind them was not written";
  return cause;
}

void Lane::read_metrics(SinkMetrics& metrics) const {
  const Monitor::Lock lock(*metrics_monitor_);
  metrics.rows_written += metrics_.rows_written;
  metrics.bytes_written += metrics_.bytes_written;
  metrics.batches_sent += metrics_.batches_sent;
  metrics.failed_writes += metrics_.failed_writes;
  metrics.rejected_rows += metrics_.rejected_rows;
  metrics.possible_duplicates += metrics_.possible_duplicates;
  metrics.retry_count += metrics_.retry_count;
  metrics.in_flight_rows += metrics_.in_flight_rows;
  metrics.connections_opened += metrics_.connections_opened;
  metrics.write_latency.merge(metrics_.write_latency);
  if (metrics_.last_error_wall_us >= metrics.last_error_wall_us) {
    metrics.last_error = metrics_.last_error;
    metrics.last_error_wall_us = metrics_.last_error_wall_us;
  }
}

}  // namespace pgsink
