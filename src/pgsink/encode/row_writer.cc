#include "pgsink/encode/row_writer.h"

#include <algorithm>

#include "pgsink/encode/fused.h"

namespace pgsink::encode {

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

bool RowWriter::write(size_t count, size_t same_bytes, const size_t* row_bytes, size_t bytes,
                      pgproto::MutableBytes out) {
  size_t loose = count;
  for (size_t end = bytes; loose > 0 && end + kRowSpillBytes > out.size(); --loose) {
    end -= same_bytes + row_bytes[loose - 1];
  }
  bool plain = true;
  std::byte* at = row_writer_store(parts_, 0, loose, false, out.data(), plain);
  at = row_writer_store(parts_, loose, count, true, at, plain);
  PGPROTO_ASSERT(at == out.data() + bytes);
  for (const Column& column : columns_) {
    if (column.gap != nullptr) column.codec->write_moving(column.gap->places.data(), 0, count);
  }
  return plain;
}

}  // namespace pgsink::encode
