#pragma once
// QueryPlan: how the engine would run a query, from its EXPLAIN.

#include <string>
#include <string_view>
#include <vector>

#include "shell/engine/engine.h"

namespace pgsink::shell {

/// PlanNode is one operator of a plan, such as FILTER, HASH_JOIN, or the name of a table function.
struct PlanNode {
  std::string name;
  std::string expression;  ///< The condition of a FILTER.
  std::string table;       ///< The table of a scan.
  std::vector<PlanNode> children;
};

/// parse_plan reads the text of EXPLAIN (FORMAT json); a node without a name if it is none.
PlanNode parse_plan(std::string_view json);

/// plan_of asks the engine. The query is bound, not run.
EngineResult<PlanNode> plan_of(Engine& engine, const std::string& sql);

/// compared_texts gives the 'a' of every term (column = 'a') that a FILTER's expression demands, so
/// that no row passes without it.
std::vector<std::string> compared_texts(std::string_view expression, std::string_view column);

}  // namespace pgsink::shell
