#include "shell/sources/unbounded_source.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "shell/engine/engine.h"

namespace pgsink::shell {
namespace {

/// What a text of a type must look like, where the engine's own cast would change its meaning.
struct Shape {
  std::string_view type;
  std::string_view pattern;
};
constexpr std::string_view kInteger = R"(\s*[+-]?[0-9]+\s*)";
constexpr std::array<Shape, 12> kShapes{{
    {"TINYINT", kInteger},
    {"SMALLINT", kInteger},
    {"INTEGER", kInteger},
    {"INT", kInteger},
    {"BIGINT", kInteger},
    {"HUGEINT", kInteger},
    {"UTINYINT", kInteger},
    {"USMALLINT", kInteger},
    {"UINTEGER", kInteger},
    {"UBIGINT", kInteger},
    {"UHUGEINT", kInteger},
    {"DATE", R"(\s*([0-9]+[-/][0-9]+[-/][0-9]+( ?\(BC\))?|-?infinity|epoch)\s*)"},
}};

}  // namespace

std::string typed_text(const std::string& text, const std::string& type) {
  std::string upper = type;
  std::ranges::transform(upper, upper.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (upper == "VARCHAR" || upper == "TEXT") return text;
  std::string cast = "CAST(" + text + " AS " + type + ")";
  const auto shape = std::ranges::find(kShapes, upper, &Shape::type);
  if (shape == kShapes.end()) return cast;
  return "CASE WHEN " + text + " IS NULL OR regexp_full_match(" + text + ", " +
         engine_literal(shape->pattern) + ") THEN " + cast + " ELSE error(chr(39) || " + text +
         " || chr(39) || ' is no " + upper + "') END";
}

}  // namespace pgsink::shell
