#include "shell/run/whole_rows.h"

#include <array>
#include <string_view>

#include "pgsink/ddl/lexer.h"
#include "pgsink/options/names.h"
#include "shell/engine/engine.h"

namespace pgsink::shell {
namespace {

bool is_name(const Token& token, std::string_view name) {
  if (token.kind == TokenKind::kQuotedName) return token.text == engine_identifier(name);
  return token.kind == TokenKind::kWord && equal_without_case(token.text, name);
}

}  // namespace

std::optional<WholeRows> reads_whole_rows(const Pipeline& pipeline) {
  if (pipeline.branches.size() != 1 || pipeline.source == nullptr) return std::nullopt;
  const Branch& branch = pipeline.branches.front();
  const bool plain = !branch.into_engine() && branch.syntax.columns.empty() &&
                     pipeline.statement.with.empty() &&
                     branch.options->write_mode == WriteMode::kChangelog;
  if (!plain) return std::nullopt;
  Lexer lexer(branch.syntax.query);
  const bool all = lexer.next().is_word("SELECT") && lexer.next().is_symbol('*') &&
                   lexer.next().is_word("FROM") && is_name(lexer.next(), pipeline.source->name);
  if (!all) return std::nullopt;
  const Token token = lexer.next();
  if (token.kind == TokenKind::kEnd) return WholeRows{};
  const bool filters = token.is_word("WHERE") && is_name(lexer.next(), "_op") &&
                       lexer.next().is_symbol('<') && lexer.next().is_symbol('>') &&
                       lexer.next().text == "'T'" && lexer.next().kind == TokenKind::kEnd;
  if (!filters) return std::nullopt;
  return WholeRows{.no_truncates = true};
}

}  // namespace pgsink::shell
