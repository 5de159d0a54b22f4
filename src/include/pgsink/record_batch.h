#pragma once
// RecordBatch: rows as columns, in memory that stays where it is. A column is a view with a stride,
// so an Arrow column, a std::vector<double> and the member &Trade::price of a std::span<Trade> are
// the same thing to the encoder, and nothing is copied before the COPY buffer.
//
// Made from C++ structs and vectors by batch_of.h, from Arrow arrays by arrow.h, or by hand.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pgproto/error.h>

namespace pgsink {

using pgproto::Errc;
using pgproto::Error;
using pgproto::fail;
using pgproto::Result;
using pgproto::Status;

/// How the values of a column lie in memory, and what they mean.
enum class ColumnKind : uint8_t {
  kNull,       ///< No values: every row is NULL.
  kBoolBits,   ///< One bit a value, least significant first (Arrow).
  kBoolBytes,  ///< One byte a value, 0 or 1 (C++ bool).
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kUint8,
  kUint16,
  kUint32,
  kUint64,
  kFloat16,
  kFloat32,
  kFloat64,
  kDecimal32,
  kDecimal64,
  kDecimal128,
  kDecimal256,  ///< Two's complement, `scale` digits behind the point.
  kDate32,      ///< int32 days since 1970-01-01
  kDate64,      ///< int64 milliseconds since 1970-01-01
  kDays64,      ///< int64 days since 1970-01-01 (std::chrono::days of libstdc++)
  kTime32,
  kTime64,     ///< int32/int64 of `unit` since midnight
  kTimestamp,  ///< int64 of `unit` since 1970-01-01; `utc` says an instant, otherwise a local time
  kDuration,   ///< int64 of `unit`
  kIntervalMonths,         ///< int32
  kIntervalDayTime,        ///< int32 days, int32 milliseconds
  kIntervalMonthDayNano,   ///< int32 months, int32 days, int64 nanoseconds
  kIntervalMonthDayMicro,  ///< int32 months, int32 days, int64 microseconds
  kText32,
  kText64,
  kBinary32,
  kBinary64,  ///< int32/int64 offsets into `heap`
  kTextView,
  kBinaryView,   ///< Arrow's 16-byte views; `heaps` are the variadic buffers
  kFixedBinary,  ///< `width` bytes a value
  kUuid,         ///< 16 bytes a value, in RFC 9562 order
  kStdString,
  kStdStringView,  ///< C++ objects at `values` with `stride_bytes`
  kStdBytes,       ///< C++ vectors of std::byte at `values`, read by `read_list`
  kList32,
  kList64,      ///< int32/int64 offsets into children[0]
  kFixedList,   ///< `width` elements of children[0] a value
  kStdVector,   ///< C++ vectors at `values`; `read_list` says where their elements are
  kStruct,      ///< children by position; validity of its own
  kMap,         ///< as kList32 of kStruct(key, value)
  kDictionary,  ///< integer indexes (kind `index_kind`) into children[0]
};

enum class TimeUnit : uint8_t { kSecond, kMilli, kMicro, kNano };

/// Field names and types one column of the input.
struct Field {
  std::string name;
  ColumnKind kind = ColumnKind::kNull;
  TimeUnit unit = TimeUnit::kMicro;
  bool utc = false;
  int32_t scale = 0;
  int32_t precision = 0;
  int32_t width = 0;  ///< Also: 1 for a list view; of a dictionary made of runs a run end's bytes.
  ColumnKind index_kind = ColumnKind::kInt32;
  /// The text is JSON already (Arrow extension arrow.json, DuckDB's JSON).
  bool json = false;
  /// The text is a JSON value that stands for what it means: into a column of text a string goes
  /// without its quotes, into an array column a JSON array as an array, and null is NULL.
  bool json_value = false;
  /// The largest number of a date or timestamp, and its negative, mean ±infinity (DuckDB).
  /// Otherwise they are numbers like all others.
  bool infinities = false;
  std::vector<Field> children;
};

using Schema = std::vector<Field>;

/// ListSpan is where the elements of one C++ list object are.
struct ListSpan {
  const void* data = nullptr;
  size_t count = 0;
};

/// ColumnView points at the values of one column of one batch; it owns nothing.
struct ColumnView {
  ColumnKind kind = ColumnKind::kNull;
  const void* values = nullptr;        ///< First value, offset, view or index (see ColumnKind).
  ptrdiff_t stride_bytes = 0;          ///< From one value to the next; kBoolBits: unused.
  const void* heap = nullptr;          ///< What kText/kBinary offsets count from; a list view's counts.
  const void* const* heaps = nullptr;  ///< What k…View refer to.
  /// First bit (kBoolBits) or element (offsets, validity bits) that belongs to row 0.
  int64_t offset = 0;
  /// Which rows are not NULL: nullptr says all. Bits least significant first, from bit `offset`; …
  const uint8_t* validity_bits = nullptr;
  /// … or one byte a row, 0 for NULL (std::optional's flag), `validity_stride_bytes` apart.
  const uint8_t* validity_bytes = nullptr;
  ptrdiff_t validity_stride_bytes = 0;
  /// Only of kStdVector and kStdBytes: reads the object. `values` and `validity_bytes` of
  /// children[0] are then offsets into an element, not addresses.
  ListSpan (*read_list)(const void* object) = nullptr;
  std::vector<ColumnView> children;
};

/// RowRange is rows [begin, begin + count) of a batch, or, with `indexes`, the rows that
/// indexes[begin … begin + count) name.
struct RowRange {
  size_t begin = 0;
  size_t count = 0;
  const uint32_t* indexes = nullptr;
};

/// HostPosition is a position of the host's (RecordBatch::position), and what the host stored with
/// it.
struct HostPosition {
  HostPosition(uint64_t at = 0, std::string proof_of_rows = {})  // NOLINT: a number is a position
      : position(at), proof(std::move(proof_of_rows)) {}

