#pragma once
// UTF-8 as the script's reader needs it: where a code point ends, and whether it is one at all.
// Source: RFC 3629, section 4 (no overlong forms, no surrogates, nothing above U+10FFFF).

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace pgsink {

/// CodePoint is one character of a text. An invalid byte is a code point of its own: U+FFFD.
struct CodePoint {
  char32_t value = 0;
  size_t bytes = 1;
  bool valid = true;
};

/// code_point_at decodes the character at `offset`. REQUIRES: offset < text.size().
CodePoint code_point_at(std::string_view text, size_t offset);
/// first_invalid_utf8 gives the offset of the first byte that belongs to no character; NUL counts
/// as one, because PostgreSQL's texts and the protocol's strings cannot hold it.
std::optional<size_t> first_invalid_utf8(std::string_view text);
/// append_utf8 appends a character. REQUIRES: a Unicode scalar value.
void append_utf8(char32_t value, std::string& text);

}  // namespace pgsink
