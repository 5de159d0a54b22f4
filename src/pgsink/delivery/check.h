#pragma once
// What server and table must offer for the delivery of the options.

#include <string_view>

#include <pgsink/options.h>

#include "pgsink/client/catalog.h"
#include "pgsink/client/connection.h"

namespace pgsink {

/// check_delivery verifies what exactly-once and two-phase commit require of the server and the
/// table.
Status check_delivery(const SinkOptions& options, Connection& connection, const CatalogTable& table,
                      Deadline deadline);

/// check_two_phase reports at open what would fail later, and what to do: no prepared transactions
/// on this server, fewer than lanes, a foreign table or partition, a gid that is too long. Fails
/// with kCannotPrepare or kOptionValue.
Status check_two_phase(Connection& connection, const SinkOptions& options,
                       const CatalogTable& table, Deadline deadline);

/// check_local_table refuses a foreign table, and one with foreign partitions: rows on another
/// server do not commit together with the state on this one. `option` is the option that needs
/// that. Fails with kCannotPrepare.
Status check_local_table(Connection& connection, const CatalogTable& table, std::string_view option,
                         Deadline deadline);

/// check_path fails with kOptionConflict if there is something between the client and the server
/// through which rows would get lost: pgpool-II. Only where something is in between is it asked.
Status check_path(Connection& connection, Deadline deadline);

/// commits_asynchronously says whether the transactions of the sink commit without waiting for the
/// disk: its own variables override those of role, database and server.
bool commits_asynchronously(const SinkOptions& options, const ServerIdentity& server);

}  // namespace pgsink
