#include "pgsink/sink/planned_target.h"

#include <utility>

#include "pgsink/options/server.h"

namespace pgsink {

Result<PlannedTarget> plan_target(const SinkOptions& options, const Schema& schema, Env& env,
                                  Connection& connection, Deadline deadline) {
  auto opened = open_target(options, &schema, connection, deadline);
  if (!opened) return fail(opened.error());
  auto plan = make_plan(options, opened->table, schema);
  if (!plan) return fail_at(options, plan.error());
  auto router = Router::create(options, opened->table, *plan);
  if (!router) return fail_at(options, router.error());
  auto leaves = LeafCatalog::open(options, *plan, opened->table, env, connection, deadline);
  if (!leaves) return fail_at(options, leaves.error());
  return PlannedTarget{std::move(*opened), std::move(*plan), std::move(*router),
                       std::move(*leaves)};
}

}  // namespace pgsink
