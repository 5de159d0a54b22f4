#pragma once
// What downstream consumers of a sink's table need on the server: a publication with the table, a
// logical slot that keeps the changes for them, and the origin that distinguishes the sink's rows.
// At open all of it is checked, and created where it is missing.

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <pgsink/options.h>

#include "pgsink/client/catalog.h"
#include "pgsink/client/pool.h"

namespace pgsink {

/// asks_replication says whether any of these options is given.
bool asks_replication(const SinkOptions& options);

/// check_replication fails if publication, slot or origin cannot be created or used: wal_level,
/// privileges, another kind of slot of that name, a table that cannot be published or whose updates
/// would fail once it is. Changes nothing.
Status check_replication(const SinkOptions& options, const CatalogTable& table,
                         Connection& connection, Deadline deadline);

/// ensure_publication checks, then creates the publication for the table or adds the table to it.
/// Any number of sinks may do so at once. A source whose slot exists fails instead, because the
/// changes since it was removed are lost. `made`, if given, gets one line for what was created.
Status ensure_publication(const SinkOptions& options, const CatalogTable& table,
                          Connection& connection, Deadline deadline,
                          std::vector<std::string>* made = nullptr);

/// ensure_replication is ensure_publication and then the logical slot: the publication must exist
/// when the slot is decoded.
Status ensure_replication(const SinkOptions& options, const CatalogTable& table,
                          Connection& connection, Deadline deadline);

/// session_origin is the origin of the sink's n-th session, from 0: `name`, `name_2`, `name_3`, …,
/// because the server lets only one session at a time use an origin.
std::string session_origin(const std::string& name, size_t session);

/// mark_sessions marks the first session of each lane.
Status mark_sessions(std::span<const PoolLease> connections, const std::string& name,
                     Deadline deadline);

/// mark_session makes everything that the connection commits from now on carry the origin, which is
/// created if it is missing. `former` is the backend that used it for this lane before, if any: it
/// is fenced if it still uses it. If another session uses it, this waits until the deadline.
/// REQUIRES: the connection has its own backend (no pooler), and is not used by others later.
Status mark_session(Connection& connection, const std::string& origin,
                    const BackendIdentity& former, Deadline deadline);

}  // namespace pgsink
