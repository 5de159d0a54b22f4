#pragma once
// Arrow arrays as record batches, without a copy. A producer (DuckDB, Polars, pyarrow, ADBC …)
// hands over the structs of the Arrow C Data Interface; the batch releases them when its rows are
// durable.
//
// Checked: formats, counts of buffers and children, lengths and offsets against each other, every
// offset of text and lists (never decreasing, within the child), every index of a dictionary, every
// string view. Not checked, because the interface does not carry it: whether a buffer is as long as
// its array says. So the contents of buffers may come from anywhere, but the pointers must come
// from a producer in this process.
//
// Supported: null, bool, (u)int8 … 64, float16 … 64, decimal32 … 256, date, time, timestamp,
// duration, interval, utf8 and binary (also large, views and fixed size), list, large list,
// fixed-size list, struct, map, dictionary; the extensions arrow.uuid, arrow.json, arrow.bool8, and
// DuckDB's hugeint. Run-end encoding, unions and list views fail with a message that names them.

#include <memory>
#include <optional>

#include <pgsink/arrow_c_abi.h>
#include <pgsink/record_batch.h>

namespace pgsink {

/// ArrowImport holds what Arrow leaves open and the producer has to say.
struct ArrowImport {
  /// Sets Field::infinities for every date and timestamp: true for DuckDB.
  bool infinities = false;
};

/// import_arrow_schema reads the schema of a record batch (format "+s"). It takes the struct over
/// and releases it, also when it fails with kMalformedBatch or kColumnType.
Result<std::shared_ptr<const Schema>> import_arrow_schema(ArrowSchema* schema,
                                                          const ArrowImport& options = {});

/// import_arrow_batch makes a batch of an array whose schema was imported. It takes the struct
/// over, also when it fails with kMalformedBatch; the array is released with the batch.
Result<RecordBatch> import_arrow_batch(std::shared_ptr<const Schema> schema, ArrowArray* array);

/// ArrowStream reads the batches of an Arrow C stream. One thread at a time.
class ArrowStream {
 public:
  /// open takes the struct over, also when it fails (kQuery with the producer's text, or as
  /// import_arrow_schema()).
  static Result<ArrowStream> open(ArrowArrayStream* stream, const ArrowImport& options = {});
  ArrowStream(ArrowStream&&) noexcept = default;
  ArrowStream& operator=(ArrowStream&&) noexcept = default;

  const std::shared_ptr<const Schema>& schema() const { return schema_; }
  /// next returns the next batch, or nothing at the end. An error of the producer is kQuery with
  /// its text.
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
