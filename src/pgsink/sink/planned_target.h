#pragma once

#include <memory>

#include "pgsink/lane/router.h"
#include "pgsink/partition/leaves.h"
#include "pgsink/plan/plan.h"
#include "pgsink/sink/open_target.h"

namespace pgsink {

/// PlannedTarget is the target of a sink with the first plan for it.
struct PlannedTarget {
  Opened opened;
  Plan plan;
  Router router;
  std::unique_ptr<LeafCatalog> leaves;
};
/// plan_target reads the target's catalog and plans how rows of the schema get into it.
Result<PlannedTarget> plan_target(const SinkOptions& options, const Schema& schema, Env& env,
                                  Connection& connection, Deadline deadline);

}  // namespace pgsink
