#pragma once
// Interactive: statements typed at a terminal, each run when its `;` is typed, and commands that
// begin with a dot, each with a backslash command as in psql.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "shell/connections/connections.h"
#include "shell/engine/engine.h"
#include "shell/flags/flags.h"
#include "shell/output/output.h"
#include "shell/output/reporter.h"
#include "shell/output/signals.h"
#include "shell/prompt/line_editor.h"
#include "shell/run/runner.h"
#include "shell/sources/sources.h"

namespace pgsink::shell {

class Interactive {
 public:
  /// The objects that it uses; all must outlive it. `flags` are those that the runner reads.
  struct Context {
    Flags& flags;
    Engine& engine;
    const Connections& connections;
    const Sources& sources;
    Signals& signals;
    Output& output;
    Reporter& reporter;
    Runner& runner;
  };
  explicit Interactive(Context context);

  /// Reads and runs until the end of input or .quit.
  void run();

 private:
  struct Command;
  static const std::vector<Command>& commands();

  /// False at the end of input.
  bool take_line();
  void run_statements(const std::string& text);
  void command(std::string_view line);
  Completion complete(const std::string& line) const;

  void help(std::string_view argument);
  void tables(std::string_view argument);
  void sinks(std::string_view argument);
  void metrics(std::string_view argument);
  void test(std::string_view argument);
  void watch(std::string_view argument);
  void mode(std::string_view argument);
  void lines(std::string_view argument);
  void timer(std::string_view argument);
  void read(std::string_view argument);
  void quit(std::string_view argument);

  Context context_;
  std::unique_ptr<LineEditor> editor_;
  std::string buffer_;  ///< The statement so far, without its `;`.
  std::string last_;    ///< The last statement, for .watch.
  bool timed_ = false;
  bool done_ = false;
};

}  // namespace pgsink::shell
