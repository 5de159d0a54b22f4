// The kernels of FusedRows. Compiled for processors with these instructions, whatever target the
// rest is compiled for.

#include <array>

#include "pgsink/encode/base/prefetch.h"
#include "pgsink/encode/rows/fused.h"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 sees its own "undefined" operands in <immintrin.h> as uninitialised (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#define PGSINK_AVX512_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi2,popcnt"
#define PGSINK_AVX512 __attribute__((target(PGSINK_AVX512_TARGET)))
/// Parts of a kernel, which must be inlined into it.
#define PGSINK_AVX512_PART PGSINK_AVX512 __attribute__((always_inline)) inline

namespace pgsink::encode {
namespace {

constexpr size_t kGroupRows = 8;
constexpr size_t kSegmentsMax = 8;
constexpr size_t kStoreBytes = 64;
/// How far ahead of the stores the chunk is prefetched: it is larger than the first-level cache.
constexpr size_t kPrefetchBytes = 2048;

/// Lanes of up to eight rows, transposed: pair p holds rows {0,2}, {1,3}, {4,6}, {5,7}.
struct Transposed {
  __m512i low[4];   ///< Lanes 0 to 3.
  __m512i high[4];  ///< Lanes 4 to 7.
};

/// How far ahead of the current rows the lanes are prefetched: into the next block, because the
/// columns are read in turns and the processor cannot predict where they continue.
constexpr size_t kPrefetchRows = 2 * kBlockRowsMax;

/// Eight rows of lane `index`, zero if there is no such lane.
PGSINK_AVX512_PART __m512i load_lane(const FusedLane* lanes, uint32_t index, uint32_t lane_count,
                                     size_t row, __mmask8 rows) {
  if (index >= lane_count) return _mm512_setzero_si512();
  const FusedLane& lane = lanes[index];
  prefetch_to_read(lane.values + row, kPrefetchRows * sizeof(*lane.values));
  const __m512i values = _mm512_maskz_loadu_epi64(rows, lane.values + row);
  return _mm512_add_epi64(values, _mm512_set1_epi64(static_cast<int64_t>(lane.addend)));
}

PGSINK_AVX512_PART void transpose_four(__m512i a, __m512i b, __m512i c, __m512i d, __m512i* pairs) {
  const __m512i even_ab = _mm512_unpacklo_epi64(a, b);
  const __m512i odd_ab = _mm512_unpackhi_epi64(a, b);
  const __m512i even_cd = _mm512_unpacklo_epi64(c, d);
  const __m512i odd_cd = _mm512_unpackhi_epi64(c, d);
  pairs[0] = _mm512_shuffle_i64x2(even_ab, even_cd, 0x44);
  pairs[1] = _mm512_shuffle_i64x2(odd_ab, odd_cd, 0x44);
  pairs[2] = _mm512_shuffle_i64x2(even_ab, even_cd, 0xee);
  pairs[3] = _mm512_shuffle_i64x2(odd_ab, odd_cd, 0xee);
}

PGSINK_AVX512_PART void transpose(const FusedLane* lanes, uint32_t count, size_t row, __mmask8 rows,
                                  Transposed& to) {
  transpose_four(load_lane(lanes, 0, count, row, rows), load_lane(lanes, 1, count, row, rows),
                 load_lane(lanes, 2, count, row, rows), load_lane(lanes, 3, count, row, rows),
                 to.low);
  if (count <= 4) return;
  transpose_four(load_lane(lanes, 4, count, row, rows), load_lane(lanes, 5, count, row, rows),
                 load_lane(lanes, 6, count, row, rows), load_lane(lanes, 7, count, row, rows),
                 to.high);
}

/// The constants of a segment, in registers: a store through `out` could alias memory.
struct Recipe {
  __m512i first;
  __m512i second;
  __m512i pattern;
  __mmask64 value_mask;
  __mmask64 byte_mask;
  size_t bytes;
};

PGSINK_AVX512_PART Recipe load_recipe(const FusedSegment& segment) {
  return {_mm512_load_si512(segment.first.data()),
          _mm512_load_si512(segment.second.data()),
          _mm512_load_si512(segment.pattern.data()),
          segment.value_mask,
          segment.byte_mask,
          segment.bytes};
}

/// The bytes of one row of a segment, its length words all saying "not NULL".
template <bool wide>
PGSINK_AVX512_PART __m512i row_bytes(const Recipe& recipe, const Transposed& from, size_t row) {
  const size_t pair = row / 4 * 2 + row % 2;
  const __m512i index = row % 4 < 2 ? recipe.first : recipe.second;
  const __m512i values =
      wide ? _mm512_maskz_permutex2var_epi8(recipe.value_mask, from.low[pair], index,
                                            from.high[pair])
           : _mm512_maskz_permutexvar_epi8(recipe.value_mask, index, from.low[pair]);
  return _mm512_or_si512(values, recipe.pattern);
}

PGSINK_AVX512_PART void store_bytes(std::byte* to, const std::byte* limit, __m512i bytes,
                                    __mmask64 mask) {
  if (static_cast<size_t>(limit - to) >= kStoreBytes) {
    _mm512_storeu_si512(to, bytes);
  } else {
    _mm512_mask_storeu_epi8(to, mask, bytes);
  }
}

/// Rows of one segment: nothing is kept in memory.
template <bool wide>
PGSINK_AVX512 void equal_one_segment(const FusedSegment& segment, const FusedLane* lanes,
                                     size_t count, std::byte* out, const std::byte* limit) {
  const Recipe recipe = load_recipe(segment);
  const uint32_t lane_count = segment.lane_count;
  // Groups whose last store ends before the limit need no check.
  const size_t group_bytes = kGroupRows * recipe.bytes;
  Transposed transposed;
  size_t row = 0;
  for (; row + kGroupRows <= count && out + group_bytes + kStoreBytes <= limit;
       row += kGroupRows, out += group_bytes) {
    transpose(lanes, lane_count, row, 0xff, transposed);
#pragma GCC unroll 8
    for (size_t i = 0; i < kGroupRows; ++i) {
      prefetch_to_write(out + i * recipe.bytes, kPrefetchBytes);
      _mm512_storeu_si512(out + i * recipe.bytes, row_bytes<wide>(recipe, transposed, i));
    }
  }
  while (row < count) {
    const size_t rows = count - row < kGroupRows ? count - row : kGroupRows;
    transpose(lanes, lane_count, row, static_cast<__mmask8>((1U << rows) - 1), transposed);
    for (size_t i = 0; i < rows; ++i, out += recipe.bytes) {
      store_bytes(out, limit, row_bytes<wide>(recipe, transposed, i), recipe.byte_mask);
    }
    row += rows;
  }
}

/// Rows of up to eight rows, all segments, in the order in which they are stored.
struct Group {
  __m512i rows[kGroupRows][kSegmentsMax];
};

PGSINK_AVX512 void make_group(std::span<const FusedSegment> segments, const FusedLane* lanes,
                              size_t row, size_t rows, Group& group) {
  const auto mask = static_cast<__mmask8>((1U << rows) - 1);
  Transposed transposed;
  for (size_t s = 0; s < segments.size(); ++s) {
    const FusedSegment& segment = segments[s];
    const Recipe recipe = load_recipe(segment);
    transpose(lanes + segment.first_lane, segment.lane_count, row, mask, transposed);
    if (segment.lane_count > 4) {
      for (size_t i = 0; i < rows; ++i) {
        group.rows[i][s] = row_bytes<true>(recipe, transposed, i);
      }
    } else {
      for (size_t i = 0; i < rows; ++i) {
        group.rows[i][s] = row_bytes<false>(recipe, transposed, i);
      }
    }
  }
}

PGSINK_AVX512 void equal_segments(std::span<const FusedSegment> segments, const FusedLane* lanes,
                                  size_t count, std::byte* out, const std::byte* limit) {
  Group group;
  for (size_t row = 0; row < count; row += kGroupRows) {
    const size_t rows = count - row < kGroupRows ? count - row : kGroupRows;
    make_group(segments, lanes, row, rows, group);
    for (size_t i = 0; i < rows; ++i) {
      for (size_t s = 0; s < segments.size(); ++s) {
        store_bytes(out, limit, group.rows[i][s], segments[s].byte_mask);
        out += segments[s].bytes;
      }
    }
  }
}

/// Length words of NULLs become -1, the bytes of their values are squeezed out.
PGSINK_AVX512_PART std::byte* store_nullable(const FusedSegment& segment, __m512i bytes,
                                             __mmask64 byte_mask, uint16_t null_bits, std::byte* to,
                                             const std::byte* limit) {
  const auto& low = segment.low_nulls[null_bits & 63U];
  const auto& high = segment.high_nulls[null_bits >> 6];
  const uint64_t keep = byte_mask & ~(low.drop | high.drop);
  const __m512i marked =
      _mm512_mask_mov_epi8(bytes, low.length | high.length, _mm512_set1_epi8(-1));
  const auto size = static_cast<size_t>(__builtin_popcountll(keep));
  store_bytes(to, limit, _mm512_maskz_compress_epi8(keep, marked),
              ~uint64_t{0} >> (kStoreBytes - size));
  return to + size;
}

/// The bytes of one row of a segment that has a form for each combination of NULLs.
template <bool wide>
PGSINK_AVX512_PART __m512i formed_bytes(const FusedSegment::NullForm& form, const Transposed& from,
                                        size_t row) {
  const size_t pair = row / 4 * 2 + row % 2;
  const __m512i index = _mm512_load_si512(row % 4 < 2 ? form.first.data() : form.second.data());
  const __mmask64 from_lanes = _mm512_movepi8_mask(index);
  const __m512i values =
      wide ? _mm512_maskz_permutex2var_epi8(from_lanes, from.low[pair], index, from.high[pair])
           : _mm512_maskz_permutexvar_epi8(from_lanes, index, from.low[pair]);
  return _mm512_or_si512(values, _mm512_load_si512(form.pattern.data()));
}

/// Rows of one segment, each by its form or squeezed.
template <bool wide, bool formed>
PGSINK_AVX512 std::byte* nullable_one_segment(const FusedSegment& segment, const FusedLane* lanes,
                                              const uint16_t* null_bits, size_t count,
                                              std::byte* out, const std::byte* limit) {
  const Recipe recipe = load_recipe(segment);
  const FusedSegment::NullForm* const forms = segment.null_forms.data();
  const uint32_t lane_count = segment.lane_count;
  const size_t group_bytes = kGroupRows * recipe.bytes;
  Transposed transposed;
  size_t row = 0;
  // Groups whose last store ends before the limit need no check.
  for (; formed && row + kGroupRows <= count && out + group_bytes + kStoreBytes <= limit;
       row += kGroupRows) {
    transpose(lanes, lane_count, row, 0xff, transposed);
    prefetch_to_write(out, kPrefetchBytes);
#pragma GCC unroll 8
    for (size_t i = 0; i < kGroupRows; ++i) {
      const FusedSegment::NullForm& form = forms[null_bits[row + i]];
      _mm512_storeu_si512(out, formed_bytes<wide>(form, transposed, i));
      out += form.bytes;
    }
  }
  while (row < count) {
    const size_t rows = count - row < kGroupRows ? count - row : kGroupRows;
    transpose(lanes, lane_count, row, static_cast<__mmask8>((1U << rows) - 1), transposed);
    prefetch_to_write(out, kPrefetchBytes);
#pragma GCC unroll 8
    for (size_t i = 0; i < kGroupRows; ++i) {
      if (i >= rows) break;
      out = store_nullable(segment, row_bytes<wide>(recipe, transposed, i), recipe.byte_mask,
                           null_bits[row + i], out, limit);
    }
    row += rows;
  }
  return out;
}

/// The kernel for rows of one segment.
PGSINK_AVX512 auto nullable_kernel(const FusedSegment& segment) {
  const bool wide = segment.lane_count > 4;
  if (segment.null_forms.empty()) {
    return wide ? nullable_one_segment<true, false> : nullable_one_segment<false, false>;
  }
  return wide ? nullable_one_segment<true, true> : nullable_one_segment<false, true>;
}

template <class T, bool first>
PGSINK_AVX512 void pack_values(const Lanes& from, unsigned shift, uint64_t* to, size_t count) {
  const auto addend = static_cast<T>(from.addend);
  if (from.stride_bytes == static_cast<ptrdiff_t>(sizeof(T))) {
    for (size_t i = 0; i < count; ++i) {
      const auto value = static_cast<T>(load<T>(from.values + i * sizeof(T)) + addend);
      to[i] = (first ? 0 : to[i]) | static_cast<uint64_t>(value) << shift;
    }
    return;
  }
  const std::byte* at = from.values;
  for (size_t i = 0; i < count; ++i, at += from.stride_bytes) {
    const auto value = static_cast<T>(load<T>(at) + addend);
    to[i] = (first ? 0 : to[i]) | static_cast<uint64_t>(value) << shift;
  }
}

/// The lane's first column is in its lowest bits; the others are added to it.
template <class T>
void pack_short(const Lanes& from, unsigned shift, uint64_t* to, size_t count) {
  if (shift == 0) {
    pack_values<T, true>(from, shift, to, count);
  } else {
    pack_values<T, false>(from, shift, to, count);
  }
}

}  // namespace

void fused_pack(const Lanes& from, unsigned shift, uint64_t* to, size_t count) {
  switch (from.width) {
    case 1:
      return pack_short<uint8_t>(from, shift, to, count);
    case 2:
      return pack_short<uint16_t>(from, shift, to, count);
    case 4:
      return pack_short<uint32_t>(from, shift, to, count);
    default:
      return pack_short<uint64_t>(from, shift, to, count);
  }
}

PGSINK_AVX512 void fused_null_bits(std::span<const uint8_t* const> valid, uint16_t* bits,
                                   size_t count) {
  constexpr size_t kAtOnce = 32;
  static_assert(kBlockRowsMax % kAtOnce == 0);
  for (size_t i = 0; i < count; i += kAtOnce) {
    __m512i all = _mm512_setzero_si512();
    for (size_t k = 0; k < valid.size(); ++k) {
      if (valid[k] == nullptr) continue;
      const __m256i flags = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(valid[k] + i));
      const __m512i bit = _mm512_set1_epi16(static_cast<int16_t>(1U << k));
      all = _mm512_mask_add_epi16(all, _mm256_testn_epi8_mask(flags, flags), all, bit);
    }
    _mm512_storeu_si512(bits + i, all);
  }
}

