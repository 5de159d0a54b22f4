#pragma once
// What may be tried again, and when.

#include "pgsink/client/env.h"

namespace pgsink {

/// is_transient says whether the same work may succeed if it is done again: lost connections,
/// server restarts, deadlocks, serialization failures, lock timeouts, resource shortages. Decides
/// from Error::code and SQLSTATE only. Data and constraint errors (22, 23, 42) never are.
bool is_transient(const Error& error);

/// Backoff draws delays: exponential from `base`, capped at `cap`, with full jitter. Deterministic
/// in its seed.
class Backoff {
 public:
  Backoff(Duration base, Duration cap, uint64_t seed) : base_(base), cap_(cap), state_(seed | 1) {}
  /// The delay before attempt `attempt` (1 for the first repetition): 0 … min(cap,
  /// base·2^(attempt-1)).
  Duration delay(uint32_t attempt);

 private:
  Duration base_;
  Duration cap_;
  uint64_t state_;
};

}  // namespace pgsink
