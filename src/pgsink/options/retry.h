#pragma once
// What may be tried again, and when.

#include <optional>
#include <string>
#include <vector>

#include <pgsink/options.h>

#include "pgsink/client/env.h"

namespace pgsink {

/// is_transient says whether the same work may succeed if it is done again: lost connections,
/// server restarts, deadlocks, serialization failures, lock timeouts, resource shortages. Decides
/// from Error::code and SQLSTATE only. Data and constraint errors (22, 23, 42) never are.
bool is_transient(const Error& error);

/// RetryRule says which failures a sink tries again: the transient ones, or only those that the
/// option retry_on_errors lists.
class RetryRule {
 public:
  RetryRule() = default;

  /// from reads names of conditions (a class's own name, which ends in 000, means the class), the
  /// words deadlock, serialization, connection and timeout, classes and SQLSTATEs. Fails with
  /// kOptionValue for a name that is none, and for what fails again however often it is tried.
  static Result<RetryRule> from(const std::vector<std::string>& conditions);

  /// Of a transaction that the server rolled back.
  bool allows(const Error& error) const;
  /// Of a connection that was lost or did not come about: whatever the server gave as its reason,
  /// that is a failure of the connection too.
  bool allows_reconnect(const Error& error) const;

 private:
  bool lists(std::string_view sqlstate) const;

  std::vector<std::string> listed_;  ///< Beginnings of SQLSTATEs. None: the transient ones.
};

/// RetryPolicy is all that the options say of repetition.
struct RetryPolicy {
  RetryRule rule{};
  uint32_t retries_max = 5;  ///< Of one thing, in a row.
  /// And how long, since something failed and nothing has succeeded; 0: as often as that takes.
  Duration timeout{};
  Duration backoff = std::chrono::seconds(1), backoff_max = std::chrono::seconds(60);

  /// REQUIRES: check_options() finds no fault.
  static RetryPolicy from(const SinkOptions& options);
};

/// RetryLimit says when it is enough: after too many repetitions, or too long without a success.
class RetryLimit {
 public:
  explicit RetryLimit(const RetryPolicy& policy)
      : retries_max_(policy.retries_max), timeout_(policy.timeout) {}

  /// Notes that something failed, `failures` times in a row by now. Fails with `error`, and why it
  /// is not tried again, if that was one too many.
  Status failed(uint32_t failures, const Error& error, TimePoint now);
  void succeeded() { failing_since_.reset(); }
  /// Whether something failed, and nothing has succeeded since.
  bool failing() const { return failing_since_.has_value(); }

 private:
  uint32_t retries_max_;
  Duration timeout_;
  std::optional<TimePoint> failing_since_;
};

/// Backoff draws delays: exponential from `base`, capped at `cap`, with full jitter. Deterministic
/// in its seed.
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
