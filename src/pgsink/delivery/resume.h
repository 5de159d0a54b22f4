#pragma once
// Where a sink continues after an earlier run: its positions are valid only for the table that they
// were written with, and for rows that take the same lanes.

#include <cstdint>
#include <string>

#include <pgsink/record_batch.h>

namespace pgsink {

/// StoredTable is the table that a sink's positions belong to, beside the one that it has now.
struct StoredTable {
  std::string sink_id;
  std::string control_table;  ///< Quoted: where the position is stored.
  uint32_t stored_oid = 0;    ///< 0: not known.
  uint32_t oid = 0;           ///< 0: not known.
  uint64_t position = 0;
};

/// check_same_table fails with kCannotResume, naming the ways out, if they are two tables: the
/// target was dropped and created again, restored from a dump, or the sink_id is another table's.
Status check_same_table(const StoredTable& table);

}  // namespace pgsink
