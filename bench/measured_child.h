#pragma once
// Each measured run is a child process of its own: its CPU time and its memory are its own, and the
// rows, made before, are shared with it page by page.

#include <cstdint>
#include <functional>

namespace pgsink::bench {

/// Sample is what one run took, between Meter::start() and Meter::stop().
struct Sample {
  double wall_s = 0;
  double cpu_s = 0;  ///< User and system time of all threads of the process.
  /// The peak of the memory that is the process's alone, above what it had when the run began: the
  /// kernel's high-water mark, less the pages of libraries that the run was the first to touch.
  uint64_t memory_bytes = 0;
  uint64_t waits = 0;  ///< Voluntary context switches.
};

/// Meter marks the part of a run that counts. Only of the child.
class Meter {
 public:
  virtual ~Meter() = default;
  virtual void start() = 0;
  virtual void stop() = 0;
};

/// A run connects, calls start(), writes, calls stop(). It throws std::runtime_error to end the
/// benchmark.
using Run = std::function<void(Meter&)>;

/// measure runs it in a child. Throws std::runtime_error with what the child said if it fails.
/// REQUIRES: this process has one thread.
Sample measure(const Run& run);

/// Calls is the system calls of one run, all threads.
struct Calls {
  uint64_t writes = 0;  ///< write, writev, send…: also those that would have blocked.
  uint64_t reads = 0;   ///< read, readv, recv…
  uint64_t waits = 0;   ///< poll, select, epoll_wait, futex.
  uint64_t others = 0;
};

/// count_calls runs it in a child under ptrace. It is slower than measure(): for counting only.
/// REQUIRES: this process has one thread.
Calls count_calls(const Run& run);

}  // namespace pgsink::bench
