#pragma once
// Reads the JSON that the engine writes about itself, errors and plans, and writes strings.

#include <optional>
#include <string>
#include <string_view>

namespace pgsink::shell {

/// Reads a JSON string that starts at text[at] == '"'; leaves `at` after it. nullopt if malformed.
std::optional<std::string> read_json_string(std::string_view text, size_t& at);

/// json_string writes a text as a JSON string. Bytes that are not UTF-8 are written as "\\x…" in
/// hexadecimal.
std::string json_string(std::string_view text);

}  // namespace pgsink::shell
