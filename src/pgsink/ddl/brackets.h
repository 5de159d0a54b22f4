#pragma once
// Brackets: which ( [ { of a query are open.

#include <vector>

#include "pgsink/ddl/token_parser.h"

namespace pgsink {

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

}  // namespace pgsink
