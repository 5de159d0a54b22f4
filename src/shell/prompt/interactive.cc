#include "shell/prompt/interactive.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

#include <pgsink/ddl.h>

#include "pgsink/options/names.h"
#include "shell/connections/prometheus.h"
#include "shell/prompt/word_completion.h"
#include "shell/text/numbers.h"
#include "shell/text/text_file.h"

namespace pgsink::shell {
namespace {

constexpr const char* kName = "<terminal>";
constexpr std::array<const char*, 5> kFormats{"table", "csv", "json", "jsonl", "line"};
constexpr std::array<const char*, 4> kSystemTables{
    "system.postgresql_sink_metrics", "system.postgresql_pool_stats", "system.postgresql_tables",
    "system.postgresql_statements"};
/// The largest file that .read accepts.

/// The path of the history: $PGSINK_HISTORY, else ~/.pgsink_history; "" for none.
std::string history_file() {
  if (const char* file = std::getenv("PGSINK_HISTORY")) return file;
  const char* home = std::getenv("HOME");
  return home == nullptr || *home == '\0' ? "" : std::string(home) + "/.pgsink_history";
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t;") + 1 - begin);
}

/// On one line for the history; a comment would swallow the rest of the line.
std::string one_line(std::string text) {
  if (text.find("--") == std::string::npos) std::ranges::replace(text, '\n', ' ');
  return text;
}

bool complete_statements(std::string_view text) {
  const auto statements = split_script(text);
  return !statements.empty() && statements.back().terminated;
}

}  // namespace

struct Interactive::Command {
  std::string_view name, twin;
  std::string_view argument;
  std::string_view meaning;
  void (Interactive::*run)(std::string_view argument);
};

const std::vector<Interactive::Command>& Interactive::commands() {
  static const std::vector<Command> kCommands{
      {".help", "\\?", "", "list these commands", &Interactive::help},
      {".tables", "\\dt", "", "tables and views of the engine", &Interactive::tables},
      {".sinks", "\\ds", "", "connections of CREATE CONNECTION", &Interactive::sinks},
      {".metrics", "\\dm", "[NAME]", "what connections wrote", &Interactive::metrics},
      {".test", "\\test", "NAME", "connect, and check table, privileges and options",
       &Interactive::test},
      {".watch", "\\watch", "[SECONDS]", "run the last statement again and again, until Ctrl-C",
       &Interactive::watch},
      {".mode", "\\mode", "table|csv|json|jsonl|line", "how rows are printed", &Interactive::mode},
      {".lines", "\\x", "", "one value per line, or back to normal", &Interactive::lines},
      {".timer", "\\timing", "[on|off]", "print how long statements take", &Interactive::timer},
      {".read", "\\i", "FILE", "run the statements of a file", &Interactive::read},
      {".quit", "\\q", "", "end (so does Ctrl-D)", &Interactive::quit},
  };
  return kCommands;
}

Interactive::Interactive(Context context)
    : context_(context),
      editor_(LineEditor::create(
          history_file(), [this](const std::string& line) { return complete(line); },
          [this] { return context_.signals.received() != 0; })) {}

void Interactive::run() {
  while (!done_ && take_line()) {
  }
}

bool Interactive::take_line() {
  std::string line;
  switch (editor_->read(buffer_.empty() ? "pgsink> " : "   ...> ", line)) {
    case LineEditor::Outcome::kEnd:
      return false;
    case LineEditor::Outcome::kCancelled:
      buffer_.clear();
      if (context_.signals.received() == SIGTERM) return false;
      context_.signals.forget();
      return true;
    case LineEditor::Outcome::kLine:
      break;
  }
  const std::string_view text = trimmed(line);
  if (buffer_.empty() && text.empty()) return true;
  if (buffer_.empty() && (text.starts_with('.') || text.starts_with('\\'))) {
    editor_->remember(line);
    command(text);
    return true;
  }
  buffer_ += line + "\n";
  if (!complete_statements(buffer_)) return true;
  const std::string whole = std::exchange(buffer_, {});
  editor_->remember(one_line(mask_secrets(whole.substr(0, whole.size() - 1))));
  last_ = whole;
  run_statements(whole);
  return true;
}

void Interactive::run_statements(const std::string& text) {
  const auto begin = std::chrono::steady_clock::now();
  (void)context_.runner.run({kName, text});  // Failures are reported already.
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  if (timed_) {
    context_.output.write("Time: " + fixed(taken.count() * 1000, 3) + " ms\n");
    (void)context_.output.flush();
  }
  if (context_.signals.received() == SIGTERM) {
    done_ = true;
  } else if (context_.signals.received() != 0) {
    context_.reporter.info("interrupted");
    context_.signals.forget();
  }
}

// ---- commands ------------------------------------------------------------------------------

void Interactive::command(std::string_view line) {
  const size_t space = std::min(line.find(' '), line.size());
  const std::string_view name = line.substr(0, space);
  std::vector<std::string_view> names;
  for (const Command& command : commands()) {
    if (command.name == name || command.twin == name) {
      return (this->*command.run)(trimmed(line.substr(space)));
    }
    names.push_back(name.starts_with('.') ? command.name : command.twin);
  }
  const std::string_view nearest = nearest_name(name, names);
  context_.reporter.error(
      "there is no command " + std::string(name) + "; " +
      (nearest.empty() ? ".help lists them" : "did you mean " + std::string(nearest) + "?"));
}

void Interactive::help(std::string_view) {
  for (const Command& command : commands()) {
    std::string line = "  " + std::string(command.name) + " " + std::string(command.argument);
    line.resize(std::max<size_t>(line.size() + 1, 36), ' ');
    std::string twin(command.twin);
    twin.resize(std::max<size_t>(twin.size() + 1, 10), ' ');
    context_.output.write(line + twin + std::string(command.meaning) + "\n");
  }
  context_.output.write("Statements end in ';' and may take several lines.\n");
  (void)context_.output.flush();
}

void Interactive::tables(std::string_view) { run_statements("SHOW TABLES"); }

void Interactive::sinks(std::string_view) {
  std::string rows;
  for (const SinkOptions& options : context_.connections.all()) {
    const std::string where = options.url.empty() ? options.host + ":" + options.port : "(url)";
    for (const std::string& text :
         {options.connection_name, std::string("sink"), write_mode_name(options.write_mode),
          options.schema + "." + options.table, where, options.database}) {
      rows += (rows.empty() ? "(" : rows.ends_with(')') ? ", (" : ", ") + engine_literal(text);
    }
    rows += ")";
  }
  for (const std::string& name : context_.sources.names()) {
    rows +=
        (rows.empty() ? "(" : ", (") + engine_literal(name) + ", 'source', '', '', 'stdin', '')";
  }
  if (rows.empty()) return context_.reporter.info("no connections");
  run_statements("SELECT * FROM (VALUES " + rows +
                 ") AS sinks(connection, type, mode, \"table\", server, database)");
}

void Interactive::metrics(std::string_view argument) {
  run_statements("SELECT * FROM system.postgresql_sink_metrics" +
                 (argument.empty() ? "" : " WHERE connection_name = " + engine_literal(argument)));
}

void Interactive::test(std::string_view argument) {
  if (argument.empty()) return context_.reporter.error(".test needs the name of a connection");
  run_statements("SELECT test_connection(" + engine_literal(argument) + ") AS " +
                 engine_identifier(argument));
}

void Interactive::watch(std::string_view argument) {
  unsigned seconds = 2;
  const char* begin = argument.data();
  const char* end = begin + argument.size();
  const bool number =
      argument.empty() || (std::from_chars(begin, end, seconds).ptr == end && seconds > 0);
  if (!number)
    return context_.reporter.error(".watch takes whole seconds, not " + std::string(argument));
  if (last_.empty())
    return context_.reporter.error(".watch runs the last statement again; there is none yet");
  while (context_.signals.received() == 0 && !done_) {
    (void)context_.runner.run({kName, last_});
    for (unsigned tick = 0; tick < seconds * 20 && context_.signals.received() == 0; ++tick) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }
  done_ = done_ || context_.signals.received() == SIGTERM;
  if (!done_) context_.signals.forget();
}

void Interactive::mode(std::string_view argument) {
  const auto found = std::ranges::find(kFormats, argument);
  if (found == kFormats.end()) {
    return context_.reporter.error(".mode takes table, csv, json, jsonl or line");
  }
  context_.flags.format = static_cast<Format>(found - kFormats.begin());
}

void Interactive::lines(std::string_view) {
  Format& format = context_.flags.format;
  format = format == Format::kLine ? Format::kTable : Format::kLine;
}

void Interactive::timer(std::string_view argument) {
  timed_ = argument.empty() ? !timed_ : argument == "on";
  context_.reporter.info(timed_ ? "timing is on" : "timing is off");
}

void Interactive::read(std::string_view argument) {
  auto text = read_script(std::string(argument));
  if (!text) return context_.reporter.error(text.error().message);
  (void)context_.runner.run({std::string(argument), *text});
  if (context_.signals.received() != SIGTERM) context_.signals.forget();
}

void Interactive::quit(std::string_view) { done_ = true; }

// ---- completion ----------------------------------------------------------------------------

Completion Interactive::complete(const std::string& line) const {
  WordLists lists;
  for (const Command& command : commands()) {
    lists.dot_commands.emplace_back(command.name);
    lists.dot_commands.emplace_back(command.twin);
  }
  for (const SinkOptions& options : context_.connections.all()) {
    lists.connections.push_back(options.connection_name);
  }
  for (const std::string& name : context_.sources.names()) lists.connections.push_back(name);
  lists.tables.assign(kSystemTables.begin(), kSystemTables.end());
  for (const std::string& name : context_.engine.tables()) lists.tables.push_back(name);
  lists.formats.assign(kFormats.begin(), kFormats.end());
  return complete_word(buffer_ + line, lists);
}

}  // namespace pgsink::shell
