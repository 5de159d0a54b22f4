#pragma once
// Parser: recursive descent over one pgsink statement. Each function is one rule of the grammar,
// written above it; a rule fails with the fault and its position.

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pgsink/ddl.h>

#include "pgsink/ddl/lexer.h"

namespace pgsink {

/// Parsed is the result of a rule, or the reason why it does not apply.
template <typename T>
using Parsed = std::expected<T, Diagnostic>;

class Parser {
 public:
  explicit Parser(const ScriptStatement& statement);

  /// The whole statement; EngineStatement if it is not one of pgsink's.
  std::expected<Statement, std::vector<Diagnostic>> statement();

 private:
  struct Name {
    std::string text;
    SourcePosition begin;
    size_t length = 0;
  };

  // ---- tokens -----------------------------------------------------------------------------------
  const Token& peek() const { return token_; }
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

  // ---- rules, in parser.cc, connection.cc and pipeline.cc ---------------------------------------
  Parsed<void> check_text(size_t bytes_max) const;
  Parsed<Statement> engine_statement() const;
  std::expected<Statement, std::vector<Diagnostic>> create_connection(bool or_replace);
  Parsed<CreateConnection> connection_head(bool or_replace);
  void connection_options(CreateConnection& connection, std::vector<Diagnostic>& faults);
  Parsed<RawOption> option();
  Parsed<OptionValue> value();
  Parsed<OptionValue> number();
  Parsed<OptionValue> map();
  Parsed<std::string> map_entry(std::string_view part);
  void skip_to_next_option();
  Parsed<Statement> drop_connection();

  Parsed<Statement> create_pipeline(bool or_replace);
  Parsed<Statement> bare_insert();
  Parsed<bool> with_before_insert();
  Parsed<void> branches(CreatePipeline& pipeline);
  Parsed<InsertBranch> branch();
  Parsed<std::vector<std::string>> columns();
  bool columns_follow() const;
  bool insert_head_is_ours() const;
  Parsed<std::string_view> query();
  std::string_view source(size_t begin, size_t end) const;

  const ScriptStatement& statement_;
  Lexer lexer_;
  Token token_;
  size_t last_end_ = 0;      ///< Offset after the last token taken.
  bool inside_map_ = false;  ///< A MAP { is open; after a fault inside its } must be skipped.
};

/// Brackets follows the ( [ { of a query, to know whether a word is outside of all of them.
class Brackets {
 public:
  bool empty() const { return open_.empty(); }
  /// Processes a token. Fails on a closing bracket without its opening one, on too many open ones,
  /// and on an unclosed quote or comment.
  Parsed<void> follow(const Token& token);
  /// Fails at the innermost bracket that is still open.
  Parsed<void> check_closed() const;

 private:
  std::vector<Token> open_;
};

/// A fault at a token.
std::unexpected<Diagnostic> fail_at(const Token& token, std::string message,
                                    Errc code = Errc::kSyntax);

}  // namespace pgsink
