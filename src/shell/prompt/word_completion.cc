#include "shell/prompt/word_completion.h"

#include <algorithm>
#include <array>

#include <pgsink/options.h>

#include "pgsink/ddl/lexer.h"
#include "pgsink/options/names.h"
#include "shell/kafka/kafka_options.h"
#include "shell/sources/stdin_source.h"

namespace pgsink::shell {
namespace {

constexpr std::array kWords{"ALTER",
                            "AND",
                            "AS",
                            "ATTACH",
                            "BETWEEN",
                            "BY",
                            "CASE",
                            "CAST",
                            "CONNECTION",
                            "COPY",
                            "CREATE",
                            "DELETE",
                            "DESCRIBE",
                            "DISTINCT",
                            "DROP",
                            "ELSE",
                            "END",
                            "EXISTS",
                            "EXPLAIN",
                            "FROM",
                            "GROUP",
                            "HAVING",
                            "IF",
                            "IN",
                            "INSERT",
                            "INTO",
                            "IS",
                            "JOIN",
                            "LEFT",
                            "LIKE",
                            "LIMIT",
                            "MACRO",
                            "MAP",
                            "NOT",
                            "NULL",
                            "ON",
                            "OR",
                            "ORDER",
                            "PIPELINE",
                            "REPLACE",
                            "SELECT",
                            "SET",
                            "SHOW",
                            "TABLE",
                            "THEN",
                            "TO",
                            "UNION",
                            "UPDATE",
                            "USING",
                            "VALUES",
                            "VIEW",
                            "WHEN",
                            "WHERE",
                            "WITH",
                            "kafka",
                            "postgresql",
                            "read_csv",
                            "read_json",
                            "read_parquet",
                            "stdin",
                            "test_connection"};

bool is_word_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '\\' || c == '?' || static_cast<unsigned char>(c) >= 0x80;
}

/// What is known about the statement so far.
struct Place {
  bool options = false;   ///< Inside the brackets of CREATE CONNECTION, where a key is possible.
  bool of_stdin = false;  ///< … TO stdin
  bool of_kafka = false;  ///< … TO kafka
  std::string before;     ///< The word before the one to complete, in upper case.
};

Place place_of(std::string_view text) {
  Place place;
  Lexer lexer(text);
  bool connection = false;
  bool key = false;
  size_t depth = 0;
  for (Token token = lexer.next(); token.kind != TokenKind::kEnd; token = lexer.next()) {
    if (token.is_symbol(';')) {
      place = {};
      connection = key = false;
      depth = 0;
      continue;
    }
    connection = connection || (depth == 0 && token.is_word("CONNECTION"));
    place.of_stdin = place.of_stdin || (connection && token.is_word("STDIN"));
    place.of_kafka = place.of_kafka || (connection && token.is_word("KAFKA"));
    if (token.is_symbol('(')) ++depth;
    if (token.is_symbol(')') && depth > 0) --depth;
    key = depth == 1 && (token.is_symbol('(') || token.is_symbol(','));
    place.before = token.kind == TokenKind::kWord ? std::string(token.text) : std::string();
    std::ranges::transform(place.before, place.before.begin(), [](char c) {
      return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    });
    if (token.kind == TokenKind::kUnclosed) key = false;
  }
  place.options = connection && key;
  return place;
}

class Collector {
 public:
  explicit Collector(std::string_view start) : start_(start) {}
  void add(std::string_view word) {
    if (word.size() < start_.size()) return;
    if (equal_without_case(word.substr(0, start_.size()), start_)) found_.words.emplace_back(word);
  }
  template <typename Words>
  void add_all(const Words& words) {
    for (const auto& word : words) add(word);
  }
  Completion take() {
    std::ranges::sort(found_.words);
    const auto same = std::ranges::unique(found_.words);
    found_.words.erase(same.begin(), same.end());
    found_.word_bytes = start_.size();
    return std::move(found_);
  }

 private:
  std::string_view start_;
  Completion found_;
};

}  // namespace

Completion complete_word(std::string_view text, const WordLists& lists) {
  size_t begin = text.size();
  while (begin > 0 && is_word_byte(text[begin - 1])) --begin;
  Collector found(text.substr(begin));
  const std::string_view before = text.substr(0, begin);
  const bool at_start = before.find_first_not_of(" \t\n") == std::string_view::npos;
  const bool dot_command = text.starts_with('.') || text.starts_with('\\');
  if (at_start && dot_command) {
    found.add_all(lists.dot_commands);
    return found.take();
  }
  if (dot_command) {
    const bool modes = before.find("mode") != std::string_view::npos;
    found.add_all(modes ? lists.formats : lists.connections);
    return found.take();
  }
  const Place place = place_of(before);
  if (place.options) {
    if (place.of_stdin) {
      found.add_all(stdin_option_keys());
    } else if (place.of_kafka) {
      found.add_all(kafka_option_keys());
    } else {
      for (const OptionInfo& option : option_table()) found.add(option.key);
    }
    return found.take();
  }
  if (place.before == "INTO" ||
      (place.before == "CONNECTION" && !place.of_stdin && !place.of_kafka)) {
    found.add_all(lists.connections);
    if (place.before == "INTO") found.add_all(lists.tables);
    return found.take();
  }
  if (place.before == "FROM" || place.before == "JOIN") found.add_all(lists.tables);
  found.add_all(kWords);
  found.add_all(lists.connections);
  return found.take();
}

}  // namespace pgsink::shell
