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

/// Incarnation identifies one life of one server. After a crash, a promotion or a restore it
/// differs, and then an earlier transaction id means nothing any more: an id whose log record was
/// lost is assigned again. Read at connect; every role can read it.
struct Incarnation {
  std::string system_identifier;
  std::string timeline;  ///< First 8 hex digits of pg_walfile_name(); "standby" on one.
  std::string postmaster_start;
  std::string stats_reset;  ///< pg_stat_bgwriter.stats_reset: changes when a backend crashes.
  friend bool operator==(const Incarnation&, const Incarnation&) = default;
};

/// BackendIdentity is the backend that serves a connection, as needed to fence it. Behind a pooler
/// the pid in the protocol is the pooler's: this one is the server's own.
struct BackendIdentity {
  int32_t pid = 0;
  std::string backend_start;  ///< pg_stat_activity.backend_start, because pids are reused.
  uint32_t role_oid = 0;      ///< The role that logged in; 0: unknown.
  friend bool operator==(const BackendIdentity&, const BackendIdentity&) = default;
};

/// ServerIdentity is what is known about the server after login.
struct ServerIdentity {
  int version = 0;  ///< server_version_num, for example 150020.
  Incarnation incarnation;
  bool incarnation_known = true;  ///< False: the server hides a part of it, so it equals no other.
  BackendIdentity backend;
  bool in_recovery = false;
  bool synchronous_commit = true;     ///< False: an acknowledged commit may be lost in a crash.
  bool synchronous_standbys = false;  ///< False: an acknowledged commit may be lost in a failover.
  int max_prepared_transactions = 0;
  /// Above the ids of all transactions that had ended before; 0: unknown.
  uint64_t xid_end = 0;
  int client_port = 0;  ///< Of the connection as the server sees it; 0: a Unix socket, or unknown.
};

/// QueryResult has the rows of a simple Query in text format: those of its last statement that
/// returned rows.
struct QueryResult {
  std::vector<std::string> columns;
  std::vector<std::vector<std::optional<std::string>>> rows;
  std::string tag;  ///< The tag of the last CommandComplete.

  /// The only value of the only row; empty if it is NULL or does not exist.
  std::string scalar() const;
};

/// Counters of one connection, which only grow. `exchanges` approximates the number of system
/// calls.
struct ConnectionCounters {
  uint64_t bytes_sent = 0, bytes_received = 0, exchanges = 0, notices = 0, notices_dropped = 0;
};

/// The maximum of notices kept for a connection, and the size at which their texts are cut: a
/// server may raise one for every row.
inline constexpr size_t kNoticesMax = 16;
inline constexpr size_t kNoticeBytesMax = 1024;
/// The maximum of bytes received while drain_output() sends and events are not read. If the server
/// answers more than that, the lane must read its events before it goes on sending.
inline constexpr size_t kStashedBytesMax = size_t{16} << 20;
/// The values of one QueryResult are limited to this size.
inline constexpr size_t kQueryResultBytesMax = size_t{256} << 20;

struct SilenceWatch;  // identity.h

class Connection {
 public:
  /// open resolves, connects, negotiates TLS, logs in and reads the ServerIdentity, trying the
  /// hosts of `options` in order. `options` must have been through apply_environment(). The error
  /// names each host that was tried and its failure.
  static Result<std::unique_ptr<Connection>> open(Env& env, const ConnectOptions& options,
                                                  pgproto::SaltedKeyCache* salted_keys = nullptr);
  /// Sends Terminate if that is possible without waiting, and closes. Never blocks.
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// The protocol side: append requests here, then pump().
  pgproto::Session& session() { return *session_; }
  const ServerIdentity& server() const { return server_; }
  /// is_direct says whether the session has its own backend. False behind a pooler that shares
  /// backends among its clients: each transaction may run in another one, so session state
  /// (settings, locks, temporary tables, prepared statements) cannot be relied on.
  bool is_direct() const { return server_.backend.pid == session_->backend_process_id(); }
  /// Whether the server sees another client than this one: there is a proxy, a pooler or a
  /// translation of addresses in between.
  bool is_relayed() const { return server_.client_port != transport_->local_port(); }
  /// The endpoint of the connection, for messages: "127.0.0.1:5432" or
  /// "/run/postgresql/.s.PGSQL.5432".
  const std::string& endpoint() const { return endpoint_; }

