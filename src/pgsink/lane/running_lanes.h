#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>

#include "pgsink/client/env.h"

namespace pgsink {

/// RunningLanes counts the lanes that have begun and not ended. Thread-safe.
class RunningLanes {
 public:
  explicit RunningLanes(Env& env) : monitor_(env.tasks.monitor()) {}

  void started() {
    const Monitor::Lock lock(*monitor_);
    ++count_;
  }
  void ended() {
    const Monitor::Lock lock(*monitor_);
    --count_;
    monitor_->notify_all();
  }
  /// Waits until all have ended, and says whether they have at the deadline. REQUIRES: something
  /// ends them.
  bool wait_none(Deadline deadline = kNoDeadline) const {
    const Monitor::Lock lock(*monitor_);
    while (count_ > 0) {
      if (!monitor_->wait(std::min(deadline, wait_max_))) return count_ == 0;
    }
    return true;
  }
  /// From now on nobody waits longer than until then.
  void limit_waits(Deadline until) {
    const Monitor::Lock lock(*monitor_);
    wait_max_ = std::min(wait_max_, until);
    monitor_->notify_all();
  }

 private:
  const std::unique_ptr<Monitor> monitor_;
  // Guarded by monitor_:
  size_t count_ = 0;
  Deadline wait_max_ = kNoDeadline;
};

}  // namespace pgsink
