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

/// Upper bounds of the histograms' buckets: seconds, rows, bytes.
inline constexpr std::array<double, 11> kSecondsBounds{0.001, 0.005, 0.01, 0.05, 0.1, 0.5,
                                                       1,     5,     10,   30,   60};
/// Upper bounds of RowsHistogram.
inline constexpr std::array<double, 11> kRowsBounds{1,    10,    100,   500,    1000,   2000,
                                                    5000, 10000, 50000, 100000, 1000000};
/// Upper bounds of BytesHistogram.
inline constexpr std::array<double, 11> kBytesBounds{1 << 10, 1 << 12, 1 << 14, 1 << 16,
                                                     1 << 18, 1 << 20, 1 << 22, 1 << 24,
                                                     1 << 26, 1 << 28, 1 << 30};

/// BasicHistogram counts values between fixed bounds: counts[i] holds those above kBounds[i-1] up
/// to and including kBounds[i], the last everything above. (Prometheus' `le` buckets are the
/// running sums of counts.)
template <const std::array<double, 11>& bounds>
struct BasicHistogram {
  static constexpr const std::array<double, 11>& kBounds = bounds;
  /// One for each bound, and one for values above the last.
  std::array<uint64_t, bounds.size() + 1> counts{};
  uint64_t count = 0;  ///< Number of values.
  double sum = 0;      ///< Sum of the values.

  /// observe counts one value. A negative one (a clock that was set back) counts as 0; NaN and
  /// infinity, which no clock yields, are ignored.
  void observe(double value);
  /// quantile is the value below which that part (0…1) of the observations lies, by linear
  /// interpolation within its bucket; above the last bound, that bound; 0 without observations.
  double quantile(double part) const;
  /// merge adds what `other` counted.
  void merge(const BasicHistogram& other);
  /// mean of the observed values; 0 without observations.
  double mean() const { return count == 0 ? 0 : sum / static_cast<double>(count); }
};

/// Histogram counts durations in seconds; RowsHistogram and BytesHistogram count rows and bytes.
using Histogram = BasicHistogram<kSecondsBounds>;
using RowsHistogram = BasicHistogram<kRowsBounds>;
using BytesHistogram = BasicHistogram<kBytesBounds>;

/// BatchTrigger is the reason why a batch ended: it was full by rows or by bytes, its rows had
/// waited for batch_timeout_ms, flush() or the end of an epoch asked for it, close() did, or a
/// producer waited for the memory that its rows hold.
enum class BatchTrigger : uint8_t { kRows, kBytes, kTime, kFlush, kEnd, kMemory };
/// The number of enumerators of BatchTrigger.
inline constexpr size_t kBatchTriggerCount = 6;
/// batch_trigger_name is "rows", "bytes", "time", "flush", "end" or "memory".
std::string_view batch_trigger_name(BatchTrigger trigger);

/// StatementMetrics counts what the lanes of a sink sent as one statement, however often. Its time
/// is measured by the client: from sending it, or from the previous answer if that came later, to
/// its own answer.
struct StatementMetrics {
  std::string text;          ///< The SQL, with $1 where a value differs each time.
  uint64_t calls = 0;        ///< How often it was sent.
  uint64_t failures = 0;     ///< Calls that the server answered with an error.
  uint64_t rows = 0;         ///< Rows that it reported as written.
  double total_seconds = 0;  ///< Time of all calls.
  double max_seconds = 0;    ///< Time of the slowest call.

  double mean_seconds() const { return calls == 0 ? 0 : total_seconds / double(calls); }
};

/// SinkMetrics is a snapshot of one sink. Counters unless marked as a gauge.
struct SinkMetrics {
  /// Maximum of distinct keys of `errors`; all others are counted under "other".
  static constexpr size_t kErrorKeysMax = 64;

