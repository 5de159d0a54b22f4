#pragma once
// Signals: SIGINT and SIGTERM as a request to end well. The first asks the work under way to stop,
// the second ends the process at once.

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>

namespace pgsink::shell {

class Signals {
 public:
  /// Blocks both signals in this thread and the ones it starts from now on, and waits for them in a
  /// thread of its own. REQUIRES: no other thread was started before.
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  /// The signal that arrived, 0 for none.
  int received() const { return received_.load(); }
  /// The signal is dealt with: the work goes on.
  void forget() { received_ = 0; }
  /// What makes the work under way stop; called from the other thread, again and again until it is
  /// replaced or taken away (empty), because work may start just after a call.
  void on_signal(std::function<void()> interrupt);

 private:
  void wait();

  std::atomic<int> received_ = 0;
  std::atomic<bool> ending_ = false;
  std::mutex mutex_;
  std::function<void()> interrupt_;
  std::thread thread_;
};

}  // namespace pgsink::shell
