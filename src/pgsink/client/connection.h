#pragma once
// Connection is one logged-in session over one transport. pump() is the only I/O loop of the
// library.

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <pgproto/session.h>

#include "pgsink/client/connect_options.h"
#include "pgsink/client/env.h"

namespace pgsink {

/// Which life of which server this is. After a crash, a promotion or a restore it differs, and then
/// a transaction id of before means nothing any more (reliability: an xid whose WAL was lost is
/// handed out again). Read at connect, readable by any role.
struct Incarnation {
  std::string system_identifier;
  std::string timeline;  ///< First 8 hex digits of pg_walfile_name(); "standby" on one.
  std::string postmaster_start;
  std::string stats_reset;  ///< pg_stat_bgwriter.stats_reset: moves when one backend crashes.
  friend bool operator==(const Incarnation&, const Incarnation&) = default;
};

/// The backend that serves a connection, as needed to fence it. Behind a pooler the pid that the
/// protocol reports is the pooler's: this one is the server's own.
struct BackendIdentity {
  int32_t pid = 0;
  std::string backend_start;  ///< pg_stat_activity.backend_start, because pids are used again.
  uint32_t role_oid = 0;      ///< The role that logged in; 0: not known.
  friend bool operator==(const BackendIdentity&, const BackendIdentity&) = default;
};

/// What is known of the server after login.
struct ServerIdentity {
  int version = 0;  ///< server_version_num, for example 150020.
  Incarnation incarnation;
  BackendIdentity backend;
  bool in_recovery = false;
  bool synchronous_commit = true;     ///< False: an acknowledged commit may be lost in a crash.
  bool synchronous_standbys = false;  ///< False: an acknowledged commit may be lost in a failover.
  int max_prepared_transactions = 0;
};

/// The rows of a simple Query in text format, of its last statement that returned rows.
struct QueryResult {
  std::vector<std::string> columns;
  std::vector<std::vector<std::optional<std::string>>> rows;
  std::string tag;  ///< Of the last CommandComplete.

  /// The only value of the only row; empty if it is NULL or there is none.
  std::string scalar() const;
};

/// Counters of one connection; monotone. `exchanges` is about the number of system calls.
struct ConnectionCounters {
  uint64_t bytes_sent = 0, bytes_received = 0, exchanges = 0, notices = 0, notices_dropped = 0;
};

/// The last notices of a connection are kept up to this number, with texts cut at this size: a
/// server may raise one for every row.
inline constexpr size_t kNoticesMax = 16;
inline constexpr size_t kNoticeBytesMax = 1024;
/// What may come in while drain_output() sends and nobody reads events. A server that answers more
/// than that to requests under way is not waiting for us, so the lane must read its events.
inline constexpr size_t kStashedBytesMax = size_t{16} << 20;
/// The values of one QueryResult together.
inline constexpr size_t kQueryResultBytesMax = size_t{256} << 20;

class Connection {
 public:
  /// Resolves, dials, negotiates TLS, logs in and reads the ServerIdentity, trying the hosts of
  /// `options` in order. `options` must have been through apply_environment(). Errors name each
  /// host tried and what it said.
  static Result<std::unique_ptr<Connection>> open(Env& env, const ConnectOptions& options,
                                                  pgproto::SaltedKeyCache* salted_keys = nullptr);
  /// Sends Terminate if that is possible at once, and closes. Never blocks.
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// The protocol side: append requests here, then pump().
  pgproto::Session& session() { return *session_; }
  const ServerIdentity& server() const { return server_; }
  /// Whether the session ends in a backend of its own. False behind a pooler that shares backends
  /// among its clients: each transaction may run in another one, and nothing that belongs to a
  /// session (settings, locks, temporary tables, prepared statements) is safe to rely on.
  bool is_direct() const { return server_.backend.pid == session_->backend_process_id(); }
  /// The endpoint actually reached, for messages: "127.0.0.1:5432" or
  /// "/run/postgresql/.s.PGSQL.5432".
  const std::string& endpoint() const { return endpoint_; }

