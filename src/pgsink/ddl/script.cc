#include <pgsink/ddl.h>

#include "pgsink/ddl/lexer.h"

namespace pgsink {

std::vector<ScriptStatement> split_script(std::string_view script) {
  // A byte order mark is not a character of the first line: editors neither show nor count it.
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  const size_t skipped = script.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  Lexer lexer(script.substr(skipped), {.offset = skipped});

  std::vector<ScriptStatement> statements;
  ScriptStatement open;
  size_t open_end = 0;
  const auto close = [&](bool terminated) {
    if (open_end > open.begin.offset) {
      open.text = script.substr(open.begin.offset, open_end - open.begin.offset);
      open.terminated = terminated;
      statements.push_back(open);
    }
    open_end = 0;
  };
  for (Token token = lexer.next(); token.kind != TokenKind::kEnd; token = lexer.next()) {
    if (token.is_symbol(';')) {
      close(true);
      continue;
    }
    if (open_end == 0) open.begin = token.begin;
    open_end = token.end_offset();
  }
  close(false);
  return statements;
}

}  // namespace pgsink
