#pragma once
// Functions about connections in the engine's SQL: test_connection('name').

#include <pgproto/error.h>

#include "shell/connections/connections.h"
#include "shell/engine/engine.h"

namespace pgsink::shell {

/// Registers it. `connections` must outlive the engine.
///
/// test_connection(name) connects, authenticates, checks table, columns, privileges and options; it
/// returns 'ok' or the fault as text. An unknown name is an error of the statement.
pgproto::Status register_engine_functions(Engine& engine, Connections& connections);

}  // namespace pgsink::shell
