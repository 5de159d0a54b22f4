#pragma once
// Base64 with padding and without line breaks, as SCRAM uses it. Source: RFC 4648, section 4.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <pgproto/bytes.h>

namespace pgproto {

/// base64_encode returns the text of `bytes`.
std::string base64_encode(Bytes bytes);
/// base64_decode returns the bytes of `text`; nullopt on any other character, on wrong padding and
/// on unused bits that are not zero.
std::optional<std::vector<std::byte>> base64_decode(std::string_view text);

}  // namespace pgproto
