#pragma once
// The rows of pgsink_decisions: see two_phase.h.

#include <cstdint>
#include <string>
#include <vector>

#include <pgsink/record_batch.h>

#include "pgsink/client/connection.h"
#include "pgsink/delivery/prepared.h"

namespace pgsink {

/// Decision is one epoch in pgsink_decisions, with its transactions.
struct Decision {
  uint64_t epoch = 0;
  HostPosition position;
  bool decided = false;  ///< Otherwise it waits for its host's decision.
  std::vector<std::string> gids;
  std::vector<PreparedTransaction> present;  ///< Those of `gids` that are prepared now.
};

/// read_decisions reads the epochs of a sink, oldest first. Both names are quoted.
Result<std::vector<Decision>> read_decisions(Connection& connection,
                                             const std::string& quoted_schema,
                                             const std::string& quoted_sink, Deadline deadline);

}  // namespace pgsink
