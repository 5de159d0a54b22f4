// Source: PostgreSQL, src/common/jsonapi.c (json_lex and its kin), the same in all versions since
// 9.3: RFC 8259, with any value at the top.

#include "pgsink/encode/values/json_syntax.h"

#include <array>

namespace pgsink::encode {
namespace {

constexpr size_t kDepthMax = 2048;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// Bytes of a string that need no look: all but controls, the quote and the backslash.
constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> plain{};
  for (size_t i = 0x20; i < plain.size(); ++i) plain[i] = i != '"' && i != '\\';
  return plain;
}();

class JsonScanner {
 public:
  JsonScanner(std::string_view text, JsonFlavor flavor)
      : at_(text.data()), begin_(at_), end_(at_ + text.size()), flavor_(flavor) {}

  std::optional<JsonFault> scan() {
    while (depth_ < kDepthMax) {
      skip_blanks();
      if (!value()) return fault();
      if (opened_) continue;  // Its first value, or its end, comes next.
      for (;;) {
        skip_blanks();
        if (depth_ == 0) return at_ == end_ ? std::nullopt : fault();
        if (at_ == end_) return fault();
        if (*at_ == (in_object() ? '}' : ']')) {
          ++at_;
          --depth_;
          continue;
        }
        if (*at_ != ',') return fault();
        ++at_;
        if (in_object() && !key()) return fault();
        break;
      }
    }
    return std::nullopt;
  }

 private:
  std::optional<JsonFault> fault() const {
    return JsonFault{static_cast<size_t>(at_ - begin_), escape_};
  }
  bool in_object() const {
    return ((objects_[(depth_ - 1) / 64] >> ((depth_ - 1) % 64)) & 1U) != 0;
  }
  void skip_blanks() {
    while (at_ != end_ && is_blank(*at_)) ++at_;
  }

  /// A value, or the beginning of one that is not empty: then opened_.
  bool value() {
    opened_ = false;
    if (at_ == end_) return false;
    switch (*at_) {
      case '"':
        return string();
      case '{':
      case '[':
        return open(*at_);
      case 't':
        return word("true");
      case 'f':
        return word("false");
      case 'n':
        return word("null");
      default:
        return number();
    }
  }

  bool open(char bracket) {
    ++at_;
    skip_blanks();
    const bool object = bracket == '{';
    if (at_ != end_ && *at_ == (object ? '}' : ']')) {
      ++at_;
      return true;
    }
    uint64_t& word = objects_[depth_ / 64];
    const uint64_t bit = uint64_t{1} << (depth_ % 64);
    word = object ? word | bit : word & ~bit;
    ++depth_;
    opened_ = true;
    return !object || key();
  }

  bool key() {
    skip_blanks();
    if (at_ == end_ || *at_ != '"' || !string()) return false;
    skip_blanks();
    if (at_ == end_ || *at_ != ':') return false;
    ++at_;
    return true;
  }

  bool word(std::string_view word) {
    if (!std::string_view(at_, static_cast<size_t>(end_ - at_)).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  bool digits() {
    if (at_ == end_ || !is_digit(*at_)) return false;
    while (at_ != end_ && is_digit(*at_)) ++at_;
    return true;
  }
  bool number() {
    if (*at_ == '-') ++at_;
    if (at_ != end_ && *at_ == '0') {
      ++at_;
    } else if (!digits()) {
      return false;
    }
    if (at_ != end_ && *at_ == '.') {
      ++at_;
      if (!digits()) return false;
    }
    if (at_ != end_ && (*at_ == 'e' || *at_ == 'E')) {
      ++at_;
      if (at_ != end_ && (*at_ == '+' || *at_ == '-')) ++at_;
      if (!digits()) return false;
    }
    return true;
  }

  bool string() {
    for (++at_;;) {
      while (at_ != end_ && kPlain[static_cast<unsigned char>(*at_)]) ++at_;
      if (at_ == end_ || (*at_ != '"' && *at_ != '\\')) return false;
      if (*at_ == '"') break;
      if (!escape()) return false;
    }
    ++at_;
    return true;
  }

  bool escape() {
    const std::string_view rest(at_, static_cast<size_t>(end_ - at_));
    if (rest.size() < 2) return false;
    if (rest[1] != 'u') {
      if (std::string_view("\"\\/bfnrt").find(rest[1]) == std::string_view::npos) return false;
      at_ += 2;
      return true;
    }
    const int unit = hex_unit(rest);
    if (unit < 0) return false;
    if (flavor_ == JsonFlavor::kJsonb) {
      const bool high = unit >= 0xD800 && unit < 0xDC00;
      const bool low = unit >= 0xDC00 && unit < 0xE000;
      escape_ = unit == 0;
      if (escape_ || low) return false;
      if (high) {
        const int next = hex_unit(rest.substr(kUnitBytes));
        if (next < 0xDC00 || next >= 0xE000) return false;
        at_ += kUnitBytes;
      }
    }
    at_ += kUnitBytes;
    return true;
  }

  static constexpr size_t kUnitBytes = 6;
  /// What a \uXXXX at the beginning says; -1 if there is none.
  static int hex_unit(std::string_view text) {
    if (text.size() < kUnitBytes || text[0] != '\\' || text[1] != 'u') return -1;
    int unit = 0;
    for (size_t i = 2; i < kUnitBytes; ++i) {
      const int digit = hex_digit(text[i]);
      if (digit < 0) return -1;
      unit = unit * 16 + digit;
    }
    return unit;
  }

  const char* at_;
  const char* const begin_;
  const char* const end_;
  const JsonFlavor flavor_;
  std::array<uint64_t, kDepthMax / 64> objects_;  ///< A bit for each depth: whether it is one.
  size_t depth_ = 0;
  bool opened_ = false;
  bool escape_ = false;
};

}  // namespace

std::optional<JsonFault> find_json_fault(std::string_view text, JsonFlavor flavor) {
  return JsonScanner(text, flavor).scan();
}

}  // namespace pgsink::encode
