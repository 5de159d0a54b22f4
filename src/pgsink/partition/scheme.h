#pragma once
// PartitionScheme: how the target is partitioned, and whether that is what the options say.

#include <optional>
#include <string>

#include <pgsink/options.h>

#include "pgsink/client/catalog.h"

namespace pgsink {

struct PartitionScheme {
  Oid oid = 0;
  std::string schema, table;
  PartitionType type = PartitionType::kRange;
  std::string column;             ///< The key, if it is one column.
  std::string default_partition;  ///< Its name; "" if there is none.
  std::string tablespace;         ///< Quoted; "" for the database's.
};

/// read_partition_scheme reads how the table is partitioned, whatever the options say of it;
/// nothing if it is not, or not by one column.
Result<std::optional<PartitionScheme>> read_partition_scheme(const SinkOptions& options,
                                                             const CatalogTable& table,
                                                             Connection& connection,
                                                             Deadline deadline);

/// creates_partitions says whether the options want partitions for rows that are inserted.
bool creates_partitions(const SinkOptions& options);

/// check_partitions compares the options with the catalog; nothing if they do not speak of
/// partitions. Fails with kOptionConflict or kPrivilege, naming all that does not fit, what is the
/// case and what to do.
Result<std::optional<PartitionScheme>> check_partitions(const SinkOptions& options,
                                                        const CatalogTable& table,
                                                        Connection& connection, Deadline deadline);

}  // namespace pgsink
