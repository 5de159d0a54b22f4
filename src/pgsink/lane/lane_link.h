#pragma once
// LaneLink: the lane's place in the pool, and the session on the connection that is in it.

#include <optional>
#include <string>

#include "pgsink/client/pool.h"
#include "pgsink/lane/inbox.h"
#include "pgsink/lane/lane_delivery.h"
#include "pgsink/lane/lane_session.h"
#include "pgsink/lane/target_plan.h"

namespace pgsink {

class LaneLink {
 public:
  struct Setup {
    Env& env;
    Inbox& inbox;  ///< Wakes the lane while it waits for the connection.
    size_t lane = 0;
    const TargetPlanPointer& target;  ///< The plan in use, which may change between flights.
    LaneDelivery& delivery;
    std::string origin;         ///< The origin of the lane's transactions; "": none.
    size_t statements_max = 0;  ///< Prepared statements kept; 0: none is named.
  };
  explicit LaneLink(Setup setup) : setup_(std::move(setup)) {}

  /// Takes a connection that is open and attached already. Its place in the pool is the lane's
  /// until leave().
  void adopt(PoolLease place);
  /// Opens another one in the same place, as a session of this writer.
  Status connect();
  /// Closes a connection that broke, and forgets all that was on it.
  void drop();
  /// Gives the place back, and the connection to the next user of the pool if it is clean.
  void leave(bool is_clean);

  explicit operator bool() const { return session_.has_value(); }
  LaneSession& operator*() { return *session_; }
  LaneSession* operator->() { return &*session_; }
  /// For the log; without a pid behind a pooler, where each transaction may have another one.
  FlightLog::Connected connected() const;

 private:
  void open_session();
  void close_session();

  const Setup setup_;
  PoolLease place_;
  BackendIdentity backend_;  ///< Of the connection, or of the one before it.
  std::optional<LaneSession> session_;
};

}  // namespace pgsink
