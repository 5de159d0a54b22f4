#include <new>

#include <pgproto/quote.h>
#include <pgproto/utf8.h>

namespace pgproto {
namespace {

Status check(std::string_view text, const char* what) {
  if (text.find('\0') != std::string_view::npos) {
    return fail(Errc::kUsage, std::string(what) + " contains a NUL byte");
  }
  if (!utf8_valid(text)) return fail(Errc::kUsage, std::string(what) + " is not valid UTF-8");
  return {};
}

void append_doubling(std::string& quoted, std::string_view text, std::string_view doubled) {
  for (const char c : text) {
    if (doubled.find(c) != std::string_view::npos) quoted += c;
    quoted += c;
  }
}

}  // namespace

Result<std::string> quote_identifier(std::string_view name) try {
  if (name.empty()) return fail(Errc::kUsage, "an identifier is empty");
  if (auto status = check(name, "an identifier"); !status) return fail(status.error());
  std::string quoted = "\"";
  append_doubling(quoted, name, "\"");
  return quoted += '"';
} catch (const std::bad_alloc&) {
  return fail(Errc::kOutOfMemory, "out of memory");
}

Result<std::string> quote_literal(std::string_view text) try {
  if (auto status = check(text, "a literal"); !status) return fail(status.error());
  // With a backslash only the E form means the same under both settings of the server.
  std::string quoted = text.find('\\') == std::string_view::npos ? "'" : " E'";
  append_doubling(quoted, text, "'\\");
  return quoted += '\'';
} catch (const std::bad_alloc&) {
  return fail(Errc::kOutOfMemory, "out of memory");
}

}  // namespace pgproto
