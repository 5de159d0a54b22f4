#pragma once
// What server and table must offer for the delivery of the options.

#include <pgsink/options.h>

#include "pgsink/client/catalog.h"
#include "pgsink/client/connection.h"

namespace pgsink {

/// check_delivery verifies what exactly-once and two-phase commit require of the server and the
/// table.
Status check_delivery(const SinkOptions& options, Connection& connection, const CatalogTable& table,
                      Deadline deadline);

/// commits_asynchronously says whether the transactions of the sink commit without waiting for the
/// disk: its own variables override those of role, database and server.
bool commits_asynchronously(const SinkOptions& options, const ServerIdentity& server);

}  // namespace pgsink
