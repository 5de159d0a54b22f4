#include "pgsink/ddl/lexer.h"

#include <pgproto/utf8.h>

#include "pgsink/options/names.h"

namespace pgsink {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_high(char c) { return static_cast<unsigned char>(c) >= 0x80; }
bool is_word_start(char c) { return is_letter(c) || c == '_' || is_high(c); }
bool is_word_part(char c) { return is_word_start(c) || is_digit(c) || c == '$'; }

bool is_ascii_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

/// Blanks beyond ASCII, which get into a statement that is copied from a web page; DuckDB treats
/// them as blanks too. U+FEFF is the byte order mark.
bool is_unicode_blank(char32_t c) {
  return c == 0xa0 || (c >= 0x2000 && c <= 0x200b) || c == 0x202f || c == 0x205f || c == 0x3000 ||
         c == 0xfeff;
}

/// Bytes of the blank at `offset`, 0 if there is none.
size_t blank_bytes(std::string_view text, size_t offset) {
  if (offset >= text.size()) return 0;
  if (is_ascii_blank(text[offset])) return 1;
  if (!is_high(text[offset])) return 0;
  const pgproto::CodePoint point = pgproto::code_point_at(text, offset);
  return is_unicode_blank(point.value) ? point.bytes : 0;
}

}  // namespace

bool Token::is_word(std::string_view upper) const {
  return kind == TokenKind::kWord && equal_without_case(text, upper);
}

SourcePosition position_after(SourcePosition begin, std::string_view passed) {
  for (const char c : passed) {
    if (c == '\n') {
      ++begin.line;
      begin.column = 1;
    } else if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) {  // not inside a character
      ++begin.column;
    }
  }
  begin.offset += passed.size();
  return begin;
}

void Lexer::advance(size_t bytes) {
  place_ = position_after(place_, text_.substr(position_, bytes));
  position_ += bytes;
}

Token Lexer::take(TokenKind kind, size_t bytes, TextForm form) {
  Token token{.kind = kind, .form = form, .text = text_.substr(position_, bytes), .begin = place_};
  advance(bytes);
  return token;
}

Token Lexer::take_unclosed(std::string_view what) {
  Token token = take(TokenKind::kUnclosed, text_.size() - position_);
  token.unclosed = what;
  return token;
}

bool Lexer::skip_block_comment() {
  size_t depth = 0;
  size_t end = position_;
  while (end + 1 < text_.size()) {
    const std::string_view two = text_.substr(end, 2);
    if (two == "/*") ++depth;
    if (two == "*/") --depth;
    if (two != "/*" && two != "*/") {
      ++end;
      continue;
    }
    end += 2;
    if (depth == 0) {
      advance(end - position_);
      return true;
    }
  }
  return false;
}

Token Lexer::skip_blanks() {
  while (position_ < text_.size()) {
    if (const size_t blank = blank_bytes(text_, position_); blank > 0) {
      advance(blank);
    } else if (starts_with("--")) {
      const size_t line_end = text_.find('\n', position_);
      advance((line_end == std::string_view::npos ? text_.size() : line_end) - position_);
    } else if (starts_with("/*")) {
      if (!skip_block_comment()) return take_unclosed("comment");
    } else {
      break;
    }
  }
  return {.begin = place_};
}

size_t Lexer::find_quote_end(size_t from, char quote, bool backslashes) const {
  for (size_t i = from; i < text_.size(); ++i) {
    if (backslashes && text_[i] == '\\') {
      ++i;
    } else if (text_[i] == quote) {
      if (i + 1 < text_.size() && text_[i + 1] == quote) {
        ++i;
      } else {
        return i + 1;
      }
    }
  }
  return std::string_view::npos;
}

Token Lexer::quoted(TokenKind kind, TextForm form, size_t prefix_bytes, char quote) {
  const size_t end = find_quote_end(position_ + prefix_bytes + 1, quote, form == TextForm::kEscape);
  if (end == std::string_view::npos) {
    return take_unclosed(kind == TokenKind::kText ? "text in quotes" : "name in double quotes");
  }
  return take(kind, end - position_, form);
}

size_t Lexer::dollar_tag_bytes() const {
  size_t i = 1;
  if (is_word_start(at(i))) {
    while (is_word_part(at(i)) && at(i) != '$') ++i;
  }
  return at(i) == '$' ? i + 1 : 0;
}

Token Lexer::dollar_quoted(size_t tag_bytes) {
  const std::string_view tag = text_.substr(position_, tag_bytes);
  const size_t end = text_.find(tag, position_ + tag_bytes);
  if (end == std::string_view::npos) return take_unclosed("dollar-quoted text");
  return take(TokenKind::kText, end + tag_bytes - position_, TextForm::kDollar);
}

size_t Lexer::word_bytes() const {
  size_t i = 0;
  while (is_word_part(at(i)) && blank_bytes(text_, position_ + i) == 0) ++i;
  return i;
}

Token Lexer::word() {
  const size_t bytes = word_bytes();
  const char after = at(bytes);
  const char letter = bytes == 1 ? to_lower(at(0)) : '\0';
  if (after == '\'' && letter == 'e') return quoted(TokenKind::kText, TextForm::kEscape, 1, '\'');
  if (after == '\'' && (letter == 'b' || letter == 'x' || letter == 'n')) {
    return quoted(TokenKind::kText, TextForm::kForeign, 1, '\'');
  }
  if (after == '&' && letter == 'u' && at(2) == '\'') {
    return quoted(TokenKind::kText, TextForm::kForeign, 2, '\'');
  }
  if (after == '&' && letter == 'u' && at(2) == '"') {
    return quoted(TokenKind::kQuotedName, TextForm::kForeign, 2, '"');
  }
  return take(TokenKind::kWord, bytes);
}

