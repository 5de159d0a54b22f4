#include <cstdio>
#include <cstdlib>

#include <pgproto/error.h>

namespace pgproto {

std::string errc_name(Errc code) { return "PGS-" + std::to_string(static_cast<uint16_t>(code)); }

std::string Error::to_string() const {
  std::string text = errc_name(code) + ": " + message;
  if (sqlstate.is_set()) text.append(" (SQLSTATE ").append(sqlstate.view()).append(")");
  if (!detail.empty()) text += " DETAIL: " + detail;
  if (!hint.empty()) text += " HINT: " + hint;
  if (!where.empty()) text += " CONTEXT: " + where;
  for (char& c : text) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  return text;
}

void assertion_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace pgproto
