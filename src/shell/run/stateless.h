#pragma once
// Which queries can run on the micro-batches of an unbounded source: those that make each row of
// their result from one row of the source.

#include <optional>
#include <string>

#include "shell/engine/query_plan.h"

namespace pgsink::shell {

/// Names the part of a plan that needs more than one row, or other rows, than the source's; nullopt
/// if there is none. `function` is the source's in the engine.
std::optional<std::string> what_keeps_state(const PlanNode& plan, const std::string& function);

}  // namespace pgsink::shell
