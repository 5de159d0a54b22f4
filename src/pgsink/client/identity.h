#pragma once
// What is asked of a server right after the login, in one round trip.

#include <span>
#include <string_view>

#include "pgsink/client/connection.h"

namespace pgsink {

/// read_identity asks for the ServerIdentity, and sets what must be the same in every session of
/// ours and cannot be said in the startup message because poolers refuse it there. Behind one, no
/// session is ours, and none is set.
/// `read_only` tells whether transactions are read-only by default.
Result<ServerIdentity> read_identity(Connection& connection, Random& random, bool& read_only,
                                     Deadline deadline);

/// restoring_statements brings a session back to how read_identity() left it, each as a Query of
/// its own: no role, no setting, no temporary table, no prepared statement, no lock of the session.
/// What stays is an origin of replication. REQUIRES: no transaction is open.
std::span<const std::string_view> restoring_statements();

}  // namespace pgsink