size_t Lexer::number_bytes() const {
  size_t i = 0;
  while (is_digit(at(i)) || is_letter(at(i)) || at(i) == '_' || at(i) == '.') {
    const bool exponent = to_lower(at(i)) == 'e' && (at(i + 1) == '+' || at(i + 1) == '-');
    i += exponent && is_digit(at(i + 2)) ? 2 : 1;
  }
  return i;
}

Token Lexer::next() {
  if (const Token comment = skip_blanks(); comment.kind == TokenKind::kUnclosed) return comment;
  if (position_ == text_.size()) return {.begin = place_};
  const char c = at(0);
  if (c == '\'') return quoted(TokenKind::kText, TextForm::kPlain, 0, '\'');
  if (c == '"') return quoted(TokenKind::kQuotedName, TextForm::kPlain, 0, '"');
  if (is_word_start(c)) return word();
  if (is_digit(c) || (c == '.' && is_digit(at(1)))) return take(TokenKind::kNumber, number_bytes());
  if (c == '$') {
    if (const size_t tag = dollar_tag_bytes(); tag > 0) return dollar_quoted(tag);
  }
  return take(TokenKind::kSymbol, 1);
}

namespace {

std::string without_doubled(std::string_view text, char quote) {
  std::string value;
  value.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    value += text[i];
    if (text[i] == quote) ++i;  // the lexer has seen the second quote
  }
  return value;
}

int digit_value(char c) {
  if (is_digit(c)) return c - '0';
  const char lower = to_lower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 99;
}

/// Reads up to `digits_max` digits of `base` at `i` and moves it after them.
struct Digits {
  char32_t value = 0;
  size_t count = 0;
};
Digits read_digits(std::string_view text, size_t& i, int base, size_t digits_max) {
  Digits digits;
  while (digits.count < digits_max && i < text.size() && digit_value(text[i]) < base) {
    digits.value =
        digits.value * static_cast<char32_t>(base) + static_cast<char32_t>(digit_value(text[i]));
    ++digits.count;
    ++i;
  }
  return digits;
}

/// Decodes the escape whose first character after the backslash is at `i`; moves `i` after it.
// Source: PostgreSQL documentation, "String Constants with C-Style Escapes".
std::expected<void, std::string> decode_escape(std::string_view text, size_t& i,
                                               std::string& value) {
  const char c = text[i++];
  switch (c) {
    case 'b':
      value += '\b';
      return {};
    case 'f':
      value += '\f';
      return {};
    case 'n':
      value += '\n';
      return {};
    case 'r':
      value += '\r';
      return {};
    case 't':
      value += '\t';
      return {};
    case 'u':
    case 'U': {
      const size_t wanted = c == 'u' ? 4 : 8;
      const Digits digits = read_digits(text, i, 16, wanted);
      const bool surrogate = digits.value >= 0xd800 && digits.value <= 0xdfff;
      if (digits.count != wanted || digits.value == 0 || digits.value > 0x10ffff || surrogate) {
        return std::unexpected("\\u takes 4 and \\U 8 hexadecimal digits of one character");
      }
      pgproto::utf8_append(value, digits.value);
      return {};
    }
    case 'x':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7': {
      if (c != 'x') --i;
      const Digits digits = c == 'x' ? read_digits(text, i, 16, 2) : read_digits(text, i, 8, 3);
      if (digits.count == 0 || digits.value == 0 || digits.value > 0xff) {
        return std::unexpected("\\x takes hexadecimal digits, \\ up to three octal ones, not zero");
      }
      value += static_cast<char>(digits.value);
      return {};
    }
    default:
      value += c;
      return {};
  }
}

std::expected<std::string, std::string> decode_escapes(std::string_view text) {
  std::string value;
  value.reserve(text.size());
  size_t i = 0;
  while (i < text.size()) {
    if (text[i] == '\\') {
      ++i;  // the lexer has seen a character after it
      if (auto done = decode_escape(text, i, value); !done) return std::unexpected(done.error());
    } else {
      value += text[i];
      i += text[i] == '\'' ? 2 : 1;
    }
  }
  if (!pgproto::utf8_is_text(value)) return std::unexpected("its escapes do not make valid UTF-8");
  return value;
}

}  // namespace

std::expected<std::string, std::string> decode_text(const Token& token) {
  PGPROTO_ASSERT(token.kind == TokenKind::kText);
  const std::string_view text = token.text;
  switch (token.form) {
    case TextForm::kPlain:
      return without_doubled(text.substr(1, text.size() - 2), '\'');
    case TextForm::kEscape:
      return decode_escapes(text.substr(2, text.size() - 3));
    case TextForm::kDollar: {
      const size_t tag = text.find('$', 1) + 1;
      return std::string(text.substr(tag, text.size() - 2 * tag));
    }
    case TextForm::kForeign:
      break;
  }
  return std::unexpected("U&'…', B'…', X'…' and N'…' are not taken here; write 'text' or E'text'");
}

std::expected<std::string, std::string> decode_name(const Token& token) {
  PGPROTO_ASSERT(token.kind == TokenKind::kWord || token.kind == TokenKind::kQuotedName);
  if (token.kind == TokenKind::kWord) return lower_ascii(token.text);
  if (token.form == TextForm::kForeign) {
    return std::unexpected("U&\"…\" is not taken here; write the characters themselves");
  }
  std::string name = without_doubled(token.text.substr(1, token.text.size() - 2), '"');
  if (name.empty()) return std::unexpected("a name cannot be empty");
  return name;
}

}  // namespace pgsink
