#pragma once
// The replication slot of a source.
//
// It is the only memory of how far the consumer is, so it must not exist under its name before the
// snapshot is with the consumer. Until then it is called NAME_snapshot, the interim slot. When all
// of the snapshot is confirmed the server copies it to NAME, which is one step: a crash before it
// finds no slot of that name and reads the whole table again, one behind it goes on with the
// changes. The changes begin where the first snapshot was taken in any case, so what a second one
// has seen later comes again, in order, and a table with a key is equal in the end, rows deleted in
// between included.

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
  };
  Result<There> find(Connection& connection) const;

  /// The slot itself, for a source that takes no snapshot.
  Status create(Connection& connection) const;
  /// The interim slot, at what the open transaction sees.
  Status create_interim(Connection& connection) const;
  /// The one step from "take the snapshot again" to "go on with the changes".
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
