#include "shell/reporter.h"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <unistd.h>

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

void write_line(std::string text) {
  text += '\n';
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace

Reporter::Reporter(When color, LogLevel level) : colored_(wants_color(color)), level_(level) {}

void Reporter::faults(const Script& script, const Faults& faults) {
  for (const Diagnostic& fault : faults) {
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

void Reporter::error(std::string_view text) { write_line("pgsink: " + std::string(text)); }

void Reporter::warning(std::string_view text) {
  if (level_ >= LogLevel::kInfo) write_line("warning: " + std::string(text));
}

void Reporter::info(std::string_view text) {
  if (level_ >= LogLevel::kInfo) write_line(std::string(text));
}

void Reporter::debug(std::string_view text) {
  if (level_ >= LogLevel::kDebug) write_line("pgsink: " + std::string(text));
}

}  // namespace pgsink::shell
