#pragma once
// QueryPlan: what the engine would do to run a query, as its EXPLAIN says.

#include <string>
#include <string_view>
#include <vector>

#include "shell/engine/engine.h"

namespace pgsink::shell {

/// PlanNode is one operator of a plan, such as FILTER, HASH_JOIN, or the name of a table function.
struct PlanNode {
  std::string name;
  std::string expression;  ///< What a FILTER lets through.
  std::string table;       ///< What a scan reads.
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
