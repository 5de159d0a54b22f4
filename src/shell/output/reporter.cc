#include "shell/output/reporter.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <unistd.h>

#include "shell/engine/cell_text.h"

namespace pgsink::shell {
namespace {

constexpr std::string_view kErrorColor = "\x1b[1;31m";
constexpr std::string_view kPlain = "\x1b[0m";

bool wants_color(When when) {
  if (when != When::kAuto) return when == When::kAlways;
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && *no_color != '\0') return false;
  const char* terminal = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && terminal != nullptr && std::string_view(terminal) != "dumb";
}

/// The current time, as "2026-01-02T03:04:05.678Z".
std::string timestamp() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto part = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  const size_t bytes = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S.", &parts);
  const std::string fraction = std::to_string(part.count() % 1000);
  return std::string(text.data(), bytes) + std::string(3 - fraction.size(), '0') + fraction + "Z";
}

}  // namespace

std::string log_line(std::string_view level, std::string_view text, const std::string& members) {
  std::string line = "{\"ts\": \"" + timestamp() + "\", \"level\": ";
  append_json_string(line, level);
  line += ", \"msg\": ";
  append_json_string(line, text);
  if (!members.empty()) line += ", " + members;
  return line + "}\n";
}

Reporter::Reporter(When color, LogLevel level, LogFormat format)
    : colored_(wants_color(color) && format == LogFormat::kText), level_(level), format_(format) {}

/// Writes a line; `before` and a newline only as text, `members` (of a JSON object) only as JSON.
void Reporter::say(std::string_view level, std::string_view before, std::string_view text,
                   const std::string& members) {
  const std::string line = format_ == LogFormat::kJson
                               ? log_line(level, text, members)
                               : std::string(before) + std::string(text) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void Reporter::faults(const Script& script, const Faults& faults) {
  for (const Diagnostic& fault : faults) {
    if (format_ == LogFormat::kJson) {
      std::string members = "\"code\": ";
      append_json_string(members, pgproto::errc_name(fault.error.code));
      members += ", \"file\": ";
      append_json_string(members, script.name);
      members += ", \"line\": " + std::to_string(fault.begin.line) +
                 ", \"column\": " + std::to_string(fault.begin.column);
      if (fault.error.sqlstate.is_set()) {
        members += ", \"sqlstate\": ";
        append_json_string(members, fault.error.sqlstate.view());
      }
      say("error", "", fault.error.message, members);
      continue;
    }
    std::string text = render_diagnostic(fault, script.name, script.text);
    const size_t word = text.find("error[");
    const size_t end = word == std::string::npos ? word : text.find(']', word);
    if (colored_ && end != std::string::npos) {
      text.insert(end + 1, kPlain);
      text.insert(word, kErrorColor);
    }
    std::fwrite(text.data(), 1, text.size(), stderr);
  }
}

void Reporter::error(std::string_view text) { say("error", "pgsink: ", text); }

void Reporter::warning(std::string_view text) {
  if (level_ >= LogLevel::kInfo) say("warning", "warning: ", text);
}

void Reporter::info(std::string_view text) {
  if (level_ >= LogLevel::kInfo) say("info", "", text);
}

void Reporter::summary(const SinkReport& report) {
  if (level_ >= LogLevel::kInfo) say("info", "", summary_line(report), summary_members(report));
}

void Reporter::debug(std::string_view text) {
  if (level_ >= LogLevel::kDebug) say("debug", "pgsink: ", text);
}

}  // namespace pgsink::shell
