#include "pgsink/encode/nested.h"

#include <array>

#include "pgsink/encode/render.h"

namespace pgsink::encode {
namespace {

template <class Offset>
ListItems offset_items(const ColumnView& column, size_t row) {
  const std::byte* const at = value_at(column, row);
  const auto first = static_cast<size_t>(load<Offset>(at));
  const auto end = static_cast<size_t>(load<Offset>(at + sizeof(Offset)));
  return {&column.children[0], first, end - first};
}

/// DictionaryField hands blocks of the dictionary's rows to the codec of its values. NULL rows, and
/// rows that refer to a NULL entry, are written here.
class DictionaryField final : public FieldCodec {
 public:
  DictionaryField(ColumnKind index_kind, CodecPointer values)
      : index_kind_(index_kind), values_(std::move(values)) {}

  size_t measure(const ColumnView& column, const Block& block, size_t* row_bytes,
                 FaultList& faults) override {
    valid_ = load_validity(column, block, valid_scratch_.data());
    size_t count = 0;
    for (size_t i = 0; i < block.count; ++i) {
      if (valid_ != nullptr && valid_[i] == 0) continue;
      positions_[count] = static_cast<uint16_t>(i);
      rows_[count++] = static_cast<uint32_t>(dictionary_row(column, index_kind_, block.row(i)));
    }
    if (valid_ == nullptr) {
      return values_->measure(column.children[0], {0, count, rows_.data()}, row_bytes, faults);
    }
    return measure_some(column, block, count, row_bytes, faults);
  }

  // measure() has returned a size only if there is no NULL.
  void write_strided(std::byte* to, size_t stride, size_t count, bool exact) override {
    values_->write_strided(to, stride, count, exact);
  }
  void write_at(std::byte* const* rows, size_t offset, size_t count, bool exact) override {
    values_->write_at(rows, offset, count, exact);
  }
  void write_moving(std::byte** rows, size_t offset, size_t count) override {
    if (valid_ == nullptr) return values_->write_moving(rows, offset, count);
    size_t used = 0;
    for (size_t i = 0; i < count; ++i) {
      if (valid_[i] != 0) {
        cursors_[used++] = rows[i];
      } else {
        store<uint32_t>(rows[i] + offset, ~uint32_t{0});
        rows[i] += offset + kLengthBytes;
      }
    }
    values_->write_moving(cursors_.data(), offset, used);
    for (size_t k = 0; k < used; ++k) rows[positions_[k]] = cursors_[k];
  }

 private:
  size_t measure_some(const ColumnView& column, const Block& block, size_t count, size_t* row_bytes,
                      FaultList& faults) {
    std::array<size_t, kBlockRowsMax> bytes{};
    const size_t faults_before = faults.size();
    const size_t same =
        values_->measure(column.children[0], {0, count, rows_.data()}, bytes.data(), faults);
    for (size_t f = faults_before; f < faults.size(); ++f) {
      faults[f].position = positions_[faults[f].position];
    }
    for (size_t k = 0; k < count; ++k) {
      row_bytes[positions_[k]] += same != 0 ? same : bytes[k];
    }
    for (size_t i = 0; i < block.count; ++i) {
      if (valid_[i] == 0) row_bytes[i] += kLengthBytes;
    }
    return 0;
  }

  ColumnKind index_kind_;
  CodecPointer values_;
  const uint8_t* valid_ = nullptr;
  std::array<uint8_t, kFlagBytes> valid_scratch_;
  std::array<uint32_t, kBlockRowsMax> rows_{};
  std::array<uint16_t, kBlockRowsMax> positions_{};
  std::array<std::byte*, kBlockRowsMax> cursors_{};
};

}  // namespace

bool is_list(ColumnKind kind) {
  return kind == ColumnKind::kList32 || kind == ColumnKind::kList64 ||
         kind == ColumnKind::kFixedList || kind == ColumnKind::kStdVector;
}

ListItems list_items(const ColumnView& column, size_t row, int32_t width, ColumnView& scratch) {
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
  const auto* const data = static_cast<const std::byte*>(span.data);
  scratch.values = data + reinterpret_cast<uintptr_t>(element.values);
  if (element.validity_stride_bytes != 0) {
    scratch.validity_bytes = reinterpret_cast<const uint8_t*>(data) +
                             reinterpret_cast<uintptr_t>(element.validity_bytes);
  }
  return {&scratch, 0, span.count};
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
