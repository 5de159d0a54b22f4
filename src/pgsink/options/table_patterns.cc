#include "pgsink/options/table_patterns.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace pgsink {
namespace {

std::string_view without_blanks(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

/// Where `wanted` is outside of double quotes, from `from` on; npos: nowhere.
size_t find_unquoted(std::string_view text, char wanted, size_t from) {
  bool quoted = false;
  for (size_t i = from; i < text.size(); ++i) {
    if (text[i] == '"') quoted = !quoted;
    if (text[i] == wanted && !quoted) return i;
  }
  return std::string_view::npos;
}

/// Time in the product of both lengths at most, however many stars there are.
bool like(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, retry = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      retry = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++retry;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

}  // namespace

bool TablePatterns::Part::matches(std::string_view name) const {
  return quoted ? text == name : like(text, name);
}

Result<TablePatterns> TablePatterns::read(std::string_view text, std::string_view schema) {
  TablePatterns all;
  if (without_blanks(text).empty()) return all;
  const auto wrong = [](std::string_view pattern, std::string_view why) {
    return fail(Errc::kOptionValue, "the pattern " + std::string(pattern) + " " + std::string(why));
  };
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(find_unquoted(text, ',', begin), text.size());
    const std::string_view pattern = without_blanks(text.substr(begin, end - begin));
    begin = end + 1;
    if (pattern.empty()) return wrong("between two commas", "is empty: remove a comma");
    const size_t dot = find_unquoted(pattern, '.', 0);
    const bool has_schema = dot != std::string_view::npos;
    if (has_schema && find_unquoted(pattern, '.', dot + 1) != std::string_view::npos) {
      return wrong(pattern, "has two dots: write schema.table, and a name with a dot as \"a.b\"");
    }
    const auto part = [](std::string_view given) -> std::optional<Part> {
      given = without_blanks(given);
      if (!given.starts_with('"')) {
        if (given.empty() || given.find('"') != std::string_view::npos) return std::nullopt;
        return Part{std::string(given)};
      }
      Part read{.text = {}, .quoted = true};
      size_t i = 1;
      for (; i < given.size(); ++i) {
        if (given[i] == '"' && given.substr(i, 2) != "\"\"") break;
        if (given[i] == '"') ++i;
        read.text += given[i];
      }
      if (i + 1 != given.size() || read.text.empty()) return std::nullopt;
      return read;
    };
    auto table = part(has_schema ? pattern.substr(dot + 1) : pattern);
    auto of_schema = has_schema ? part(pattern.substr(0, dot))
                                : std::optional(Part{.text = std::string(schema), .quoted = true});
    if (!table || !of_schema) {
      return wrong(pattern, "is none: write schema.table, with quotes around whole names only");
    }
    all.patterns_.push_back({std::move(*of_schema), std::move(*table)});
  }
  return all;
}

bool TablePatterns::matches(const TableName& table) const {
  for (const Pattern& pattern : patterns_) {
    if (pattern.schema.matches(table.schema) && pattern.name.matches(table.name)) return true;
  }
  return false;
}

Result<TableName> target_of(const TableName& table, const SinkOptions& options) {
  const auto wrong = [](const std::string& why) {
    return fail(Errc::kOptionValue, "target_tables " + why);
  };
  // The dot is that of the template: names of the source may have dots themselves.
  TableName target{.schema = options.schema, .name = {}};
  std::string text;
  bool dotted = false;
  const std::string_view given = options.target_tables;
  for (size_t i = 0; i < given.size(); ++i) {
    if (given[i] == '.') {
      if (dotted) return wrong("has two dots: write one, between schema and table");
      dotted = true;
      target.schema = std::exchange(text, {});
    } else if (given[i] == '{') {
      const std::string_view word = given.substr(i, given.find('}', i) + 1 - i);
      if (word != "{schema}" && word != "{table}") {
        return wrong("takes {schema} and {table} in braces, nothing else");
      }
      text += word == "{table}" ? table.name : table.schema;
      i += word.size() - 1;
    } else {
      text += given[i];
    }
  }
  target.name = std::move(text);
  if (target.schema.empty() || target.name.empty()) {
    return wrong("must name a table, for example '{schema}.{table}'");
  }
  if (target.schema.size() > kTableNameBytesMax || target.name.size() > kTableNameBytesMax) {
    return wrong("makes a name of more than 63 bytes for the table " + table.full() +
                 ": make it shorter");
  }
  return target;
}

}  // namespace pgsink
