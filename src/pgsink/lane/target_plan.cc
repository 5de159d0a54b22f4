#include "pgsink/lane/target_plan.h"

#include <utility>

#include "pgsink/client/catalog.h"
#include "pgsink/lane/router.h"
#include "pgsink/partition/scheme.h"
#include "pgsink/plan/preflight.h"

namespace pgsink {
namespace {

TargetPlanPointer first_plan(Plan plan, std::shared_ptr<LeafCatalog> leaves) {
  return std::make_shared<const TargetPlan>(
      TargetPlan{.plan = std::move(plan), .leaves = std::move(leaves), .generation = 1});
}

/// How often the table may change while it is read, before what the server says of it counts.
constexpr int kReadsMax = 20;

/// Why a change cannot be followed.
Error explain(const Plan& plan, Error why, Connection& connection, Deadline deadline) {
  std::string what = "the table changed while it was written: ";
  const auto differences = plan.shape.differences(connection, deadline);
  if (differences && !differences->empty()) what += *differences + ": ";
  // The lane says where it is.
  const std::string where = "table " + plan.table + ": ";
  if (why.message.starts_with(where)) why.message.erase(0, where.size());
  why.message.insert(0, what);
  return why;
}

}  // namespace

TargetPlans::TargetPlans(Setup setup, Plan plan, std::shared_ptr<LeafCatalog> leaves)
    : setup_(std::move(setup)),
      first_(first_plan(std::move(plan), std::move(leaves))),
      monitor_(setup_.env.tasks.monitor()),
      latest_(first_) {}

TargetPlanPointer TargetPlans::latest() const {
  const Monitor::Lock lock(*monitor_);
  return latest_;
}

TargetPlanPointer TargetPlans::publish(Plan plan, std::shared_ptr<LeafCatalog> leaves) {
  const Monitor::Lock lock(*monitor_);
  latest_ = std::make_shared<const TargetPlan>(TargetPlan{
      .plan = std::move(plan), .leaves = std::move(leaves), .generation = latest_->generation + 1});
  return latest_;
}

Result<TargetPlanPointer> TargetPlans::look(const TargetPlanPointer& known, Connection& connection,
                                            Deadline deadline) {
  const TableShape& shape = known->plan.shape;
  auto version = shape.version_now(connection, deadline);
  for (int reads = 0; version; ++reads) {
    if (*version == shape.version()) return known;
    // Another lane may have read it already.
    TargetPlanPointer newest = latest();
    if (newest != known) {
      const auto now = newest->plan.shape.version_now(connection, deadline);
      if (now && *now == newest->plan.shape.version()) return newest;
    }
    auto read_again = read(known->plan, connection, deadline);
    if (read_again || connection.broken()) return read_again;
    // What the server says of a table that changes at that moment may not be consistent.
    auto after = shape.version_now(connection, deadline);
    if (!after) return fail(after.error());
    if (*after == *version || reads == kReadsMax) {
      return fail(explain(known->plan, std::move(read_again.error()), connection, deadline));
    }
    version = std::move(after);
  }
  return fail(version.error());
}

Result<TargetPlanPointer> TargetPlans::read(const Plan& known, Connection& connection,
                                            Deadline deadline) {
  const SinkOptions& options = setup_.options;
  const auto table =
      read_table(connection, options.schema, options.table, deadline, options.set_role);
  if (!table) return fail(table.error());
  if (auto can = check_foreign(options, *table); !can) return fail(can.error());
  if (auto can = check_triggers(options, *table, connection, deadline); !can) {
    return fail(can.error());
  }
  auto plan = make_plan(options, *table, *setup_.schema);
  if (!plan) return fail(plan.error());
  plan->outcome_source = known.outcome_source;  // That of a part of a job is not in the options.
  if (auto same = check(known, *plan, *table); !same) return fail(same.error());
  if (known.one_transaction) plan->take_whole_epochs();
  auto leaves = LeafCatalog::open(options, *plan, *table, setup_.env, connection, deadline);
  if (!leaves) return fail(leaves.error());
  return publish(std::move(*plan), std::move(*leaves));
}

/// Whether rows can go on by another plan.
Status TargetPlans::check(const Plan& known, const Plan& now, const CatalogTable& table) const {
  const SinkOptions& options = setup_.options;
  if (now.shape.table_oid() != known.shape.table_oid()) {
    if (now.outcome_source != OutcomeSource::kXid) {
      return fail(
          Errc::kNoSuchTable,
          "the stored position belongs to the previous table; open the sink again: its error "
          "says how to continue");
    }
    if (creates_partitions(options)) {
      return fail(Errc::kNoSuchTable,
                  "create_partitions reads the partitions when the sink is opened: open it again");
    }
  }
  if (setup_.lanes == 1) return {};
  const auto router = Router::create(options, table, now);
  if (!router) return fail(router.error());
  if (router->rule() == setup_.routing) return {};
  return fail(Errc::kColumnType,
              "rows would take other lanes (before by " + setup_.routing + ", now by " +
                  router->rule() +
                  "), and those of one key could lose their order; open the sink again");
}

}  // namespace pgsink
