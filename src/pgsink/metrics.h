#pragma once
// SinkMetrics: what a sink has done to its target so far. Counters only grow.

#include <array>
#include <cstdint>
#include <string>

namespace pgsink {

/// Histogram counts durations in seconds between fixed bounds: counts[i] holds those above
/// kBounds[i-1] up to and including kBounds[i], the last everything above. (Prometheus' `le`
/// buckets are the running sums of counts.)
struct Histogram {
  static constexpr std::array<double, 11> kBounds{0.001, 0.005, 0.01, 0.05, 0.1, 0.5,
                                                  1,     5,     10,   30,   60};
  std::array<uint64_t, kBounds.size() + 1> counts{};
  uint64_t count = 0;
  double sum = 0;

  /// Observe counts one duration. A negative one (a clock set back) counts as 0; NaN and
  /// infinity, which no clock yields, not at all.
  void observe(double seconds);
  /// Quantile is the value below which that part (0…1) of the observations lie, by linear
  /// interpolation within its bucket; above the last bound, that bound; 0 without observations.
  double quantile(double part) const;
  /// Merge adds what `other` counted.
  void merge(const Histogram& other);
};

/// SinkMetrics is a snapshot of one sink.
struct SinkMetrics {
  std::string connection_name;
  uint64_t rows_accepted = 0;  ///< Handed over by write().
  uint64_t rows_written = 0;   ///< Known to be committed.
  uint64_t bytes_written = 0;  ///< COPY bytes of committed flights.
  uint64_t batches_sent = 0;   ///< Flights whose outcome is committed.
  uint64_t failed_writes = 0;  ///< Flights that did not commit at an attempt.
  uint64_t rejected_rows = 0;
  uint64_t retry_count = 0;          ///< Flights sent again.
  uint64_t possible_duplicates = 0;  ///< Rows sent again without knowing the first outcome.
  uint64_t in_flight_rows = 0;       ///< Gauge: sent, outcome not known.
  uint64_t buffered_bytes = 0;       ///< Gauge: accepted, not durable.
  uint64_t connections_opened = 0;
  Histogram write_latency;  ///< From the first byte of a flight to its outcome.
  std::string last_error;
  int64_t last_error_wall_us = 0;  ///< Microseconds since 1970, 0 for never.
};

}  // namespace pgsink
