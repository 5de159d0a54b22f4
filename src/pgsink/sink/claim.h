#pragma once
// What a sink takes over at open if its delivery is more than at-least-once: the rows of its lanes,
// or the right to prepare and commit. The previous writer is fenced then.

#include <optional>
#include <vector>

#include <pgsink/options.h>

#include "pgsink/client/catalog.h"
#include "pgsink/client/pool.h"
#include "pgsink/delivery/epoch_rows.h"
#include "pgsink/delivery/stream_rows.h"
#include "pgsink/delivery/two_phase.h"
#include "pgsink/lane/router.h"

namespace pgsink {

/// How long to wait for transactions of the previous writer.
inline constexpr Duration kClaimTimeout = std::chrono::seconds(30);

/// Claim is the result for exactly-once: the rows of this sink's lanes.
struct Claim {
  Epochs epochs;
  std::vector<LaneEpoch> rows;

  /// By lane.
  std::vector<uint64_t> positions() const;
  /// Without duplicates, in growing order; lanes that have committed nothing have none.
  std::vector<HostPosition> resume_points() const;
};
/// claim_epochs takes the rows over. Fails with kOptionConflict if lanes would not get the same
/// rows as before; with kCannotResume if the previous rows went into another table.
Result<Claim> claim_epochs(const SinkOptions& options, Env& env, const CatalogTable& table,
                           const Router& router, Connection& connection);

/// open_streams makes sure that the rows of streams can be kept. It claims none.
Result<StreamRows> open_streams(const SinkOptions& options, Env& env, const CatalogTable& table,
                                Connection& connection);

/// TwoPhaseClaim is the result for two-phase commit: the sink, with what previous runs left.
struct TwoPhaseClaim {
  TwoPhase two_phase;
  PoolLease connection;
  uint64_t epoch = 0;
  HostPosition position;
  std::optional<uint64_t> waiting;
};
/// claim_two_phase resolves what previous runs left, as far as its outcome is known: an epoch that
/// waits for its host's decision keeps waiting, for recover().
Result<TwoPhaseClaim> claim_two_phase(const SinkOptions& options, Env& env,
                                      const CatalogTable& table, PoolLease connection);

}  // namespace pgsink
