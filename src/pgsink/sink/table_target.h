#pragma once
// The target table of one table of a source, before its sink is opened.

#include <pgsink/options.h>
#include <pgsink/source.h>

#include "pgsink/client/connection.h"

namespace pgsink {

/// options_of_table makes options for the sink of one table of the source out of those for all of
/// them (target_tables), which share buffer_bytes with `tables` others. Fails with kOptionValue.
Result<SinkOptions> options_of_table(const SinkOptions& all, const SourceTableInfo& table,
                                     size_t tables);

/// prepare_target does what create_table and schema_evolution = 'add_columns' ask for, with the
/// types of the source, and takes both out of the options.
Status prepare_target(SinkOptions& options, const SourceTableInfo& table, Connection& connection,
                      Deadline deadline);

}  // namespace pgsink
