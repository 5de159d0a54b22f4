#pragma once
// SinkWatch: ends the query that feeds a sink when the sink has stopped for good. Otherwise a query
// that computes for an hour before its next row would keep the error for as long.

#include <condition_variable>
#include <mutex>
#include <thread>

#include <pgsink/sink.h>

#include "shell/engine/engine.h"

namespace pgsink::shell {

class SinkWatch {
 public:
  /// Looks from now on, in a thread of its own. Both outlive this.
  SinkWatch(const Sink& sink, Engine& engine);
  ~SinkWatch();
  SinkWatch(const SinkWatch&) = delete;
  SinkWatch& operator=(const SinkWatch&) = delete;

 private:
  void run();

  const Sink& sink_;
  Engine& engine_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace pgsink::shell
