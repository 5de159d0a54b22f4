#pragma once
// DecidingConnection: the connection on which epochs are decided and committed. Every step that is
// run on it may be repeated, so a lost connection is answered by a new one. Not thread-safe, except
// interrupt().

#include <functional>
#include <memory>
#include <optional>

#include "pgsink/client/pool.h"
#include "pgsink/delivery/two_phase.h"
#include "pgsink/options/retry.h"

namespace pgsink {

class DecidingConnection {
 public:
  /// `place` holds the connection that claimed the sink. `two_phase` must outlive it.
  DecidingConnection(Env& env, const TwoPhase& two_phase, PoolLease place, RetryPolicy retry);

  using Work = std::function<Status(Connection& connection, Deadline deadline)>;
  /// Runs `work`, and again on a new connection if that one breaks, or if it is worth another
  /// attempt.
  Status run(const Work& work);
  /// From now on nothing is tried again: run() ends with the attempt that is in progress. Any
  /// thread.
  void interrupt();
  /// Null if it is lost.
  Connection* get() const { return place_.get(); }
  void give_back() { place_.give_back(); }

 private:
  Status connect(Deadline deadline);
  /// False if it was interrupted.
  bool pause(Duration length);

  Env& env_;
  const TwoPhase& two_phase_;
  const RetryPolicy retry_;
  Backoff backoff_;
  PoolLease place_;
  std::optional<BackendIdentity> lost_backend_;  ///< Of the connection before, to be fenced.
  const std::unique_ptr<Monitor> monitor_;
  bool interrupted_ = false;  ///< Guarded by monitor_.
};

}  // namespace pgsink
