#include "pgsink/encode/base/text_kernels.h"

#include <algorithm>
#include <array>

#include <pgproto/utf8.h>

#include "pgsink/encode/base/copy_bytes.h"
#include "pgsink/encode/base/prefetch.h"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 sees its own "undefined" operands in <immintrin.h> as uninitialised (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#endif

namespace pgsink::encode {
namespace {

bool plain_portable(const char* text, size_t size) { return pgproto::is_plain_ascii({text, size}); }

template <class Reader>
bool write_portable(const Reader& values, const TextForm& form, std::byte** rows, size_t offset,
                    size_t count) {
  bool plain = true;
  for (size_t i = 0; i < count; ++i) {
    std::byte* to = rows[i] + offset;
    if (form.valid != nullptr && form.valid[i] == 0) {
      store<uint32_t>(to, ~uint32_t{0});
      rows[i] = to + kLengthBytes;
      continue;
    }
    const std::string_view value = values[i];
    to = put_text_head(to, value.size(), form.version);
    copy_bytes(to, reinterpret_cast<const std::byte*>(value.data()), value.size());
    rows[i] = to + value.size();
    plain &= pgproto::is_plain_ascii(value);
  }
  return plain;
}

constexpr TextKernels kPortable{plain_portable, write_portable<ViewReader>,
                                write_portable<OffsetReader<int32_t>>,
                                write_portable<OffsetReader<int64_t>>, nullptr};

#if defined(__x86_64__)

#define PGSINK_AVX2 __attribute__((target("avx2")))
#define PGSINK_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,bmi2")))
#define PGSINK_AVX512_PART PGSINK_AVX512 __attribute__((always_inline)) inline

/// Columns are read in turns, a few kilobytes each: the processor cannot predict where they
/// continue.
constexpr size_t kPrefetchBytes = 4096;

PGSINK_AVX2 bool plain_avx2(const char* text, size_t size) {
  constexpr size_t kStep = 64;
  // As unsigned bytes: no minimum of zero, and no high bit in the union.
  __m256i least = _mm256_set1_epi8(1);
  __m256i all = _mm256_setzero_si256();
  size_t at = 0;
  for (; at + kStep <= size; at += kStep) {
    prefetch_to_read(text, at + kPrefetchBytes);
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text + at));
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text + at + 32));
    least = _mm256_min_epu8(least, _mm256_min_epu8(a, b));
    all = _mm256_or_si256(all, _mm256_or_si256(a, b));
  }
  const __m256i zero = _mm256_cmpeq_epi8(least, _mm256_setzero_si256());
  if (_mm256_movemask_epi8(_mm256_or_si256(zero, all)) != 0) return false;
  return pgproto::is_plain_ascii({text + at, size - at});
}

PGSINK_AVX512 bool plain_avx512(const char* text, size_t size) {
  constexpr size_t kStep = 64;
  __m512i least = _mm512_set1_epi8(1);
  __m512i all = _mm512_setzero_si512();
  size_t at = 0;
  for (; at + kStep <= size; at += kStep) {
    prefetch_to_read(text, at + kPrefetchBytes);
    const __m512i bytes = _mm512_loadu_si512(text + at);
    least = _mm512_min_epu8(least, bytes);
    all = _mm512_or_si512(all, bytes);
  }
  const __mmask64 rest = _bzhi_u64(~uint64_t{0}, static_cast<unsigned>(size - at));
  const __m512i tail = _mm512_mask_loadu_epi8(_mm512_set1_epi8(1), rest, text + at);
  least = _mm512_min_epu8(least, tail);
  all = _mm512_or_si512(all, tail);
  return (_mm512_testn_epi8_mask(least, least) | _mm512_movepi8_mask(all)) == 0;
}

/// A summary of the bytes copied so far.
struct Seen {
  __m512i least;  ///< Their minima, as unsigned bytes.
  __m512i all;    ///< Their union.
};

PGSINK_AVX512_PART void move_block(std::byte* to, const char* from, __mmask64 mask, Seen& seen) {
  const __m512i bytes = _mm512_maskz_loadu_epi8(mask, from);
  _mm512_mask_storeu_epi8(to, mask, bytes);
  seen.all = _mm512_or_si512(seen.all, bytes);
  seen.least = _mm512_mask_min_epu8(seen.least, mask, seen.least, bytes);
}

PGSINK_AVX512_PART void move_whole(std::byte* to, const char* from, Seen& seen) {
  const __m512i bytes = _mm512_loadu_si512(from);
  _mm512_storeu_si512(to, bytes);
  seen.all = _mm512_or_si512(seen.all, bytes);
  seen.least = _mm512_min_epu8(seen.least, bytes);
}

