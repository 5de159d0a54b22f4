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

// ---- a server that says nothing -----------------------------------------------------------------
// Either it still works on what it was asked, or the connection is dead without either side knowing
// it: packets that are swallowed leave no trace, and a proxy answers keepalives for a server that
// is gone.

/// SilenceWatch asks on a second connection about the backend of the first.
struct SilenceWatch {
  Env* env = nullptr;
  const ConnectOptions* options = nullptr;  ///< As the first was opened with.
  pgproto::SaltedKeyCache* salted_keys = nullptr;
  Duration longest{};  ///< How long the server may say nothing; 0: forever.
};

/// BackendLook is what pg_stat_activity shows of a backend at one moment.
struct BackendLook {
  enum class Kind : uint8_t {
    kWorks,    ///< Or it cannot be told.
    kWaits,    ///< For its client.
    kGone,     ///< There is no such backend, or another server answers.
    kNoServer  ///< Nobody answers.
  };
  Kind kind = Kind::kWorks;
  std::string since;  ///< kWaits: when that began, as the server says it.
  std::string why;    ///< For the message.
};

/// look_at_backend opens a connection for one question. Through a pooler nobody can tell which
/// backend serves a client: there the question is whether any session of this application name
/// works. If nobody can be asked, the backend counts as one that works.
BackendLook look_at_backend(const SilenceWatch& watch, const ServerIdentity& server,
                            bool is_direct);

}  // namespace pgsink
