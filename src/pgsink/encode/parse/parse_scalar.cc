// Text → bool, numbers, uuid, bytea, "char", bit strings, enum labels.

#include <algorithm>
#include <bit>
#include <charconv>
#include <limits>
#include <vector>

#include <pgproto/ascii.h>

#include "pgsink/encode/base/shortened.h"
#include "pgsink/encode/parse/parse.h"
#include "pgsink/encode/values/number_text.h"
#include "pgsink/encode/values/numbers.h"
#include "pgsink/encode/values/numeric.h"

namespace pgsink::encode {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

using pgproto::ascii::equal_folded;
using pgproto::ascii::hex_digit;
using pgproto::ascii::lower;

/// Removes a leading + or -; true for -.
bool take_sign(std::string_view& text) {
  if (text.empty() || (text[0] != '-' && text[0] != '+')) return false;
  const bool negative = text[0] == '-';
  text.remove_prefix(1);
  return negative;
}

/// Takes the digits of an integer literal without their underscores, each of which stands before a
/// digit and after one or after the prefix of another base than 10. False if one stands
/// elsewhere.
bool remove_underscores(std::string_view text, int base, std::string& digits) {
  const auto is_digit_at = [&](size_t at) {
    const int digit = at < text.size() ? hex_digit(text[at]) : -1;
    return digit >= 0 && digit < base;
  };
  digits.clear();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      digits += text[i];
      continue;
    }
    const bool follows = i > 0 ? is_digit_at(i - 1) : base != 10;
    if (!follows || !is_digit_at(i + 1)) return false;
  }
  return true;
}

/// Takes 0x, 0o or 0b off; the base that it stands for.
int take_base(std::string_view& digits) {
  if (digits.size() < 2 || digits[0] != '0') return 10;
  const char letter = lower(digits[1]);
  const int base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
  if (base != 10) digits.remove_prefix(2);
  return base;
}

/// The base that strtoul() takes a number to have.
int take_c_base(std::string_view& digits) {
  if (digits.size() < 2 || digits[0] != '0') return 10;
  if (lower(digits[1]) != 'x') return 8;
  digits.remove_prefix(2);
  return 16;
}

/// Digits of base 2, 8 or 16 as decimal ones. False if there are none, others, or too many.
bool to_decimal(std::string_view digits, int base, std::string& decimal) {
  constexpr size_t kDigitsMax = 10'000;  // The time that it takes grows with their square.
  constexpr uint64_t kLimb = 1'000'000'000;
  if (digits.empty() || digits.size() > kDigitsMax) return false;
  std::vector<uint64_t> limbs{0};  // The least significant one first.
  for (const char c : digits) {
    const int digit = hex_digit(c);
    if (digit < 0 || digit >= base) return false;
    auto carry = static_cast<uint64_t>(digit);
    for (uint64_t& limb : limbs) {
      carry += limb * static_cast<uint64_t>(base);
      limb = carry % kLimb;
      carry /= kLimb;
    }
    if (carry != 0) limbs.push_back(carry);
  }
  decimal.clear();
  for (size_t i = limbs.size(); i-- > 0;) {
    const std::string part = std::to_string(limbs[i]);
    if (!decimal.empty()) decimal.append(9 - part.size(), '0');
    decimal += part;
  }
  return true;
}

/// What numeric_in() reads since 16 as what it always read: integers of other bases, underscores.
/// False if it is neither.
bool plain_numeric(std::string_view& number, std::string& scratch) {
  const int base = take_base(number);
  const bool underscores = number.find('_') != std::string_view::npos;
  if (base == 10 && !underscores) return true;
  std::string digits;
  if (!remove_underscores(number, base, digits)) return false;
  if (base == 10) {
    scratch = std::move(digits);
  } else if (!to_decimal(digits, base, scratch)) {
    return false;
  }
  number = scratch;
  return true;
}

enum class Word : uint8_t { kNone, kNan, kInfinity };

