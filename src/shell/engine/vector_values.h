#pragma once
// VectorValues: values that the engine's Arrow chunks would change, taken from its vectors instead.
//
// DuckDB 1.4 announces every BOOLEAN as arrow.bool8, one byte a value, but leaves those inside of
// lists, structs, maps and arrays packed as bits; and it multiplies an INTERVAL's microseconds by
// 1000 without a check, so that those beyond int64 nanoseconds wrap. Both are read from the
// vectors, whose layout its C API documents. What Arrow and the vectors say about the number of a
// list's elements is compared. A column of untyped NULLs must hold nothing else.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <pgsink/record_batch.h>

#include "shell/engine/owned.h"

namespace pgsink::shell {

class VectorValues {
 public:
  /// Nothing if Arrow carries every value of this type as it is. Otherwise `field` becomes what the
  /// columns will be after take().
  static std::optional<VectorValues> of(duckdb_logical_type type, Field& field);

  /// Memory that a column's values were copied to.
  using Buffers = std::vector<std::unique_ptr<std::byte[]>>;

  /// Points `column`, the Arrow import of `vector` with `row_count` rows, at copies of the values;
  /// they are added to `buffers`. kInternal if Arrow's lists and the vector's differ in length.
  Status take(duckdb_vector vector, size_t row_count, ColumnView& column, Buffers& buffers) const;

 private:
  enum class Shape : uint8_t { kUnchanged, kNull, kBoolean, kInterval, kList, kArray, kStruct };
  using Rows = std::vector<idx_t>;

  static VectorValues plan(duckdb_logical_type type, Field& field, bool nested);
  static VectorValues plan_owned(duckdb_logical_type taken, Field& field);
  bool changes_anything() const;

  Status take_rows(duckdb_vector vector, const Rows& rows, ColumnView& column,
                   Buffers& buffers) const;
  Status take_list(duckdb_vector vector, const Rows& rows, ColumnView& column,
                   Buffers& buffers) const;
  Status take_array(duckdb_vector vector, const Rows& rows, ColumnView& column,
                    Buffers& buffers) const;

  Shape shape_ = Shape::kUnchanged;
  idx_t width_ = 0;  ///< Of kArray.
  std::vector<VectorValues> children_;
};

}  // namespace pgsink::shell