  std::string connection_name;
  uint64_t rows_accepted = 0;  ///< Rows handed over by write().
  uint64_t rows_written = 0;   ///< Rows known to be committed.
  /// Rows that the server reported as inserted, updated or deleted for them: fewer where only the
  /// last row of a key counts, where ON CONFLICT, newer_by or a trigger leaves some out, or where
  /// nothing matches. The deletes of a changelog are not in it. Where the answer was lost, the rows
  /// sent.
  uint64_t rows_changed = 0;
  uint64_t bytes_written = 0;        ///< COPY bytes of committed flights.
  uint64_t batches_sent = 0;         ///< Flights that committed.
  uint64_t failed_writes = 0;        ///< Attempts of flights that did not commit.
  uint64_t rejected_rows = 0;        ///< Rows that could not be written, also dead letters.
  uint64_t retry_count = 0;          ///< Flights that were sent again.
  uint64_t possible_duplicates = 0;  ///< Rows sent again while the outcome of the first attempt was
                                     ///< unknown.
  uint64_t in_flight_rows = 0;       ///< Gauge: rows sent, outcome unknown.
  uint64_t buffered_bytes = 0;       ///< Gauge: bytes accepted, not durable.
  /// Gauge: since when rows wait to be durable without a break, in microseconds since 1970; 0: none
  /// wait.
  int64_t waiting_since_wall_us = 0;
  uint64_t connections_opened = 0;  ///< Connections of the lanes that were opened.
  uint64_t connections_broken = 0;  ///< Connections that broke while in use.
  uint64_t connections_open = 0;    ///< Gauge: connections of the lanes.
  /// Gauge: lanes that are retrying after a failure, with nothing committed since.
  uint64_t lanes_failing = 0;
  uint64_t sinks_stopped = 0;  ///< Gauge: sinks that failed for good; every call of them fails.
  Histogram write_latency;     ///< Seconds from the first byte of a flight to its outcome.
  RowsHistogram batch_rows;    ///< Rows of committed flights.
  BytesHistogram batch_bytes;  ///< Bytes of committed flights.
  /// Number of committed flights for each BatchTrigger.
  std::array<uint64_t, kBatchTriggerCount> batches_by_trigger{};
  /// Errors, also those after which a retry succeeded, by SQLSTATE, or "client" for an error
  /// without one (a broken connection, a value that cannot be encoded).
  std::map<std::string, uint64_t> errors;
  std::vector<StatementMetrics> statements;  ///< In the order of their first use.
  std::string last_error;                    ///< Text of the last error, "" for none.
  int64_t last_error_wall_us = 0;            ///< Microseconds since 1970, 0 for never.
  int64_t last_commit_wall_us = 0;           ///< Microseconds since 1970, 0 for never.

  /// Average rows of a committed flight.
  double avg_batch_size() const { return batch_rows.mean(); }
  /// Average time from the first byte of a flight to its outcome.
  double avg_write_latency_ms() const { return write_latency.mean() * 1000; }
  /// The time that 99 of 100 flights do not exceed, interpolated.
  double p99_write_latency_ms() const { return write_latency.quantile(0.99) * 1000; }

  /// count_error counts an error. `sqlstate` is "" for an error without one.
  void count_error(std::string_view sqlstate);
  /// count_statement counts one call of a statement.
  void count_statement(std::string_view text, double seconds, uint64_t rows, bool failed);
  /// merge adds the counts of another sink, or of a part of this one. It keeps the later of the
  /// last errors, the earlier begin of a wait, and this one's name.
  void merge(const SinkMetrics& part);
};

/// PoolMetrics is a snapshot of one connection pool: gauges first, then counters, which only grow.
struct PoolMetrics {
  std::string connection_name;
  uint64_t pool_size = 0;            ///< The maximum of connections.
  uint64_t active_connections = 0;   ///< In use by a lane or the program.
  uint64_t idle_connections = 0;     ///< Open and unused.
  uint64_t opening_connections = 0;  ///< Being opened.
  uint64_t waiting_requests = 0;     ///< Requests that wait for a connection.
  uint64_t requests = 0;             ///< For connections; a sink makes one for all of its lanes.
  /// Requests that timed out, or whose server could not be reached.
  uint64_t requests_failed = 0;
  /// Time from the request to having the connection: the sum of all requests, and the longest.
  double connection_wait_time_ms = 0, connection_wait_time_max_ms = 0;
  uint64_t connections_opened = 0;
  uint64_t connections_broken = 0;  ///< Broken while in use or idle, not closed by pgsink.
  uint64_t connections_reaped = 0;  ///< Closed after idle_timeout_ms.

  /// Average wait of a request.
  double connection_wait_time_mean_ms() const {
    return requests == 0 ? 0 : connection_wait_time_ms / static_cast<double>(requests);
  }
};

}  // namespace pgsink
