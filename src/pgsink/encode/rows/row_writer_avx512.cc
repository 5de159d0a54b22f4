// The loop over rows of RowWriter. Compiled for processors with these instructions, whatever target
// the rest is compiled for.

#include <algorithm>

#include "pgsink/encode/base/fixed.h"
#include "pgsink/encode/base/prefetch.h"
#include "pgsink/encode/base/text_kernels.h"
#include "pgsink/encode/rows/row_writer.h"
#include "pgsink/encode/values/array.h"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 sees its own "undefined" operands in <immintrin.h> as uninitialised (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#define PGSINK_AVX512_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi2,popcnt"
#define PGSINK_AVX512 __attribute__((target(PGSINK_AVX512_TARGET)))
/// Parts of a kernel, which must be inlined into it.
#define PGSINK_AVX512_PART __attribute__((always_inline, target(PGSINK_AVX512_TARGET))) inline

namespace pgsink::encode {
namespace {

using pgproto::big_endian;

constexpr size_t kStep = sizeof(__m512i);
/// A summary of bytes.
struct Seen {
  __m512i least;  ///< Their minima, as unsigned bytes.
  __m512i all;    ///< Their union.
};

PGSINK_AVX512_PART Seen nothing_seen() { return {_mm512_set1_epi8(1), _mm512_setzero_si512()}; }

PGSINK_AVX512_PART bool all_plain(const Seen& seen) {
  return (_mm512_testn_epi8_mask(seen.least, seen.least) | _mm512_movepi8_mask(seen.all)) == 0;
}

PGSINK_AVX512_PART __mmask64 first_bytes(size_t count) {
  return _bzhi_u64(~uint64_t{0}, static_cast<unsigned>(count));
}

/// At most a step.
PGSINK_AVX512_PART void move_short(std::byte* to, const std::byte* from, size_t size, Seen& seen) {
  const __mmask64 mask = first_bytes(size);
  const __m512i bytes = _mm512_maskz_loadu_epi8(mask, from);
  _mm512_mask_storeu_epi8(to, mask, bytes);
  seen.all = _mm512_or_si512(seen.all, bytes);
  seen.least = _mm512_mask_min_epu8(seen.least, mask, seen.least, bytes);
}

PGSINK_AVX512_PART void move_step(std::byte* to, const std::byte* from, Seen& seen) {
  const __m512i bytes = _mm512_loadu_si512(from);
  _mm512_storeu_si512(to, bytes);
  seen.all = _mm512_or_si512(seen.all, bytes);
  seen.least = _mm512_min_epu8(seen.least, bytes);
}

/// The bytes of a value in `steps` moves, so that no branch depends on its size, if it has at least
/// one step and at most that many; 0: as many as it needs. The last move ends with the value.
template <size_t steps>
PGSINK_AVX512_PART void move_bytes(std::byte* to, const std::byte* from, size_t size, Seen& seen) {
  if (steps == 1 || size < kStep) return move_short(to, from, size, seen);
  const size_t last = size - kStep;
  if constexpr (steps == 0) {
    for (size_t at = 0; at < last; at += kStep) move_step(to + at, from + at, seen);
  } else {
#pragma GCC unroll 8
    for (size_t at = 0; at < (steps - 1) * kStep; at += kStep) {
      const size_t place = at < last ? at : last;
      move_step(to + place, from + place, seen);
    }
  }
  move_step(to + last, from + last, seen);
}

/// The current rows: rows [first, first + count) of the block. Passed by value, like the parts, to
/// be in registers: a store into the chunk could alias memory.
struct Rows {
  size_t first = 0;
  size_t count = 0;
  std::byte** cursors = nullptr;  ///< Of these rows.
  size_t offset = 0;              ///< Of the next field from the cursors.
  size_t ahead_bytes = 0;         ///< Distance from a field to the one that is prefetched.
};

template <size_t steps, bool nullable, class Reader>
PGSINK_AVX512_PART void put_texts(const RowPart part, const Reader values, const Rows rows,
                                  bool& plain) {
  const size_t version = part.version ? 1 : 0;
  Seen seen = nothing_seen();
  // The columns are read in turns, and the processor cannot predict where they continue.
  const size_t ahead = reinterpret_cast<uintptr_t>(values[rows.first + rows.count - 1].data()) -
                       reinterpret_cast<uintptr_t>(values[rows.first].data());
  for (size_t i = 0; i < rows.count; ++i) {
    const std::string_view value = values[rows.first + i];
    const size_t present = nullable ? part.valid[rows.first + i] : 1;
    const size_t size = value.size() & (0 - present);
    const size_t head = version & present;
    const auto null_bits = static_cast<uint32_t>(present - 1);
    std::byte* to = rows.cursors[i] + rows.offset;
    to[kLengthBytes - 1 + head] = std::byte{1};  // the version, or what the length overwrites
    store(to, big_endian(static_cast<uint32_t>(size + head) | null_bits));
    to += kLengthBytes + head;
    const auto* const from = reinterpret_cast<const std::byte*>(value.data());
    for (size_t k = 0; k < (steps == 0 ? 1 : steps); ++k) {
      prefetch_to_read(from, ahead + k * kStep);
    }
    move_bytes<steps>(to, from, size, seen);
    rows.cursors[i] = to + size;
    for (size_t k = 0; k < steps; ++k) prefetch_to_write(to, rows.ahead_bytes + k * kStep);
  }
  if (part.checked) plain &= all_plain(seen);
}

template <size_t steps, class Reader>
PGSINK_AVX512_PART void put_texts_of(const RowPart& part, const Reader& values, const Rows& rows,
                                     bool& plain) {
  if (part.valid == nullptr) {
    put_texts<steps, false>(part, values, rows, plain);
  } else {
    put_texts<steps, true>(part, values, rows, plain);
  }
}

template <class Reader>
PGSINK_AVX512_PART void put_all_texts(const RowPart& part, const Reader& values, const Rows rows,
                                      bool& plain) {
  switch ((part.value_bytes_max + kStep - 1) / kStep) {
    case 0:
    case 1:
      put_texts_of<1>(part, values, rows, plain);
      break;
    case 2:
      put_texts_of<2>(part, values, rows, plain);
      break;
    case 3:
      put_texts_of<3>(part, values, rows, plain);
      break;
    case 4:
      put_texts_of<4>(part, values, rows, plain);
      break;
    default:
      put_texts_of<0>(part, values, rows, plain);
      break;
  }
}

/// Values of 12 or 16 bytes are in wire order already.
template <size_t width>
struct Wire {
  std::array<std::byte, width> bytes;
};

template <class T>
PGSINK_AVX512_PART T wire_value(const std::byte* from, uint64_t addend) {
  const auto value = load<T>(from);
  if constexpr (std::is_integral_v<T>) {
    return big_endian(static_cast<T>(value + static_cast<T>(addend)));
  } else {
    return value;
  }
}

template <class T>
PGSINK_AVX512_PART void put_equal(const RowPart part, const Rows rows) {
  const std::byte* from = part.values + static_cast<ptrdiff_t>(rows.first) * part.stride_bytes;
  for (size_t i = 0; i < rows.count; ++i, from += part.stride_bytes) {
    std::byte* const to = rows.cursors[i] + rows.offset;
    store(to, big_endian(static_cast<uint32_t>(sizeof(T))));
    store(to + kLengthBytes, wire_value<T>(from, part.addend));
  }
}

template <class T>
PGSINK_AVX512_PART void put_nullable(const RowPart part, const Rows rows) {
  constexpr auto kWidth = static_cast<uint32_t>(sizeof(T));
  const std::byte* from = part.values + static_cast<ptrdiff_t>(rows.first) * part.stride_bytes;
  // Where the values of NULL rows are written, so that no branch is needed.
  std::array<std::byte, 16> trash;
  for (size_t i = 0; i < rows.count; ++i, from += part.stride_bytes) {
    std::byte* const to = rows.cursors[i] + rows.offset;
    const uint64_t absent = uint64_t{part.valid[rows.first + i]} - 1;
    store(to, big_endian(kWidth) | static_cast<uint32_t>(absent));
    std::byte* value = to + kLengthBytes;
    rows.cursors[i] = value + (kWidth & ~absent);
    const ptrdiff_t aside = trash.data() - value;
    value += aside & static_cast<ptrdiff_t>(absent);
    store(value, wire_value<T>(from, part.addend));
  }
}

template <class T>
PGSINK_AVX512_PART size_t put_fixed(const RowPart& part, const Rows rows) {
  if (part.valid == nullptr) {
    put_equal<T>(part, rows);
    return rows.offset + kLengthBytes + sizeof(T);
  }
  put_nullable<T>(part, rows);
  return 0;
}

PGSINK_AVX512_PART size_t put_nulls(const Rows rows) {
  for (size_t i = 0; i < rows.count; ++i) store(rows.cursors[i] + rows.offset, ~uint32_t{0});
  return rows.offset + kLengthBytes;
}

PGSINK_AVX512_PART void put_slots(const RowPart part, const Rows rows) {
  const auto* slot = part.values + rows.first * sizeof(FieldSlot);
  Seen seen = nothing_seen();
  for (size_t i = 0; i < rows.count; ++i, slot += sizeof(FieldSlot)) {
    const size_t bytes = load<uint32_t>(slot + FieldSlot::kBytes);
    std::byte* const to = rows.cursors[i] + rows.offset;
    rows.cursors[i] = to + bytes;
    if (bytes <= FieldSlot::kBytes) {
      const __m256i field = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(slot));
      _mm256_mask_storeu_epi8(to, static_cast<__mmask32>(first_bytes(bytes)), field);
    } else {
      move_bytes<0>(to, part.heap + load<size_t>(slot), bytes, seen);
    }
  }
}

PGSINK_AVX512_PART void put_staged(const RowPart part, const Rows rows) {
  Seen seen = nothing_seen();
  for (size_t i = 0; i < rows.count; ++i) {
    const size_t begin = part.ends[rows.first + i];
    const size_t size = part.ends[rows.first + i + 1] - begin;
    std::byte* const to = rows.cursors[i] + rows.offset;
    rows.cursors[i] = to + size;
    move_bytes<0>(to, part.heap + begin, size, seen);
  }
}

/// Five fields of eight bytes take 60 bytes: one permute makes them of five values.
constexpr uint32_t kRunStep = 5;
constexpr size_t kRunFieldBytes = kLengthBytes + sizeof(uint64_t);

struct RunBytes {
  alignas(64) std::array<uint8_t, 64> index{};
  alignas(64) std::array<uint8_t, 64> pattern{};
  uint64_t value_mask = 0;
};

constexpr RunBytes kRunBytes = [] {
  RunBytes made;
  for (size_t i = 0; i < kRunStep * kRunFieldBytes; ++i) {
    const size_t in_field = i % kRunFieldBytes;
    if (in_field == kLengthBytes - 1) made.pattern[i] = sizeof(uint64_t);
    if (in_field < kLengthBytes) continue;
    made.index[i] = static_cast<uint8_t>(i / kRunFieldBytes * 8 + (kRunFieldBytes - 1 - in_field));
    made.value_mask |= uint64_t{1} << i;
  }
  return made;
}();

PGSINK_AVX512_PART bool is_contiguous_long(const RowPart& part) {
  return part.width == sizeof(uint64_t) && part.stride_bytes == sizeof(uint64_t);
}

/// Elements of eight bytes one after the other; the rest of a run of any length.
PGSINK_AVX512_PART std::byte* put_long_elements(const RowPart& part, const std::byte* from,
                                                uint32_t count, std::byte* to) {
  const __m512i addend = _mm512_set1_epi64(static_cast<int64_t>(part.addend));
  const __m512i index = _mm512_load_si512(kRunBytes.index.data());
  const __m512i pattern = _mm512_load_si512(kRunBytes.pattern.data());
  for (uint32_t left = count; left != 0;) {
    const uint32_t step = left < kRunStep ? left : kRunStep;
    const __m512i values = _mm512_add_epi64(
        _mm512_maskz_loadu_epi64(static_cast<__mmask8>((1U << step) - 1), from), addend);
    const __m512i fields = _mm512_or_si512(
        _mm512_maskz_permutexvar_epi8(kRunBytes.value_mask, index, values), pattern);
    _mm512_mask_storeu_epi8(to, first_bytes(step * kRunFieldBytes), fields);
    from += step * sizeof(uint64_t);
    to += step * kRunFieldBytes;
    left -= step;
  }
  return to;
}

/// How far after a short run the elements are prefetched. Found by measuring.
constexpr size_t kElementsAheadBytes = 2048;

/// Arrays of the same few elements of eight bytes each: two stores.
PGSINK_AVX512_PART void put_equal_runs(const RowPart part, const Rows rows) {
  const uint32_t count = part.counts[rows.first];
  const size_t fields_bytes = count * kRunFieldBytes;
  const ArrayHead words = array_head(part.oid, count, part.width);
  const size_t head_size = words.count * sizeof(uint64_t);
  const __m256i head = _mm256_set_epi64x(0, static_cast<int64_t>(big_endian(words.words[2])),
                                         static_cast<int64_t>(big_endian(words.words[1])),
                                         static_cast<int64_t>(big_endian(words.words[0])));
  const auto head_mask = static_cast<__mmask32>(first_bytes(head_size));
  const auto elements_mask = static_cast<__mmask8>((1U << count) - 1);
  const __mmask64 fields_mask = first_bytes(fields_bytes);
  const __m512i addend = _mm512_set1_epi64(static_cast<int64_t>(part.addend));
  const __m512i index = _mm512_load_si512(kRunBytes.index.data());
  const __m512i pattern = _mm512_load_si512(kRunBytes.pattern.data());
  const std::byte* from =
      part.values + static_cast<ptrdiff_t>(part.firsts[rows.first]) * part.stride_bytes;
  for (size_t i = 0; i < rows.count; ++i, from += count * sizeof(uint64_t)) {
    std::byte* const to = rows.cursors[i] + rows.offset;
    _mm256_mask_storeu_epi8(to, head_mask, head);
    prefetch_to_write(to, rows.ahead_bytes);
    prefetch_to_write(to, rows.ahead_bytes + kStep);
    prefetch_to_read(from, kElementsAheadBytes);
    const __m512i values = _mm512_add_epi64(_mm512_maskz_loadu_epi64(elements_mask, from), addend);
    const __m512i fields = _mm512_or_si512(
        _mm512_maskz_permutexvar_epi8(kRunBytes.value_mask, index, values), pattern);
    _mm512_mask_storeu_epi8(to + head_size, fields_mask, fields);
  }
}

PGSINK_AVX512_PART void put_runs(const RowPart part, const Rows rows) {
  const bool is_long = is_contiguous_long(part);
  const size_t field_bytes = kLengthBytes + part.width;
  for (size_t i = 0; i < rows.count; ++i) {
    const size_t row = rows.first + i;
    std::byte* to = rows.cursors[i] + rows.offset;
    if (part.valid != nullptr && part.valid[row] == 0) {
      store(to, ~uint32_t{0});
      rows.cursors[i] = to + kLengthBytes;
      continue;
    }
    const uint32_t count = part.counts[row];
    const std::byte* const from =
        part.values + static_cast<ptrdiff_t>(part.firsts[row]) * part.stride_bytes;
    to = put_array_head(to, array_head(part.oid, count, part.width));
    if (is_long) {
      rows.cursors[i] = put_long_elements(part, from, count, to);
    } else {
      const Lanes lanes{from, part.stride_bytes, static_cast<int64_t>(part.addend), part.width};
      store_strided(lanes, to, field_bytes, count, true);
      rows.cursors[i] = to + count * field_bytes;
    }
  }
}

PGSINK_AVX512_PART void note_gaps(const RowPart part, const Rows rows) {
  for (size_t i = 0; i < rows.count; ++i) {
    const size_t row = rows.first + i;
    part.places[row] = rows.cursors[i] + rows.offset;
    rows.cursors[i] = part.places[row] + part.gap_bytes + part.sizes[row];
  }
}

/// Returns the offset of the next field.
PGSINK_AVX512 size_t put_part(const RowPart& part, const Rows& rows, bool& plain) {
  using Form = RowPart::Form;
  switch (part.form) {
    case Form::kNull:
      return put_nulls(rows);
    case Form::kFixed1:
      return put_fixed<uint8_t>(part, rows);
    case Form::kFixed2:
      return put_fixed<uint16_t>(part, rows);
    case Form::kFixed4:
      return put_fixed<uint32_t>(part, rows);
    case Form::kFixed8:
      return put_fixed<uint64_t>(part, rows);
    case Form::kFixed12:
      return put_fixed<Wire<12>>(part, rows);
    case Form::kFixed16:
      return put_fixed<Wire<16>>(part, rows);
    case Form::kText32: {
      const OffsetReader<int32_t> values{part.values, reinterpret_cast<const char*>(part.heap)};
      put_all_texts(part, values, rows, plain);
      return 0;
    }
    case Form::kText64: {
      const OffsetReader<int64_t> values{part.values, reinterpret_cast<const char*>(part.heap)};
      put_all_texts(part, values, rows, plain);
      return 0;
    }
    case Form::kViews: {
      const ViewReader values{reinterpret_cast<const std::string_view*>(part.values)};
      put_all_texts(part, values, rows, plain);
      return 0;
    }
    case Form::kSlots:
      put_slots(part, rows);
      return 0;
    case Form::kStaged:
      put_staged(part, rows);
      return 0;
    case Form::kRuns:
      if (part.equal_runs && part.counts[0] <= kRunStep && is_contiguous_long(part)) {
        put_equal_runs(part, rows);
        return rows.offset + kLengthBytes + array_bytes(part.counts[0], part.width);
      }
      put_runs(part, rows);
      return 0;
    case Form::kGap:
      note_gaps(part, rows);
      return 0;
  }
  __builtin_unreachable();
}

/// The chunk is larger than the first-level cache, so each pass prefetches a part of the next
/// window. Long rows are prefetched at a distance of whole rows: there the pass finds its own part.
/// Found by measuring.
size_t ahead_bytes(std::byte* const* cursors, size_t count) {
  constexpr size_t kAheadBytes = 1024;
  constexpr size_t kLongRowBytes = 512;
  if (count < 2) return kAheadBytes;
  const size_t row_bytes = static_cast<size_t>(cursors[count - 1] - cursors[0]) / (count - 1);
  return row_bytes < kLongRowBytes ? kAheadBytes
                                   : std::max(row_bytes, kAheadBytes / row_bytes * row_bytes);
}

}  // namespace

bool row_writer_store(std::span<const RowPart* const> parts, size_t first, size_t count,
                      std::byte** cursors) {
  bool plain = true;
  Rows rows{first, count, cursors, 0, ahead_bytes(cursors, count)};
  const auto field_count = static_cast<int16_t>(parts.size());
  for (size_t i = 0; i < count; ++i) {
    pgproto::store_be(cursors[i], field_count);
    prefetch_to_write(cursors[i], rows.ahead_bytes);
  }
  rows.offset = sizeof field_count;
  for (const RowPart* const part : parts) rows.offset = put_part(*part, rows, plain);
  return plain;
}

}  // namespace pgsink::encode

#else  // other processors: RowWriter::plan() returns null

namespace pgsink::encode {

bool row_writer_store(std::span<const RowPart* const>, size_t, size_t, std::byte**) { return true; }

}  // namespace pgsink::encode

#endif
