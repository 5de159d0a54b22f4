#pragma once
// PartitionScheme: how the target is partitioned, and whether that agrees with the options.

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
  std::string default_partition;  ///< Name of the default partition; "" if there is none.
  std::string tablespace;         ///< Quoted; "" for the database's.
  std::string role;               ///< The role that reads it, and creates partitions.
};

/// read_partition_scheme reads how the table is partitioned, independent of the options; nothing if
/// it is not, or not by one column.
Result<std::optional<PartitionScheme>> read_partition_scheme(const SinkOptions& options,
                                                             const CatalogTable& table,
                                                             Connection& connection,
                                                             Deadline deadline);

/// creates_partitions says whether the options ask for missing partitions of inserted rows to be
/// created.
bool creates_partitions(const SinkOptions& options);

/// check_partitions compares the options with the catalog; it does nothing without options about
/// partitions. Fails with kOptionConflict or kPrivilege, naming all differences, the actual state
/// and what to do.
Result<std::optional<PartitionScheme>> check_partitions(const SinkOptions& options,
                                                        const CatalogTable& table,
                                                        Connection& connection, Deadline deadline);

}  // namespace pgsink
