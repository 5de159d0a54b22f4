#pragma once
// The parts of every codec of a column: a Block of rows, the Faults found in it, and FieldCodec,
// the pair measure → write.
//
// measure() reads every row of a block and may find faults; write() stores the fields of a prefix
// of the measured block and cannot fail. Between the two a codec keeps its results (validity,
// converted values), so a codec belongs to one column of one encoder and is not thread-safe.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <pgproto/bytes.h>

#include <pgsink/record_batch.h>

namespace pgsink::encode {

/// kBlockRowsMax bounds the rows that one pass over a column handles, so that data shared by the
/// passes (cursors, converted values, the output) stays in the first-level cache.
inline constexpr size_t kBlockRowsMax = 256;

/// kFieldBytesMax is the server's limit of one field (MaxAllocSize, minus a varlena header).
inline constexpr size_t kFieldBytesMax = 0x3fffffff - 4;

/// kLengthBytes come before every field.
inline constexpr size_t kLengthBytes = 4;

/// Block names at most kBlockRowsMax rows of a column: `count` rows from `first`, or those listed.
struct Block {
  size_t first = 0;
  size_t count = 0;
  const uint32_t* indexes = nullptr;

  size_t row(size_t i) const { return indexes == nullptr ? first + i : indexes[i]; }
};

/// The SQLSTATEs of rejected values, with the server's names.
namespace sqlstate {
inline constexpr std::string_view kStringTooLong = "22001", kNumberOutOfRange = "22003",
                                  kNullNotAllowed = "22004", kNotNullViolation = "23502",
                                  kDatetimeFormat = "22007", kDatetimeOverflow = "22008",
                                  kIntervalOverflow = "22015", kEncoding = "22021",
                                  kInvalidText = "22P02", kUntranslatable = "22P05",
                                  kArrayShape = "2202E", kNameTooLong = "42622",
                                  kProgramLimit = "54000", kStringLengthMismatch = "22026",
                                  kRangeOrder = "22000", kXmlContent = "2200N";
}  // namespace sqlstate

/// Fault says why a value cannot become the column's type. The text follows "column C: ".
struct Fault {
  std::string_view sqlstate;
  std::string message;
};

/// RowFault is the fault of one row of a block.
struct RowFault {
  size_t position = 0;  ///< Index in the block.
  Fault fault;
};
using FaultList = std::vector<RowFault>;

class FixedField;
struct RowPart;

/// FieldCodec turns one column into fields: int32 length (-1 for NULL) and value.
class FieldCodec {
 public:
  FieldCodec() = default;
  FieldCodec(const FieldCodec&) = delete;
  FieldCodec& operator=(const FieldCodec&) = delete;
  virtual ~FieldCodec() = default;

  /// measure returns the size that every field of the block has (length word included) if they all
  /// have the same; otherwise it adds each row's size to row_bytes[0 … block.count) and returns 0.
  /// Rows with a fault are appended to `faults` (of several for one row the first counts); the
  /// block must not be written then. `block` and `column` must stay as they are until the last
  /// write.
  virtual size_t measure(const ColumnView& column, const Block& block, size_t* row_bytes,
                         FaultList& faults) = 0;

  /// write_strided stores the first `count` fields `stride` bytes apart, if measure() returned a
  /// size. Unless `exact`, up to 3 bytes after each field may be overwritten.
  virtual void write_strided(std::byte* to, size_t stride, size_t count, bool exact) = 0;

  /// write_at stores the first `count` fields at rows[i] + offset, if measure() returned a size.
  virtual void write_at(std::byte* const* rows, size_t offset, size_t count, bool exact) = 0;

  /// write_moving stores the first `count` fields at rows[i] + offset and moves rows[i] after them.
  /// It works whatever measure() returned.
  virtual void write_moving(std::byte** rows, size_t offset, size_t count) = 0;

  /// defer_checks lets a codec check the bytes of its values only while it writes them. verify()
  /// returns its findings; until then nothing that was written may be sent. Call it only if the
  /// owner of the codec calls verify().
  virtual void defer_checks() {}
  /// verify appends the faults of the first `count` rows, which have been written.
  virtual void verify(size_t count, FaultList& faults) {
    static_cast<void>(count);
    static_cast<void>(faults);
  }

  /// leave_documents_to_server says whether texts that should be JSON or XML go to the server
  /// unchecked, which rejects those that are not. False if the codec has no such texts, or always
  /// checks them.
  virtual bool leave_documents_to_server(bool leave) {
    static_cast<void>(leave);
    return false;
  }

  /// use_portable_code forbids code that needs a specific processor; for tests and comparisons.
  virtual void use_portable_code() {}

  /// row_part is what RowWriter needs to write the fields of the measured block. Always null if
  /// only the codec itself can write them.
  virtual const RowPart* row_part() const { return nullptr; }

  /// This codec, if its values have a fixed width and are in Lanes.
  virtual FixedField* as_fixed() { return nullptr; }
};

using CodecPointer = std::unique_ptr<FieldCodec>;

/// bits_all_set says whether bits [from, from + count) are all one; least significant bit first.
bool bits_all_set(const uint8_t* bits, size_t from, size_t count);
/// expand_bits writes bits [from, from + count) as bytes 0 or 1; may write up to 7 bytes more.
void expand_bits(const uint8_t* bits, size_t from, size_t count, uint8_t* to);

/// kFlagBytes is the room that expand_bits needs for a block.
inline constexpr size_t kFlagBytes = kBlockRowsMax + 8;

/// load_validity returns null if no row of the block is NULL, else `scratch` (kFlagBytes) filled
/// with one byte a row, 0 for NULL.
const uint8_t* load_validity(const ColumnView& column, const Block& block, uint8_t* scratch);

/// value_at points at the value of a row; not for kBoolBits.
inline const std::byte* value_at(const ColumnView& column, size_t row) {
  return static_cast<const std::byte*>(column.values) +
         static_cast<ptrdiff_t>(row) * column.stride_bytes;
}

template <class T>
inline T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

template <class T>
inline void store(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof(T));
}

/// for_each_value calls f(position, value) for every row of a block, NULL or not.
template <class T, class F>
inline void for_each_value(const ColumnView& column, const Block& block, F&& f) {
  if (block.indexes != nullptr) {
    for (size_t i = 0; i < block.count; ++i) f(i, load<T>(value_at(column, block.indexes[i])));
    return;
  }
  const std::byte* from = value_at(column, block.first);
  if (column.stride_bytes == static_cast<ptrdiff_t>(sizeof(T))) {
    for (size_t i = 0; i < block.count; ++i) f(i, load<T>(from + i * sizeof(T)));
    return;
  }
  for (size_t i = 0; i < block.count; ++i, from += column.stride_bytes) f(i, load<T>(from));
}

}  // namespace pgsink::encode
