#pragma once
// What a sink claims of its target at open, where delivery is more than at-least-once: the rows of
// its epochs, or the right to prepare and commit. Whoever wrote before is fenced then.

#include <optional>
#include <vector>

#include <pgsink/options.h>

#include "pgsink/client/catalog.h"
#include "pgsink/client/pool.h"
#include "pgsink/delivery/epoch_rows.h"
#include "pgsink/delivery/two_phase.h"
#include "pgsink/lane/router.h"

namespace pgsink {

/// How long the former writer's transactions may keep us waiting.
inline constexpr Duration kClaimTimeout = std::chrono::seconds(30);

/// Claim is what exactly-once holds of the target: the rows of this sink's lanes.
struct Claim {
  Epochs epochs;
  std::vector<LaneEpoch> rows;

  /// By lane.
  std::vector<uint64_t> positions() const;
  /// Without repetition, in growing order; lanes that have committed nothing have none.
  std::vector<HostPosition> resume_points() const;
};
/// claim_epochs takes them over. Fails with kOptionConflict if lanes would not get the rows that
/// they got before; with kCannotResume if the rows of before went into another table.
Result<Claim> claim_epochs(const SinkOptions& options, Env& env, const CatalogTable& table,
                           const Router& router, Connection& connection);

/// TwoPhaseClaim is what is claimed of the target under two-phase commit: the sink, with what
/// former runs left.
struct TwoPhaseClaim {
  TwoPhase two_phase;
  PoolLease connection;
  uint64_t epoch = 0;
  HostPosition position;
  std::optional<uint64_t> waiting;
};
/// claim_two_phase resolves what former runs left, as far as that is known: an epoch that waits for
/// its host's decision goes on waiting, for recover().
Result<TwoPhaseClaim> claim_two_phase(const SinkOptions& options, Env& env,
                                      const CatalogTable& table, PoolLease connection);

}  // namespace pgsink
