#pragma once
// SourceFeed: the rows of one micro-batch as a table function of the engine.

#include <string>
#include <vector>

#include <pgproto/error.h>

#include <pgsink/record_batch.h>

#include "shell/engine/engine.h"
#include "shell/sources/unbounded_source.h"

namespace pgsink::shell {

class SourceFeed {
 public:
  /// Registers the function `name`, whose columns are texts. This must outlive the engine.
  pgproto::Status add_to(Engine& engine, const std::string& name, std::vector<RawColumn> columns);
  /// The columns for statements that are bound from now on; same number, same names.
  void set_columns(std::vector<RawColumn> columns) { columns_ = std::move(columns); }

  /// From now on the function returns these rows.
  void set(RecordBatch batch);
  /// Only rows [begin, begin + count) of them.
  void narrow(size_t begin, size_t count);
  /// A row that is never returned again.
  void drop(size_t row) { dropped_[row] = true; }
  const RecordBatch& batch() const { return batch_; }

  /// Whether a statement that reads the function was bound since forget_bound().
  bool bound() const { return bound_; }
  void forget_bound() { bound_ = false; }

 private:
  struct Functions;

  std::vector<RawColumn> columns_;
  RecordBatch batch_;
  size_t begin_ = 0, end_ = 0;
  std::vector<bool> dropped_;
  bool bound_ = false;
};

}  // namespace pgsink::shell