  /// pump sends pending output and receives available input, until at least one byte moved. True;
  /// or false if interrupt() ended the wait. Fails with kTimeout, kConnectionLost and others; after
  /// any failure but kTimeout the connection is broken().
  Result<bool> pump(Deadline deadline);
  /// watch_silence makes pump() notice a dead connection: if the server says nothing for
  /// `watch.longest` while an answer is due, it is asked on a second connection whether the backend
  /// still works. If it does not, the connection is broken, with kConnectionLost. What `watch`
  /// points to outlives the connection. Through a pooler: see look_at_backend().
  void watch_silence(const SilenceWatch& watch);
  /// next_event pumps until there is an event; nullopt if interrupted. Notices and parameter
  /// changes are handled here. Everything in output() is sent before or meanwhile.
  Result<std::optional<pgproto::Event>> next_event(Deadline deadline);
  /// ready_event returns an event that was received already, without using the socket; nullopt if
  /// there is none.
  Result<std::optional<pgproto::Event>> ready_event();
  /// drain_output pumps until at most `bytes` of output are unsent. Events that arrive meanwhile
  /// are kept for ready_event(), up to kStashedBytesMax; notices are dropped, so that many of them
  /// cost nothing. So the session's state (copy_refused(), transaction_status()) may be ahead of
  /// the events. False if interrupted.
  Result<bool> drain_output(size_t bytes, Deadline deadline);
  /// Pumps until all output is sent, without receiving: for a message to a server whose data cannot
  /// be taken at present. Fails with kTimeout if the server takes none until the deadline; the
  /// connection stays usable then.
  Status send_only(Deadline deadline);

  /// query runs a simple Query to its end. REQUIRES: no request is pending. An ErrorResponse
  /// becomes the Error; the connection stays usable. A timeout breaks the connection, because the
  /// answer is still to come; an interrupt() does not end the query.
  Result<QueryResult> query(std::string_view sql, Deadline deadline);
  /// query with parameters ($1…) given as text, through the extended protocol and the unnamed
  /// statement; nullopt is NULL.
  Result<QueryResult> query(std::string_view sql,
                            std::span<const std::optional<std::string>> parameters,
                            Deadline deadline);

  /// query_each runs several statements: each is a simple Query and so its own transaction; they
  /// are sent together and answered in order. If the connection breaks, their outcomes are unknown.
  /// REQUIRES: no request is pending, no statement starts a COPY.
  Result<std::vector<Result<QueryResult>>> query_each(std::span<const std::string> statements,
                                                      Deadline deadline);

  /// cancel sends a CancelRequest over a separate connection (with TLS if this one has it) and
  /// waits for its EOF, so that it cannot hit a later query.
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
  friend Status fence(Connection& connection, const BackendIdentity& backend, Deadline deadline,
                      std::string* waiting);
  Connection(Env& env, const ConnectOptions& options);

  // An event that was received while events were not read: its message in its own memory.
  struct StashedEvent {
    pgproto::RequestId request = 0;
    char type = 0;
    std::vector<std::byte> body;
  };

  bool answers_due() const;
  Status check_silence();
  Result<bool> moved(const Transport::Moved& moved);
  bool consume(const pgproto::Event& event);
  void keep_notice(const pgproto::NoticeResponse& notice);
  Status stash_events();
  std::unexpected<Error> break_with(Error error);
  std::unexpected<Error> lost(const Error* cause);
  Result<QueryResult> collect(Deadline deadline);

  Env& env_;
  ConnectOptions options_;
  Address address_;  // the address of the connection, for cancel()
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<pgproto::Session> session_;
  ServerIdentity server_;
  std::string endpoint_;
  std::string tls_;
  ConnectionCounters counters_;
  std::deque<StashedEvent> stash_;
  size_t stashed_bytes_ = 0;
  StashedEvent shown_;  // owns the memory of the last event returned from the stash
  std::deque<Error> notices_;
  std::optional<Error> failure_;
  std::unique_ptr<SilenceWatch> watch_;
  std::optional<TimePoint> due_since_;  // the last sign of life since an answer is due
  int looks_in_vain_ = 0;               // in a row, because nobody answered
  bool read_only_ = false;              // default_transaction_read_only at login
  bool broken_ = false;
};

/// fence makes sure that a backend has ended: it terminates it through `connection` and waits. A
/// backend whose client vanished continues to execute what its receive buffer holds, COMMITs
/// included. Fails with kCannotFence if the backend is still running at the deadline or may not be
/// terminated. `waiting` becomes the text of the backend's last query if it waited for its client
/// at that moment, so that it did nothing more; "" if it did not, or is gone.
Status fence(Connection& connection, const BackendIdentity& backend, Deadline deadline,
             std::string* waiting = nullptr);

/// terminate tells a backend to end, as fence(), and does not wait until it has: for a caller that
/// waits for something the backend holds. Fails with kCannotFence if that is not allowed.
Status terminate(Connection& connection, const BackendIdentity& backend, Deadline deadline);

}  // namespace pgsink
