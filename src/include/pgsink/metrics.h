#pragma once
// SinkMetrics: what a sink has done to its target so far. Counters only grow.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace pgsink {

/// Bounds of histograms: seconds, rows, bytes.
inline constexpr std::array<double, 11> kSecondsBounds{0.001, 0.005, 0.01, 0.05, 0.1, 0.5,
                                                       1,     5,     10,   30,   60};
inline constexpr std::array<double, 11> kRowsBounds{1,    10,    100,   500,    1000,   2000,
                                                    5000, 10000, 50000, 100000, 1000000};
inline constexpr std::array<double, 11> kBytesBounds{1 << 10, 1 << 12, 1 << 14, 1 << 16,
                                                     1 << 18, 1 << 20, 1 << 22, 1 << 24,
                                                     1 << 26, 1 << 28, 1 << 30};

/// BasicHistogram counts values between fixed bounds: counts[i] holds those above kBounds[i-1] up
/// to and including kBounds[i], the last everything above. (Prometheus' `le` buckets are the
/// running sums of counts.)
template <const std::array<double, 11>& bounds>
struct BasicHistogram {
  static constexpr const std::array<double, 11>& kBounds = bounds;
  std::array<uint64_t, bounds.size() + 1> counts{};
  uint64_t count = 0;
  double sum = 0;

  /// Observe counts one value. A negative one (a clock set back) counts as 0; NaN and infinity,
  /// which no clock yields, not at all.
  void observe(double value);
  /// Quantile is the value below which that part (0…1) of the observations lie, by linear
  /// interpolation within its bucket; above the last bound, that bound; 0 without observations.
  double quantile(double part) const;
  /// Merge adds what `other` counted.
  void merge(const BasicHistogram& other);
  /// Mean of what was observed; 0 without observations.
  double mean() const { return count == 0 ? 0 : sum / static_cast<double>(count); }
};

/// Histogram counts durations in seconds; RowsHistogram and BytesHistogram what their names say.
using Histogram = BasicHistogram<kSecondsBounds>;
using RowsHistogram = BasicHistogram<kRowsBounds>;
using BytesHistogram = BasicHistogram<kBytesBounds>;

/// BatchTrigger is what ended a batch: it was full by rows or by bytes, its rows had waited for
/// batch_timeout_ms, flush() or the end of an epoch asked for it, close() did, or a producer waited
/// for the memory that its rows hold.
enum class BatchTrigger : uint8_t { kRows, kBytes, kTime, kFlush, kEnd, kMemory };
inline constexpr size_t kBatchTriggerCount = 6;
/// batch_trigger_name is "rows", "bytes", "time", "flush", "end" or "memory".
std::string_view batch_trigger_name(BatchTrigger trigger);

/// StatementMetrics is what the lanes of a sink sent as one statement, however often. Its time is
/// the client's: from when it was sent, or the one before it was answered if that came later, to
/// its own answer.
struct StatementMetrics {
  std::string text;  ///< With $1 where a value differs each time.
  uint64_t calls = 0;
  uint64_t failures = 0;  ///< Calls that the server answered with an error.
  uint64_t rows = 0;      ///< That it reported as written.
  double total_seconds = 0;
  double max_seconds = 0;

  double mean_seconds() const { return calls == 0 ? 0 : total_seconds / double(calls); }
};

/// SinkMetrics is a snapshot of one sink.
struct SinkMetrics {
  /// Distinct keys of `errors`; the others are counted under "other".
  static constexpr size_t kErrorKeysMax = 64;

  std::string connection_name;
  uint64_t rows_accepted = 0;  ///< Handed over by write().
  uint64_t rows_written = 0;   ///< Known to be committed.
  /// Rows that the server said it inserted, updated or deleted for them: fewer where the last row
  /// of a key, ON CONFLICT, newer_by or a trigger leaves some out, or nothing matches. What a
  /// changelog deletes is not in it. Where the answer was lost, the rows sent.
  uint64_t rows_changed = 0;
  uint64_t bytes_written = 0;  ///< COPY bytes of committed flights.
  uint64_t batches_sent = 0;   ///< Flights whose outcome is committed.
  uint64_t failed_writes = 0;  ///< Flights that did not commit at an attempt.
  uint64_t rejected_rows = 0;
  uint64_t retry_count = 0;          ///< Flights sent again.
  uint64_t possible_duplicates = 0;  ///< Rows sent again without knowing the first outcome.
  uint64_t in_flight_rows = 0;       ///< Gauge: sent, outcome not known.
  uint64_t buffered_bytes = 0;       ///< Gauge: accepted, not durable.
  uint64_t connections_opened = 0;
  uint64_t connections_broken = 0;  ///< That ended although the lane still needed them.
  uint64_t connections_open = 0;    ///< Gauge: of the lanes.
  /// Gauge: lanes where something failed and nothing has succeeded since. They wait and try again.
  uint64_t lanes_failing = 0;
  uint64_t sinks_stopped = 0;  ///< Gauge: that failed for good. Every call of them fails.
  Histogram write_latency;     ///< From the first byte of a flight to its outcome.
  RowsHistogram batch_rows;    ///< Of committed flights.
  BytesHistogram batch_bytes;  ///< Of committed flights.
  /// Why committed flights ended, by BatchTrigger.
  std::array<uint64_t, kBatchTriggerCount> batches_by_trigger{};
  /// Errors met, also those that were tried again with success: by SQLSTATE, or "client" for what
  /// the server did not say (a broken connection, a value that cannot be encoded).
  std::map<std::string, uint64_t> errors;
  std::vector<StatementMetrics> statements;  ///< In the order of their first use.
  std::string last_error;
  int64_t last_error_wall_us = 0;   ///< Microseconds since 1970, 0 for never.
  int64_t last_commit_wall_us = 0;  ///< Microseconds since 1970, 0 for never.

  /// Rows of a committed flight, on average.
  double avg_batch_size() const { return batch_rows.mean(); }
  double avg_write_latency_ms() const { return write_latency.mean() * 1000; }
  double p99_write_latency_ms() const { return write_latency.quantile(0.99) * 1000; }

  /// Counts an error. `sqlstate` is "" for the client's own.
  void count_error(std::string_view sqlstate);
  /// Counts one call of a statement.
  void count_statement(std::string_view text, double seconds, uint64_t rows, bool failed);
  /// Merge adds what another sink, or a part of this one, counted; the later of the last errors is
  /// kept, and the name stays.
  void merge(const SinkMetrics& part);
};

/// PoolMetrics is a snapshot of one pool of connections: gauges first, then counters, which only
/// grow.
struct PoolMetrics {
  std::string connection_name;
  uint64_t pool_size = 0;           ///< The limit.
  uint64_t active_connections = 0;  ///< Lent to a lane or to the program.
  uint64_t idle_connections = 0;
  uint64_t opening_connections = 0;
  uint64_t waiting_requests = 0;  ///< Who waits for a connection.
  uint64_t requests = 0;          ///< For connections; a sink makes one for all of its lanes.
  uint64_t requests_failed =
      0;  ///< That waited in vain, or met a server that could not be reached.
  /// From asking for a connection to having it; of all requests together, and of the longest.
  double connection_wait_time_ms = 0, connection_wait_time_max_ms = 0;
  uint64_t connections_opened = 0;
  uint64_t connections_broken = 0;  ///< That ended while lent or idle, and not by us.
  uint64_t connections_reaped = 0;  ///< Closed after idle_timeout_ms.

  double connection_wait_time_mean_ms() const {
    return requests == 0 ? 0 : connection_wait_time_ms / static_cast<double>(requests);
  }
};

}  // namespace pgsink
