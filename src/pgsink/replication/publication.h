#pragma once
// What downstream consumers of a sink's table need on the server: a publication that holds the
// table, a logical slot that keeps the changes for them, and the origin by which they can tell the
// sink's rows from others. All of it is looked at, and made where it is missing, at open.

#include <memory>
#include <span>
#include <string>

#include <pgsink/options.h>

#include "pgsink/client/catalog.h"
#include "pgsink/client/pool.h"

namespace pgsink {

/// asks_replication says whether any of these options is given.
bool asks_replication(const SinkOptions& options);

/// check_replication fails if publication, slot or origin cannot be had: wal_level, privileges,
/// something else under the slot's name, a table that cannot be published or whose updates would
/// fail once it is. Changes nothing.
Status check_replication(const SinkOptions& options, const CatalogTable& table,
                         Connection& connection, Deadline deadline);

/// ensure_publication checks, then creates the publication for the table or adds the table to it.
/// Any number of sinks may do so at once.
Status ensure_publication(const SinkOptions& options, const CatalogTable& table,
                          Connection& connection, Deadline deadline);

/// ensure_replication is ensure_publication and the logical slot, which is created after it: what
/// the slot shows must know the publication.
Status ensure_replication(const SinkOptions& options, const CatalogTable& table,
                          Connection& connection, Deadline deadline);

/// session_origin is the origin of the sink's n-th session, from 0: `name`, `name_2`, `name_3`, …
/// because the server lets one session use an origin at a time.
std::string session_origin(const std::string& name, size_t session);

/// mark_sessions marks the first session of each lane.
Status mark_sessions(std::span<const PoolLease> connections, const std::string& name,
                     Deadline deadline);

/// mark_session makes all that the connection commits from now on carry the origin, which is
/// created if it is missing. `former` is the backend that had it for us before, if any: it is
/// fenced if it still has it. Somebody else's session is waited for, until the deadline.
/// REQUIRES: the connection ends in its own backend (no pooler), and is not used by others later.
Status mark_session(Connection& connection, const std::string& origin,
                    const BackendIdentity& former, Deadline deadline);

}  // namespace pgsink
