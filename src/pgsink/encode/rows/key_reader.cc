#include "pgsink/encode/rows/key_reader.h"

#include <algorithm>
#include <utility>

#include "pgsink/encode/base/scratch.h"
#include "pgsink/encode/rows/column_codec.h"

namespace pgsink {
namespace {

using encode::Block;
using encode::kLengthBytes;

static_assert(KeyReader::kRowsMax <= encode::kBlockRowsMax);

}  // namespace

struct KeyReader::State {
  encode::ColumnCodec column;
  encode::FaultList faults;
  encode::Scratch fields;
  std::array<size_t, kRowsMax> row_bytes{};
  std::array<std::byte*, kRowsMax> cursors{};
  std::array<size_t, kRowsMax> begins{};  ///< Of the fields, in `fields`.
  Values values{};

  bool append(const ColumnView& view, const Block& block, size_t at);
};

/// Adds the block's fields, the first of them as number `at`; false if a row of it has a fault.
bool KeyReader::State::append(const ColumnView& view, const Block& block, size_t at) {
  std::fill_n(row_bytes.begin(), block.count, 0);
  const size_t constant = column.codec->measure(view, block, row_bytes.data(), faults);
  if (!faults.empty()) {
    faults.clear();
    return false;
  }
  if (constant != 0) std::fill_n(row_bytes.begin(), block.count, constant);
  size_t end = fields.size();
  for (size_t i = 0; i < block.count; ++i) {
    begins[at + i] = end;
    end += row_bytes[i];
  }
  fields.grow(end - fields.size());
  for (size_t i = 0; i < block.count; ++i) cursors[i] = fields.data() + begins[at + i];
  column.codec->write_moving(cursors.data(), 0, block.count);
  std::fill_n(values.size.begin() + static_cast<ptrdiff_t>(at), block.count, 0);
  return true;
}

KeyReader::KeyReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
KeyReader::KeyReader(KeyReader&&) noexcept = default;
KeyReader& KeyReader::operator=(KeyReader&&) noexcept = default;
KeyReader::~KeyReader() = default;

Result<KeyReader> KeyReader::create(const EncodeColumn& column, const pgproto::TypeMap& types) {
  auto made = encode::make_column_codec(column, types);
  if (!made) return pgproto::fail(std::move(made.error()));
  auto state = std::make_unique<State>();
  state->column = std::move(*made);
  return KeyReader(std::move(state));
}

const KeyReader::Values& KeyReader::read(const RecordBatch& batch, RowRange rows) {
  State& state = *state_;
  const ColumnView& view = batch.columns()[state.column.source_index];
  const size_t count = std::min(rows.count, kRowsMax);
  const uint32_t* const indexes = rows.indexes == nullptr ? nullptr : rows.indexes + rows.begin;
  state.fields.clear();
  if (!state.append(view, {rows.begin, count, indexes}, 0)) {
    // Row by row, to find the rows with a fault.
    state.fields.clear();
    for (size_t i = 0; i < count; ++i) {
      const size_t row = indexes == nullptr ? rows.begin + i : indexes[i];
      if (!state.append(view, {row, 1, nullptr}, i)) state.values.size[i] = kRejected;
    }
  }
  for (size_t i = 0; i < count; ++i) {
    if (state.values.size[i] == kRejected) continue;
    const std::byte* const field = state.fields.data() + state.begins[i];
    state.values.size[i] = pgproto::load_be<int32_t>(field);
    state.values.data[i] = field + kLengthBytes;
  }
  return state.values;
}

}  // namespace pgsink
