#pragma once
// Truncations empties the table of a sink that replicates, each time in a session of its own. The
// next writer locks these out, as it does the sink's own sessions: a process that was stopped
// before its TRUNCATE, or killed while that waited for a lock, must not remove newer rows.

#include <memory>

#include "pgsink/client/connection.h"
#include "pgsink/delivery/writer_sessions.h"

namespace pgsink {

class Truncations {
 public:
  /// Both outlive it.
  Truncations(const SinkOptions& options, Env& env);

  /// Makes this the only one. To be called before the first row is written.
  Status take_over(Connection& connection);
  /// Fails with kFenced if another one has taken over.
  Status run();

 private:
  Deadline deadline() const;

  const SinkOptions& options_;
  Env& env_;
  WriterSessions sessions_;
};

/// A session with the sink's server, tried again as when a sink is opened.
Result<std::unique_ptr<Connection>> connect_beside(const SinkOptions& options, Env& env);

}  // namespace pgsink
