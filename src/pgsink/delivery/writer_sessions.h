#pragma once
// Makes the sessions of one writer known to the next. At-least-once keeps nothing in the database,
// so a process that is killed leaves unknown backends, and each continues with what it received: an
// old row would be written after a newer one of the next process. Under a sink_id each session of a
// writer holds an advisory lock, shared: its class identifies the sink, its number the writer. So
// the next writer finds all of them, whatever happened to the process.
//   - On open: mark the first session, then terminate all sessions with another writer's number.
//   - On reconnect: mark the session, and give up if there is a session with another number. Of two
//     writers at least one sees the other, because each checks after it has marked its own.
//   - Locks need no cleaning up: they end with their session, and with a crash of the server.
//
// None of this works through a pooler in transaction mode, where sessions are shared.

#include <functional>
#include <string>
#include <string_view>

#include <pgsink/options.h>

#include "pgsink/client/connection.h"

namespace pgsink {

class WriterSessions {
 public:
  /// For one writer of a sink, from now on.
  WriterSessions(std::string_view schema, std::string_view sink_id, Random& random);

  /// Whether a sink of these options has any: at least once, in a mode with keys, with a sink_id.
  static bool wanted(const SinkOptions& options);

  /// Marks the session and terminates those of other writers. Fails with kCannotFence if that is
  /// not allowed or does not help before the deadline. REQUIRES: the connection is_direct().
  Status take_over(Connection& connection, Deadline deadline) const;
  /// Marks one more session, or fails with kFenced if there is another writer.
  Status join(Connection& connection, Deadline deadline) const;

 private:
  Status mark(Connection& connection, Deadline deadline) const;
  std::string others_sql() const;

  std::string sink_id_;
  uint32_t sink_ = 0, writer_ = 0;
};

/// end_sessions terminates the sessions that a query lists, until it lists none; its rows begin
/// with pid, backend_start and role. The list is read twice, because a process id may be reused
/// between reading the locks and reading the processes: `backend_start` belongs to a session that
/// held the lock if the lock is still held under that id the second time. `check` is called after
/// each reading, and its failure ends this. Fails with kCannotFence, naming the sink, if a session
/// may not be terminated.
Status end_sessions(Connection& connection, const std::string& list, std::string_view sink_id,
                    Deadline deadline, const std::function<Status()>& check);

}  // namespace pgsink
