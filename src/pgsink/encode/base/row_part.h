#pragma once
// RowPart describes a column's fields of one measured block, so that RowWriter can write them
// without calling the codec.

#include <array>
#include <cstddef>
#include <cstdint>

namespace pgsink::encode {

/// FieldSlot holds a short field, length word included.
struct FieldSlot {
  static constexpr size_t kBytes = 28;
  std::array<std::byte, kBytes> field;
  uint32_t bytes;  ///< Above kBytes: `field` begins with a size_t, the field's offset in the heap.
};

/// RowPart is filled by measure() of the codec that owns it and is valid until its next measure().
struct RowPart {
  enum class Form : uint8_t {
    kNull,    ///< NULL in every row.
    kFixed1,  ///< kFixed…: `values` are Lanes (fixed.h), the number is their width.
    kFixed2,
    kFixed4,
    kFixed8,
    kFixed12,
    kFixed16,
    kText32,  ///< kText…: `values` are offsets into `heap`.
    kText64,
    kViews,   ///< `values` are string views.
    kSlots,   ///< `values` are FieldSlots.
    kStaged,  ///< Whole fields one after the other in `heap`; field i begins at ends[i].
    kRuns,    ///< Arrays of one dimension; their elements are Lanes of `width`.
    kGap,     ///< Written later by the codec itself: the places are recorded.
  };
  Form form = Form::kNull;
  bool checked = false;            ///< kText…, kViews: bytes must be in 1 … 127 or be checked.
  bool version = false;            ///< kText…, kViews: a byte 1 before the value.
  uint8_t width = 0;               ///< Of the elements of kRuns.
  bool equal_runs = false;         ///< kRuns: the same number of elements in every row.
  uint32_t oid = 0;                ///< Of their type.
  const uint8_t* valid = nullptr;  ///< One byte per row, 0 for NULL; null: no NULL.
  const std::byte* values = nullptr;
  ptrdiff_t stride_bytes = 0;
  uint64_t addend = 0;  ///< Added to each value of Lanes.
  const std::byte* heap = nullptr;
  size_t value_bytes_max = 0;  ///< kText…, kViews: no value of the block is longer.
  const size_t* ends = nullptr;
  const uint32_t* counts = nullptr;  ///< The number of elements of each of kRuns …
  const uint32_t* firsts = nullptr;  ///< … and the index of the first of them.
  // A gap: where its places are stored, and its sizes, which are gap_bytes plus the listed ones.
  std::byte** places = nullptr;
  const size_t* sizes = nullptr;
  size_t gap_bytes = 0;
};

}  // namespace pgsink::encode
