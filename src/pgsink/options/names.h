#pragma once
// Comparing names that may be misspelt.

#include <span>
#include <string>
#include <string_view>

namespace pgsink {

/// to_lower folds A-Z; every other byte stays as it is.
constexpr char to_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
/// lower_ascii folds A-Z as PostgreSQL folds unquoted names; other letters stay as they are.
std::string lower_ascii(std::string_view text);

/// equal_without_case compares ASCII letters without their case, everything else byte by byte.
bool equal_without_case(std::string_view a, std::string_view b);

/// nearest_name is the candidate that was probably meant: the one with the fewest edits (insert,
/// delete, replace, swap of neighbours), at most a third of the longer name; "" if none is near.
std::string_view nearest_name(std::string_view name, std::span<const std::string_view> candidates);

}  // namespace pgsink
