#pragma once
// What a sink wants of its pool: how many connections, and that they lead where its options say.

#include <memory>

#include <pgsink/options.h>

#include "pgsink/client/pool.h"

namespace pgsink {

/// make_sink_pool makes a pool. `env` null: the operating system's, which the pool then owns.
/// `shared` if others will use it too: only then it keeps what comes back.
Result<std::shared_ptr<Pool>> make_sink_pool(const SinkOptions& options, Env* env, bool shared);

/// check_sink_pool fails with kOptionConflict if the pool leads elsewhere than the options, or is
/// too small for the sink.
Status check_sink_pool(const Pool& pool, const SinkOptions& options);

}  // namespace pgsink
