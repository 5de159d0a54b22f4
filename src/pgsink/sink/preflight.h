#pragma once
// What the options ask of the server beyond the table's columns, checked at open: what would fail
// every transaction, or silently do something else, is said before the first row is taken.

#include <pgsink/options.h>

#include "pgsink/client/catalog.h"

namespace pgsink {

/// check_foreign fails if the options say otherwise than the catalog whether the table is a foreign
/// one, or ask of a foreign one what none can do.
Status check_foreign(const SinkOptions& options, const CatalogTable& table);

/// switches_triggers says whether transactions run with session_replication_role = replica.
bool switches_triggers(const SinkOptions& options);

/// check_triggers fails if triggers cannot be switched as the options ask: the role may not set
/// session_replication_role, or all shall be off and some fire in that role too.
Status check_triggers(const SinkOptions& options, const CatalogTable& table, Connection& connection,
                      Deadline deadline);

}  // namespace pgsink
