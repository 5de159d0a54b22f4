#pragma once
// What a sink needs of its pool: enough connections, to the server of its options.

#include <memory>

#include <pgsink/options.h>

#include "pgsink/client/pool.h"

namespace pgsink {

/// make_sink_pool makes a pool. `env` null: the operating system's, which the pool then owns.
/// `shared` says whether others use it too: only then it keeps connections that are given back.
Result<std::shared_ptr<Pool>> make_sink_pool(const SinkOptions& options, Env* env, bool shared);

/// check_sink_pool fails with kOptionConflict if the pool connects elsewhere than the options, or
/// is too small for the sink.
Status check_sink_pool(const Pool& pool, const SinkOptions& options);

}  // namespace pgsink
