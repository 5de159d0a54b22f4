#include "pgsink/encode/base/shortened.h"

#include <pgproto/utf8.h>

namespace pgsink::encode {
namespace {

constexpr size_t kShownCharactersMax = 40;

void append_hex(std::string& to, unsigned char c) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  to += "\\x";
  to += kDigits[c >> 4];
  to += kDigits[c & 15];
}

}  // namespace

std::string shortened(std::string_view text) {
  std::string shown = "\"";
  size_t characters = 0;
  while (!text.empty()) {
    if (characters++ == kShownCharactersMax) {
      shown += "…";
      break;
    }
    const pgproto::CodePoint point = pgproto::code_point_at(text, 0);
    const auto c = static_cast<unsigned char>(text[0]);
    if (!point.valid || c < 0x20 || c == 0x7f) {
      append_hex(shown, c);
    } else {
      shown += text.substr(0, point.bytes);
    }
    text.remove_prefix(point.bytes);
  }
  shown += '"';
  return shown;
}

}  // namespace pgsink::encode
