#pragma once
// Which failures are retried, and when.

#include <optional>
#include <string>
#include <vector>

#include <pgsink/options.h>

#include "pgsink/client/env.h"

namespace pgsink {

/// is_transient says whether the same work may succeed if it is repeated: lost connections, server
/// restarts, deadlocks, serialization failures, lock timeouts, resource shortages. Decides by
/// Error::code and SQLSTATE only. Data and constraint errors (22, 23, 42) never are.
bool is_transient(const Error& error);

/// RetryRule says which failures a sink retries: the transient ones, or only those that the option
/// retry_on_errors lists.
class RetryRule {
 public:
  RetryRule() = default;

  /// from reads names of conditions (a class's own name, which ends in 000, means the class), the
  /// words deadlock, serialization, connection and timeout, classes and SQLSTATEs. Fails with
  /// kOptionValue for an unknown name, and for a failure that no retry can change.
  static Result<RetryRule> from(const std::vector<std::string>& conditions);

  /// For a transaction that the server rolled back.
  bool allows(const Error& error) const;
  /// For a connection that was lost or could not be opened: whatever reason the server gave, the
  /// connection failed too.
  bool allows_reconnect(const Error& error) const;

 private:
  bool lists(std::string_view sqlstate) const;

  std::vector<std::string> listed_;  ///< Prefixes of SQLSTATEs. Empty: the transient ones.
};

/// RetryPolicy holds the options about retries.
struct RetryPolicy {
  RetryRule rule{};
  uint32_t retries_max = 5;  ///< Maximum of retries in a row.
  /// Maximum time since the first failure without a success; 0: no limit.
  Duration timeout{};
  Duration backoff = std::chrono::seconds(1), backoff_max = std::chrono::seconds(60);

  /// REQUIRES: check_options() finds no fault.
  static RetryPolicy from(const SinkOptions& options);
};

/// RetryLimit decides when to stop: after too many retries, or too long without a success.
class RetryLimit {
 public:
  explicit RetryLimit(const RetryPolicy& policy)
      : retries_max_(policy.retries_max), timeout_(policy.timeout) {}

  /// Records a failure, the `failures`th in a row. Fails with `error` and the reason if it must not
  /// be retried again.
  Status failed(uint32_t failures, const Error& error, TimePoint now);
  void succeeded() { failing_since_.reset(); }
  /// Whether there was a failure, and no success since.
  bool failing() const { return failing_since_.has_value(); }

 private:
  uint32_t retries_max_;
  Duration timeout_;
  std::optional<TimePoint> failing_since_;
};

/// Backoff computes delays: exponential from `base`, capped at `cap`, with full jitter.
/// Deterministic in its seed.
class Backoff {
 public:
  Backoff(const RetryPolicy& policy, uint64_t seed)
      : base_(policy.backoff), cap_(policy.backoff_max), state_(seed | 1) {}
  /// The delay before attempt `attempt` (1 for the first repetition): 0 … min(cap,
  /// base·2^(attempt-1)).
  Duration delay(uint32_t attempt);

 private:
  Duration base_;
  Duration cap_;
  uint64_t state_;
};

}  // namespace pgsink
