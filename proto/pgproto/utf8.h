#pragma once
// UTF-8, strictly: no overlong form, no surrogate, nothing above U+10FFFF.
// Source: RFC 3629, section 4; Server: pg_utf8_islegal().

#include <optional>
#include <string>
#include <string_view>

namespace pgproto {

/// utf8_decode_next takes the next character off the front of `text`; nullopt, with `text` as it
/// was, if there is none or it is not valid.
std::optional<char32_t> utf8_decode_next(std::string_view& text);
/// utf8_append appends a character. REQUIRES: `code` is at most U+10FFFF and not a surrogate.
void utf8_append(std::string& text, char32_t code);
/// utf8_valid says whether the whole text is valid.
bool utf8_valid(std::string_view text);

}  // namespace pgproto
