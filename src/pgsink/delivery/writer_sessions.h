#pragma once
// Makes the sessions of one writer known to the next. Under at-least-once a process that is killed
// or stopped leaves unknown backends, and each continues with what it received: an old row would be
// written after a newer one of the next process. Under a sink_id each session of a writer holds an
// advisory lock, shared: its class identifies the sink, its number the writer. So the next writer
// finds all of them, whatever happened to the process.
//   - On open: raise the sink's generation (writer_generation.h), then terminate the sessions of
//     every other number.
//   - On reconnect: mark the session, and give up if the generation has been raised since: either
//     this sees the new generation, or the new writer sees the mark.
//   - Behind a pooler, where sessions are shared, each transaction marks itself and then checks the
//     generation.
//   - Locks need no cleaning up: they end with their session, and with a crash of the server.
//
// Without the table of generations, if it is missing and may not be created, a writer that
// reconnects gives up if there is another number. That does not protect from a writer that wakes up
// after the next one has ended, nor behind a pooler: warning() says so.

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <pgsink/options.h>

#include "pgsink/delivery/writer_generation.h"

namespace pgsink {

class WriterSessions {
 public:
  /// For one writer of a sink, from now on.
  WriterSessions(std::string_view schema, std::string_view sink_id, Random& random);

  /// Whether a sink of these options has any: at least once, in a mode with keys, with a sink_id.
  static bool wanted(const SinkOptions& options);

  /// Makes this writer the only one: raises the generation, marks the session if it is our own, and
  /// terminates those of other writers. Fails with kFenced if another process opens the sink at
  /// the same time and wins; with kCannotFence if terminating is not allowed or does not help
  /// before the deadline.
  Status take_over(Connection& connection, Deadline deadline);
  /// Marks one more session, or fails with kFenced if there is another writer.
  Status join(Connection& connection, Deadline deadline) const;
  /// What a transaction behind a pooler says first, ending in "; "; or "".
  std::string transaction_sql(bool one_snapshot) const;
  /// Fails with kFenced, naming the newest writer, if that is another one and it is known.
  Status check_newest(Connection& connection, Deadline deadline) const;
  /// What does not hold, and what to do about it; "" if all of it holds.
  const std::string& warning() const { return warning_; }

 private:
  Status open_generation(Connection& connection, Deadline deadline);
  Status raise(Connection& connection, Deadline deadline);
  Status mark(Connection& connection, Deadline deadline) const;
  Status end_others(Connection& connection, Deadline deadline) const;
  std::string mark_sql(bool transaction) const;
  std::string others_sql() const;

  std::string schema_, sink_id_;
  uint32_t sink_ = 0, writer_ = 0;
  std::optional<WriterGeneration> generation_;  ///< Unset if there is no table of them.
  std::string warning_;
};

/// end_sessions terminates the sessions that a query lists, until it lists none; its rows begin
/// with pid, backend_start and role. The list is read twice, because a process id may be reused
/// between reading the locks and reading the processes: `backend_start` belongs to a session that
/// held the lock if the lock is still held under that id the second time. `check` is called after
/// each reading, and its failure ends this. Fails with kCannotFence, naming the sink, if a session
/// may not be terminated.
Status end_sessions(Connection& connection, const std::string& list, std::string_view sink_id,
                    Deadline deadline, const std::function<Status()>& check);

/// find_session describes the first session of such a list, for people; "" if it has none. The rows
/// have the program's name and the address after those three columns.
Result<std::string> find_session(Connection& connection, const std::string& list,
                                 Deadline deadline);

}  // namespace pgsink
