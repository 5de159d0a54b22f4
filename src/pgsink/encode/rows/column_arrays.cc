#include "pgsink/encode/rows/column_arrays.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "pgsink/encode/base/scratch.h"
#include "pgsink/encode/rows/column_codec.h"

namespace pgsink {
namespace {

using encode::Block;
using encode::kBlockRowsMax;

constexpr size_t kHeaderBytes = 20;
constexpr size_t kLengthAt = 12;  ///< Where the header has the number of elements.

}  // namespace

struct ColumnArrays::State {
  struct Column : encode::ColumnCodec {
    encode::Scratch bytes{};
  };

  std::vector<Column> columns;
  size_t row_count = 0;
  encode::FaultList faults;
  std::array<size_t, kBlockRowsMax> row_bytes{};
  std::array<std::byte*, kBlockRowsMax> cursors{};
  std::array<uint32_t, kBlockRowsMax> survivors{};

  void begin();
  bool attempt(const RecordBatch& batch, const Block& block, std::vector<Rejection>& rejections);
  void write(Column& column, size_t constant, size_t count);
  void append(const RecordBatch& batch, Block block, std::vector<Rejection>& rejected);
};

void ColumnArrays::State::begin() {
  row_count = 0;
  for (Column& column : columns) {
    column.bytes.clear();
    column.bytes.put<int32_t>(1);  // dimensions
    column.bytes.put<int32_t>(1);  // may hold NULLs
    column.bytes.put(column.wire_oid);
    column.bytes.put<int32_t>(0);  // elements: known in the end
    column.bytes.put<int32_t>(1);  // lower bound
  }
}

/// Stores the fields of a block that was just measured, one after the other.
void ColumnArrays::State::write(Column& column, size_t constant, size_t count) {
  if (constant != 0) {
    column.codec->write_strided(column.bytes.grow(constant * count), constant, count, true);
    return;
  }
  const size_t total = std::accumulate(row_bytes.begin(), row_bytes.begin() + count, size_t{0});
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

}  // namespace pgsink
