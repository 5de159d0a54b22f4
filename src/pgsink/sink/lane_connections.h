#pragma once
// The connections of a sink's lanes: which pool they come from, and what they need before the first
// flight.

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <pgsink/options.h>
#include <pgsink/record_batch.h>

#include "pgsink/client/pool.h"
#include "pgsink/delivery/writer_sessions.h"
#include "pgsink/options/open_retry.h"
#include "pgsink/pool.h"
#include "pgsink/sink/claim.h"

namespace pgsink {

/// choose_pool returns the given pool, if it fits these options, or a new one.
Result<std::shared_ptr<Pool>> choose_pool(const SinkOptions& options, const Schema* schema,
                                          Env* env, const ConnectionPool* shared);
/// take_places returns the places that the sink holds as long as it lives, the first with a
/// connection in it.
Result<std::vector<PoolLease>> take_places(const SinkOptions& options, Pool& pool,
                                           OpenRetry& retry);
/// connect_lanes does what every lane's connection needs before its first flight.
Status connect_lanes(const SinkOptions& options, const TwoPhaseClaim* two_phase,
                     std::optional<WriterSessions>& sessions, Env& env, std::span<PoolLease> lanes,
                     OpenRetry& retry);

}  // namespace pgsink
