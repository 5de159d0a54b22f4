#pragma once
// RowPart: what a column's fields of one measured block are made of, so that RowWriter can write
// them without asking the codec.

#include <array>
#include <cstddef>
#include <cstdint>

namespace pgsink::encode {

/// FieldSlot holds a short field, length word included.
struct FieldSlot {
  static constexpr size_t kBytes = 28;
  std::array<std::byte, kBytes> field;
  uint32_t bytes;  ///< Above kBytes: `field` begins with a size_t, the field's place in the heap.
};

/// RowPart is filled by measure() of the codec that owns it and is good until its next measure().
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
    kStaged,  ///< Whole fields one behind the other in `heap`; field i begins at ends[i].
    kRuns,    ///< Arrays of one dimension; their elements are Lanes of `width`.
    kGap,     ///< Written later by the codec itself: what is noted are the places.
  };
  Form form = Form::kNull;
  bool checked = false;            ///< kText…, kViews: bytes must be in 1 … 127 or be looked at.
  bool version = false;            ///< kText…, kViews: a byte 1 before the value.
  uint8_t width = 0;               ///< Of the elements of kRuns.
  bool equal_runs = false;         ///< kRuns: as many elements in every row.
  uint32_t oid = 0;                ///< Of their type.
  const uint8_t* valid = nullptr;  ///< One byte a row, 0 for NULL; null: no NULL.
  const std::byte* values = nullptr;
  ptrdiff_t stride_bytes = 0;
  uint64_t addend = 0;  ///< Added to each of Lanes.
  const std::byte* heap = nullptr;
  size_t value_bytes_max = 0;  ///< kText…, kViews: no value of the block is longer.
  const size_t* ends = nullptr;
  const uint32_t* counts = nullptr;  ///< Elements of each of kRuns …
  const uint32_t* firsts = nullptr;  ///< … and the index of the first of them.
  // Of a gap: its places to be, and its sizes, which are gap_bytes plus what is listed.
  std::byte** places = nullptr;
  const size_t* sizes = nullptr;
  size_t gap_bytes = 0;
};

}  // namespace pgsink::encode
