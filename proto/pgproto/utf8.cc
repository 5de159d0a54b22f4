#include <cstddef>

#include <pgproto/utf8.h>

namespace pgproto {

std::optional<char32_t> utf8_decode_next(std::string_view& text) {
  if (text.empty()) return std::nullopt;
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) {
    text.remove_prefix(1);
    return lead;
  }
  // What the lead byte says: the number of bytes, and the range of the second, which is narrower
  // where a full one would allow overlong forms, surrogates or too large codes.
  size_t size = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf) {
    size = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    size = 3;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    size = 4;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
  } else {
    return std::nullopt;
  }
  if (text.size() < size || byte(1) < low || byte(1) > high) return std::nullopt;
  char32_t code = lead & (0x7fU >> size);
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return std::nullopt;
    code = code << 6 | (byte(i) & 0x3f);
  }
  text.remove_prefix(size);
  return code;
}

void utf8_append(std::string& text, char32_t code) {
  const auto put = [&](char32_t value) { text += static_cast<char>(value); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xc0 | code >> 6);
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3f));
  } else {
    put(0xf0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3f));
    put(0x80 | (code >> 6 & 0x3f));
  }
  put(0x80 | (code & 0x3f));
}

bool utf8_valid(std::string_view text) {
  while (!text.empty()) {
    if (!utf8_decode_next(text)) return false;
  }
  return true;
}

}  // namespace pgproto
