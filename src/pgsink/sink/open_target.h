#pragma once
// The table that a sink writes to: read, and if necessary created, when the sink is opened.

#include <optional>

#include <pgsink/options.h>
#include <pgsink/record_batch.h>

#include "pgsink/client/catalog.h"
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

/// check_target checks what does not depend on a schema: privileges, and keys as if all columns
/// were filled.
Status check_target(const SinkOptions& options, const CatalogTable& table);

}  // namespace pgsink
