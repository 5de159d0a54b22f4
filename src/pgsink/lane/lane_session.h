#pragma once
// LaneSession: what a lane knows about its current connection. Created for each connection, so that
// no state of the previous one can be left in it.

#include <deque>
#include <optional>
#include <span>
#include <string_view>

#include "pgsink/client/connection.h"
#include "pgsink/client/statement_cache.h"
#include "pgsink/delivery/flight_log.h"
#include "pgsink/plan/plan.h"

namespace pgsink {

class LaneSession {
 public:
  /// `connection` and `plan` must outlive it, `plan` until adopt(). `statements_max` 0: no prepared
  /// statement is named.
  LaneSession(Connection& connection, const Plan& plan, Random& random, size_t statements_max);

  Connection& connection() { return connection_; }
  /// Bytes that are appended and not sent.
  size_t unsent() const { return connection_.session().output().size(); }
  pgproto::Session& protocol() { return connection_.session(); }
  const TransactionSql& sql() const { return *sql_; }
  /// Goes by another plan from now on. REQUIRES: no flight is on the wire, and `plan` outlives it.
  void adopt(const Plan& plan);

  // ---- sending ---------------------------------------------------------------------------------
  /// Sends what the session still lacks for flights on this path, each in a separate transaction.
  /// `next` is the next flight.
  void prepare_for(Path path, FlightLog::Seq next);
  /// Appends Parse (if needed), Bind and Execute of a statement.
  struct Executed {
    pgproto::RequestId first = 0, execute = 0;
  };
  Result<Executed> execute(std::string_view sql, std::span<const pgproto::Oid> types,
                           std::span<const pgproto::Session::Parameter> parameters);
  /// As execute(), of the statement that was executed last. REQUIRES: nothing came in between.
  Result<Executed> execute_again(std::span<const pgproto::Session::Parameter> parameters);
  /// Appends bytes to the COPY that is open for sending.
  void append_copy(Bytes bytes);
  /// Hands all output to the socket.
  Status drain();

  // ---- flights on the wire ---------------------------------------------------------------------
  /// Sent and not answered to the end, in the order of sending.
  const std::deque<FlightLog::Seq>& wire() const { return wire_; }
  void put_on_wire(FlightLog::Seq seq) { wire_.push_back(seq); }
  void take_off_wire() { wire_.pop_front(); }
  /// Flights after this one got the next number: FlightQueue::insert_after().
  void flight_inserted_after(FlightLog::Seq seq);
  /// The flight whose rows are being sent, by a COPY that is open or one by one; 0: none.
  FlightLog::Seq sending() const { return sending_; }
  void rows_begin(FlightLog::Seq seq) { sending_ = seq; }
  void rows_end() { sending_ = 0; }

  // ---- answers ---------------------------------------------------------------------------------
  /// Records what an event means for the session itself. False if it means that the connection
  /// ends.
  bool observe(const pgproto::Event& event);
  /// Whether an error means that a prepared statement was not in the assumed state: see
  /// StatementCache.
  bool is_stale(const pgproto::ErrorResponse& error, std::string_view sql);
  /// The server's last word on this connection.
  const std::optional<Error>& fatal() const { return fatal_; }
  /// Why there is no staging table.
  const std::optional<Error>& stage_error() const { return stage_error_; }
  /// The server no longer accepts writes: another one must be found.
  bool demoted() const { return demoted_; }
  void set_demoted(bool demoted) { demoted_ = demoted; }

 private:
  void stage_anew();
  Result<pgproto::RequestId> say_once(std::string_view& sql);

  Connection& connection_;
  const TransactionSql* sql_;
  StatementCache statements_;
  // What has not been sent yet:
  bool number_unsaid_;
  std::string_view planner_, defaults_, stage_;
  std::string executed_;  ///< The name of the statement that was executed last.

  std::deque<FlightLog::Seq> wire_;
  FlightLog::Seq sending_ = 0;
  pgproto::RequestId stage_request_ = 0;  ///< The request that creates the staging table; 0: not
                                          ///< sent.
  std::optional<Error> stage_error_, fatal_;
  bool demoted_ = false;
};

}  // namespace pgsink
