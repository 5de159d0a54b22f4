#include "shell/records/flat_object.h"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <pgproto/utf8.h>

#include "pgsink/encode/parse/plain_number.h"

namespace pgsink::shell {
namespace {

constexpr uint64_t kOnes = 0x0101010101010101;
constexpr uint64_t kHighBits = 0x8080808080808080;

/// The high bit of each byte below `limit`; bytes after the first such one may be marked, too.
constexpr uint64_t bytes_below(uint64_t word, uint64_t limit) {
  return (word - kOnes * limit) & ~word & kHighBits;
}
constexpr uint64_t bytes_equal(uint64_t word, char c) {
  return bytes_below(word ^ (kOnes * static_cast<unsigned char>(c)), 1);
}

class FlatReader {
 public:
  FlatReader(std::string_view text, std::vector<JsonMember>& members)
      : at_(text.data()), end_(text.data() + text.size()), text_(text), members_(members) {}

  bool read() {
    if (!take('{')) return false;
    if (!take('}')) {
      do {
        if (!member()) return false;
      } while (take(','));
      if (!take('}')) return false;
    }
    skip_blanks();
    return at_ == end_ && (ascii_ || pgproto::utf8_valid(text_));
  }

 private:
  bool member() {
    skip_blanks();
    JsonMember& member = members_.emplace_back();
    const char* const key = at_;
    if (!string()) return false;
    member.key = std::string_view(key + 1, static_cast<size_t>(at_ - key) - 2);
    if (!take(':')) return false;
    skip_blanks();
    const char* const begin = at_;
    if (!value(member.value.kind)) return false;
    member.value.text = std::string_view(begin, static_cast<size_t>(at_ - begin));
    return true;
  }

  bool value(JsonKind& kind) {
    if (at_ == end_) return false;
    switch (*at_) {
      case '"':
        kind = JsonKind::kString;
        return string();
      case 't':
        kind = JsonKind::kBoolean;
        return word("true");
      case 'f':
        kind = JsonKind::kBoolean;
        return word("false");
      case 'n':
        kind = JsonKind::kNull;
        return word("null");
      default:
        kind = JsonKind::kNumber;
        return number();
    }
  }

  /// A string with its quotes, without escapes: those are rare enough to be checked elsewhere.
  bool string() {
    if (at_ == end_ || *at_ != '"') return false;
    for (++at_; at_ != end_; ++at_) {
      skip_ordinary();
      if (at_ == end_) return false;
      const char c = *at_;
      if (c == '"') {
        ++at_;
        return true;
      }
      if (c == '\\' || static_cast<unsigned char>(c) < ' ') return false;
      ascii_ = ascii_ && static_cast<signed char>(c) > 0;
    }
    return false;
  }

  /// Eight bytes at a time, up to a quote, a backslash or a control character.
  void skip_ordinary() {
    while (end_ - at_ >= static_cast<ptrdiff_t>(sizeof(uint64_t))) {
      uint64_t word = 0;
      std::memcpy(&word, at_, sizeof word);
      if constexpr (std::endian::native == std::endian::big) word = std::byteswap(word);
      const uint64_t special =
          bytes_equal(word, '"') | bytes_equal(word, '\\') | bytes_below(word, ' ');
      const auto ordinary = static_cast<size_t>(std::countr_zero(special)) / 8;
      const uint64_t read = special == 0 ? ~uint64_t{0} : (special & (~special + 1)) - 1;
      ascii_ = ascii_ && (word & read & kHighBits) == 0;
      at_ += ordinary;
      if (special != 0) return;
    }
  }

  bool number() {
    const char* const begin = at_;
    bool integer = true;
    for (; at_ != end_; ++at_) {
      const char c = *at_;
      if (c >= '0' && c <= '9') continue;
      if (c == ',' || c == '}' || is_blank(c)) break;
      integer = false;
    }
    const std::string_view text(begin, static_cast<size_t>(at_ - begin));
    if (integer && !text.empty() && (text[0] != '0' || text.size() == 1)) return true;
    return encode::is_json_number(text);
  }

  bool word(std::string_view text) {
    if (!std::string_view(at_, static_cast<size_t>(end_ - at_)).starts_with(text)) return false;
    at_ += text.size();
    return true;
  }

  static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
  void skip_blanks() {
    while (at_ != end_ && is_blank(*at_)) ++at_;
  }
  bool take(char c) {
    skip_blanks();
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }

  const char* at_;
  const char* end_;
  std::string_view text_;
  std::vector<JsonMember>& members_;
  bool ascii_ = true;
};

}  // namespace

bool read_flat_object(std::string_view text, std::vector<JsonMember>& members) {
  return FlatReader(text, members).read();
}

}  // namespace pgsink::shell
