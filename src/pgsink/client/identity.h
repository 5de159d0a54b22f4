#pragma once
// What is asked of a server right after the login, in one round trip.

#include "pgsink/client/connection.h"

namespace pgsink {

/// read_identity asks for the ServerIdentity, and sets what must be the same in every session of
/// ours and cannot be said in the startup message because poolers refuse it there.
/// `read_only` tells whether transactions are read-only by default.
Result<ServerIdentity> read_identity(Connection& connection, Random& random, bool& read_only,
                                     Deadline deadline);

}  // namespace pgsink