/// The words for values that are not finite numbers, as in float8in() and numeric_in().
Word special_word(std::string_view text) {
  if (equal_folded(text, "nan")) return Word::kNan;
  if (equal_folded(text, "infinity") || equal_folded(text, "inf")) return Word::kInfinity;
  return Word::kNone;
}

/// A decimal number in its parts.
struct Decimals {
  std::string digits;
  int64_t scale = 0;
  int64_t shown_scale = 0;
};

/// Reads digits[.digits][e[±]digits]; at least one digit. No exponent may exceed what numeric holds
/// by far.
bool read_decimals(std::string_view text, Decimals& number) {
  size_t at = 0;
  bool any = false;
  bool point = false;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (is_digit(c)) {
      any = true;
      if (!number.digits.empty() || c != '0') number.digits += c;
      if (point) ++number.scale;
    } else if (c == '.' && !point) {
      point = true;
    } else {
      break;
    }
  }
  if (!any) return false;
  number.shown_scale = number.scale;
  if (at == text.size()) return true;
  if (lower(text[at]) != 'e') return false;
  const char* begin = text.data() + at + 1;
  const char* const end = text.data() + text.size();
  const bool plus = begin != end && *begin == '+';
  if (plus) ++begin;
  const bool minus = !plus && end - begin > 1 && *begin == '-';
  if (begin == end || (!is_digit(*begin) && !minus)) return false;
  int32_t exponent = 0;
  const auto [next, error] = std::from_chars(begin, end, exponent);
  constexpr int32_t kExponentMax = 1'000'000;
  if (next != end) return false;
  if (error != std::errc{}) exponent = *begin == '-' ? -kExponentMax : kExponentMax;
  exponent = std::clamp(exponent, -kExponentMax, kExponentMax);
  number.scale -= exponent;
  number.shown_scale = std::max<int64_t>(number.scale, 0);
  return true;
}

}  // namespace

// Server: boolin(), parse_bool_with_len(): unique prefixes of true, false, yes, no, on, off; 1, 0.
bool parse_bool(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  const std::string_view word = pgproto::ascii::trim(text);
  const auto prefix_of = [&](std::string_view whole, size_t least) {
    return word.size() >= least && word.size() <= whole.size() &&
           equal_folded(word, whole.substr(0, word.size()));
  };
  const bool yes = prefix_of("true", 1) || prefix_of("yes", 1) || prefix_of("on", 2) || word == "1";
  const bool no = prefix_of("false", 1) || prefix_of("no", 1) || prefix_of("off", 2) || word == "0";
  if (!yes && !no) {
    fault = parse_fault(target, text, "true or false");
    return false;
  }
  out.put(static_cast<int8_t>(yes ? 1 : 0));
  return true;
}

bool parse_integer(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  std::string_view digits = pgproto::ascii::trim(text);
  const bool negative = take_sign(digits);
  Integer value;
  value.negative = negative;
  int base = 10;
  std::string plain;
  bool good = true;
  if (target.rules.since(16) && target.kind == TargetKind::kOid) {
    base = take_c_base(digits);
  } else if (target.rules.since(16)) {
    base = take_base(digits);
    if (digits.find('_') != std::string_view::npos) {
      good = remove_underscores(digits, base, plain);
      digits = plain;
    }
  }
  const auto [next, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value.magnitude, base);
  if (!good || next != digits.data() + digits.size() || digits.empty()) {
    fault = parse_fault(target, text, "a whole number in decimal digits");
    return false;
  }
  if (error == std::errc::result_out_of_range)
    value.magnitude = std::numeric_limits<uint64_t>::max();
  return put_integer(value, target.kind, out, fault);
}

