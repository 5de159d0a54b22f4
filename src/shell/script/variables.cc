#include "shell/script/variables.h"

#include <algorithm>

#include "pgsink/ddl/lexer.h"

namespace pgsink::shell {
namespace {

using Variables = std::map<std::string, std::string>;

bool is_name_part(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/// The bytes of "${NAME}" at the front of `text`, 0 if there is none.
size_t placeholder_bytes(std::string_view text) {
  if (!text.starts_with("${")) return 0;
  size_t end = 2;
  while (end < text.size() && is_name_part(text[end])) ++end;
  return end > 2 && end < text.size() && text[end] == '}' ? end + 1 : 0;
}

std::string escaped(std::string_view value, char quote, bool backslashes) {
  std::string out;
  for (const char c : value) {
    if (c == quote || (backslashes && c == '\\')) out += c;
    out += c;
  }
  return out;
}

bool is_create_connection(const ScriptStatement& statement) {
  Lexer lexer(statement.text);
  if (!lexer.next().is_word("CREATE")) return false;
  Token word = lexer.next();
  if (word.is_word("OR")) {
    lexer.next();
    word = lexer.next();
  }
  return word.is_word("CONNECTION");
}

Diagnostic unknown_placeholder(std::string_view text, SourcePosition place) {
  const size_t bytes = placeholder_bytes(text);
  Diagnostic fault;
  fault.error.code = Errc::kMissingSecret;
  fault.begin = place;
  fault.length = std::max<size_t>(bytes, 2);
  fault.error.message =
      bytes == 0 ? "outside of quotes only ${name} is known, filled by --set name=value"
                 : "no value for " + std::string(text.substr(0, bytes)) + "; give one with --set " +
                       std::string(text.substr(2, bytes - 3)) + "=value";
  return fault;
}

}  // namespace

void FilledStatement::replace(size_t from, size_t bytes, std::string_view value) {
  replacements_.push_back({text_.size(), value.size(), from, bytes});
  text_ += value;
}

/// A quoted text or name, copied with the placeholders inside it replaced.
void FilledStatement::append_token(std::string_view token, char quote, bool escapes,
                                   const Variables& variables) {
  const auto base = static_cast<size_t>(token.data() - original_.text.data());
  for (size_t i = 0; i < token.size();) {
    const size_t bytes = i > 0 && token[i - 1] == '$' ? 0 : placeholder_bytes(token.substr(i));
    const auto known =
        bytes == 0 ? variables.end() : variables.find(std::string(token.substr(i + 2, bytes - 3)));
    if (known == variables.end()) {
      text_ += token[i++];
      continue;
    }
    replace(base + i, bytes,
            quote == '\0' ? known->second : escaped(known->second, quote, escapes));
    i += bytes;
  }
}

std::expected<FilledStatement, Diagnostic> FilledStatement::fill(const ScriptStatement& statement,
                                                                 const Variables& variables) {
  FilledStatement filled;
  filled.original_ = statement;
  const bool connection = is_create_connection(statement);
  Lexer lexer(statement.text, statement.begin);
  size_t copied = 0;  // bytes of statement.text that are in text_ already
  for (Token token = lexer.next(); token.kind != TokenKind::kEnd; token = lexer.next()) {
    const size_t at = token.begin.offset - statement.begin.offset;
    if (at < copied) continue;  // inside a placeholder
    filled.text_ += statement.text.substr(copied, at - copied);
    copied = at;
    if (token.is_symbol('$') && statement.text.substr(at).starts_with("${")) {
      const std::string_view rest = statement.text.substr(at);
      const size_t bytes = placeholder_bytes(rest);
      const auto known =
          bytes == 0 ? variables.end() : variables.find(std::string(rest.substr(2, bytes - 3)));
      if (known == variables.end()) return std::unexpected(unknown_placeholder(rest, token.begin));
      filled.replace(at, bytes, known->second);
      copied = at + bytes;
    } else if (!connection &&
               (token.kind == TokenKind::kText || token.kind == TokenKind::kQuotedName)) {
      const char quote = token.form == TextForm::kDollar ? '\0' : token.text.back();
      filled.append_token(token.text, quote, token.form == TextForm::kEscape, variables);
      copied = at + token.text.size();
    }
  }
  filled.text_ += statement.text.substr(copied);
  return filled;
}

ScriptStatement FilledStatement::statement() const {
  ScriptStatement statement = original_;
  if (!replacements_.empty()) statement.text = text_;
  return statement;
}

size_t FilledStatement::script_offset(size_t offset) const {
  const size_t begin = original_.begin.offset;
  const size_t at = offset < begin ? 0 : offset - begin;
  const Replacement* last = nullptr;
  for (const Replacement& replacement : replacements_) {
    if (replacement.begin <= at) last = &replacement;
  }
  if (last == nullptr) return begin + at;
  if (at < last->begin + last->bytes) return begin + last->script_begin;
  return begin + last->script_begin + last->script_bytes + (at - last->begin - last->bytes);
}

SourcePosition position_at(std::string_view script, size_t offset) {
  return position_after({}, script.substr(0, std::min(offset, script.size())));
}

}  // namespace pgsink::shell
