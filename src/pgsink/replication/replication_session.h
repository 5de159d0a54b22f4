#pragma once
// What is the same for every session that streams from a logical slot.

#include <memory>
#include <optional>
#include <string>

#include <pgproto/pgoutput.h>

#include "pgsink/client/connection.h"
#include "pgsink/sql/control.h"

namespace pgsink {

struct ReplicationSession {
  std::unique_ptr<Connection> connection;
  /// How often the server must hear from us at least, with some reserve.
  Duration status_interval{};
};

/// A session that can stream. It also runs SQL, but only as simple queries.
Result<ReplicationSession> open_replication(Env& env, ConnectOptions connect);

/// Requests the changes of `publication` after `from`; 0: after what the slot has confirmed.
Status start_replication(Connection& connection, const std::string& slot,
                         const std::string& publication, pgproto::Lsn from);

/// The content of a stream message; nothing if the message is not part of the stream. An error of
/// the server, and the end of the stream, are errors.
Result<std::optional<pgproto::ReplicationMessage>> read_replication(
    const pgproto::BackendMessage& message);

/// Tells the server what has arrived and what it may discard. `ask`: it is to answer at once.
Status send_status(Connection& connection, pgproto::Lsn received, pgproto::Lsn flushed,
                   Clock& clock, bool ask = false);

/// Ends the stream, and waits until the server has read the last status: it could be lost with a
/// connection that is closed while rows are unread.
void end_replication(Connection& connection, Clock& clock);

}  // namespace pgsink