  /// pump sends what waits and receives what is there, until at least one byte moved. True; or
  /// false if interrupt() ended the wait. Fails with kTimeout, kConnectionLost and so on; after any
  /// failure but kTimeout the connection is broken().
  Result<bool> pump(Deadline deadline);
  /// next_event pumps until an event is there; nullopt if interrupted. Notices and parameter
  /// changes are consumed on the way. Everything in output() is sent first or along the way.
  Result<std::optional<pgproto::Event>> next_event(Deadline deadline);
  /// An event that is there already, without touching the socket; nullopt if none.
  Result<std::optional<pgproto::Event>> ready_event();
  /// Pumps until at most `bytes` of output wait. Events that arrive meanwhile are kept for
  /// ready_event(), up to kStashedBytesMax; notices are not, so that a flood of them costs nothing.
  /// What the session knows (copy_refused(), transaction_status()) may so be ahead of the events.
  /// False if interrupted.
  Result<bool> drain_output(size_t bytes, Deadline deadline);
  /// Pumps until all output is sent, without receiving: for a word to a server whose data nobody
  /// has room for at present. Fails with kTimeout if it takes none until the deadline; the
  /// connection stays usable then.
  Status send_only(Deadline deadline);

  /// query runs a simple Query to its end. REQUIRES: no request is pending.
  /// An ErrorResponse becomes the Error; the connection stays usable. A timeout breaks it,
  /// because the answer is still to come; an interrupt() does not end it.
  Result<QueryResult> query(std::string_view sql, Deadline deadline);
  /// query with parameters ($1…) given as text, through the extended protocol and the unnamed
  /// statement; nullopt is NULL.
  Result<QueryResult> query(std::string_view sql,
                            std::span<const std::optional<std::string>> parameters,
                            Deadline deadline);

  /// query for several statements at once: each a simple Query and so a transaction of its own,
  /// sent together and answered in their order. Fails if the connection broke: then nobody knows
  /// what became of them. REQUIRES: no request is pending, no statement starts a COPY.
  Result<std::vector<Result<QueryResult>>> query_each(std::span<const std::string> statements,
                                                      Deadline deadline);

  /// Sends a CancelRequest over a connection of its own (TLS if this one is) and waits for its EOF,
  /// so that it cannot hit a later query.
  Status cancel(Deadline deadline);
  /// Wakes a pump() in progress or the next one. Any thread.
  void interrupt();
  bool broken() const { return broken_; }
  const ConnectionCounters& counters() const { return counters_; }
  /// The notices since the last call, the newest kNoticesMax of them, as Errors of code kServer.
  std::vector<pgproto::Error> take_notices();
  /// "TLSv1.3, TLS_AES_256_GCM_SHA384"; "" on a plain connection.
  const std::string& tls() const { return tls_; }

 private:
  friend class Connector;
  friend Status fence(Connection& connection, const BackendIdentity& backend, Deadline deadline);
  Connection(Env& env, const ConnectOptions& options);

  // An event that came while nobody read events: its message in its own memory.
  struct StashedEvent {
    pgproto::RequestId request = 0;
    char type = 0;
    std::vector<std::byte> body;
  };

  bool consume(const pgproto::Event& event);
  void keep_notice(const pgproto::NoticeResponse& notice);
  Status stash_events();
  std::unexpected<Error> break_with(Error error);
  std::unexpected<Error> lost(const Error* cause);
  Result<QueryResult> collect(Deadline deadline);

  Env& env_;
  ConnectOptions options_;
  Address address_;  // the one reached, for cancel()
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<pgproto::Session> session_;
  ServerIdentity server_;
  std::string endpoint_;
  std::string tls_;
  ConnectionCounters counters_;
  std::deque<StashedEvent> stash_;
  size_t stashed_bytes_ = 0;
  StashedEvent shown_;  // holds what the last event of the stash points to
  std::deque<Error> notices_;
  std::optional<Error> failure_;
  bool read_only_ = false;  // default_transaction_read_only at login
  bool broken_ = false;
};

/// fence proves that the backend is gone, by terminating it through `connection` and waiting: a
/// backend whose client vanished goes on executing what its receive buffer holds, COMMITs included.
/// Fails with kCannotFence if it is alive at the deadline or may not be terminated.
Status fence(Connection& connection, const BackendIdentity& backend, Deadline deadline);

}  // namespace pgsink
