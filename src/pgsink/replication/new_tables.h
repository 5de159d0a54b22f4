#pragma once
// NewTables finds the tables that the option `tables` names and a running source does not read yet,
// and publishes them. Used by the source's task only.

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pgsink/client/connection.h"
#include "pgsink/replication/source_setup.h"
#include "pgsink/sql/control.h"

namespace pgsink {

class NewTables {
 public:
  /// Both outlive it.
  NewTables(const SinkOptions& options, Clock& clock) : options_(options), clock_(clock) {}

  /// The new tables that may join: they are published, and a snapshot that is taken now has all
  /// that is not sent. Servers may decode what transactions did that began before a table was
  /// published as if it was not published, so a table waits until those have ended; the others go
  /// on meanwhile. `warnings` gets a line for each table that was added to the publication. Fails
  /// with kReplication if a table has no replica identity for a minute: keys are often added after
  /// the table.
  Result<std::vector<TableName>> look(Connection& asking, std::span<const TableSetup> known,
                                      std::vector<std::string>& warnings);

 private:
  Result<std::string> publish(const TableName& name, Connection& asking,
                              std::vector<std::string>& warnings) const;
  Result<bool> may_join(const std::string& transaction, Connection& asking) const;
  Deadline soon() const { return clock_.now() + kAskTimeout; }

  const SinkOptions& options_;
  Clock& clock_;
  /// By name: transactions before this one may have begun before the table was published.
  std::map<std::string, std::string> published_;
  std::map<std::string, TimePoint> unidentified_;  ///< By name: first seen.
};

}  // namespace pgsink
