#include "shell/output/progress.h"

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>

#include "shell/output/reporter.h"
#include "shell/text/numbers.h"

namespace pgsink::shell {
namespace {

/// Often enough to look alive, rarely enough to cost nothing.
constexpr std::chrono::milliseconds kRewriteInterval{200};

/// Before that, the remaining time is a guess.
constexpr double kFractionToForetell = 0.02;

/// Overwrites the line.
constexpr std::string_view kLineStart = "\r\x1b[K";

}  // namespace

ProgressStyle ProgressStyle::of(When when, LogFormat format) {
  const char* kind = std::getenv("TERM");
  const bool terminal = isatty(STDERR_FILENO) == 1 && kind != nullptr && *kind != '\0' &&
                        std::string_view(kind) != "dumb";
  ProgressStyle style;
  style.json = format == LogFormat::kJson;
  style.shown = when == When::kAlways || (when == When::kAuto && terminal && !style.json);
  style.rewrites = terminal && !style.json;
  if (style.rewrites) style.interval = kRewriteInterval;
  return style;
}

size_t terminal_columns() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0) return 0;
  return size.ws_col;
}

std::string progress_line(const std::string& label, const Moved& moved, double seconds,
                          size_t columns) {
  const SinkMetrics& metrics = moved.metrics;
  const double safe_seconds = seconds > 0 ? seconds : 1;
  const auto rows = static_cast<double>(metrics.rows_written);
  std::string line = label + ": " + grouped(metrics.rows_written) + " rows, " +
                     grouped(static_cast<uint64_t>(rows / safe_seconds)) + " rows/s, " +
                     fixed(static_cast<double>(metrics.bytes_written) / 1e6 / safe_seconds, 1) +
                     " MB/s, " + fixed(seconds, 1) + " s";
  if (moved.fraction) {
    line += ", " + fixed(100 * *moved.fraction, 0) + " %";
    if (*moved.fraction >= kFractionToForetell) {
      line += ", " + fixed(seconds * (1 - *moved.fraction) / *moved.fraction, 1) + " s left";
    }
  }
  // The last column stays free: a terminal may break the line there.
  if (columns > 0 && line.size() >= columns) line.resize(columns - 1);
  return line;
}

Progress::Progress(ProgressStyle style, std::string label, Source source)
    : style_(style),
      label_(std::move(label)),
      source_(std::move(source)),
      begin_(std::chrono::steady_clock::now()) {
  if (style_.shown) thread_ = std::thread([this] { run(); });
}

Progress::~Progress() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
  // The summary line replaces the last progress line.
  if (line_open_) std::fwrite(kLineStart.data(), 1, kLineStart.size(), stderr);
}

void Progress::run() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, style_.interval, [this] { return ending_; })) show();
}

void Progress::show() {
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin_;
  std::string text;
  if (style_.rewrites) {
    text = std::string(kLineStart) +
           progress_line(label_, source_(), seconds.count(), terminal_columns());
    line_open_ = true;
  } else {
    const std::string line = progress_line(label_, source_(), seconds.count(), 0);
    text = style_.json ? log_line("info", line) : line + "\n";
  }
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace pgsink::shell
