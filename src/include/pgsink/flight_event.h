#pragma once
// What a sink tells its host while it runs: FlightEvent, what becomes of each transaction, for the
// spans of a tracing library; LogEvent, what happens to its connections, for a log.

#include <cstdint>
#include <functional>
#include <string_view>

#include <pgproto/error.h>

namespace pgsink {

/// FlightEvent is one step of one attempt to commit a transaction. A span begins at
/// `queued_wall_us` (or at `sent_wall_us`, without the time in the queue) and ends at `wall_us` of
/// the event that is not kSent. Texts are valid during the call.
struct FlightEvent {
  enum class Kind : uint8_t {
    kSent,       ///< Its BEGIN is on its way. Rows may still be added to it.
    kCommitted,  ///< Under two-phase commit: prepared.
    kFailed,     ///< The server or the encoder refused it, or it was rolled back to leave rows out.
    kLost,       ///< The connection broke. It is sent again, unless it turns out to be committed:
                 ///< then kCommitted follows, of the same attempt.
  };
  Kind kind = Kind::kSent;
  std::string_view connection;  ///< SinkOptions::connection_name.
  std::string_view table;       ///< The target, as schema.table.
  uint64_t lane = 0;            ///< From 0; each has a connection of its own.
  uint64_t flight = 0;          ///< The transaction's number in its lane, from 1.
  uint32_t attempt = 0;         ///< From 1.
  uint64_t rows = 0;            ///< So far.
  uint64_t bytes = 0;           ///< Encoded so far.
  /// Microseconds since 1970: when the first row was taken, when BEGIN was sent, and now.
  int64_t queued_wall_us = 0, sent_wall_us = 0, wall_us = 0;
  const pgproto::Error* error = nullptr;  ///< kFailed and kLost: why. Null if no error was named.
};

/// FlightCallback receives these events, in the thread of the lane, with parallelism above 1 in
/// several at once. It must return soon and must not call the sink. What it throws is ignored.
using FlightCallback = std::function<void(const FlightEvent& event)>;

/// LogEvent is a line for a log. Each happens once for what it is about; a sink without faults
/// tells of its first connections only. Texts are valid during the call.
struct LogEvent {
  enum class Kind : uint8_t {
    kConnected,    ///< A lane has its first connection.
    kLost,         ///< A connection broke.
    kReconnected,  ///< The lane has another one, to the same server …
    kFailover,     ///< … or to another server.
    kFenced,       ///< The old session is ended; transactions of unknown outcome are asked for.
    kLeftOut,      ///< A transaction committed without rows that were rejected.
  };
  Kind kind = Kind::kConnected;
  std::string_view connection;  ///< SinkOptions::connection_name.
  std::string_view table;       ///< The target, as schema.table.
  uint64_t lane = 0;            ///< From 0.
  std::string_view message;     ///< A sentence without a full stop; names all of the above.
};

/// LogCallback receives these events, under the same rules as FlightCallback.
using LogCallback = std::function<void(const LogEvent& event)>;

}  // namespace pgsink
