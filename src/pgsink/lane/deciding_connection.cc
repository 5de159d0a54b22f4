#include "pgsink/lane/deciding_connection.h"

#include <utility>

namespace pgsink {
namespace {

// One round of statements about one epoch.
constexpr Duration kRoundMax = std::chrono::seconds(60);

}  // namespace

DecidingConnection::DecidingConnection(Env& env, const TwoPhase& two_phase, PoolLease place,
                                       RetryPolicy retry)
    : env_(env),
      two_phase_(two_phase),
      retry_(std::move(retry)),
      backoff_(retry_, env.random.next_u64()),
      place_(std::move(place)),
      monitor_(env.tasks.monitor()) {}

Status DecidingConnection::run(const Work& work) {
  RetryLimit limit(retry_);
  for (uint32_t attempt = 1;; ++attempt) {
    const Deadline deadline = env_.clock.now() + kRoundMax;
    Status done = connect(deadline);
    if (done) done = work(*place_, deadline);
    if (place_ && place_->broken()) {
      lost_backend_ = place_->server().backend;
      place_.reset();
    }
    if (done) return done;
    const Error& error = done.error();
    const bool again = place_ ? retry_.rule.allows(error) : retry_.rule.allows_reconnect(error);
    if (!again) return done;
    if (auto counted = limit.failed(attempt, error, env_.clock.now()); !counted) return counted;
    if (!pause(backoff_.delay(attempt))) return done;
  }
}

/// A connection that may decide: attached, and without a backend left that still executes what the
/// connection before has sent.
Status DecidingConnection::connect(Deadline deadline) {
  if (place_) return {};
  if (auto opened = place_.connect(); !opened) return opened;
  Status ready = two_phase_.attach(*place_, deadline);
  if (ready && lost_backend_) ready = fence(*place_, *lost_backend_, deadline);
  if (!ready) {
    place_.reset();
    return ready;
  }
  lost_backend_.reset();
  return {};
}

bool DecidingConnection::pause(Duration length) {
  const Monitor::Lock lock(*monitor_);
  const Deadline until = env_.clock.now() + length;
  while (!interrupted_ && env_.clock.now() < until && monitor_->wait(until)) {
  }
  return !interrupted_;
}

void DecidingConnection::interrupt() {
  const Monitor::Lock lock(*monitor_);
  interrupted_ = true;
  monitor_->notify_all();
}

}  // namespace pgsink
