#pragma once
// The replication slot of a source.
//
// It is the only record of how far the consumer is, so it must not exist under its final name
// before the consumer has the snapshot. Until then it is called NAME_snapshot, the interim slot.
// When all of the snapshot is confirmed, the server copies it to NAME in one step: after a crash
// before that step there is no slot of that name, and the whole table is read again; after a crash
// later the source continues with the changes. The changes always begin where the first snapshot
// was taken. So what a second snapshot has already seen comes again, in order, and a table with a
// key is equal in the end, including rows that were deleted in between.

#include <string>

#include "pgsink/client/connection.h"
#include "pgsink/replication/replication_session.h"
#include "pgsink/sql/sql.h"

namespace pgsink {

class SourceSlots {
 public:
  SourceSlots(std::string name, Clock& clock) : name_(std::move(name)), clock_(clock) {}

  struct There {
    bool slot = false, interim = false;
    pgproto::Lsn confirmed = 0;  ///< Of the slot: before this it sends nothing any more.
    pgproto::Lsn log_end = 0;    ///< Of the server's log on disk.
  };
  Result<There> find(Connection& connection) const;

  /// The slot itself, for a source that takes no snapshot.
  Status create(Connection& connection) const;
  /// The interim slot, at the snapshot of the open transaction.
  Status create_interim(Connection& connection) const;
  /// The step from "take the snapshot again" to "continue with the changes".
  Status keep(Connection& connection) const;
  Status drop_interim(Connection& connection) const;

 private:
  std::string interim() const { return name_ + "_snapshot"; }
  Status create(Connection& connection, Sql statement, const std::string& name) const;
  Deadline soon() const { return clock_.now() + kAskTimeout; }

  const std::string name_;
  Clock& clock_;
};

}  // namespace pgsink
