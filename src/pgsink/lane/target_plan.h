#pragma once
// TargetPlan: how rows get into the table as it was found at one moment; and TargetPlans, which
// reads the table again when a lane's proof of its shape fails (plan/table_shape.h).
//
// Each lane goes by a plan of its own choice, from one flight to the next, and no lane waits for
// another: every flight proves the table for itself. What a change cannot be followed by stops the
// sink: columns that are gone, types that the values cannot become, another table under a name
// whose positions belong to the one before, and keys whose rows would take other lanes.

#include <memory>
#include <string>

#include <pgsink/options.h>
#include <pgsink/record_batch.h>

#include "pgsink/client/connection.h"
#include "pgsink/partition/leaves.h"
#include "pgsink/plan/plan.h"

namespace pgsink {

/// TargetPlan is immutable, but for what its catalog of partitions learns.
struct TargetPlan {
  Plan plan;
  /// Partitions that rows may be copied into directly; null: none.
  std::shared_ptr<LeafCatalog> leaves;
  uint64_t generation = 0;  ///< Each has another.
};
using TargetPlanPointer = std::shared_ptr<const TargetPlan>;

class TargetPlans {
 public:
  struct Setup {
    Env& env;
    const SinkOptions& options;
    std::shared_ptr<const Schema> schema;
    size_t lanes = 1;
    std::string routing;  ///< Router::rule(), by which rows take their lanes.
  };
  TargetPlans(Setup setup, Plan plan, std::shared_ptr<LeafCatalog> leaves);

  /// The plan that the sink was opened with.
  const TargetPlanPointer& first() const { return first_; }
  /// The plan for the table as it is now: `known` if nothing has changed since that was made. An
  /// error says what has changed, and why that cannot be followed. Any thread. REQUIRES: no request
  /// is pending, no transaction is open.
  Result<TargetPlanPointer> look(const TargetPlanPointer& known, Connection& connection,
                                 Deadline deadline);

 private:
  Result<TargetPlanPointer> read(const Plan& known, Connection& connection, Deadline deadline);
  Status check(const Plan& known, const Plan& now, const CatalogTable& table) const;
  TargetPlanPointer latest() const;
  TargetPlanPointer publish(Plan plan, std::shared_ptr<LeafCatalog> leaves);

  const Setup setup_;
  const TargetPlanPointer first_;
  const std::unique_ptr<Monitor> monitor_;
  TargetPlanPointer latest_;  ///< Guarded by monitor_.
};

}  // namespace pgsink
