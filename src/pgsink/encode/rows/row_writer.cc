#include "pgsink/encode/rows/row_writer.h"

#include <algorithm>

#include "pgsink/encode/rows/fused.h"

namespace pgsink::encode {
namespace {

/// The passes over the columns handle as many rows as take this much: the window of the chunk stays
/// in the first-level cache together with the input.
constexpr size_t kWindowBytes = 8 * 1024;

}  // namespace

std::unique_ptr<RowWriter> RowWriter::plan(std::span<FieldCodec* const> columns) {
  if (!FusedRows::supported()) return nullptr;
  std::unique_ptr<RowWriter> writer(new RowWriter);
  for (FieldCodec* const codec : columns) {
    Column column{codec, nullptr};
    const RowPart* part = codec->row_part();
    if (part == nullptr) {
      column.gap = std::make_unique<Gap>();
      column.gap->part.form = RowPart::Form::kGap;
      column.gap->part.places = column.gap->places.data();
      column.gap->part.sizes = column.gap->sizes.data();
      part = &column.gap->part;
    }
    writer->columns_.push_back(std::move(column));
    writer->parts_.push_back(part);
  }
  return writer;
}

size_t RowWriter::measure(size_t index, const ColumnView& column, const Block& block,
                          size_t* row_bytes, FaultList& faults) {
  const Column& own = columns_[index];
  if (own.gap == nullptr) return own.codec->measure(column, block, row_bytes, faults);
  Gap& gap = *own.gap;
  std::fill_n(gap.sizes.data(), block.count, 0);
  gap.part.gap_bytes = own.codec->measure(column, block, gap.sizes.data(), faults);
  for (size_t i = 0; i < block.count; ++i) row_bytes[i] += gap.sizes[i];
  return gap.part.gap_bytes;
}

bool RowWriter::write(size_t count, size_t same_bytes, const size_t* row_bytes,
                      pgproto::MutableBytes out) {
  bool plain = true;
  std::byte* at = out.data();
  for (size_t first = 0; first < count;) {
    size_t rows = 0;
    for (const std::byte* const end = at + kWindowBytes; first + rows < count && at < end; ++rows) {
      cursors_[rows] = at;
      at += same_bytes + row_bytes[first + rows];
    }
    plain &= row_writer_store(parts_, first, rows, cursors_.data());
    first += rows;
  }
  PGPROTO_ASSERT(at <= out.data() + out.size());
  for (const Column& column : columns_) {
    if (column.gap != nullptr) column.codec->write_moving(column.gap->places.data(), 0, count);
  }
  return plain;
}

}  // namespace pgsink::encode
