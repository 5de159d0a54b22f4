#pragma once
// The changes of modes_vs_libpq_bench: rows of (int8 key, int4, float8, text of 24, timestamptz)
// with keys in random order, each key once, as structs for libpq and as columns for pgsink.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <pgsink/options.h>
#include <pgsink/record_batch.h>

namespace pgsink::bench {

struct Change {
  static constexpr size_t kTextBytes = 24;

  int64_t key;
  int32_t amount;
  double value;
  char text[kTextBytes];
  int64_t time_us;  ///< Since 1970.
};

/// Changes is the rows that one mode applies. The table holds the even keys below twice its rows.
class Changes {
 public:
  /// An upsert's keys are half of them new, an insert's all; those of an update or delete are all
  /// there.
  Changes(WriteMode mode, size_t table_rows, size_t count);

  WriteMode mode() const { return mode_; }
  size_t row_count() const { return rows_.size(); }
  const Change& row(size_t index) const { return rows_[index]; }
  /// A delete's schema is the key alone.
  const std::shared_ptr<const Schema>& schema() const { return schema_; }
  /// Rows [begin, begin + count) as a batch that lends the columns.
  RecordBatch batch(size_t begin, size_t count) const;
  /// Reads a byte of every page: see Rows::touch().
  void touch() const;

 private:
  WriteMode mode_;
  std::vector<Change> rows_;
  std::shared_ptr<const Schema> schema_;
  std::vector<int64_t> keys_, times_us_;
  std::vector<int32_t> amounts_, offsets_{0};
  std::vector<double> values_;
  std::string heap_;
};

std::string_view mode_name(WriteMode mode);

}  // namespace pgsink::bench