/// Up to 256 bytes take the same number of masked moves for every size: sizes vary from row to row,
/// and a branch on them would be mispredicted.
PGSINK_AVX512_PART void copy_avx512(std::byte* to, const char* from, size_t size, Seen& seen) {
  constexpr size_t kStep = 64;
  prefetch_to_read(from, kPrefetchBytes);
  if (size > kStep) {
    for (; size > 4 * kStep; from += kStep, to += kStep, size -= kStep) {
      prefetch_to_read(from, kPrefetchBytes);
      move_whole(to, from, seen);
    }
    move_whole(to, from, seen);
    for (size_t at = kStep; at < 4 * kStep; at += kStep) {
      prefetch_to_read(from, at + kPrefetchBytes);
      const size_t left = size > at ? size - at : 0;
      move_block(to + at, from + at,
                 _bzhi_u64(~uint64_t{0}, static_cast<unsigned>(left < kStep ? left : kStep)), seen);
    }
    return;
  }
  move_block(to, from, _bzhi_u64(~uint64_t{0}, static_cast<unsigned>(size)), seen);
}

template <class Reader>
PGSINK_AVX512 bool write_avx512(const Reader& values, const TextForm& form, std::byte** rows,
                                size_t offset, size_t count) {
  Seen seen{_mm512_set1_epi8(1), _mm512_setzero_si512()};
  for (size_t i = 0; i < count; ++i) {
    std::byte* to = rows[i] + offset;
    if (form.valid != nullptr && form.valid[i] == 0) {
      store<uint32_t>(to, ~uint32_t{0});
      rows[i] = to + kLengthBytes;
      continue;
    }
    const std::string_view value = values[i];
    to = put_text_head(to, value.size(), form.version);
    copy_avx512(to, value.data(), value.size(), seen);
    rows[i] = to + value.size();
  }
  return (_mm512_testn_epi8_mask(seen.least, seen.least) | _mm512_movepi8_mask(seen.all)) == 0;
}

PGSINK_AVX512 size_t sizes_avx512(const OffsetReader<int32_t>& values, const uint8_t* valid,
                                  size_t head, size_t count, size_t* row_bytes) {
  constexpr size_t kEight = 8;
  const __m512i heads = _mm512_set1_epi64(static_cast<int64_t>(head));
  __m512i most = _mm512_setzero_si512();
  for (size_t i = 0; i < count; i += kEight) {
    const size_t left = count - i;
    const auto rows = static_cast<__mmask8>((1U << (left < kEight ? left : kEight)) - 1);
    const std::byte* const from = values.offsets + i * sizeof(int32_t);
    const __m256i begins = _mm256_maskz_loadu_epi32(rows, from);
    const __m256i ends = _mm256_maskz_loadu_epi32(rows, from + sizeof(int32_t));
    const __m512i bytes = _mm512_cvtepu32_epi64(_mm256_sub_epi32(ends, begins));
    most = _mm512_max_epu64(most, bytes);
    __m512i fields = _mm512_add_epi64(bytes, heads);
    if (valid != nullptr) {
      const __mmask8 absent = static_cast<__mmask8>(
          _mm_testn_epi8_mask(_mm_set1_epi8(-1), _mm_maskz_loadu_epi8(rows, valid + i)));
      fields = _mm512_mask_mov_epi64(fields, absent, _mm512_set1_epi64(kLengthBytes));
    }
    const __m512i sums = _mm512_add_epi64(_mm512_maskz_loadu_epi64(rows, row_bytes + i), fields);
    _mm512_mask_storeu_epi64(row_bytes + i, rows, sums);
  }
  std::array<uint64_t, kEight> lanes;
  _mm512_storeu_si512(lanes.data(), most);
  return *std::max_element(lanes.begin(), lanes.end());
}

constexpr TextKernels kAvx2{plain_avx2, write_portable<ViewReader>,
                            write_portable<OffsetReader<int32_t>>,
                            write_portable<OffsetReader<int64_t>>, nullptr};
constexpr TextKernels kAvx512{plain_avx512, write_avx512<ViewReader>,
                              write_avx512<OffsetReader<int32_t>>,
                              write_avx512<OffsetReader<int64_t>>, sizes_avx512};

#endif

}  // namespace

const TextKernels& portable_text_kernels() { return kPortable; }

const TextKernels& best_text_kernels() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
      __builtin_cpu_supports("bmi2") != 0) {
    return kAvx512;
  }
  if (__builtin_cpu_supports("avx2") != 0) return kAvx2;
#endif
  return kPortable;
}

}  // namespace pgsink::encode
