#pragma once
// What every session that streams from a logical slot does alike.

#include <memory>
#include <optional>
#include <string>

#include <pgproto/pgoutput.h>

#include "pgsink/client/connection.h"
#include "pgsink/sql/control.h"

namespace pgsink {

struct ReplicationSession {
  std::unique_ptr<Connection> connection;
  /// How often the server wants to hear of us at least, with some to spare.
  Duration status_interval{};
};

/// A session that can stream. It understands SQL too, but only as simple queries.
Result<ReplicationSession> open_replication(Env& env, ConnectOptions connect);

/// Asks for the changes of `publication` behind `from`; 0: behind what the slot has confirmed.
Status start_replication(Connection& connection, const std::string& slot,
                         const std::string& publication, pgproto::Lsn from);

/// What a message of a stream carries; nothing if it is none of the stream's own. An error of the
/// server is one, and so is the end of the stream.
Result<std::optional<pgproto::ReplicationMessage>> read_replication(
    const pgproto::BackendMessage& message);

/// Tells the server what has arrived and what it may forget.
Status send_status(Connection& connection, pgproto::Lsn received, pgproto::Lsn flushed,
                   Clock& clock);

/// Ends the stream, and waits until the server has read the last status: a connection that is
/// closed with rows unread may take it along.
void end_replication(Connection& connection, Clock& clock);

}  // namespace pgsink