  uint64_t position = 0;
  std::string proof;  ///< RecordBatch::position_proof; "" if the host gave none.

  bool operator==(const HostPosition&) const = default;
};

/// RecordBatch is a number of rows with the memory that holds them. Movable; the memory is given
/// back (the release function runs once) when the batch is destroyed, which the sink does when its
/// rows are durable. A host that lends memory must not change it before.
class RecordBatch {
 public:
  using Release = std::function<void()>;

  RecordBatch() = default;
  /// `memory_bytes` is what these rows hold, as counted against buffer_bytes.
  RecordBatch(std::shared_ptr<const Schema> schema, std::vector<ColumnView> columns,
              size_t row_count, size_t memory_bytes, Release release);
  RecordBatch(RecordBatch&& other) noexcept;
  RecordBatch& operator=(RecordBatch&& other) noexcept;
  ~RecordBatch();

  size_t row_count() const { return row_count_; }
  size_t memory_bytes() const { return memory_bytes_; }
  const std::shared_ptr<const Schema>& schema() const { return schema_; }
  std::span<const ColumnView> columns() const { return columns_; }

  /// The host's position behind the last row, reported back once every row up to it is durable.
  uint64_t position = 0;
  /// What the host wants to know with that position in its next run, for example a digest of all
  /// rows up to it (RowDigest): it is stored with the position where delivery is exactly once or
  /// two-phase, and given back by Sink::resume_points(). At most kProofBytesMax printable ASCII
  /// characters; pgsink does not look at it.
  std::string position_proof;
  static constexpr size_t kProofBytesMax = 64;
  HostPosition host_position() const { return {position, position_proof}; }

 private:
  std::shared_ptr<const Schema> schema_;
  std::vector<ColumnView> columns_;
  size_t row_count_ = 0;
  size_t memory_bytes_ = 0;
  Release release_;
};

}  // namespace pgsink
