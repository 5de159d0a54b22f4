// Connection strings against libpq's own parser: both refuse a text, or read the same keywords and
// values from it.

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <libpq-fe.h>

#include "check.h"
#include "pgsink/client/connect_options.h"
#include "pgsink/client/conninfo.h"

namespace {

using Map = std::map<std::string, std::string>;

std::optional<Map> libpq_parses(const std::string& text) {
  char* error = nullptr;
  PQconninfoOption* options = PQconninfoParse(text.c_str(), &error);
  PQfreemem(error);
  if (options == nullptr) return std::nullopt;
  Map map;
  for (const PQconninfoOption* option = options; option->keyword != nullptr; ++option) {
    if (option->val != nullptr) map[option->keyword] = option->val;
  }
  PQconninfoFree(options);
  return map;
}

const std::vector<std::string>& libpq_knows() {
  static const std::vector<std::string> known = [] {
    std::vector<std::string> keywords = {"requiressl"};
    PQconninfoOption* options = PQconndefaults();
    for (const PQconninfoOption* option = options; option->keyword != nullptr; ++option) {
      keywords.emplace_back(option->keyword);
    }
    PQconninfoFree(options);
    return keywords;
  }();
  return known;
}

// As far as libpq's parser goes: it knows keywords, but does not judge values.
std::optional<Map> we_parse(const std::string& text) {
  const auto pairs = pgsink::split_conninfo(text);
  if (!pairs) return std::nullopt;
  Map map;
  for (auto [keyword, value] : *pairs) {
    if (std::ranges::find(libpq_knows(), keyword) == libpq_knows().end()) return std::nullopt;
    if (keyword == "requiressl") {
      keyword = "sslmode";
      value = value.starts_with('1') ? "require" : "prefer";
    }
    map[keyword] = value;
  }
  return map;
}

// Before 18, libpq took blanks in a URI as they are; since then they are trimmed or refused.
bool is_read_otherwise(const std::string& text) {
  const bool uri = text.starts_with("postgresql://") || text.starts_with("postgres://");
  return uri && PQlibVersion() < 180000 && text.find(' ') != std::string::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (text.find('\0') != std::string::npos) return 0;  // libpq's ends there.
  FUZZ_CHECK(is_read_otherwise(text) || we_parse(text) == libpq_parses(text));
  // The options that these become are not libpq's matter: they must only never crash.
  static_cast<void>(pgsink::parse_conninfo(text));
  return 0;
}
