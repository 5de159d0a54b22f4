#pragma once
// What the engine's SQL knows of connections: test_connection('name') and
// system.postgresql_sink_metrics.

#include <pgproto/error.h>

#include "shell/connections.h"
#include "shell/engine.h"

namespace pgsink::shell {

/// Registers both. `connections` must outlive the engine.
///
/// test_connection(name) connects, authenticates, checks table, columns, privileges and options; it
/// yields 'ok' or the fault as text. A name that no connection has is an error of the statement.
/// system.postgresql_sink_metrics has a row for each connection, as of the start of the query.
pgproto::Status register_engine_functions(Engine& engine, Connections& connections);

}  // namespace pgsink::shell
