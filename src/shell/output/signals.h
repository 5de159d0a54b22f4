#pragma once
// Signals: SIGINT and SIGTERM as a request to end. The first one asks the running statement to
// stop, the second one ends the process at once.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

namespace pgsink::shell {

class Signals {
 public:
  /// Blocks both signals in this thread and in all threads that it starts later, and waits for them
  /// in a separate thread. REQUIRES: no other thread was started before.
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  /// The process ends so long after a signal, whatever it waits for; 0: no limit. `interrupts`:
  /// also after SIGINT.
  void limit(std::chrono::seconds longest, bool interrupts);
  /// The signal that arrived, 0 for none.
  int received() const { return received_.load(); }
  /// The signal is handled: work continues.
  void forget() { received_ = 0; }
  /// The function that stops the running work. It is called from the other thread, repeatedly until
  /// it is replaced or removed (empty), because work may start just after a call.
  void on_signal(std::function<void()> interrupt);

 private:
  void wait();

  std::atomic<int> received_ = 0;
  std::atomic<bool> ending_ = false;
  std::atomic<int64_t> longest_s_ = 0;
  std::atomic<bool> limits_interrupts_ = false;
  std::mutex mutex_;
  std::function<void()> interrupt_;
  std::thread thread_;
};

}  // namespace pgsink::shell
