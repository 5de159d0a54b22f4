// SmallNumeric eight values at a time. Compiled for processors with these instructions, whatever
// target the rest is compiled for.

#include "pgsink/encode/base/prefetch.h"
#include "pgsink/encode/base/row_part.h"
#include "pgsink/encode/values/numeric.h"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 sees its own "undefined" operands in <immintrin.h> as uninitialised (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#define PGSINK_AVX512_TARGET "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vbmi2,bmi2"
#define PGSINK_AVX512 __attribute__((target(PGSINK_AVX512_TARGET)))
/// Parts of a kernel, which must be inlined into it.
#define PGSINK_AVX512_PART PGSINK_AVX512 __attribute__((always_inline)) inline

namespace pgsink::encode {
namespace {

constexpr size_t kEight = 8;

/// The parts of the eight values.
struct Magnitudes {
  __m512i values;
  __mmask8 negative;
  __mmask8 fit;  ///< Whether each fits 64 bits.
};

PGSINK_AVX512_PART __mmask8 first_lanes(size_t count) {
  return static_cast<__mmask8>((1U << (count < kEight ? count : kEight)) - 1);
}

PGSINK_AVX512_PART Magnitudes magnitudes(__m512i values, __mmask8 fit) {
  return {_mm512_abs_epi64(values), _mm512_movepi64_mask(values), fit};
}

template <size_t width>
PGSINK_AVX512_PART Magnitudes load_eight(const std::byte* from, size_t count) {
  if constexpr (width == 4) {
    return magnitudes(_mm512_cvtepi32_epi64(_mm256_maskz_loadu_epi32(first_lanes(count), from)),
                      0xff);
  } else if constexpr (width == 8) {
    return magnitudes(_mm512_maskz_loadu_epi64(first_lanes(count), from), 0xff);
  } else {
    const __m512i front = _mm512_maskz_loadu_epi64(first_lanes(2 * count), from);
    const size_t rest = count > 4 ? count - 4 : 0;
    const __m512i back =
        _mm512_maskz_loadu_epi64(first_lanes(2 * rest), rest != 0 ? from + 64 : from);
    const __m512i low =
        _mm512_permutex2var_epi64(front, _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14), back);
    const __m512i high =
        _mm512_permutex2var_epi64(front, _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15), back);
    return magnitudes(low, _mm512_cmpeq_epi64_mask(high, _mm512_srai_epi64(low, 63)));
  }
}

struct Division {
  __m512i quotient;
  __m512i remainder;
};

/// By 10^8. Every step in floating point rounds down, so that the quotient is right or one too
/// small; the remainder is below 2 * 10^8 then, and 32 bits are enough to find it.
PGSINK_AVX512_PART Division divide_by_two_groups(__m512i values) {
  constexpr int kDown = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC;
  constexpr double kInverse = 0x1.5798ee2308c39p-27;  // the largest below 10^-8
  const __m512i divisor = _mm512_set1_epi64(100'000'000);
  const __m512i quotient = _mm512_cvttpd_epu64(_mm512_mul_round_pd(
      _mm512_cvt_roundepu64_pd(values, kDown), _mm512_set1_pd(kInverse), kDown));
  const __m512i rest = _mm512_and_si512(
      _mm512_sub_epi64(values, _mm512_mul_epu32(quotient, divisor)), _mm512_set1_epi64(0xffffffff));
  const __mmask8 above = _mm512_cmpge_epu64_mask(rest, divisor);
  return {_mm512_mask_add_epi64(quotient, above, quotient, _mm512_set1_epi64(1)),
          _mm512_mask_sub_epi64(rest, above, rest, divisor)};
}

/// Of values below 10^8: two groups of four digits, each in 16 bits of the lower 32.
PGSINK_AVX512_PART __m512i two_groups(__m512i values) {
  constexpr int64_t kInverse = 3'518'437'209;  // of 10^4, times 2^45, rounded up
  const __m512i upper =
      _mm512_srli_epi64(_mm512_mul_epu32(values, _mm512_set1_epi64(kInverse)), 45);
  // upper * 2^16 + (value - upper * 10^4)
  return _mm512_add_epi64(values, _mm512_mul_epu32(upper, _mm512_set1_epi64(65'536 - 10'000)));
}

PGSINK_AVX512_PART __m512i swap_bytes(__m512i values) {
  const __m512i order =
      _mm512_broadcast_i32x4(_mm_setr_epi8(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8));
  return _mm512_shuffle_epi8(values, order);
}