// Server: float8in(), float4in(). Text becomes the nearest float; text that would overflow or
// underflow does not.
bool parse_float(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  const std::string_view number = pgproto::ascii::trim(text);
  const bool single = target.kind == TargetKind::kFloat4;
  const auto put = [&](double value, float narrow) {
    if (single) {
      out.put(std::bit_cast<uint32_t>(narrow));
    } else {
      out.put(std::bit_cast<uint64_t>(value));
    }
    return true;
  };
  std::string_view unsigned_number = number;
  const bool negative = take_sign(unsigned_number);
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  switch (special_word(unsigned_number)) {
    case Word::kNan:
      return put(kNan, static_cast<float>(kNan));
    case Word::kInfinity: {
      const double value = negative ? -kInfinity : kInfinity;
      return put(value, static_cast<float>(value));
    }
    case Word::kNone:
      break;
  }
  const char* const begin = unsigned_number.data();
  const char* const end = begin + unsigned_number.size();
  double value = 0;
  float narrow = 0;
  // The server's strtod() reads C's hexadecimal floats, in every version.
  const bool hex = unsigned_number.size() > 2 && begin[0] == '0' && lower(begin[1]) == 'x' &&
                   (hex_digit(begin[2]) >= 0 || begin[2] == '.');
  const bool plain = hex || (begin != end && (is_digit(*begin) || *begin == '.'));
  const auto format = hex ? std::chars_format::hex : std::chars_format::general;
  const char* const digits = hex ? begin + 2 : begin;
  const auto result = single ? std::from_chars(digits, end, narrow, format)
                             : std::from_chars(digits, end, value, format);
  if (!plain || result.ptr != end || result.ec == std::errc::invalid_argument) {
    fault = parse_fault(target, text, "a number, NaN or ±Infinity");
    return false;
  }
  if (result.ec == std::errc::result_out_of_range) {
    fault = {sqlstate::kNumberOutOfRange, shortened(text) + " is out of the type's range"};
    return false;
  }
  return negative ? put(-value, -narrow) : put(value, narrow);
}

bool parse_numeric(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  const std::string_view number = pgproto::ascii::trim(text);
  const NumericLimit limit = numeric_limit(target);
  std::string_view unsigned_number = number;
  const bool negative = take_sign(unsigned_number);
  const Word word = special_word(unsigned_number);
  if (word == Word::kNan && unsigned_number.size() == number.size()) {
    return put_numeric_special(NumericSpecial::kNan, limit, out, fault);
  }
  if (word == Word::kInfinity) {
    return put_numeric_special(
        negative ? NumericSpecial::kMinusInfinity : NumericSpecial::kInfinity, limit, out, fault);
  }
  Decimals decimals;
  std::string scratch;
  const bool plain = !target.rules.since(16) || plain_numeric(unsigned_number, scratch);
  if (!plain || !read_decimals(unsigned_number, decimals)) {
    fault = parse_fault(target, text, "a decimal number, NaN or ±Infinity");
    return false;
  }
  return put_numeric({negative, decimals.digits, decimals.scale, decimals.shown_scale}, limit, out,
                     fault);
}

// Server: uuid_in(): 32 hexadecimal digits, a hyphen allowed after each four, braces around.
bool parse_uuid(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  std::string_view digits = text;
  if (digits.size() >= 2 && digits.front() == '{' && digits.back() == '}') {
    digits = digits.substr(1, digits.size() - 2);
  }
  constexpr size_t kUuidBytes = 16;
  std::array<std::byte, kUuidBytes> bytes{};
  size_t at = 0;
  bool good = true;
  for (size_t i = 0; i < kUuidBytes && good; ++i) {
    const int high = at < digits.size() ? hex_digit(digits[at]) : -1;
    const int low = at + 1 < digits.size() ? hex_digit(digits[at + 1]) : -1;
    good = high >= 0 && low >= 0;
    if (!good) break;
    bytes[i] = static_cast<std::byte>(high * 16 + low);
    at += 2;
    if (i % 2 == 1 && i + 1 < kUuidBytes && at < digits.size() && digits[at] == '-') ++at;
  }
  if (!good || at != digits.size()) {
    fault = parse_fault(target, text,
                        "32 hexadecimal digits, as in "
                        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
    return false;
  }
  out.put_bytes(bytes.data(), bytes.size());
  return true;
}

// Server: byteain(): \x and hexadecimal pairs, white space between them; or the escape format.
bool parse_bytea(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  if (text.starts_with("\\x")) {
    for (size_t i = 2; i < text.size();) {
      if (text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r') {
        ++i;
        continue;
      }
      const int high = hex_digit(text[i]);
      const int low = i + 1 < text.size() ? hex_digit(text[i + 1]) : -1;
      if (high < 0 || low < 0) {
        fault = parse_fault(target, text, "\\x and pairs of hexadecimal digits");
        return false;
      }
      out.put(static_cast<uint8_t>(high * 16 + low));
      i += 2;
    }
    return true;
  }
  const auto octal = [&](size_t i, char max) {
    return i < text.size() && text[i] >= '0' && text[i] <= max;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out.put(static_cast<uint8_t>(text[i]));
    } else if (i + 1 < text.size() && text[i + 1] == '\\') {
      out.put(static_cast<uint8_t>('\\'));
      ++i;
    } else if (octal(i + 1, '3') && octal(i + 2, '7') && octal(i + 3, '7')) {
      out.put(static_cast<uint8_t>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                   (text[i + 3] - '0')));
      i += 3;
    } else {
      fault = parse_fault(target, text, "hexadecimal (\\x…) or escape format; a backslash is \\\\");
      return false;
    }
  }
  return true;
}

