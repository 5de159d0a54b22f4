#include "pgsink/encode/parse/datetime_tokens.h"

#include "pgsink/encode/parse/text_reader.h"

namespace pgsink::encode {
namespace {

bool is_one_of(char c, std::string_view set) {
  return c != '\0' && set.find(c) != std::string_view::npos;
}

class Tokenizer {
 public:
  explicit Tokenizer(std::string_view text) : reader_(text) {}

  bool split(std::vector<DatetimeToken>& tokens) {
    while (true) {
      reader_.skip_spaces();
      if (reader_.done()) return true;
      token_.clear();
      TokenKind kind{};
      const char first = reader_.peek();
      if (TextReader::is_digit(first)) {
        kind = number_or_date();
      } else if (first == '.') {
        kind = TokenKind::kNumber;
        append();
        append_while(TextReader::is_digit);
      } else if (TextReader::is_letter(first)) {
        kind = word_or_date();
      } else if (first == '+' || first == '-') {
        if (!signed_number()) return false;
        kind = TokenKind::kSigned;
      } else if (is_one_of(first, "!\"#$%&'()*,/:;<=>?@[\\]^_`{|}~")) {
        reader_.skip(1);  // It separates tokens, and means nothing.
        continue;
      } else {
        return false;
      }
      tokens.push_back({kind, token_});
    }
  }

 private:
  TokenKind number_or_date() {
    append_while(TextReader::is_digit);
    const char delimiter = reader_.peek();
    if (delimiter == ':') {
      append_while([](char c) { return TextReader::is_digit(c) || c == ':' || c == '.'; });
      return TokenKind::kTime;
    }
    if (!is_one_of(delimiter, "-/.")) return TokenKind::kNumber;
    append();
    if (!TextReader::is_digit(reader_.peek())) {
      append_while([&](char c) {
        return TextReader::is_digit(c) || TextReader::is_letter(c) || c == delimiter;
      });
      return TokenKind::kDate;
    }
    append_while(TextReader::is_digit);
    if (reader_.peek() != delimiter) {
      return delimiter == '.' ? TokenKind::kNumber : TokenKind::kDate;
    }
    append_while([&](char c) { return TextReader::is_digit(c) || c == delimiter; });
    return TokenKind::kDate;
  }

  TokenKind word_or_date() {
    append_while(TextReader::is_letter);
    const char next = reader_.peek();
    const bool is_date = is_one_of(next, "-/.") ||
                         ((next == '+' || TextReader::is_digit(next)) && !is_datetime_word(token_));
    if (!is_date) return TokenKind::kWord;
    append_while([](char c) {
      return TextReader::is_digit(c) || TextReader::is_letter(c) || is_one_of(c, "+-/_.:");
    });
    return TokenKind::kDate;
  }

  bool signed_number() {
    append();
    reader_.skip_spaces();
    if (!TextReader::is_digit(reader_.peek())) return false;
    append_while([](char c) { return TextReader::is_digit(c) || is_one_of(c, ":.-"); });
    return true;
  }

  void append() {
    token_ += TextReader::lower(reader_.peek());
    reader_.skip(1);
  }
  template <class Test>
  void append_while(const Test& test) {
    while (!reader_.done() && test(reader_.peek())) append();
  }

  TextReader reader_;
  std::string token_;
};

}  // namespace

bool datetime_tokens(std::string_view text, std::vector<DatetimeToken>& tokens) {
  return Tokenizer(text).split(tokens);
}

}  // namespace pgsink::encode
