#pragma once
// What the server demands of text: valid UTF-8, no NUL byte.

#include <cstddef>
#include <string>
#include <string_view>

namespace pgsink::encode {

/// is_plain_ascii says that every byte is in 1 … 127: no check of any kind is left to do.
bool is_plain_ascii(std::string_view text);

/// utf8_fault_at returns the position of the first byte that is NUL or not valid UTF-8 (overlong
/// forms, surrogates and what is above U+10FFFF included), or npos.
size_t utf8_fault_at(std::string_view text);

/// utf8_length counts the characters of valid UTF-8.
size_t utf8_length(std::string_view text);

/// shortened quotes a value for a message: at most 40 characters, control characters and invalid
/// bytes as \xHH, so that it fits a log line.
std::string shortened(std::string_view text);

}  // namespace pgsink::encode
