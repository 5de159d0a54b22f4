#pragma once
// The tokens of a text of date, time or interval, as the PostgreSQL manual describes them
// ("Date/Time Input Interpretation"): numbers, times, dates, words and signed numbers, whatever
// stands between.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pgsink::encode {

enum class TokenKind : uint8_t {
  kNumber,  ///< Digits, with one point perhaps.
  kTime,    ///< Digits with colons: 04:05:06.789.
  kDate,    ///< Parts between hyphens, slashes or points, or the name of a time zone.
  kWord,    ///< Letters.
  kSigned,  ///< A sign and digits, colons, points: a zone, or a part of an interval.
};

struct DatetimeToken {
  TokenKind kind;
  std::string text;  ///< In lower case.
};

/// datetime_tokens splits `text`; false if it holds what no date, time or interval has.
bool datetime_tokens(std::string_view text, std::vector<DatetimeToken>& tokens);

/// Words that stand directly before a digit are words, not the beginning of a zone's name.
bool is_datetime_word(std::string_view word);

}  // namespace pgsink::encode
