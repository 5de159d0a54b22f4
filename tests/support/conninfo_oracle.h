#pragma once
// What libpq reads from a connection string, and what we do: to be compared by a test and a
// fuzz target.

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <libpq-fe.h>

#include "pgsink/client/conninfo.h"

namespace pgsink::test {

/// Keywords and their values.
using ConninfoMap = std::map<std::string, std::string>;

/// What libpq understands; nullopt if it refuses the text.
inline std::optional<ConninfoMap> libpq_parses(const std::string& text) {
  char* error = nullptr;
  PQconninfoOption* options = PQconninfoParse(text.c_str(), &error);
  PQfreemem(error);
  if (options == nullptr) return std::nullopt;
  ConninfoMap map;
  for (const PQconninfoOption* option = options; option->keyword != nullptr; ++option) {
    if (option->val != nullptr) map[option->keyword] = option->val;
  }
  PQconninfoFree(options);
  return map;
}

/// Whether libpq has this keyword.
inline bool libpq_knows(const std::string& keyword) {
  static const std::vector<std::string> known = [] {
    std::vector<std::string> keywords = {"requiressl"};
    PQconninfoOption* options = PQconndefaults();
    for (const PQconninfoOption* option = options; option->keyword != nullptr; ++option) {
      keywords.emplace_back(option->keyword);
    }
    PQconninfoFree(options);
    return keywords;
  }();
  return std::find(known.begin(), known.end(), keyword) != known.end();
}

/// What we understand, as far as libpq's parser goes: it knows keywords, but does not judge values.
inline std::optional<ConninfoMap> we_parse(const std::string& text) {
  const auto pairs = split_conninfo(text);
  if (!pairs) return std::nullopt;
  ConninfoMap map;
  for (auto [keyword, value] : *pairs) {
    if (!libpq_knows(keyword)) return std::nullopt;
    if (keyword == "requiressl") {
      keyword = "sslmode";
      value = value.starts_with('1') ? "require" : "prefer";
    }
    map[keyword] = value;
  }
  return map;
}

}  // namespace pgsink::test
