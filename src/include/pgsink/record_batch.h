#pragma once
// RecordBatch: rows as columns, in memory that stays where it is. A column is a view with a stride,
// so the encoder reads an Arrow column, a std::vector<double> and the member &Trade::price of a
// std::span<Trade> in the same way, and nothing is copied before the COPY buffer.
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

#include <pgsink/dead_letter.h>

namespace pgsink {

using pgproto::Errc;
using pgproto::Error;
using pgproto::fail;
using pgproto::Result;
using pgproto::Status;

/// ColumnKind says how the values of a column are stored, and what they mean.
enum class ColumnKind : uint8_t {
  kNull,       ///< No values: every row is NULL.
  kBoolBits,   ///< One bit per value, least significant first (Arrow).
  kBoolBytes,  ///< One byte per value, 0 or 1 (C++ bool).
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
  kDecimal256,  ///< Two's complement, `scale` digits after the decimal point.
  kDate32,      ///< int32 days since 1970-01-01
  kDate64,      ///< int64 milliseconds since 1970-01-01
  kDays64,      ///< int64 days since 1970-01-01 (std::chrono::days of libstdc++)
  kTime32,
  kTime64,     ///< int32/int64 of `unit` since midnight
  kTimestamp,  ///< int64 of `unit` since 1970-01-01; an instant if `utc`, otherwise a local time
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
  kFixedBinary,  ///< `width` bytes per value
  kUuid,         ///< 16 bytes per value, in RFC 9562 order
  kStdString,
  kStdStringView,  ///< C++ objects at `values` with `stride_bytes`
  kStdBytes,       ///< C++ vectors of std::byte at `values`, read by `read_list`
  kList32,
  kList64,      ///< int32/int64 offsets into children[0]
  kFixedList,   ///< `width` elements of children[0] per value
  kStdVector,   ///< C++ vectors at `values`; `read_list` returns where their elements are
  kStruct,      ///< children by position, with its own validity
  kMap,         ///< as kList32 of kStruct(key, value)
  kDictionary,  ///< integer indexes (kind `index_kind`) into children[0]
};

/// TimeUnit is the unit of times, timestamps and durations.
enum class TimeUnit : uint8_t { kSecond, kMilli, kMicro, kNano };

/// Field names and types one column of the input.
struct Field {
  std::string name;  ///< The table's column of that name receives the values.
  ColumnKind kind = ColumnKind::kNull;
  TimeUnit unit = TimeUnit::kMicro;  ///< Of times, timestamps and durations.
  bool utc = false;                  ///< kTimestamp: instants in UTC, not local times.
  int32_t scale = 0;                 ///< Decimals: digits after the decimal point.
  int32_t precision = 0;             ///< Decimals: all digits.
  /// kFixedBinary: bytes; kFixedList: elements; 1 for a list view; for a dictionary made of runs
  /// the bytes of a run's end.
  int32_t width = 0;
  ColumnKind index_kind = ColumnKind::kInt32;  ///< kDictionary: the kind of the indexes.
  /// The text is JSON already (Arrow extension arrow.json, DuckDB's JSON).
  bool json = false;
  /// The text is a JSON value that is written as the value it means: into a text column a string
  /// goes without its quotes, into an array column a JSON array goes as an array, and null is NULL.
  bool json_value = false;
  /// The largest number of a date or timestamp means infinity, and its negative -infinity (DuckDB).
  /// Otherwise these are ordinary numbers.
  bool infinities = false;
  std::vector<Field> children;  ///< Elements of lists, members of structs, values of a dictionary.
};

using Schema = std::vector<Field>;

/// ListSpan says where the elements of one C++ list object are.
struct ListSpan {
  const void* data = nullptr;
  size_t count = 0;
};

/// ColumnView points at the values of one column of one batch. It owns nothing.
struct ColumnView {
  ColumnKind kind = ColumnKind::kNull;
  const void* values = nullptr;  ///< The first value, offset, view or index (see ColumnKind).
  ptrdiff_t stride_bytes = 0;    ///< Bytes from one value to the next; unused for kBoolBits.
  const void* heap = nullptr;  ///< The base of the offsets of kText and kBinary, and the counts of
                               ///< a list view.
  const void* const* heaps = nullptr;  ///< The buffers that k…View refer to.
  /// The first bit (kBoolBits) or element (offsets, validity bits) that belongs to row 0.
  int64_t offset = 0;
  /// Bits that are set for rows that are not NULL, least significant first, from bit `offset`; or
  /// nullptr if no row is NULL, or with …
  const uint8_t* validity_bits = nullptr;
  /// … one byte per row, 0 for NULL (the flag of std::optional), `validity_stride_bytes` apart.
  const uint8_t* validity_bytes = nullptr;
  ptrdiff_t validity_stride_bytes = 0;
  /// Only for kStdVector and kStdBytes: reads the object. Then `values` and `validity_bytes` of
  /// children[0] are offsets into an element, not addresses.
  ListSpan (*read_list)(const void* object) = nullptr;
  std::vector<ColumnView> children;
};

/// RowRange is the rows [begin, begin + count) of a batch, or, with `indexes`, the rows that
/// indexes[begin … begin + count) name.
struct RowRange {
  size_t begin = 0;
  size_t count = 0;
  const uint32_t* indexes = nullptr;
};

/// HostPosition is a position of the host (RecordBatch::position), and what the host stored with
/// it.
struct HostPosition {
  HostPosition(uint64_t at = 0, std::string proof_of_rows = {})  // NOLINT: a number is a position
      : position(at), proof(std::move(proof_of_rows)) {}

