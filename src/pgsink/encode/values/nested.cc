#include "pgsink/encode/values/nested.h"

#include <array>

#include "pgsink/encode/base/valid_rows.h"

namespace pgsink::encode {
namespace {

template <class Offset>
ListItems offset_items(const ColumnView& column, size_t row) {
  const std::byte* const at = value_at(column, row);
  const auto first = static_cast<size_t>(load<Offset>(at));
  const auto end = static_cast<size_t>(load<Offset>(at + sizeof(Offset)));
  return {&column.children[0], first, end - first};
}

template <class Offset>
ListItems view_items(const ColumnView& column, size_t row) {
  const auto* const counts = static_cast<const std::byte*>(column.heap);
  return {&column.children[0], static_cast<size_t>(load<Offset>(value_at(column, row))),
          static_cast<size_t>(load<Offset>(counts + row * sizeof(Offset)))};
}

template <class Offset>
void offset_counts(const ColumnView& column, const Block& block, uint32_t* firsts,
                   uint32_t* counts) {
  const std::byte* const at = value_at(column, block.first);
  const auto begin = load<Offset>(at);
  for (size_t i = 0; i < block.count; ++i) {
    const auto first = load<Offset>(at + i * sizeof(Offset));
    const auto end = load<Offset>(at + (i + 1) * sizeof(Offset));
    firsts[i] = static_cast<uint32_t>(first - begin);
    counts[i] = static_cast<uint32_t>(end - first);
  }
}

/// DictionaryField passes blocks of the dictionary's rows to the codec of its values.
class DictionaryField final : public FieldCodec {
 public:
  DictionaryField(ColumnKind index_kind, CodecPointer values)
      : index_kind_(index_kind), values_(std::move(values)) {}

  size_t measure(const ColumnView& column, const Block& block, size_t* row_bytes,
                 FaultList& faults) override {
    valid_.begin(column, block);
    const Block& rows = valid_.block();
    for (size_t i = 0; i < rows.count; ++i) {
      rows_[i] = static_cast<uint32_t>(dictionary_row(column, index_kind_, rows.row(i)));
    }
    const Block entries{0, rows.count, rows_.data()};
    if (valid_.all()) {
      return values_->measure(column.children[0], entries, row_bytes, faults);
    }
    measure_some(column.children[0], entries, row_bytes, faults);
    for (size_t i = 0; i < block.count; ++i) {
      if (!valid_.is_valid(i)) row_bytes[i] += kLengthBytes;
    }
    return 0;
  }

  void use_portable_code() override { values_->use_portable_code(); }

  // measure() has returned a size only if there is no NULL.
  void write_strided(std::byte* to, size_t stride, size_t count, bool exact) override {
    values_->write_strided(to, stride, count, exact);
  }
  void write_at(std::byte* const* rows, size_t offset, size_t count, bool exact) override {
    values_->write_at(rows, offset, count, exact);
  }
  void write_moving(std::byte** rows, size_t offset, size_t count) override {
    if (valid_.all()) return values_->write_moving(rows, offset, count);
    const size_t used = valid_.gather(rows, offset, count, cursors_.data());
    values_->write_moving(cursors_.data(), 0, used);
    valid_.scatter(cursors_.data(), used, rows);
  }

 private:
  void measure_some(const ColumnView& values, const Block& entries, size_t* row_bytes,
                    FaultList& faults) {
    std::array<size_t, kBlockRowsMax> bytes{};
    const size_t before = faults.size();
    const size_t same = values_->measure(values, entries, bytes.data(), faults);
    for (size_t f = before; f < faults.size(); ++f) {
      faults[f].position = valid_.position(faults[f].position);
    }
    for (size_t i = 0; i < entries.count; ++i) {
      row_bytes[valid_.position(i)] += same != 0 ? same : bytes[i];
    }
  }

  ColumnKind index_kind_;
  CodecPointer values_;
  ValidRows valid_;
  std::array<uint32_t, kBlockRowsMax> rows_{};
  std::array<std::byte*, kBlockRowsMax> cursors_{};
};

}  // namespace

bool is_list_view(const ColumnView& column) {
  const bool list = column.kind == ColumnKind::kList32 || column.kind == ColumnKind::kList64;
  return list && column.heap != nullptr;
}

bool is_list(ColumnKind kind) {
  return kind == ColumnKind::kList32 || kind == ColumnKind::kList64 ||
         kind == ColumnKind::kFixedList || kind == ColumnKind::kStdVector;
}

ListItems list_items(const ColumnView& column, size_t row, int32_t width, ColumnView& scratch) {
  if (is_list_view(column)) {
    return column.kind == ColumnKind::kList32 ? view_items<int32_t>(column, row)
                                              : view_items<int64_t>(column, row);
  }
  switch (column.kind) {
    case ColumnKind::kList32:
    case ColumnKind::kMap:
      return offset_items<int32_t>(column, row);
    case ColumnKind::kList64:
      return offset_items<int64_t>(column, row);
    case ColumnKind::kFixedList: {
      const auto count = static_cast<size_t>(width);
      return {&column.children[0], row * count, count};
    }
    default:
      break;
  }
  PGPROTO_ASSERT(column.kind == ColumnKind::kStdVector);
  const ListSpan span = column.read_list(value_at(column, row));
  const ColumnView& element = column.children[0];
  if (scratch.kind != element.kind || scratch.stride_bytes != element.stride_bytes) {
    scratch = element;
  }
  if (span.count == 0) return {&scratch, 0, 0};  // Its address may be null.
  const auto* const data = static_cast<const std::byte*>(span.data);
  scratch.values = data + reinterpret_cast<uintptr_t>(element.values);
  if (element.validity_stride_bytes != 0) {
    scratch.validity_bytes = reinterpret_cast<const uint8_t*>(data) +
                             reinterpret_cast<uintptr_t>(element.validity_bytes);
  }
  return {&scratch, 0, span.count};
}

void list_counts(const ColumnView& column, const Block& block, int32_t width, uint32_t* firsts,
                 uint32_t* counts) {
  if (column.kind == ColumnKind::kList64) {
    return offset_counts<int64_t>(column, block, firsts, counts);
  }
  if (column.kind != ColumnKind::kFixedList) {
    return offset_counts<int32_t>(column, block, firsts, counts);
  }
  const auto count = static_cast<uint32_t>(width);
  for (size_t i = 0; i < block.count; ++i) {
    firsts[i] = static_cast<uint32_t>(i) * count;
    counts[i] = count;
  }
}

size_t dictionary_row(const ColumnView& column, ColumnKind index_kind, size_t row) {
  const std::byte* const at = value_at(column, row);
  switch (index_kind) {
    case ColumnKind::kInt8:
    case ColumnKind::kUint8:
      return load<uint8_t>(at);
    case ColumnKind::kInt16:
    case ColumnKind::kUint16:
      return load<uint16_t>(at);
    case ColumnKind::kInt32:
    case ColumnKind::kUint32:
      return load<uint32_t>(at);
    default:
      return static_cast<size_t>(load<uint64_t>(at));
  }
}

CodecPointer dictionary_field(const Field& source, CodecPointer values) {
  return std::make_unique<DictionaryField>(source.index_kind, std::move(values));
}

}  // namespace pgsink::encode
