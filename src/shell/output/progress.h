#pragma once
// Progress: what a running pipeline has done so far, on standard error.

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include <pgsink/metrics.h>

#include "shell/flags/flags.h"

namespace pgsink::shell {

/// How progress is shown on this standard error.
struct ProgressStyle {
  bool shown = false;
  bool rewrites = false;  ///< A terminal: one line that is overwritten.
  std::chrono::milliseconds interval{1000};

  bool json = false;  ///< Plain lines are lines of the JSON log.

  static ProgressStyle of(When when, LogFormat format = LogFormat::kText);
};

/// Columns of the terminal on standard error; 0 if unknown.
size_t terminal_columns();
/// The current state of a running pipeline.
struct Moved {
  SinkMetrics metrics;
  std::optional<double> fraction{};  ///< The part of the input that is done, 0 to 1, if its end is
                                     ///< known.
};
/// "load: 1,234,567 rows, 812,345 rows/s, 55.1 MB/s, 1.5 s", and if the fraction is known also ",
/// 42 %, 2.1 s left"; cut to `columns` unless that is 0.
std::string progress_line(const std::string& label, const Moved& moved, double seconds,
                          size_t columns);

/// Progress writes lines in its own thread while it exists.
class Progress {
 public:
  using Source = std::function<Moved()>;
  Progress(ProgressStyle style, std::string label, Source source);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

 private:
  void run();
  void show();

  const ProgressStyle style_;
  const std::string label_;
  const Source source_;
  const std::chrono::steady_clock::time_point begin_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ending_ = false;
  bool line_open_ = false;
  std::thread thread_;
};

}  // namespace pgsink::shell
