#pragma once
// Plan: how the rows of one schema get into one table. Made once, at open, from the options, the
// table's catalog entry and the input's schema.

#include <pgsink/options.h>
#include <pgsink/record_batch.h>

#include "pgsink/client/catalog.h"
#include "pgsink/encode/row_encoder.h"

namespace pgsink {

struct Plan {
  std::vector<EncodeColumn> columns;
  pgproto::TypeMap types;
  /// BEGIN … COPY … FROM STDIN, to be sent as one simple Query. Two forms: `begin_copy` on a direct
  /// connection, `begin_copy_pooled` where each transaction may run in another backend.
  std::string begin_copy, begin_copy_pooled;
  std::string commit;
  std::string table;  ///< For messages: schema.table.
  int64_t batch_rows = 0;
  int64_t transaction_rows = 0;
};

/// make_plan maps input columns to table columns by name (exact, else without case if unambiguous).
/// The error names every column that does not fit, with the nearest column that exists.
Result<Plan> make_plan(const SinkOptions& options, const CatalogTable& table, const Schema& schema);

}  // namespace pgsink
