#pragma once
// Values that follow from several options.

#include <cstddef>
#include <string_view>

#include <pgsink/options.h>

namespace pgsink {

/// takes_dead_letters says whether there is a destination for rejected rows.
bool takes_dead_letters(const SinkOptions& options);

/// why_atomic is the option by which all rows are one transaction, as a script writes it; "" if
/// they are not.
std::string_view why_atomic(const SinkOptions& options);

/// only_inserts says whether each row of the input is inserted, whatever the table holds.
bool only_inserts(WriteMode mode);

/// switches_triggers says whether transactions run with session_replication_role = replica.
bool switches_triggers(const SinkOptions& options);

/// sink_connections is the number of connections of a sink with these options: one for each lane;
/// with use_2pc one more, which decides and commits. It takes all of them at once, at open, and
/// reconnects in their places, so two sinks never wait for each other.
size_t sink_connections(const SinkOptions& options);

/// pool_size is the size of the pool for these options: connection_pool_size, or what a sink needs
/// if that is more and the option has its default.
size_t pool_size(const SinkOptions& options);

}  // namespace pgsink
