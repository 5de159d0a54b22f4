#pragma once
// Runs a program as a user would: arguments and standard input in, exit code, output and errors
// out.

#include <chrono>
#include <functional>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace pgsink::test {

/// Captured is how a program ended and what it wrote.
struct Captured {
  int exit_code = -1;  ///< 128 + signal if a signal ended it.
  std::string out, err;
  long peak_kilobytes = 0;  ///< The most memory it had (resident).
};

struct RunOptions {
  std::string input;
  /// Set on top of this program's environment.
  std::vector<std::pair<std::string, std::string>> environment;
  std::string directory{};  ///< To run in; "" is this program's.
  /// Killed when it takes longer; the test then fails by its exit code.
  std::chrono::seconds time_max{120};
  /// Called once it runs and whenever it wrote something, with what it wrote to stderr so far: to
  /// send it signals at the right moment.
  std::function<void(pid_t pid, const std::string& err)> watch;
  /// Gives it a terminal of that many columns as stderr instead of a pipe; -1 for none.
  int terminal_columns = -1;
  bool close_stdout = false;  ///< Its standard output is a pipe that nobody reads.
};

/// Runs a program to its end. Throws std::runtime_error if it cannot be started.
Captured run_command(const std::vector<std::string>& command, const RunOptions& options = {});

}  // namespace pgsink::test
