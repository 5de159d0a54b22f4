#pragma once
// Prepared transactions that exist on the server: committing them and rolling them back.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "pgsink/client/connection.h"

namespace pgsink {

/// PreparedTransaction is one row of pg_prepared_xacts.
struct PreparedTransaction {
  std::string gid;
  std::string owner;  ///< "" if the role is gone.
};

/// What to do with a prepared transaction.
enum class Resolution : uint8_t { kCommit, kRollback };
/// resolve_prepared commits or rolls back each transaction by a separate statement, as the role
/// that owns it, and waits for those that another session is resolving. Those that are gone are
/// done. Returns how many it resolved itself. Fails with kPrivilege if the session's role may not
/// become the owner.
Result<size_t> resolve_prepared(Env& env, Connection& connection,
                                std::span<const PreparedTransaction> transactions,
                                Resolution resolution, Deadline deadline);

}  // namespace pgsink
