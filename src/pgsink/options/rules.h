#pragma once
// What follows from several options together.

#include <cstddef>

#include <pgsink/options.h>

namespace pgsink {

/// takes_dead_letters says whether a rejected row has somewhere to go.
bool takes_dead_letters(const SinkOptions& options);

/// switches_triggers says whether transactions run with session_replication_role = replica.
bool switches_triggers(const SinkOptions& options);

/// sink_connections is how many connections a sink of these options holds: one for each lane; with
/// use_2pc one more, which decides and commits. It takes all of them at once, at open, and
/// reconnects in their places, so sinks never wait for each other's half.
size_t sink_connections(const SinkOptions& options);

/// pool_size is the size of the pool that options ask for: connection_pool_size, or what a sink
/// needs if that is more and the size was left at its default.
size_t pool_size(const SinkOptions& options);

}  // namespace pgsink
