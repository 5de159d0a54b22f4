#pragma once
// The target table made from, or widened to, the input's schema, before anything is written.

#include <pgsink/options.h>
#include <pgsink/record_batch.h>

#include "pgsink/client/catalog.h"

namespace pgsink {

/// column_type is the type, as SQL, whose columns hold every value of an input column: integers
/// the next wider one, text of JSON, structs and maps jsonb, lists arrays.
std::string column_type(const Field& field);

/// create_table_sql is the statement that creates the table of the options for the input. Fails if
/// a column has no name.
Result<std::string> create_table_sql(const SinkOptions& options, const Schema& schema);

/// create_table creates the table of the options, unless it exists by now: a column for each of the
/// input's, and a primary key of the columns by which the write mode finds rows. As set_role, if
/// given. Fails if a column has no name, and with the server's errors.
Status create_table(const SinkOptions& options, const Schema& schema, Connection& connection,
                    Deadline deadline);

/// add_missing_columns adds those of the input's that the table lacks; true if there were any.
Result<bool> add_missing_columns(const SinkOptions& options, const CatalogTable& table,
                                 const Schema& schema, Connection& connection, Deadline deadline);

/// check_complete fails, naming them, if columns of the table would not be filled by the input
/// though they could.
Status check_complete(const SinkOptions& options, const CatalogTable& table, const Schema& schema);

}  // namespace pgsink
