#pragma once
// Reporter: the messages of the command on standard error.

#include <string>
#include <string_view>
#include <vector>

#include "shell/flags/flags.h"
#include "shell/output/summary.h"
#include "shell/script/script.h"

namespace pgsink::shell {

/// log_line is one JSON object of the log, with its line break; `members` are additional members.
std::string log_line(std::string_view level, std::string_view text,
                     const std::string& members = "");

class Reporter {
 public:
  Reporter(When color, LogLevel level, LogFormat format = LogFormat::kText);

  /// Errors are always printed.
  void faults(const Script& script, const Faults& faults);
  void error(std::string_view text);
  /// Warnings: conditions that may break a guarantee, though nothing failed yet.
  void warning(std::string_view text);
  /// What a pipeline did, and notes.
  void info(std::string_view text);
  /// What a sink did.
  void summary(const SinkReport& report);
  /// Each statement as it starts.
  void debug(std::string_view text);

 private:
  void say(std::string_view level, std::string_view before, std::string_view text,
           const std::string& members = "");

  bool colored_;
  LogLevel level_;
  LogFormat format_;
};

}  // namespace pgsink::shell
