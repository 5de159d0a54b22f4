#pragma once
// Strict UTF-8: no overlong form, no surrogate, nothing above U+10FFFF.
// Source: RFC 3629, section 4; Server: pg_utf8_islegal().

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace pgproto {

/// utf8_decode_next removes the next character from the front of `text`; nullopt, with `text`
/// unchanged, if there is none or it is not valid.
std::optional<char32_t> utf8_decode_next(std::string_view& text);
/// utf8_append appends a character. REQUIRES: `code` is at most U+10FFFF and not a surrogate.
void utf8_append(std::string& text, char32_t code);
/// utf8_valid says whether the whole text is valid.
bool utf8_valid(std::string_view text);

/// utf8_fault_at returns the position of the first byte that PostgreSQL cannot hold in a text: NUL,
/// or one that is not part of a character; npos if there is none.
size_t utf8_fault_at(std::string_view text);
/// utf8_is_text says whether PostgreSQL can hold the text: valid, and without NUL.
bool utf8_is_text(std::string_view text);
/// utf8_length counts the characters of valid UTF-8.
size_t utf8_length(std::string_view text);
/// is_plain_ascii says whether every byte is in 1 … 127: then the text needs no other check.
bool is_plain_ascii(std::string_view text);

/// CodePoint is one character of a text that may contain any bytes. An invalid byte is one code
/// point: U+FFFD.
struct CodePoint {
  char32_t value = 0;
  size_t bytes = 1;
  bool valid = true;
};
/// code_point_at decodes the character at `offset`. REQUIRES: offset < text.size().
CodePoint code_point_at(std::string_view text, size_t offset);

}  // namespace pgproto
