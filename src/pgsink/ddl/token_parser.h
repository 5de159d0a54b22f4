#pragma once
// TokenParser: the current token of one pgsink statement, and what every rule of the grammar does
// with tokens. The rules are in connection.h and pipeline.h; each function there is one rule,
// written above it, and fails with the fault and its position.

#include <expected>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include <pgsink/ddl.h>

#include "pgsink/ddl/lexer.h"

namespace pgsink {

/// Parsed is the result of a rule, or the reason why it does not apply.
template <typename T>
using Parsed = std::expected<T, Diagnostic>;

/// A fault at a token.
std::unexpected<Diagnostic> fail_at(const Token& token, std::string message,
                                    Errc code = Errc::kSyntax);

/// A statement of the engine. Only an unclosed quote or comment is reported here: it swallows the
/// rest of the script, which the engine cannot know because it gets this statement alone.
Parsed<Statement> engine_statement(const ScriptStatement& statement);

class TokenParser {
 public:
  struct Name {
    std::string text;
    SourcePosition begin;
    size_t length = 0;
  };

  /// `statement` must live as long as the parser and its copies. A copy reads on from here, on its
  /// own.
  explicit TokenParser(const ScriptStatement& statement);

  const ScriptStatement& statement() const { return statement_; }
  const Token& peek() const { return token_; }
  /// The token after the current one.
  Token peek_next() const;
  Token take();
  bool accept_symbol(char symbol);
  bool accept_word(std::string_view upper);
  /// Takes all of the words or none.
  bool accept_words(std::initializer_list<std::string_view> upper);
  bool words_follow(std::initializer_list<std::string_view> upper) const;
  Parsed<void> expect_end(std::string_view after) const;
  Parsed<Name> name(std::string_view of_what);
  /// A fault at the current token.
  std::unexpected<Diagnostic> fail_here(std::string message, Errc code = Errc::kSyntax) const;
  /// A statement of pgsink must be text that PostgreSQL can hold, and of a sane size.
  Parsed<void> check_text(size_t bytes_max) const;
  /// Offset after the last token taken.
  size_t last_end() const { return last_end_; }
  /// The statement's text between two offsets of the script.
  std::string_view source(size_t begin, size_t end) const;

 private:
  const ScriptStatement& statement_;
  Lexer lexer_;
  Token token_;
  size_t last_end_ = 0;
};

}  // namespace pgsink
