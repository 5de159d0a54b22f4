#pragma once
// The table that a sink writes to: read, and if necessary created, when the sink is opened.

#include <optional>
#include <string>
#include <utility>

#include <pgsink/options.h>
#include <pgsink/record_batch.h>

#include "pgsink/client/catalog.h"
#include "pgsink/options/retry.h"
#include "pgsink/partition/scheme.h"

namespace pgsink {

/// Opened is what the catalog says about the target.
struct Opened {
  CatalogTable table;
  std::optional<PartitionScheme> partitions;  ///< If the options are about partitions.
};

/// open_target reads the target, creates it first if the options say so, and checks everything that
/// can be checked: kind, partitions, dead letters, triggers. `schema` is the input's; null: there
/// is none yet, and nothing is created.
Result<Opened> open_target(const SinkOptions& options, const Schema* schema, Connection& connection,
                           Deadline deadline);

/// target_state differs after every change of the target's columns and their types; the error if it
/// cannot be read.
std::string target_state(const SinkOptions& options, Connection& connection, Deadline deadline);

/// until_settled calls `read`, which reads the target and checks it, again while it fails and the
/// target changes: what the server says of a table that changes at that moment may not be
/// consistent.
template <typename Read>
auto until_settled(const SinkOptions& options, Connection& connection, Deadline deadline,
                   Read&& read) {
  constexpr int kReadsMax = 20;
  auto done = read();
  std::string known;
  for (int reads = 1; reads < kReadsMax; ++reads) {
    if (done || connection.broken() || is_transient(done.error())) break;
    std::string state = target_state(options, connection, deadline);
    if (state == known) break;
    known = std::move(state);
    done = read();
  }
  return done;
}

/// check_target checks what does not depend on a schema: privileges, and keys as if all columns
/// were filled.
Status check_target(const SinkOptions& options, const CatalogTable& table);

}  // namespace pgsink
