#pragma once
// WriterGeneration: which writer of an at-least-once sink is the newest. A number in the sink's row
// of pgsink_writers, which each writer that opens the sink raises, and which stays when that one
// has ended. So a writer that was stopped, and wakes up when another one has come and gone, finds
// that it is not the newest any more.
//
//   auto generation = WriterGeneration::create("public", "orders");
//   generation->ensure_table(connection, deadline);
//   generation->raise(connection, deadline);   // we are the newest
//   generation->check(another, deadline);      // still?
//   "BEGIN …; " + generation->guard_sql(false) + "; COPY …"   // fails the transaction if not

#include <string>
#include <string_view>

#include "pgsink/client/connection.h"

namespace pgsink {

class WriterGeneration {
 public:
  /// For the writers of one sink. Fails with kUsage on what cannot be quoted.
  static Result<WriterGeneration> create(std::string_view schema, std::string_view sink_id);

  /// Creates pgsink_writers if it is missing: see ensure_control_table().
  Status ensure_table(Connection& connection, Deadline deadline) const;
  /// Makes this writer the newest, durably. Waits for transactions with a guard_sql() of one
  /// snapshot for up to kBlockedMaxMs, and fails with SQLSTATE 55P03 then.
  Status raise(Connection& connection, Deadline deadline);
  /// Fails with kFenced, naming the newest writer, if that is another one. A server that has lost
  /// the row (a failover, a restore) gets it again.
  Status check(Connection& connection, Deadline deadline) const;
  /// A statement that fails its transaction if another writer is the newest, in front of any SET
  /// LOCAL ROLE. `one_snapshot`: the transaction is REPEATABLE READ or stricter, and would read an
  /// older row without locking it. Its answer is one CommandComplete, "INSERT 0 0".
  std::string guard_sql(bool one_snapshot) const;
  /// Whether an error of the server is a guard's. Decided by SQLSTATE, table and column.
  static bool is_guard_failure(const Error& error);

  static constexpr int64_t kBlockedMaxMs = 1000;

 private:
  Result<uint64_t> put(Connection& connection, std::string_view first, std::string_view next,
                       Deadline deadline) const;

  std::string schema_, sink_id_;
  std::string quoted_schema_, quoted_sink_;
  uint64_t generation_ = 0;
};

}  // namespace pgsink
