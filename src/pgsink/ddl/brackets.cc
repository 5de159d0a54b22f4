#include "pgsink/ddl/brackets.h"

#include <string>

namespace pgsink {

Parsed<void> Brackets::follow(const Token& token) {
  if (token.kind == TokenKind::kUnclosed) {
    return fail_at(token, "this " + std::string(token.unclosed) + " is never closed");
  }
  if (token.is_symbol('(') || token.is_symbol('[') || token.is_symbol('{')) {
    if (open_.size() == DdlLimits::kNestingMax) {
      const std::string limit = std::to_string(DdlLimits::kNestingMax);
      return fail_at(token, "more than " + limit + " brackets are open here", Errc::kLimit);
    }
    open_.push_back(token);
    return {};
  }
  const char opening = token.is_symbol(')')   ? '('
                       : token.is_symbol(']') ? '['
                       : token.is_symbol('}') ? '{'
                                              : '\0';
  if (opening == '\0') return {};
  if (open_.empty() || !open_.back().is_symbol(opening)) {
    return fail_at(token,
                   "this '" + std::string(token.text) + "' has no matching '" + opening + "'");
  }
  open_.pop_back();
  return {};
}

Parsed<void> Brackets::check_closed() const {
  if (open_.empty()) return {};
  return fail_at(open_.back(), "this '" + std::string(open_.back().text) + "' is never closed");
}

}  // namespace pgsink
