#include "pgsink/sink/utf8.h"

#include <cstdint>

#include <pgproto/error.h>

namespace pgsink {
namespace {

uint8_t byte_at(std::string_view text, size_t offset) { return static_cast<uint8_t>(text[offset]); }

/// The length that a first byte announces; 0 if no character begins with it.
size_t announced_length(uint8_t first) {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return 2;
  if (first >= 0xe0 && first <= 0xef) return 3;
  if (first >= 0xf0 && first <= 0xf4) return 4;
  return 0;
}

constexpr CodePoint kInvalid{.value = 0xfffd, .bytes = 1, .valid = false};

}  // namespace

CodePoint code_point_at(std::string_view text, size_t offset) {
  PGPROTO_ASSERT(offset < text.size());
  const uint8_t first = byte_at(text, offset);
  const size_t length = announced_length(first);
  if (length == 0 || length > text.size() - offset) return kInvalid;
  if (length == 1) return {.value = first};
  char32_t value = first & (0x7fU >> length);
  for (size_t i = 1; i < length; ++i) {
    const uint8_t next = byte_at(text, offset + i);
    if ((next & 0xc0) != 0x80) return kInvalid;
    value = (value << 6) | (next & 0x3fU);
  }
  const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  const bool surrogate = value >= 0xd800 && value <= 0xdfff;
  if (overlong || surrogate || value > 0x10ffff) return kInvalid;
  return {.value = value, .bytes = length};
}

std::optional<size_t> first_invalid_utf8(std::string_view text) {
  size_t offset = 0;
  while (offset < text.size()) {
    const CodePoint point = code_point_at(text, offset);
    if (!point.valid || point.value == 0) return offset;
    offset += point.bytes;
  }
  return std::nullopt;
}

void append_utf8(char32_t value, std::string& text) {
  const auto put = [&text](char32_t byte) { text += static_cast<char>(byte & 0xff); };
  if (value < 0x80) {
    put(value);
  } else if (value < 0x800) {
    put(0xc0 | (value >> 6));
    put(0x80 | (value & 0x3f));
  } else if (value < 0x10000) {
    put(0xe0 | (value >> 12));
    put(0x80 | ((value >> 6) & 0x3f));
    put(0x80 | (value & 0x3f));
  } else {
    put(0xf0 | (value >> 18));
    put(0x80 | ((value >> 12) & 0x3f));
    put(0x80 | ((value >> 6) & 0x3f));
    put(0x80 | (value & 0x3f));
  }
}

}  // namespace pgsink
