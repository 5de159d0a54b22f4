#include "pgsink/ddl/token_parser.h"

#include <pgproto/utf8.h>

namespace pgsink {

std::unexpected<Diagnostic> fail_at(const Token& token, std::string message, Errc code) {
  Diagnostic fault;
  fault.error.code = code;
  fault.error.message = std::move(message);
  fault.begin = token.begin;
  fault.length = token.text.size();
  return std::unexpected(std::move(fault));
}

Parsed<Statement> engine_statement(const ScriptStatement& statement) {
  if (!statement.terminated) {
    Lexer lexer(statement.text, statement.begin);
    for (Token token = lexer.next(); token.kind != TokenKind::kEnd; token = lexer.next()) {
      if (token.kind == TokenKind::kUnclosed) {
        return fail_at(token, "this " + std::string(token.unclosed) + " is never closed");
      }
    }
  }
  return EngineStatement{};
}

TokenParser::TokenParser(const ScriptStatement& statement)
    : statement_(statement),
      lexer_(statement.text, statement.begin),
      token_(lexer_.next()),
      last_end_(statement.begin.offset) {}

Token TokenParser::peek_next() const {
  Lexer ahead = lexer_;
  return ahead.next();
}

Token TokenParser::take() {
  Token taken = token_;
  last_end_ = taken.end_offset();
  token_ = lexer_.next();
  return taken;
}

bool TokenParser::accept_symbol(char symbol) {
  if (!token_.is_symbol(symbol)) return false;
  take();
  return true;
}

bool TokenParser::accept_word(std::string_view upper) {
  if (!token_.is_word(upper)) return false;
  take();
  return true;
}

bool TokenParser::words_follow(std::initializer_list<std::string_view> upper) const {
  Lexer ahead = lexer_;
  Token token = token_;
  for (const std::string_view word : upper) {
    if (!token.is_word(word)) return false;
    token = ahead.next();
  }
  return true;
}

bool TokenParser::accept_words(std::initializer_list<std::string_view> upper) {
  if (!words_follow(upper)) return false;
  for (size_t i = 0; i < upper.size(); ++i) take();
  return true;
}

std::unexpected<Diagnostic> TokenParser::fail_here(std::string message, Errc code) const {
  if (token_.kind == TokenKind::kUnclosed) {
    // Reported instead of what was expected: the quote or comment has swallowed it.
    message = "this " + std::string(token_.unclosed) + " is never closed";
  }
  return fail_at(token_, std::move(message), code);
}

Parsed<void> TokenParser::expect_end(std::string_view after) const {
  if (token_.kind == TokenKind::kEnd) return {};
  return fail_here("expected ';' after " + std::string(after));
}

Parsed<TokenParser::Name> TokenParser::name(std::string_view of_what) {
  const std::string expected = "expected " + std::string(of_what);
  const bool keyword = token_.is_word("TO") || token_.is_word("AS") || token_.is_word("IF");
  if (token_.kind == TokenKind::kText) {
    return fail_here(expected + "; write the name without quotes or in double quotes");
  }
  if (keyword || (token_.kind != TokenKind::kWord && token_.kind != TokenKind::kQuotedName)) {
    return fail_here(expected);
  }
  auto decoded = decode_name(token_);
  if (!decoded) return fail_here(expected + ": " + decoded.error());
  Name name{.text = std::move(*decoded), .begin = token_.begin, .length = token_.text.size()};
  take();
  return name;
}

std::string_view TokenParser::source(size_t begin, size_t end) const {
  PGPROTO_ASSERT(begin >= statement_.begin.offset);
  PGPROTO_ASSERT(end >= begin);
  return statement_.text.substr(begin - statement_.begin.offset, end - begin);
}

Parsed<void> TokenParser::check_text(size_t bytes_max) const {
  if (statement_.text.size() > bytes_max) {
    return fail_here("the statement has " + std::to_string(statement_.text.size()) +
                         " bytes; at most " + std::to_string(bytes_max) + " are taken",
                     Errc::kLimit);
  }
  const size_t invalid = pgproto::utf8_fault_at(statement_.text);
  if (invalid == std::string_view::npos) return {};
  Diagnostic fault;
  fault.error.code = Errc::kSyntax;
  fault.error.message =
      "this byte is not valid UTF-8, or is NUL; neither can be text in PostgreSQL";
  fault.begin = position_after(statement_.begin, statement_.text.substr(0, invalid));
  fault.length = 1;
  return std::unexpected(std::move(fault));
}

}  // namespace pgsink
