#pragma once

#include <cstddef>
#include <memory>

#include "pgsink/client/env.h"

namespace pgsink {

/// RunningLanes counts the lanes that have begun and not ended. Any thread.
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
  /// makes them end.
  bool wait_none(Deadline deadline = kNoDeadline) const {
    const Monitor::Lock lock(*monitor_);
    while (count_ > 0) {
      if (!monitor_->wait(deadline)) return count_ == 0;
    }
    return true;
  }

 private:
  const std::unique_ptr<Monitor> monitor_;
  size_t count_ = 0;  ///< Guarded by monitor_.
};

}  // namespace pgsink