// Server: charin() keeps the first byte and drops the rest; longer text is a fault here.
bool parse_char(const Target&, std::string_view text, Scratch& out, Fault& fault) {
  if (text.size() > 1) {
    fault = {sqlstate::kStringTooLong,
             shortened(text) + " has " + std::to_string(text.size()) + " bytes, the type holds 1"};
    return false;
  }
  const char c = text.empty() ? '\0' : text[0];
  if (static_cast<unsigned char>(c) >= 0x80) {
    fault = {sqlstate::kEncoding, shortened(text) + " is not valid UTF-8 at byte 0"};
    return false;
  }
  out.put(static_cast<uint8_t>(c));
  return true;
}

// Server: bit_in(), varbit_in(): 0101, b0101 or x5. int32 bit count, then bytes, first bit highest.
bool parse_bits(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  std::string_view digits = text;
  const bool hex = !digits.empty() && lower(digits[0]) == 'x';
  if (hex || (!digits.empty() && lower(digits[0]) == 'b')) digits.remove_prefix(1);
  const size_t bits_each = hex ? 4 : 1;
  const size_t bit_count = digits.size() * bits_each;
  const auto length = static_cast<size_t>(std::max(target.type_modifier, 0));
  const bool exact = target.kind == TargetKind::kBit;
  if (length != 0 && (exact ? bit_count != length : bit_count > length)) {
    fault = {exact ? sqlstate::kStringLengthMismatch : sqlstate::kStringTooLong,
             shortened(text) + " has " + std::to_string(bit_count) + " bits, the type holds " +
                 std::to_string(length)};
    return false;
  }
  out.put(static_cast<int32_t>(bit_count));
  unsigned byte = 0;
  size_t filled = 0;
  for (const char c : digits) {
    const int digit = hex ? hex_digit(c) : (c == '0' || c == '1' ? c - '0' : -1);
    if (digit < 0) {
      fault = parse_fault(target, text, "binary digits, or x and hexadecimal ones");
      return false;
    }
    byte = byte << bits_each | static_cast<unsigned>(digit);
    filled += bits_each;
    if (filled == 8) {
      out.put(static_cast<uint8_t>(byte));
      byte = 0;
      filled = 0;
    }
  }
  if (filled != 0) out.put(static_cast<uint8_t>(byte << (8 - filled)));
  return true;
}

bool parse_label(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  if (std::find(target.names.begin(), target.names.end(), text) != target.names.end()) {
    out.put_text(text);
    return true;
  }
  std::string known;
  constexpr size_t kShownMax = 8;
  for (size_t i = 0; i < target.names.size() && i < kShownMax; ++i) {
    known += (i == 0 ? "" : ", ") + shortened(target.names[i]);
  }
  if (target.names.size() > kShownMax) known += ", …";
  fault = parse_fault(target, text, "one of " + known);
  return false;
}

}  // namespace pgsink::encode
