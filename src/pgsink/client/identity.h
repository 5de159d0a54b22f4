#pragma once
// What is asked of a server right after the login, in one round trip.

#include <span>
#include <string_view>

#include "pgsink/client/connection.h"

namespace pgsink {

/// read_identity reads the ServerIdentity, and makes the settings that every session needs and that
/// cannot be in the startup message because poolers refuse them there. Behind a pooler no session
/// is our own, so nothing is set. `read_only` returns whether transactions are read-only by
/// default.
Result<ServerIdentity> read_identity(Connection& connection, Random& random, bool& read_only,
                                     Deadline deadline);

/// restoring_statements returns a session to its state after read_identity(), each as a separate
/// Query: no role, no setting, no temporary table, no prepared statement, no session lock. A
/// replication origin stays. REQUIRES: no transaction is open.
std::span<const std::string_view> restoring_statements();

}  // namespace pgsink
