#pragma once
// What a sink wants of its pool: how many connections, and that they lead where its options say.

#include <memory>

#include <pgsink/options.h>

#include "pgsink/client/pool.h"

namespace pgsink {

/// sink_connections is how many connections a sink of these options holds: one for each lane; with
/// use_2pc one more, which decides and commits. It takes all of them at once, at open, and
/// reconnects in their places, so sinks never wait for each other's half.
size_t sink_connections(const SinkOptions& options);

/// pool_size is the size of the pool that options ask for: connection_pool_size, or what a sink
/// needs if that is more and the size was left at its default.
size_t pool_size(const SinkOptions& options);

/// make_sink_pool makes a pool. `env` null: the operating system's, which the pool then owns.
/// `shared` if others will use it too: only then it keeps what comes back.
Result<std::shared_ptr<Pool>> make_sink_pool(const SinkOptions& options, Env* env, bool shared);

/// check_sink_pool fails with kOptionConflict if the pool leads elsewhere than the options, or is
/// too small for the sink.
Status check_sink_pool(const Pool& pool, const SinkOptions& options);

}  // namespace pgsink
