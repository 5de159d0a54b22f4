#include "shell/run/stateless.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "shell/script/common_tables.h"

namespace pgsink::shell {
namespace {

/// Operators that work row by row.
constexpr std::array<std::string_view, 8> kRowByRow{
    "PROJECTION", "FILTER", "UNNEST", "UNION", "CTE", "CTE_SCAN", "INSERT", "EMPTY_RESULT"};

/// Parts of operators' names, and their names in messages.
struct Named {
  std::string_view part;
  std::string_view meaning;
};
constexpr std::array<Named, 12> kNamed{{
    {"GROUP_BY", "an aggregate, GROUP BY or DISTINCT"},
    {"AGGREGATE", "an aggregate"},
    {"TOP_N", "ORDER BY with LIMIT"},
    {"ORDER_BY", "ORDER BY"},
    {"LIMIT", "LIMIT"},
    {"WINDOW", "a window function"},
    {"SAMPLE", "a sample"},
    {"JOIN", "a join or a subquery"},
    {"CROSS_PRODUCT", "a join"},
    {"RECURSIVE", "a recursive WITH"},
    {"SCAN", "another table"},
    {"", "this"},
}};

std::string meaning_of(const PlanNode& node) {
  const auto named = std::ranges::find_if(
      kNamed, [&](const Named& entry) { return node.name.find(entry.part) != std::string::npos; });
  return std::string(named->meaning) + " (" + node.name +
         (node.table.empty() ? "" : " of " + node.table) + ")";
}

bool is_source(const PlanNode& node, const std::string& function) {
  return std::ranges::equal(node.name, function, [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == b;
  });
}

}  // namespace

std::optional<std::string> what_keeps_state(const PlanNode& plan, const std::string& function) {
  if (is_source(plan, function)) return std::nullopt;
  if (plan.name.find("SCAN") != std::string::npos &&
      plan.table.find(kCommonTablePrefix) != std::string::npos) {
    return std::nullopt;
  }
  const bool row_by_row =
      std::ranges::any_of(kRowByRow, [&](std::string_view name) { return plan.name == name; });
  if (!row_by_row) return meaning_of(plan);
  for (const PlanNode& child : plan.children) {
    if (auto what = what_keeps_state(child, function)) return what;
  }
  return std::nullopt;
}

}  // namespace pgsink::shell