/// Eight slots from the four words that each has.
PGSINK_AVX512_PART void store_slots(__m512i a, __m512i b, __m512i c, __m512i d, FieldSlot* slots) {
  const __m512i even_ab = _mm512_unpacklo_epi64(a, b);
  const __m512i odd_ab = _mm512_unpackhi_epi64(a, b);
  const __m512i even_cd = _mm512_unpacklo_epi64(c, d);
  const __m512i odd_cd = _mm512_unpackhi_epi64(c, d);
  const __m512i front = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
  const __m512i back = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  const auto store_two = [&](__m512i two, size_t first) PGSINK_AVX512 {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(slots + first), _mm512_castsi512_si256(two));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(slots + first + 2),
                        _mm512_extracti64x4_epi64(two, 1));
  };
  store_two(_mm512_permutex2var_epi64(even_ab, front, even_cd), 0);
  store_two(_mm512_permutex2var_epi64(odd_ab, front, odd_cd), 1);
  store_two(_mm512_permutex2var_epi64(even_ab, back, even_cd), 4);
  store_two(_mm512_permutex2var_epi64(odd_ab, back, odd_cd), 5);
}

/// The constants of the column, in every lane.
struct Form {
  __m512i magnitude_end;
  __m512i factor;
  __m512i weight;
  __m512i scale;
  bool scaled;  ///< The factor is not 1.
};

/// The header before the digits: count and weight of the groups, sign and scale.
struct Head {
  __m512i count_and_weight;
  __m512i sign_and_scale;
  __m512i length;
};

PGSINK_AVX512_PART Head head_of(const Form& form, __m512i count, __m512i leading, __mmask8 not_zero,
                                __mmask8 negative) {
  const __m512i weight = _mm512_and_si512(_mm512_maskz_sub_epi64(not_zero, form.weight, leading),
                                          _mm512_set1_epi64(0xffff));
  const __m512i sign = _mm512_maskz_set1_epi64(negative & not_zero, 0x4000'0000);
  return {_mm512_or_si512(_mm512_slli_epi64(count, 16), weight), _mm512_or_si512(sign, form.scale),
          _mm512_add_epi64(_mm512_set1_epi64(8), _mm512_slli_epi64(count, 1))};
}

/// Values below 10^16, which most are: their digits are one word.
PGSINK_AVX512_PART __m512i put_four_groups(const Form& form, __mmask8 negative,
                                           const Division& ten_8, FieldSlot* slots) {
  const __m512i zero = _mm512_setzero_si512();
  const __m512i groups = _mm512_or_si512(_mm512_slli_epi64(two_groups(ten_8.quotient), 32),
                                         two_groups(ten_8.remainder));
  const __mmask8 not_zero = _mm512_test_epi64_mask(groups, groups);
  // The fifth group, before these, is zero.
  const __m512i leading = _mm512_srli_epi64(_mm512_lzcnt_epi64(groups), 4);
  const __m512i lowest_bit = _mm512_and_si512(groups, _mm512_sub_epi64(zero, groups));
  const __m512i last = _mm512_srli_epi64(_mm512_lzcnt_epi64(lowest_bit), 4);
  const __m512i one = _mm512_set1_epi64(1);
  const __m512i count = _mm512_maskz_add_epi64(not_zero, _mm512_sub_epi64(last, leading), one);
  const __m512i digits = _mm512_sllv_epi64(groups, _mm512_slli_epi64(leading, 4));
  const Head head = head_of(form, count, _mm512_add_epi64(leading, one), not_zero, negative);
  const __m512i bytes = _mm512_add_epi64(head.length, _mm512_set1_epi64(kLengthBytes));
  store_slots(
      swap_bytes(_mm512_or_si512(_mm512_slli_epi64(head.length, 32), head.count_and_weight)),
      swap_bytes(_mm512_or_si512(_mm512_slli_epi64(head.sign_and_scale, 32),
                                 _mm512_srli_epi64(digits, 32))),
      swap_bytes(_mm512_slli_epi64(digits, 32)), _mm512_slli_epi64(bytes, 32), slots);
  return bytes;
}

/// Returns which of the values do not fit; `bytes` are those of the slots.
PGSINK_AVX512_PART __mmask8 put_eight(const Form& form, const Magnitudes& from, FieldSlot* slots,
                                      __m512i& bytes) {
  const __m512i zero = _mm512_setzero_si512();
  const __mmask8 fit = from.fit & _mm512_cmplt_epu64_mask(from.values, form.magnitude_end);
  const Division ten_8 = divide_by_two_groups(
      form.scaled ? _mm512_mullo_epi64(from.values, form.factor) : from.values);
  if (_mm512_cmpge_epu64_mask(ten_8.quotient, _mm512_set1_epi64(100'000'000)) == 0) {
    bytes = put_four_groups(form, from.negative, ten_8, slots);
    return static_cast<__mmask8>(~fit);
  }
  const Division ten_16 = divide_by_two_groups(ten_8.quotient);
  // Five groups, the most significant one in the highest 16 of 80 bits.
  const __m512i middle = two_groups(ten_16.remainder);
  const __m512i low = two_groups(ten_8.remainder);
  const __m512i upper =
      _mm512_or_si512(_mm512_slli_epi64(ten_16.quotient, 48),
                      _mm512_or_si512(_mm512_slli_epi64(middle, 16), _mm512_srli_epi64(low, 16)));
  const __m512i lower = _mm512_slli_epi64(low, 48);
  // Groups of zero at both ends are left out.
  const __mmask8 no_upper = _mm512_cmpeq_epi64_mask(upper, zero);
  const __mmask8 no_lower = _mm512_cmpeq_epi64_mask(lower, zero);
  const __m512i leading = _mm512_srli_epi64(_mm512_lzcnt_epi64(upper), 4);
  const __m512i lowest_bit = _mm512_and_si512(upper, _mm512_sub_epi64(zero, upper));
  // From the top to the last group that is not zero.
  __m512i used =
      _mm512_add_epi64(_mm512_srli_epi64(_mm512_lzcnt_epi64(lowest_bit), 4), _mm512_set1_epi64(1));
  used = _mm512_mask_mov_epi64(_mm512_set1_epi64(5), no_lower, used);
  const __mmask8 not_zero = static_cast<__mmask8>(~(no_upper & no_lower));
  const __m512i count = _mm512_maskz_sub_epi64(not_zero, used, leading);
  const __m512i shift = _mm512_slli_epi64(leading, 4);
  const __m512i first =
      _mm512_mask_mov_epi64(_mm512_shldv_epi64(upper, lower, shift), no_upper, lower);
  const __m512i second = _mm512_maskz_sllv_epi64(static_cast<__mmask8>(~no_upper), lower, shift);

  const Head head = head_of(form, count, leading, not_zero, from.negative);
  bytes = _mm512_add_epi64(head.length, _mm512_set1_epi64(kLengthBytes));
  store_slots(
      swap_bytes(_mm512_or_si512(_mm512_slli_epi64(head.length, 32), head.count_and_weight)),
      swap_bytes(_mm512_or_si512(_mm512_slli_epi64(head.sign_and_scale, 32),
                                 _mm512_srli_epi64(first, 32))),
      swap_bytes(_mm512_or_si512(_mm512_slli_epi64(first, 32), _mm512_srli_epi64(second, 32))),
      _mm512_or_si512(swap_bytes(_mm512_slli_epi64(second, 32)), _mm512_slli_epi64(bytes, 32)),
      slots);
  return static_cast<__mmask8>(~fit);
}

template <size_t width>
PGSINK_AVX512 void put_all(const Form& form, const std::byte* values, size_t count,
                           FieldSlot* slots, size_t* row_bytes, uint8_t* misfits) {
  for (size_t i = 0; i < count; i += kEight) {
    // The columns are read in turns: the next block of this one begins where this one ends.
    for (size_t at = 0; at < kEight * width; at += sizeof(__m512i)) {
      prefetch_to_read(values, (i + count) * width + at);
    }
    const Magnitudes from = load_eight<width>(values + i * width, count - i);
    __m512i bytes;
    misfits[i / kEight] = put_eight(form, from, slots + i, bytes);
    const __mmask8 rows = first_lanes(count - i);
    const __m512i sums = _mm512_add_epi64(_mm512_maskz_loadu_epi64(rows, row_bytes + i), bytes);
    _mm512_mask_storeu_epi64(row_bytes + i, rows, sums);
  }
}

}  // namespace