PGSINK_AVX512 void fused_write_equal(std::span<const FusedSegment> segments, const FusedLane* lanes,
                                     size_t count, std::byte* out, const std::byte* limit) {
  if (segments.size() != 1) return equal_segments(segments, lanes, count, out, limit);
  if (segments[0].lane_count > 4) {
    equal_one_segment<true>(segments[0], lanes, count, out, limit);
  } else {
    equal_one_segment<false>(segments[0], lanes, count, out, limit);
  }
}

PGSINK_AVX512 std::byte* fused_write_nullable(std::span<const FusedSegment> segments,
                                              const FusedLane* lanes, const uint16_t* null_bits,
                                              size_t count, std::byte* out,
                                              const std::byte* limit) {
  if (segments.size() == 1) {
    return nullable_kernel(segments[0])(segments[0], lanes, null_bits, count, out, limit);
  }
  Group group;
  for (size_t row = 0; row < count; row += kGroupRows) {
    const size_t rows = count - row < kGroupRows ? count - row : kGroupRows;
    make_group(segments, lanes, row, rows, group);
    for (size_t i = 0; i < rows; ++i) {
      for (size_t s = 0; s < segments.size(); ++s) {
        const uint16_t bits = null_bits[s * kBlockRowsMax + row + i];
        out =
            store_nullable(segments[s], group.rows[i][s], segments[s].byte_mask, bits, out, limit);
      }
    }
  }
  return out;
}

}  // namespace pgsink::encode

#else  // other processors: FusedRows::supported() is false

namespace pgsink::encode {

void fused_pack(const Lanes&, unsigned, uint64_t*, size_t) {}
void fused_null_bits(std::span<const uint8_t* const>, uint16_t*, size_t) {}
void fused_write_equal(std::span<const FusedSegment>, const FusedLane*, size_t, std::byte*,
                       const std::byte*) {}
std::byte* fused_write_nullable(std::span<const FusedSegment>, const FusedLane*, const uint16_t*,
                                size_t, std::byte* out, const std::byte*) {
  return out;
}

}  // namespace pgsink::encode

#endif
