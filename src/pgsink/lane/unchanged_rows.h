#pragma once
// UnchangedRows: which rows of a changelog leave columns unchanged (kUnchangedColumn), and which
// deletes are the first half of a move to another key. A statement for many rows cannot apply them.

#include <optional>
#include <vector>

#include <pgproto/session.h>

#include "pgsink/encode/rows/column_arrays.h"
#include "pgsink/plan/plan.h"

namespace pgsink {

class UnchangedRows {
 public:
  using Key = std::vector<pgproto::Session::Parameter>;

  /// Nothing if the plan's rows have all their values.
  static Result<std::optional<UnchangedRows>> create(const Plan& plan);

  /// Whether there may be such rows, or such a delete.
  bool any(const RecordBatch& batch, RowRange rows) const;
  /// Whether rows of a batch move.
  bool any_moves(const RecordBatch& batch);
  /// The new key of a deleted row of a batch, if the next row is the one that it became; else null.
  /// Valid until the next call.
  const Key* moves_to(const RecordBatch& batch, size_t row);

 private:
  UnchangedRows(ColumnArrays row, std::vector<size_t> keys, size_t source, size_t unchanged,
                size_t columns)
      : row_(std::move(row)),
        key_columns_(std::move(keys)),
        source_(source),
        unchanged_(unchanged),
        fields_(columns) {}
  bool is_named(const RecordBatch& batch, size_t row) const;
  bool is_moved(const RecordBatch& batch, size_t row);

  ColumnArrays row_;  ///< Of one row.
  std::vector<size_t> key_columns_;
  size_t source_ = 0;     ///< Input column with the names.
  size_t unchanged_ = 0;  ///< Column that is sent of it.
  Key fields_, key_;
  std::vector<Rejection> rejected_;
};

}  // namespace pgsink
