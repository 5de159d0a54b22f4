#pragma once
// The table that a sink writes to, as it is found or made when the sink is opened.

#include <optional>

#include <pgsink/options.h>
#include <pgsink/record_batch.h>

#include "pgsink/client/catalog.h"
#include "pgsink/partition/scheme.h"

namespace pgsink {

/// Opened is what the catalog says of the target.
struct Opened {
  CatalogTable table;
  std::optional<PartitionScheme> partitions;  ///< If the options speak of them.
};

/// open_target reads the target, makes it first if the options say so, and looks at all that can be
/// looked at: kind, partitions, dead letters, triggers. `schema` is the input's; null: there is
/// none yet, and nothing is made.
Result<Opened> open_target(const SinkOptions& options, const Schema* schema, Connection& connection,
                           Deadline deadline);

/// check_target says what can be said of the table before there is a schema: privileges, and keys
/// if all columns come.
Status check_target(const SinkOptions& options, const CatalogTable& table);

}  // namespace pgsink