  uint64_t position = 0;
  std::string proof;  ///< RecordBatch::position_proof; "" if the host gave none.

  bool operator==(const HostPosition&) const = default;
};

/// The input column of a changelog (write_mode = changelog) that names the columns whose values a
/// row leaves unchanged: a text, in each row a JSON array of names of input columns, for example
/// ["body","notes"], or NULL for a row that has all its values. What a row has in the columns that
/// it names is not looked at. It updates the others; without a row of that key in the table, it is
/// rejected. A row that inserts ("I") and has unchanged columns is a row that got another key:
/// where it comes directly after the delete ("D") of the old key, in the same batch, the table's
/// row moves to the new key and keeps its other values. It never fills a column of the table.
inline constexpr std::string_view kUnchangedColumn = "_unchanged";

/// RecordBatch is a number of rows with the memory that holds them. Movable. Destroying the batch
/// gives the memory back: the release function runs once. The sink does so when the rows are
/// durable. Until then the host must not change it.
class RecordBatch {
 public:
  using Release = std::function<void()>;

  RecordBatch() = default;
  /// `memory_bytes` is the memory of these rows, as counted against buffer_bytes.
  RecordBatch(std::shared_ptr<const Schema> schema, std::vector<ColumnView> columns,
              size_t row_count, size_t memory_bytes, Release release);
  RecordBatch(RecordBatch&& other) noexcept;
  RecordBatch& operator=(RecordBatch&& other) noexcept;
  ~RecordBatch();

  /// row_count is the number of rows.
  size_t row_count() const { return row_count_; }
  /// memory_bytes is the memory of the rows, as counted against buffer_bytes.
  size_t memory_bytes() const { return memory_bytes_; }
  /// schema has a field for each column.
  const std::shared_ptr<const Schema>& schema() const { return schema_; }
  /// columns are the views, in the order of the schema. Valid as long as the batch.
  std::span<const ColumnView> columns() const { return columns_; }

  /// The stream that the rows belong to, for sinks with the option `streams`: Sink::claim() has
  /// claimed it, and `position` is that in the stream. "" otherwise.
  std::string stream;
  /// The host's position after the last row. It is reported back once every row up to it is
  /// durable.
  uint64_t position = 0;
  /// What the host wants to know with that position in its next run, for example a digest of all
  /// rows up to it (RowDigest). It is stored with the position where delivery is exactly once or
  /// two-phase, and returned by Sink::resume_points(). At most kProofBytesMax printable ASCII
  /// characters, which pgsink does not interpret.
  std::string position_proof;
  /// Input of the stream up to `position` that never became rows, for sinks with the option
  /// `streams`: it becomes dead letters in the transaction that moves the position. (Sink::reject()
  /// writes them in a transaction of their own.)
  std::vector<RejectedInput> rejected;
  /// The largest size of position_proof, in bytes.
  static constexpr size_t kProofBytesMax = 64;
  /// host_position is `position` with `position_proof`.
  HostPosition host_position() const { return {position, position_proof}; }

 private:
  std::shared_ptr<const Schema> schema_;
  std::vector<ColumnView> columns_;
  size_t row_count_ = 0;
  size_t memory_bytes_ = 0;
  Release release_;
};

}  // namespace pgsink
