#pragma once
// StreamRows: exactly-once delivery by streams. Each stream of a sink has one row in the table
// pgsink_offsets of the target's schema: up to which position it is committed, and the token of the
// writer that may move it. A flight moves the rows of all of its streams from the positions where
// they must be to those that it reaches, in its own transaction, or fails. So the rows always agree
// with the target.
//
// Unlike the rows of pgsink_epochs, which one process claims all together, streams change hands one
// by one. claim() stores a new token in the rows of some streams, and fences their former owner for
// the reasons that epoch_rows.h gives. Flights of the former owner without these streams go on.

#include <span>
#include <string>
#include <vector>

#include <pgsink/stream.h>

#include "pgsink/client/connection.h"
#include "pgsink/client/env.h"

namespace pgsink {

/// StreamRow is the content of a stream's row.
struct StreamRow {
  std::string stream{};
  uint64_t position = 0;
  std::string writer{};       ///< The token that may move the row.
  std::string writer_name{};  ///< For people; only from read().
};

/// StreamMove is what a flight does with a row.
struct StreamMove {
  std::string stream;
  uint64_t before = 0;  ///< Where it must be.
  uint64_t after = 0;
  std::string writer;
};

class StreamRows {
 public:
  /// For the table of a schema, the streams of one sink, and its target by oid. Fails with kUsage
  /// on what cannot be quoted.
  static Result<StreamRows> create(std::string_view schema, std::string_view sink_id,
                                   uint32_t target);

  /// Its name, quoted, with the schema.
  const std::string& table() const { return table_; }
  /// Creates pgsink_offsets if it is missing: see ensure_control_table().
  Status ensure_table(Connection& connection, Deadline deadline) const;
  /// claim takes over the rows of these streams under one new token; it creates those that are
  /// missing. Waits for transactions of former owners, and terminates those that take too long.
  /// Fails with kCannotFence if that is not allowed or does not help, and with kCannotResume if a
  /// stream was written into another table. May be repeated.
  Result<std::vector<StreamRow>> claim(Env& env, Connection& connection,
                                       std::span<const StreamStart> streams,
                                       Deadline deadline) const;
  /// renew gives the rows that still belong to the claims of `rows` new tokens, and returns them:
  /// the others belong to another writer. After a lost connection this fences the flights that the
  /// old backend may still hold, and the returned positions are final.
  Result<std::vector<StreamRow>> renew(Env& env, Connection& connection,
                                       std::span<const StreamRow> rows, Deadline deadline) const;
  /// The rows as they are now, without changing them.
  Result<std::vector<StreamRow>> read(Connection& connection, std::span<const StreamRow> rows,
                                      Deadline deadline) const;
  /// Whether two tokens are of one claim.
  static bool same_claim(std::string_view writer, std::string_view other);

  /// The guard of a flight, to be sent in its transaction before any SET LOCAL ROLE; its answer is
  /// one CommandComplete, "INSERT 0 0". REQUIRES: a stream is moved once.
  Result<std::string> guard_sql(std::span<const StreamMove> moves) const;
  /// Whether an error of the server is a guard's. Decided by SQLSTATE, table and column.
  static bool is_guard_failure(const Error& error);
  /// The error for a stream that another writer has; `now`: its row, or null.
  Error fenced(std::string_view stream, const StreamRow* now) const;

 private:
  Result<std::string> names(std::span<const StreamRow> rows) const;
  Status check_target(Connection& connection, const std::string& streams, Deadline deadline) const;

  std::string schema_, sink_id_;
  std::string table_, sink_;  // quoted
  uint32_t target_ = 0;
};

}  // namespace pgsink
