#include "shell/script/common_tables.h"

#include "pgsink/ddl/lexer.h"

namespace pgsink::shell {

CommonTables::CommonTables(std::string_view with, size_t source_offset) {
  Lexer lexer(with);
  Token token = lexer.next();  // WITH
  if (token.kind == TokenKind::kEnd) return;
  token = lexer.next();
  recursive_ = token.is_word("RECURSIVE");
  if (recursive_) token = lexer.next();
  size_t depth = 0;
  Token first = token;
  size_t end = 0;
  const auto close = [&] {
    const size_t begin = first.begin.offset;
    entries_.push_back({first.text, with.substr(begin, end - begin), source_offset + begin});
  };
  for (; token.kind != TokenKind::kEnd; token = lexer.next()) {
    if (depth == 0 && token.is_symbol(',')) {
      close();
      first = lexer.next();
      token = first;
    }
    if (token.is_symbol('(') || token.is_symbol('[') || token.is_symbol('{')) ++depth;
    if (token.is_symbol(')') || token.is_symbol(']') || token.is_symbol('}')) --depth;
    end = token.end_offset();
  }
  close();
}

std::string CommonTables::table(size_t index) const {
  return "temp.\"" + std::string(kCommonTablePrefix) + std::to_string(index) + "\"";
}

std::string CommonTables::reading(size_t count) const {
  std::string out;
  for (size_t i = 0; i < count; ++i) {
    out += i == 0 ? "WITH " : ", ";
    out.append(entries_[i].name).append(" AS (SELECT * FROM ").append(table(i)).append(")");
  }
  return out;
}

EngineSql CommonTables::select(size_t index) const {
  const Entry& entry = entries_[index];
  EngineSql sql;
  sql.own(recursive_ ? "WITH RECURSIVE " : "WITH ");
  for (size_t i = 0; i < index; ++i) {
    sql.own(entries_[i].name).own(" AS (SELECT * FROM ").own(table(i)).own("), ");
  }
  sql.source(entry.text, entry.source_offset).own("\nSELECT * FROM ").own(entry.name);
  return sql;
}

EngineSql CommonTables::create(size_t index) const {
  return select(index).wrapped("CREATE OR REPLACE TEMP TABLE " + table(index) + " AS ",
                               "\nWITH NO DATA");
}

EngineSql CommonTables::fill(size_t index) const {
  return select(index).wrapped("INSERT INTO " + table(index) + " ", "");
}

EngineSql CommonTables::refill(size_t index) const {
  return select(index).wrapped("CREATE OR REPLACE TEMP TABLE " + table(index) + " AS ", "");
}

std::string CommonTables::drop(size_t index) const {
  return "DROP TABLE IF EXISTS " + table(index);
}

}  // namespace pgsink::shell
