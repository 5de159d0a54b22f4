#include "pgsink/encode/rows/column_arrays.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#include "pgsink/encode/base/scratch.h"
#include "pgsink/encode/rows/column_codec.h"

namespace pgsink {
namespace {

using encode::Block;
using encode::kBlockRowsMax;

constexpr size_t kHeaderBytes = 20;
constexpr size_t kSpareParts = 4;  ///< Of what is expected, one part more is reserved.
constexpr size_t kLengthAt = 12;   ///< Where the header has the number of elements.

}  // namespace

struct ColumnArrays::State {
  struct Column : encode::ColumnCodec {
    encode::Scratch bytes{};
  };

  std::vector<Column> columns;
  size_t row_count = 0;
  size_t rows_expected = 0;
  encode::FaultList faults;
  std::array<size_t, kBlockRowsMax> row_bytes{};
  std::array<std::byte*, kBlockRowsMax> cursors{};
  std::array<uint32_t, kBlockRowsMax> survivors{};

  void begin();
  bool attempt(const RecordBatch& batch, const Block& block, std::vector<Rejection>& rejections);
  void write(Column& column, size_t constant, size_t count);
  void make_room(Column& column, size_t bytes, size_t count);
  void append(const RecordBatch& batch, Block block, std::vector<Rejection>& rejected);
};

void ColumnArrays::State::begin() {
  row_count = rows_expected = 0;
  for (Column& column : columns) {
    column.bytes.clear();
    column.bytes.put<int32_t>(1);  // dimensions
    column.bytes.put<int32_t>(1);  // may hold NULLs
    column.bytes.put(column.wire_oid);
    column.bytes.put<int32_t>(0);  // elements: known in the end
    column.bytes.put<int32_t>(1);  // lower bound
  }
}

/// Before a column is to grow by `bytes` for `count` rows.
void ColumnArrays::State::make_room(Column& column, size_t bytes, size_t count) {
  if (rows_expected <= row_count + count) return;
  const size_t used = column.bytes.size() - kHeaderBytes + bytes;
  // More, because the rows to come may be longer, and the next flight larger: to allocate again
  // would leave a hole. What is not used takes no memory.
  const size_t bytes_each = used / (row_count + count) + 1;
  const size_t expected = kHeaderBytes + bytes_each * rows_expected;
  if (expected <= column.bytes.capacity()) return;
  column.bytes.reserve(expected + expected / kSpareParts);
}

/// Stores the fields of a block that was just measured, one after the other.
void ColumnArrays::State::write(Column& column, size_t constant, size_t count) {
  if (constant != 0) {
    make_room(column, constant * count, count);
    column.codec->write_strided(column.bytes.grow(constant * count), constant, count, true);
    return;
  }
  const size_t total = std::accumulate(row_bytes.begin(), row_bytes.begin() + count, size_t{0});
  make_room(column, total, count);
  std::byte* at = column.bytes.grow(total);
  for (size_t i = 0; i < count; ++i) {
    cursors[i] = at;
    at += row_bytes[i];
  }
  column.codec->write_moving(cursors.data(), 0, count);
}

/// Appends a block to every array, or to none and records rejections (by position in the block).
bool ColumnArrays::State::attempt(const RecordBatch& batch, const Block& block,
                                  std::vector<Rejection>& rejections) {
  std::vector<size_t> sizes;
  sizes.reserve(columns.size());
  for (size_t i = 0; i < columns.size(); ++i) {
    Column& column = columns[i];
    sizes.push_back(column.bytes.size());
    std::fill_n(row_bytes.begin(), block.count, 0);
    const size_t constant = column.codec->measure(batch.columns()[column.source_index], block,
                                                  row_bytes.data(), faults);
    if (!faults.empty()) encode::note_faults(faults, i, rejections);
    if (rejections.empty()) write(column, constant, block.count);
  }
  if (rejections.empty()) {
    row_count += block.count;
    return true;
  }
  for (size_t i = 0; i < columns.size(); ++i) columns[i].bytes.truncate(sizes[i]);
  return false;
}

/// A block with rejected rows is tried again without them.
void ColumnArrays::State::append(const RecordBatch& batch, Block block,
                                 std::vector<Rejection>& rejected) {
  std::vector<Rejection> found;
  if (attempt(batch, block, found)) return;
  std::array<bool, kBlockRowsMax> bad{};
  for (const Rejection& rejection : found) bad[rejection.row] = true;
  size_t count = 0;
  for (size_t i = 0; i < block.count; ++i) {
    if (!bad[i]) survivors[count++] = static_cast<uint32_t>(block.row(i));
  }
  std::ranges::sort(found, {}, &Rejection::row);
  for (Rejection& rejection : found) {
    rejection.row = block.row(rejection.row);
    encode::explain_rejection(rejection, columns[rejection.column]);
    rejected.push_back(std::move(rejection));
  }
  found.clear();
  if (count == 0) return;
  [[maybe_unused]] const bool whole = attempt(batch, {0, count, survivors.data()}, found);
  PGPROTO_ASSERT(whole);
}

ColumnArrays::ColumnArrays(std::unique_ptr<State> state) : state_(std::move(state)) {}
ColumnArrays::ColumnArrays(ColumnArrays&&) noexcept = default;
ColumnArrays& ColumnArrays::operator=(ColumnArrays&&) noexcept = default;
ColumnArrays::~ColumnArrays() = default;

Result<ColumnArrays> ColumnArrays::create(const std::vector<EncodeColumn>& columns,
                                          const pgproto::TypeMap& types) {
  auto state = std::make_unique<State>();
  auto made = encode::make_column_codecs(columns, types);
  if (!made) return pgproto::fail(std::move(made.error()));
  for (encode::ColumnCodec& column : *made) state->columns.push_back({std::move(column)});
  state->begin();
  return ColumnArrays(std::move(state));
}

void ColumnArrays::clear() { state_->begin(); }

void ColumnArrays::expect(size_t rows) { state_->rows_expected = rows; }

void ColumnArrays::append(const RecordBatch& batch, RowRange rows,
                          std::vector<Rejection>& rejected) {
  for (size_t done = 0; done < rows.count;) {
    Block block;
    block.count = std::min(rows.count - done, kBlockRowsMax);
    if (rows.indexes != nullptr) {
      block.indexes = rows.indexes + rows.begin + done;
    } else {
      block.first = rows.begin + done;
    }
    state_->append(batch, block, rejected);
    done += block.count;
  }
}

size_t ColumnArrays::row_count() const { return state_->row_count; }

size_t ColumnArrays::largest_bytes() const {
  size_t largest = 0;
  for (const State::Column& column : state_->columns) {
    largest = std::max(largest, column.bytes.size());
  }
  return largest;
}

pgproto::Bytes ColumnArrays::array(size_t column) {
  encode::Scratch& bytes = state_->columns[column].bytes;
  PGPROTO_ASSERT(bytes.size() >= kHeaderBytes);
  pgproto::store_be(bytes.data() + kLengthAt, static_cast<int32_t>(state_->row_count));
  return bytes.bytes_from(0);
}

pgproto::Bytes ColumnArrays::fields(size_t column) const {
  return state_->columns[column].bytes.bytes_from(kHeaderBytes);
}

namespace {

/// The fields of one column, all of one length.
class OrderedFields {
 public:
  /// `key` has the fields of `rows` rows, at least one.
  OrderedFields(pgproto::Bytes key, size_t rows, bool is_signed)
      : at_(key.data()), stride_(key.size() / rows), is_signed_(is_signed) {
    const auto length = static_cast<int32_t>(stride_ - encode::kLengthBytes);
    one_length_ = key.size() % rows == 0;
    for (size_t i = 0; i < rows && one_length_; ++i) {
      one_length_ = pgproto::load_be<int32_t>(at_ + i * stride_) == length;
    }
  }
  bool have_one_length() const { return one_length_; }
  /// Below, equal to or above 0, as the value of a row compares with that of the next row.
  int compare_with_next(size_t row) const {
    const std::byte* const value = at_ + row * stride_ + encode::kLengthBytes;
    const std::byte* const next = value + stride_;
    const size_t length = stride_ - encode::kLengthBytes;
    if (is_signed_ && ((value[0] ^ next[0]) & kSign) != std::byte{}) {
      return (value[0] & kSign) != std::byte{} ? -1 : 1;
    }
    return std::memcmp(value, next, length);
  }

 private:
  static constexpr std::byte kSign{0x80};
  const std::byte* at_;
  size_t stride_;
  bool is_signed_, one_length_ = false;
};

}  // namespace

bool ColumnArrays::ascending(std::span<const OrderedField> key) const {
  const size_t rows = row_count();
  if (key.empty()) return false;
  if (rows == 0) return true;
  std::vector<OrderedFields> columns;
  for (const OrderedField& field : key) {
    columns.emplace_back(fields(field.column), rows, field.is_signed);
    if (!columns.back().have_one_length()) return false;
  }
  for (size_t row = 0; row + 1 < rows; ++row) {
    int order = 0;
    for (const OrderedFields& column : columns) {
      order = column.compare_with_next(row);
      if (order != 0) break;
    }
    if (order >= 0) return false;
  }
  return true;
}

}  // namespace pgsink
