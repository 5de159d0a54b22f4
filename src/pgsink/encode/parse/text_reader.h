#pragma once
// TextReader: a cursor over the text form of a value.

#include <cstdint>
#include <string_view>

namespace pgsink::encode {

class TextReader {
 public:
  explicit TextReader(std::string_view text) : rest_(text) {}

  bool done() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }
  char peek() const { return rest_.empty() ? '\0' : rest_[0]; }
  void skip(size_t count) { rest_.remove_prefix(count); }
  void skip_spaces() {
    while (!rest_.empty() && is_space(rest_[0])) rest_.remove_prefix(1);
  }

  bool take(char c) {
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  /// Takes a word, ignoring case, if no letter follows.
  bool take_word(std::string_view word) {
    if (rest_.size() < word.size()) return false;
    for (size_t i = 0; i < word.size(); ++i) {
      if (lower(rest_[i]) != lower(word[i])) return false;
    }
    if (rest_.size() > word.size() && is_letter(rest_[word.size()])) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  /// Takes the letters at the front.
  std::string_view take_letters() {
    size_t count = 0;
    while (count < rest_.size() && is_letter(rest_[count])) ++count;
    const std::string_view letters = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return letters;
  }
  /// Takes the digits at the front, as text.
  std::string_view take_digits() {
    size_t count = 0;
    while (count < rest_.size() && is_digit(rest_[count])) ++count;
    const std::string_view digits = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return digits;
  }
  /// Takes a number of between `least` and `most` (at most 18) digits.
  bool take_number(size_t least, size_t most, int64_t& number) {
    const std::string_view digits = take_digits();
    if (digits.size() < least || digits.size() > most) return false;
    number = 0;
    for (const char c : digits) number = number * 10 + (c - '0');
    return true;
  }

  static bool is_digit(char c) { return c >= '0' && c <= '9'; }
  static bool is_letter(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }
  static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
  static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  }

 private:
  std::string_view rest_;
};

}  // namespace pgsink::encode
