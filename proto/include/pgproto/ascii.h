#pragma once
// ASCII text: protocol keywords, option values and identifiers. Independent of the locale; bytes
// above 127 are never changed.

#include <algorithm>
#include <string_view>

namespace pgproto::ascii {

/// lower maps A–Z to a–z and leaves every other byte as it is.
constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

/// equal_folded compares two texts and ignores the case of ASCII letters.
constexpr bool equal_folded(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

/// hex_digit is the value of a hexadecimal digit, or -1.
constexpr int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/// trim removes white space, as isspace() of the C locale knows it, from both ends.
constexpr std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\n\v\f\r";
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return text.substr(text.size());
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

}  // namespace pgproto::ascii
