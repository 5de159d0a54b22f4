#pragma once
// The ways to insert, upsert, update and delete that a careful C programmer writes with libpq:
// binary parameters, statements prepared once, and pipeline mode with several transactions in
// flight wherever libpq can (it cannot with COPY).

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "changes.h"
#include "measured_child.h"

namespace pgsink::bench {

enum class Shape : uint8_t {
  kRows,           ///< A prepared statement for each row, one round trip each.
  kRowsPipelined,  ///< The same in pipeline mode.
  kLiterals,       ///< One statement with the values in its text.
  kValues,         ///< One prepared statement with a parameter for each value.
  kArrays,         ///< One prepared statement over an array for each column.
  kArraysMerge,    ///< The same with MERGE. Not safe against concurrent inserts of a key.
  kAny,            ///< DELETE … = ANY ($1).
  kCopy,           ///< COPY into the table, which commits itself.
  kCopyBegun,      ///< The same between BEGIN and COMMIT.
  kStaged,         ///< COPY into a temporary table, then one statement.
  kStagedMerge,    ///< The same with MERGE.
};

struct Strategy {
  Shape shape;
  bool nested_loops;  ///< enable_hashjoin and enable_mergejoin are off.
  std::string name;
  /// MERGE fails if another session inserts one of its keys meanwhile (PostgreSQL docs, 13.2.1), so
  /// it is no upsert for a table that somebody else writes too.
  bool alone() const { return shape == Shape::kArraysMerge || shape == Shape::kStagedMerge; }
};

/// strategies lists those of a mode that make sense at that batch size.
std::vector<Strategy> strategies(WriteMode mode, size_t batch_rows);

/// strategy_run applies the first `rows` changes, `batch_rows` a transaction, up to `window`
/// transactions in flight where the strategy pipelines.
Run strategy_run(const Changes& changes, const Strategy& strategy, std::string conninfo,
                 size_t rows, size_t batch_rows, size_t window);

}  // namespace pgsink::bench
