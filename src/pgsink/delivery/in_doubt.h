#pragma once
// The prepared transactions of all sinks of a database, for people who decide about them.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pgsink/client/connection.h"
#include "pgsink/delivery/prepared.h"

namespace pgsink {

/// InDoubt is a prepared transaction as `pgsink recover` shows it.
struct InDoubt {
  PreparedTransaction transaction;
  std::string prepared_at;  ///< UTC.
  std::string schema, sink_id;
  std::optional<uint64_t> epoch;  ///< Of the row that lists it.
  bool decided = false;
  std::string writer;  ///< The session that writes for the sink now; "" if none does.
  bool of_job = false;
  bool ended = false;  ///< Of a job: its driver cannot decide on it any more.
};
/// list_in_doubt lists the prepared transactions of this database that belong to sinks or jobs,
/// by all control tables that the role may read.
Result<std::vector<InDoubt>> list_in_doubt(Connection& connection, Deadline deadline);

}  // namespace pgsink
