#pragma once
// Epochs: exactly-once delivery. Each lane of a sink has one row in the table pgsink_epochs of the
// target's schema: how many flights of it are committed, and up to which position of the host. A
// flight carries a guard in its own transaction that moves the row from N to N+1 together with the
// flight's rows. So the row says exactly what is committed, and no transaction ids are needed.
//
// The row also names its writer by a token. claim() stores a new token; from then on the guard of
// the previous writer does not find its token and fails its transaction. This holds against a
// zombie, a backend whose client is gone or still believes to be the writer:
//   - its transaction is open after the guard: it holds the row's lock, so claim() waits until it
//     has committed or rolled back, and returns the resulting epoch;
//   - its guard runs while claim() is open: it waits for claim() and then finds the new token
//     (READ COMMITTED reads the row again; stricter levels fail with 40001, and find it when the
//     flight is repeated);
//   - its guard runs later: it finds the new token.
// A zombie that keeps the lock without finishing is terminated.
//
//   auto epochs = Epochs::create("public", "orders-1");
//   epochs->ensure_table(connection, deadline);
//   auto rows = epochs->claim(env, connection, lanes, deadline);  // the previous writer is fenced
//   "BEGIN …; " + *epochs->guard_sql((*rows)[0], position) + "; COPY …"  // then ++rows[0].epoch
//   // Connection lost: *epochs->renew(env, connection, row, deadline) says what is committed.

#include <optional>
#include <string>
#include <vector>

#include <pgsink/record_batch.h>

#include "pgsink/client/connection.h"

namespace pgsink {

/// LaneEpoch is the content of a lane's row.
struct LaneEpoch {
  int lane = 0;
  uint64_t epoch = 0;     ///< Flights committed, ever.
  HostPosition position;  ///< That the last of them stored.
  std::string writer;     ///< The token that may move the row.
};

/// LaneOrigin is what a position is valid for: one table, and one rule that assigns rows to lanes.
struct LaneOrigin {
  uint32_t table_oid = 0;  ///< Of the target; 0: not known.
  std::string routing;     ///< Router::rule(); "": not known.
};

/// StoredLane is how far a lane of a previous run came, and what that position is valid for.
struct StoredLane {
  int lane = 0;
  uint64_t position = 0;
  LaneOrigin origin;
};

class Epochs {
 public:
  /// For the tables of a schema and the lanes of one sink. Fails with kUsage on what cannot be
  /// quoted.
  static Result<Epochs> create(std::string_view schema, std::string_view sink_id);

  /// Its name, quoted, with the schema.
  const std::string& table() const { return table_; }
  /// Creates pgsink_epochs if it is missing: see ensure_control_table().
  Status ensure_table(Connection& connection, Deadline deadline) const;
  /// claim takes over all rows of the sink under one new token, and stores `origin` in them; it
  /// creates those of lanes 0 … lanes - 1 that are missing. Returns all rows by lane, also of
  /// additional lanes of a previous run. Waits for transactions of the previous writer, and
  /// terminates those that take longer than kRowsBlockedMaxMs. Fails with kCannotFence if that is
  /// not allowed or does not help.
  Result<std::vector<LaneEpoch>> claim(Env& env, Connection& connection, int lanes,
                                       Deadline deadline, const LaneOrigin& origin = {}) const;
  /// renew gives one lane a new token. After a lost connection this fences the flights that the old
  /// backend may still hold, and the returned row is final: it says which flights are committed.
  /// Waits and terminates like claim(). Fails with kFenced if another writer has claimed the sink
  /// meanwhile.
  Result<LaneEpoch> renew(Env& env, Connection& connection, const LaneEpoch& row,
                          Deadline deadline) const;
  /// The row as it is now, without changing it; a zombie may still change it. nullopt: no row.
  Result<std::optional<LaneEpoch>> read(Connection& connection, int lane, Deadline deadline) const;
  /// All rows of the sink, by lane, without changing them.
  Result<std::vector<StoredLane>> read_lanes(Connection& connection, Deadline deadline) const;

  /// The guard of the flight that follows `row`, to be sent in its transaction before any SET LOCAL
  /// ROLE: it moves the row to the next epoch and `position`, or fails the transaction. At the
  /// front it fails before rows are sent; its answer is one CommandComplete, "INSERT 0 0".
  Result<std::string> guard_sql(const LaneEpoch& row, const HostPosition& position) const;
  /// Whether an error of the server is a guard's. Decided by SQLSTATE, table and column.
  static bool is_guard_failure(const Error& error);
  /// Why the guard after `row` failed: kFenced "fenced by …" if the row has another writer or is
  /// gone; nullopt if the row is still this claim's: then a flight before it did not commit, and
  /// after renew() the flights are sent again from the row's epoch.
  Result<std::optional<Error>> explain(Connection& connection, const LaneEpoch& row,
                                       Deadline deadline) const;

 private:
  struct Read {
    LaneEpoch row;
    std::string writer_name;
  };
  Result<QueryResult> change(Env& env, Connection& connection, const std::string& statements,
                             Deadline deadline) const;
  Result<std::optional<Read>> read_row(Connection& connection, int lane, Deadline deadline) const;
  Error fenced(const std::optional<Read>& now) const;

  std::string schema_, sink_id_;
  std::string table_, sink_;  // quoted
};

}  // namespace pgsink