bool SmallNumeric::vector_code_supported() {
  return __builtin_cpu_supports("avx512vbmi2") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
         __builtin_cpu_supports("avx512cd") != 0 && __builtin_cpu_supports("avx512dq") != 0;
}

PGSINK_AVX512 void SmallNumeric::put_slots(const std::byte* values, size_t width, size_t count,
                                           FieldSlot* slots, size_t* row_bytes,
                                           uint8_t* misfits) const {
  const Form form{_mm512_set1_epi64(static_cast<int64_t>(magnitude_end_)),
                  _mm512_set1_epi64(static_cast<int64_t>(factor_)),
                  _mm512_set1_epi64(static_cast<int64_t>(head_ >> 32)),
                  _mm512_set1_epi64(static_cast<int64_t>(head_ & 0xffff)), factor_ != 1};
  if (width == 4) return put_all<4>(form, values, count, slots, row_bytes, misfits);
  if (width == 8) return put_all<8>(form, values, count, slots, row_bytes, misfits);
  put_all<16>(form, values, count, slots, row_bytes, misfits);
}

}  // namespace pgsink::encode

#else  // other processors

namespace pgsink::encode {

bool SmallNumeric::vector_code_supported() { return false; }
void SmallNumeric::put_slots(const std::byte*, size_t, size_t, FieldSlot*, size_t*,
                             uint8_t*) const {}

}  // namespace pgsink::encode

#endif
