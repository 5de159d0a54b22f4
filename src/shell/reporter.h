#pragma once
// Reporter: what the command says on standard error.

#include <string_view>
#include <vector>

#include "shell/flags.h"
#include "shell/script.h"

namespace pgsink::shell {

class Reporter {
 public:
  Reporter(When color, LogLevel level);

  /// Errors are always said.
  void faults(const Script& script, const Faults& faults);
  void error(std::string_view text);
  /// What may break a promise, though nothing failed yet.
  void warning(std::string_view text);
  /// What a pipeline did, and notes.
  void info(std::string_view text);
  /// Each statement as it starts.
  void debug(std::string_view text);

 private:
  bool colored_;
  LogLevel level_;
};

}  // namespace pgsink::shell
