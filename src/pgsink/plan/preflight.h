#pragma once
// What the options require of the server beyond the table's columns, checked at open: a condition
// that would fail every transaction, or silently do something else, is reported before the first
// row is taken.

#include <pgsink/options.h>

#include "pgsink/client/catalog.h"
#include "pgsink/plan/faults.h"
#include "pgsink/plan/keys.h"

namespace pgsink {

/// check_privileges adds the privileges that the role lacks for the write mode: `used` are the
/// columns that the input fills, `keys` those that rows are found by.
/// Source: PostgreSQL documentation, INSERT, "ON CONFLICT Clause", and GRANT.
void check_privileges(const SinkOptions& options, const CatalogTable& table,
                      const std::vector<const CatalogColumn*>& used,
                      const std::vector<const CatalogColumn*>& keys, Faults& faults);

/// check_copy adds that use_copy = true asks for COPY into a table that does not take it.
void check_copy(const SinkOptions& options, const CatalogTable& table, Faults& faults);

/// The columns that the write mode may fill as far as the role's privileges go; all if there are
/// none.
std::vector<const CatalogColumn*> writable_columns(const SinkOptions& options,
                                                   const CatalogTable& table);

/// keys_or_fault finds what rows are found by, or adds why it cannot; nothing for inserts.
Keys keys_or_fault(const SinkOptions& options, const CatalogTable& table,
                   const std::vector<const CatalogColumn*>& used, Faults& faults);

/// check_writable fails for what no statement can write.
Status check_writable(const CatalogTable& table);

/// check_foreign fails if the options contradict the catalog about whether the table is a foreign
/// one, or need what foreign tables do not support.
Status check_foreign(const SinkOptions& options, const CatalogTable& table);

/// check_triggers fails if triggers cannot be switched as the options say: the role may not set
/// session_replication_role, or all must be off and some fire in that role too.
Status check_triggers(const SinkOptions& options, const CatalogTable& table, Connection& connection,
                      Deadline deadline);

}  // namespace pgsink
