#pragma once
// The tokens of a script: one lexer for splitting, parsing and hiding secrets, so that all three
// agree on where a quote or a comment ends. It follows PostgreSQL's lexical structure, which DuckDB
// shares.

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include <pgsink/ddl.h>

namespace pgsink {

enum class TokenKind : uint8_t {
  kEnd,         ///< Only blanks and comments follow.
  kWord,        ///< A keyword or a name without quotes.
  kQuotedName,  ///< "name"
  kText,        ///< 'text', E'text', $tag$text$tag$, …
  kNumber,
  kSymbol,    ///< One other character.
  kUnclosed,  ///< A quote or comment that reaches to the end of the text.
};

/// TextForm says how a text or name is written, which decides how it is decoded.
enum class TextForm : uint8_t {
  kPlain,    ///< 'it''s', "name"
  kEscape,   ///< E'a\n'
  kDollar,   ///< $tag$text$tag$
  kForeign,  ///< U&'…', B'…', X'…', N'…': recognised to find their end, never decoded.
};

/// Token is one token, a view into the script.
struct Token {
  TokenKind kind = TokenKind::kEnd;
  TextForm form = TextForm::kPlain;
  std::string_view text{};  ///< As written.
  SourcePosition begin{};
  std::string_view unclosed{};  ///< kUnclosed: the kind of what is not closed, for example
                                ///< "comment".

  size_t end_offset() const { return begin.offset + text.size(); }
  bool is_symbol(char symbol) const {
    return kind == TokenKind::kSymbol && text.size() == 1 && text[0] == symbol;
  }
  /// Whether it is that keyword, given in upper case; keywords are never quoted.
  bool is_word(std::string_view upper) const;
};

/// Lexer reads tokens one after the other. It is a small value: to look ahead, copy it.
class Lexer {
 public:
  /// `begin` is the position of `text` in the script.
  explicit Lexer(std::string_view text, SourcePosition begin = {}) : text_(text), place_(begin) {}

  Token next();

 private:
  char at(size_t ahead) const {
    return ahead < text_.size() - position_ ? text_[position_ + ahead] : '\0';
  }
  bool starts_with(std::string_view prefix) const {
    return text_.substr(position_).starts_with(prefix);
  }
  void advance(size_t bytes);
  /// Skips blanks and comments. Returns the token of an unclosed comment, else kEnd.
  Token skip_blanks();
  bool skip_block_comment();
  /// The end of a quote that opens at `from`, npos if it is not closed.
  size_t find_quote_end(size_t from, char quote, bool backslashes) const;
  size_t dollar_tag_bytes() const;
  size_t word_bytes() const;
  size_t number_bytes() const;
  Token quoted(TokenKind kind, TextForm form, size_t prefix_bytes, char quote);
  Token dollar_quoted(size_t tag_bytes);
  Token word();
  Token take(TokenKind kind, size_t bytes, TextForm form = TextForm::kPlain);
  Token take_unclosed(std::string_view what);

  std::string_view text_;
  SourcePosition place_;
  size_t position_ = 0;
};

/// position_after is the position after `passed`, which begins at `begin`.
SourcePosition position_after(SourcePosition begin, std::string_view passed);

/// decode_text returns the value of a kText token, or what is wrong with it (without showing it).
std::expected<std::string, std::string> decode_text(const Token& token);
/// decode_name returns the name of a kWord (in lower case) or kQuotedName (exact).
std::expected<std::string, std::string> decode_name(const Token& token);

}  // namespace pgsink
