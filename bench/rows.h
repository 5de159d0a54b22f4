#pragma once
// The rows of the benchmarks: the same values twice, as an array of structs for a writer that goes
// row by row, and as columns in Arrow's layout (bits for booleans and NULLs, offsets and a heap for
// text) for pgsink. Both are made before anything is measured.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <pgsink/record_batch.h>

namespace pgsink::bench {

/// Rows is a data set that both writers can write.
class Rows {
 public:
  virtual ~Rows() = default;

  virtual std::string_view name() const = 0;
  /// The column list of CREATE TABLE.
  virtual std::string_view table_columns() const = 0;
  virtual size_t row_count() const = 0;
  /// What the rows hold as columns, in bytes.
  virtual size_t column_bytes() const = 0;
  virtual const std::shared_ptr<const Schema>& schema() const = 0;
  /// Rows [begin, begin + count) as a batch that lends the columns.
  virtual RecordBatch batch(size_t begin, size_t count) const = 0;
  /// The rival: encodes rows [row, …) up to `end` as binary COPY tuples, one row after the other,
  /// until less than kRowBytesMax of `out` is left. Advances `row`; returns the bytes written.
  virtual size_t encode_rows(size_t& row, size_t end, std::span<std::byte> out) const = 0;

  /// Reads a byte of every page that holds rows. After fork() the kernel has marked each page of
  /// the child as never used, and the first use of each costs the processor half a microsecond,
  /// which is more than encoding its rows does: a host, which has just made its rows, never pays.
  void touch() const;

  /// No row is longer than this in binary COPY.
  static constexpr size_t kRowBytesMax = 1024;

 protected:
  using Memory = std::vector<std::span<const std::byte>>;
  /// Where the rows are, as structs and as columns.
  virtual Memory memory() const = 0;
};

/// Nulls says what the validity bitmaps of the columns hold.
enum class Nulls : uint8_t {
  kNoBitmap,  ///< There are none.
  kNone,      ///< Every column has one, every bit is set.
  kSome,      ///< Every column but the first has 5 % NULL.
};

/// int8, timestamptz, float8, bool, int4: 51 bytes a row in binary COPY.
std::unique_ptr<Rows> make_narrow_rows(size_t count, Nulls nulls = Nulls::kNoBitmap);

/// int8, uuid, text of 16 to 32, jsonb of about 126, numeric(18,4), timestamptz, float8[4], int4
/// with every fifth NULL: about 302 bytes a row.
std::unique_ptr<Rows> make_mixed_rows(size_t count);

/// Four text of 180 to 220: about 818 bytes a row.
std::unique_ptr<Rows> make_wide_rows(size_t count);

}  // namespace pgsink::bench
