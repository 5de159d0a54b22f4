#pragma once
// Arrow arrays as record batches, without a copy: DuckDB, Polars, pyarrow, ADBC … hand over the
// structs of the Arrow C Data Interface, and the batch releases them when its rows are durable.
//
// What is checked: formats, counts of buffers and children, lengths and offsets against each other,
// every offset of text and lists (never decreasing, within the child), every index of a dictionary,
// every string view. What cannot be checked, because the interface does not carry it: that a buffer
// is as long as its array says. So the contents of buffers may come from anywhere, the pointers
// must be those of a producer in this process.
//
// Kinds taken: null, bool, (u)int8 … 64, float16 … 64, decimal32 … 256, date, time, timestamp,
// duration, interval, utf8 and binary (also large, views and fixed size), list, large list,
// fixed-size list, struct, map, dictionary; extensions arrow.uuid, arrow.json, arrow.bool8,
// DuckDB's hugeint. Run-end encoding, unions and list views are refused by name.

#include <memory>
#include <optional>

#include <pgsink/arrow_c_abi.h>
#include <pgsink/record_batch.h>

namespace pgsink {

/// ArrowImport says what the producer means where Arrow leaves it open.
struct ArrowImport {
  /// Field::infinities for every date and timestamp: true for DuckDB.
  bool infinities = false;
};

/// import_arrow_schema reads the schema of a record batch (format "+s"). It takes the struct over
/// and releases it, also when it fails (kMalformedBatch, kColumnType).
Result<std::shared_ptr<const Schema>> import_arrow_schema(ArrowSchema* schema,
                                                          const ArrowImport& options = {});

/// import_arrow_batch makes a batch of an array whose schema was imported. It takes the struct
/// over, also when it fails (kMalformedBatch); the array is released with the batch.
Result<RecordBatch> import_arrow_batch(std::shared_ptr<const Schema> schema, ArrowArray* array);

/// ArrowStream reads the batches of an Arrow C stream.
class ArrowStream {
 public:
  /// open takes the struct over, also when it fails.
  static Result<ArrowStream> open(ArrowArrayStream* stream, const ArrowImport& options = {});
  ArrowStream(ArrowStream&&) noexcept = default;
  ArrowStream& operator=(ArrowStream&&) noexcept = default;

  const std::shared_ptr<const Schema>& schema() const { return schema_; }
  /// The next batch; nothing at the end. An error of the producer is kQuery with its text.
  Result<std::optional<RecordBatch>> next();

 private:
  struct Release {
    void operator()(ArrowArrayStream* stream) const;
  };
  using Owner = std::unique_ptr<ArrowArrayStream, Release>;
  ArrowStream(Owner stream, std::shared_ptr<const Schema> schema);

  Owner stream_;
  std::shared_ptr<const Schema> schema_;
};

}  // namespace pgsink
