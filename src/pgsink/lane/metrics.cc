#include <algorithm>
#include <cmath>

#include <pgsink/metrics.h>

namespace pgsink {

template <const std::array<double, 11>& bounds>
void BasicHistogram<bounds>::observe(double value) {
  if (!std::isfinite(value)) return;
  value = std::max(value, 0.0);
  size_t bucket = 0;
  while (bucket < kBounds.size() && value > kBounds[bucket]) ++bucket;
  ++counts[bucket];
  ++count;
  sum += value;
}

template <const std::array<double, 11>& bounds>
double BasicHistogram<bounds>::quantile(double part) const {
  if (count == 0) return 0;
  // The comparison written so that NaN asks for the smallest.
  const double clamped = part > 0 ? std::min(part, 1.0) : 0.0;
  const double rank = clamped * static_cast<double>(count);
  double below = 0;
  for (size_t i = 0; i < kBounds.size(); ++i) {
    const auto in_bucket = static_cast<double>(counts[i]);
    if (in_bucket > 0 && below + in_bucket >= rank) {
      const double low = i == 0 ? 0.0 : kBounds[i - 1];
      return low + (kBounds[i] - low) * (rank - below) / in_bucket;
    }
    below += in_bucket;
  }
  return kBounds.back();
}

template <const std::array<double, 11>& bounds>
void BasicHistogram<bounds>::merge(const BasicHistogram& other) {
  for (size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
  count += other.count;
  sum += other.sum;
}

template struct BasicHistogram<kSecondsBounds>;
template struct BasicHistogram<kRowsBounds>;
template struct BasicHistogram<kBytesBounds>;

std::string_view batch_trigger_name(BatchTrigger trigger) {
  constexpr std::array<std::string_view, kBatchTriggerCount> kNames{"rows",  "bytes", "time",
                                                                    "flush", "end",   "memory"};
  return kNames[static_cast<size_t>(trigger)];
}

void SinkMetrics::count_error(std::string_view sqlstate) {
  std::string key(sqlstate.empty() ? "client" : sqlstate);
  if (errors.size() >= kErrorKeysMax && !errors.contains(key)) key = "other";
  ++errors[key];
}

namespace {

StatementMetrics& statement_of(std::vector<StatementMetrics>& all, std::string_view text) {
  const auto found = std::ranges::find(all, text, &StatementMetrics::text);
  if (found != all.end()) return *found;
  StatementMetrics& added = all.emplace_back();
  added.text = text;
  return added;
}

}  // namespace

void SinkMetrics::count_statement(std::string_view text, double seconds, uint64_t rows,
                                  bool failed) {
  StatementMetrics& statement = statement_of(statements, text);
  ++statement.calls;
  if (failed) ++statement.failures;
  statement.rows += rows;
  statement.total_seconds += std::max(seconds, 0.0);
  statement.max_seconds = std::max(statement.max_seconds, seconds);
}

void SinkMetrics::merge(const SinkMetrics& part) {
  rows_accepted += part.rows_accepted;
  rows_written += part.rows_written;
  rows_changed += part.rows_changed;
  bytes_written += part.bytes_written;
  batches_sent += part.batches_sent;
  failed_writes += part.failed_writes;
  rejected_rows += part.rejected_rows;
  retry_count += part.retry_count;
  possible_duplicates += part.possible_duplicates;
  in_flight_rows += part.in_flight_rows;
  buffered_bytes += part.buffered_bytes;
  if (part.waiting_since_wall_us > 0) {
    const bool earlier =
        waiting_since_wall_us == 0 || part.waiting_since_wall_us < waiting_since_wall_us;
    if (earlier) waiting_since_wall_us = part.waiting_since_wall_us;
  }
  connections_opened += part.connections_opened;
  connections_broken += part.connections_broken;
  connections_open += part.connections_open;
  lanes_failing += part.lanes_failing;
  sinks_stopped += part.sinks_stopped;
  write_latency.merge(part.write_latency);
  batch_rows.merge(part.batch_rows);
  batch_bytes.merge(part.batch_bytes);
  for (size_t i = 0; i < kBatchTriggerCount; ++i) {
    batches_by_trigger[i] += part.batches_by_trigger[i];
  }
  for (const auto& [key, count] : part.errors) {
    const bool fits = errors.size() < kErrorKeysMax || errors.contains(key);
    errors[fits ? key : "other"] += count;
  }
  for (const StatementMetrics& from : part.statements) {
    StatementMetrics& to = statement_of(statements, from.text);
    to.calls += from.calls;
    to.failures += from.failures;
    to.rows += from.rows;
    to.total_seconds += from.total_seconds;
    to.max_seconds = std::max(to.max_seconds, from.max_seconds);
  }
  if (!part.last_error.empty() && part.last_error_wall_us >= last_error_wall_us) {
    last_error = part.last_error;
    last_error_wall_us = part.last_error_wall_us;
  }
  last_commit_wall_us = std::max(last_commit_wall_us, part.last_commit_wall_us);
}

}  // namespace pgsink
