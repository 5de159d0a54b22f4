#pragma once
// The rows that the tables of a source have before its changes: all of them are read in the
// snapshot of one transaction, several tables at the same time.

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "pgsink/client/connection.h"
#include "pgsink/replication/change_rows.h"
#include "pgsink/replication/source_setup.h"

namespace pgsink {

/// SnapshotTable is a table that is to be read.
struct SnapshotTable {
  size_t index = 0;  ///< In Source::tables().
  const TableSetup* setup = nullptr;
};

/// SnapshotRows takes the rows; it is called by several threads.
class SnapshotRows {
 public:
  virtual ~SnapshotRows() = default;
  /// Waits for room. False ends the reading.
  virtual bool push(size_t table, ChangeRows& rows) = 0;
  virtual bool goes_on() const = 0;
};

struct SnapshotLimits {
  size_t parallel = 1;
  size_t batch_bytes = 0;
};

/// read_snapshot reads the tables in the transaction that is open on `connection`. More than one
/// table is read over further connections, in the same snapshot. False if `taker` ended it.
Result<bool> read_snapshot(Env& env, const ConnectOptions& connect, Connection& connection,
                           std::span<const SnapshotTable> tables, const SnapshotLimits& limits,
                           SnapshotRows& taker);

}  // namespace pgsink
