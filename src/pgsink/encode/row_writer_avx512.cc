// The loop over rows of RowWriter. Compiled for the processors that have what it takes, whatever
// the rest is compiled for.

#include "pgsink/encode/array.h"
#include "pgsink/encode/fixed.h"
#include "pgsink/encode/row_writer.h"
#include "pgsink/encode/text_kernels.h"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 sees its own "undefined" operands in <immintrin.h> as uninitialised (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#define PGSINK_AVX512_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi2,popcnt"
#define PGSINK_AVX512 __attribute__((target(PGSINK_AVX512_TARGET)))
/// Parts of a kernel, which must become one with it.
#define PGSINK_AVX512_PART PGSINK_AVX512 __attribute__((always_inline)) inline

namespace pgsink::encode {
namespace {

using pgproto::big_endian;

constexpr size_t kStep = sizeof(__m512i);
/// Values up to this many steps take as many moves as the longest of their block, so that no branch
/// depends on a value's size.
constexpr size_t kEqualStepsMax = 8;

/// What the checked bytes stored so far have in common.
struct Seen {
  __m512i least;  ///< The least of each, as unsigned bytes.
  __m512i all;    ///< Their union.
};

PGSINK_AVX512_PART bool is_null(const RowPart& part, size_t row) {
  return part.valid != nullptr && part.valid[row] == 0;
}

PGSINK_AVX512_PART __mmask64 first_bytes(size_t count) {
  return _bzhi_u64(~uint64_t{0}, static_cast<unsigned>(count));
}

/// At most a step.
template <bool exact, bool check>
PGSINK_AVX512_PART void move_short(std::byte* to, const std::byte* from, size_t size, Seen& seen) {
  const __mmask64 mask = first_bytes(size);
  const __m512i bytes = _mm512_maskz_loadu_epi8(mask, from);
  if (exact) {
    _mm512_mask_storeu_epi8(to, mask, bytes);
  } else {
    _mm512_storeu_si512(to, bytes);
  }
  if (!check) return;
  seen.all = _mm512_or_si512(seen.all, bytes);
  seen.least = _mm512_mask_min_epu8(seen.least, mask, seen.least, bytes);
}

template <bool check>
PGSINK_AVX512_PART void move_step(std::byte* to, const std::byte* from, Seen& seen) {
  const __m512i bytes = _mm512_loadu_si512(from);
  _mm512_storeu_si512(to, bytes);
  if (!check) return;
  seen.all = _mm512_or_si512(seen.all, bytes);
  seen.least = _mm512_min_epu8(seen.least, bytes);
}

/// `steps` is how many moves every value of at least a step takes; 0: as many as it needs. The last
/// move ends with the value, so that nothing spills over.
template <bool exact, bool check>
PGSINK_AVX512_PART void move_bytes(std::byte* to, const std::byte* from, size_t size, size_t steps,
                                   Seen& seen) {
  if (size < kStep || steps == 1) return move_short<exact, check>(to, from, size, seen);
  const size_t last = size - kStep;
  if (steps != 0) {
    for (size_t at = 0; --steps != 0; at += kStep) {
      const size_t place = at < last ? at : last;
      move_step<check>(to + place, from + place, seen);
    }
  } else {
    for (size_t at = 0; at < last; at += kStep) move_step<check>(to + at, from + at, seen);
  }
  move_step<check>(to + last, from + last, seen);
}

template <bool exact>
PGSINK_AVX512_PART std::byte* put_text(const RowPart& part, std::string_view value, size_t row,
                                       std::byte* to, Seen& seen) {
  const size_t present = is_null(part, row) ? 0 : 1;
  const size_t version = part.version ? present : 0;
  const size_t size = present != 0 ? value.size() : 0;
  const auto length = static_cast<uint32_t>(size + version + present - 1);
  if (exact) {
    store(to, big_endian(length));
    if (version != 0) to[kLengthBytes] = std::byte{1};
  } else {
    store(to, uint64_t{big_endian(length)} | uint64_t{1} << 32);
  }
  to += kLengthBytes + version;
  const auto* const from = reinterpret_cast<const std::byte*>(value.data());
  const size_t steps = (part.value_bytes_max + kStep - 1) / kStep;
  const size_t equal_steps = steps > kEqualStepsMax ? 0 : steps;
  if (part.checked) {
    move_bytes<exact, true>(to, from, size, equal_steps, seen);
  } else {
    move_bytes<exact, false>(to, from, size, equal_steps, seen);
  }
  return to + size;
}

template <bool exact, class T>
PGSINK_AVX512_PART std::byte* put_fixed(const RowPart& part, size_t row, std::byte* to) {
  constexpr auto kWidth = static_cast<uint32_t>(sizeof(T));
  const bool present = !is_null(part, row);
  const auto value = load<T>(part.values + static_cast<ptrdiff_t>(row) * part.stride_bytes);
  store(to, present ? big_endian(kWidth) : ~uint32_t{0});
  if (!exact || present)
    store(to + kLengthBytes, big_endian(static_cast<T>(value + static_cast<T>(part.addend))));
  return to + kLengthBytes + (present ? kWidth : 0);
}

/// Values of 12 or 16 bytes, which are as they go over the wire.
template <bool exact, uint32_t width>
PGSINK_AVX512_PART std::byte* put_long_fixed(const RowPart& part, size_t row, std::byte* to) {
  const bool present = !is_null(part, row);
  store(to, present ? big_endian(width) : ~uint32_t{0});
  if (!exact || present) {
    std::memcpy(to + kLengthBytes, part.values + static_cast<ptrdiff_t>(row) * part.stride_bytes,
                width);
  }
  return to + kLengthBytes + (present ? width : 0);
}

template <bool exact>
PGSINK_AVX512_PART std::byte* put_slot(const RowPart& part, size_t row, std::byte* to) {
  const std::byte* const slot = part.values + row * sizeof(FieldSlot);
  const size_t bytes = load<uint32_t>(slot + FieldSlot::kBytes);
  Seen seen;
  if (bytes > FieldSlot::kBytes) {
    move_bytes<exact, false>(to, part.heap + load<size_t>(slot), bytes, 0, seen);
  } else if (exact) {
    move_short<exact, false>(to, slot, bytes, seen);
  } else {
    std::memcpy(to, slot, sizeof(FieldSlot));
  }
  return to + bytes;
}

/// Five fields of eight bytes are 60: what one permute makes of five values.
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

template <bool exact>
PGSINK_AVX512_PART std::byte* put_long_elements(const RowPart& part, const std::byte* from,
                                                uint32_t count, std::byte* to) {
  const __m512i addend = _mm512_set1_epi64(static_cast<int64_t>(part.addend));
  for (uint32_t left = count; left != 0;) {
    const uint32_t step = left < kRunStep ? left : kRunStep;
    const __m512i values = _mm512_add_epi64(
        _mm512_maskz_loadu_epi64(static_cast<__mmask8>((1U << step) - 1), from), addend);
    const __m512i fields = _mm512_or_si512(
        _mm512_maskz_permutexvar_epi8(kRunBytes.value_mask,
                                      _mm512_load_si512(kRunBytes.index.data()), values),
        _mm512_load_si512(kRunBytes.pattern.data()));
    if (exact) {
      _mm512_mask_storeu_epi8(to, first_bytes(step * kRunFieldBytes), fields);
    } else {
      _mm512_storeu_si512(to, fields);
    }
    from += step * sizeof(uint64_t);
    to += step * kRunFieldBytes;
    left -= step;
  }
  return to;
}

template <bool exact>
PGSINK_AVX512_PART std::byte* put_run(const RowPart& part, size_t row, std::byte* to) {
  const uint32_t count = part.counts[row];
  if (is_null(part, row)) {
    store(to, ~uint32_t{0});
    return to + kLengthBytes;
  }
  to = put_array_head(to, part.oid, count, part.width);
  const std::byte* const from =
      part.values + static_cast<ptrdiff_t>(part.firsts[row]) * part.stride_bytes;
  if (part.width == sizeof(uint64_t) && part.stride_bytes == sizeof(uint64_t)) {
    return put_long_elements<exact>(part, from, count, to);
  }
  const Lanes lanes{from, part.stride_bytes, static_cast<int64_t>(part.addend), part.width};
  const size_t field_bytes = kLengthBytes + part.width;
  store_strided(lanes, to, field_bytes, count, true);
  return to + count * field_bytes;
}

PGSINK_AVX512_PART std::byte* note_gap(const RowPart& part, size_t row, std::byte* to) {
  part.places[row] = to;
  return to + part.gap_bytes + part.sizes[row];
}

template <bool exact>
PGSINK_AVX512_PART std::byte* put_part(const RowPart& part, size_t row, std::byte* to, Seen& seen) {
  using Form = RowPart::Form;
  switch (part.form) {
    case Form::kNull:
      store(to, ~uint32_t{0});
      return to + kLengthBytes;
    case Form::kFixed1:
      return put_fixed<exact, uint8_t>(part, row, to);
    case Form::kFixed2:
      return put_fixed<exact, uint16_t>(part, row, to);
    case Form::kFixed4:
      return put_fixed<exact, uint32_t>(part, row, to);
    case Form::kFixed8:
      return put_fixed<exact, uint64_t>(part, row, to);
    case Form::kFixed12:
      return put_long_fixed<exact, 12>(part, row, to);
    case Form::kFixed16:
      return put_long_fixed<exact, 16>(part, row, to);
    case Form::kText32: {
      const OffsetReader<int32_t> values{part.values, reinterpret_cast<const char*>(part.heap)};
      return put_text<exact>(part, values[row], row, to, seen);
    }
    case Form::kText64: {
      const OffsetReader<int64_t> values{part.values, reinterpret_cast<const char*>(part.heap)};
      return put_text<exact>(part, values[row], row, to, seen);
    }
    case Form::kViews: {
      const auto* const views = reinterpret_cast<const std::string_view*>(part.values);
      return put_text<exact>(part, views[row], row, to, seen);
    }
    case Form::kSlots:
      return put_slot<exact>(part, row, to);
    case Form::kStaged: {
      const size_t begin = part.ends[row];
      const size_t size = part.ends[row + 1] - begin;
      move_bytes<exact, false>(to, part.heap + begin, size, 0, seen);
      return to + size;
    }
    case Form::kRuns:
      return put_run<exact>(part, row, to);
    case Form::kGap:
      return note_gap(part, row, to);
  }
  __builtin_unreachable();
}

template <bool exact>
PGSINK_AVX512 std::byte* store_rows(std::span<const RowPart* const> parts, size_t first, size_t end,
                                    std::byte* to, bool& plain) {
  Seen seen{_mm512_set1_epi8(1), _mm512_setzero_si512()};
  const auto field_count = static_cast<int16_t>(parts.size());
  for (size_t row = first; row < end; ++row) {
    pgproto::store_be(to, field_count);
    to += sizeof field_count;
    for (const RowPart* const part : parts) to = put_part<exact>(*part, row, to, seen);
  }
  plain &= (_mm512_testn_epi8_mask(seen.least, seen.least) | _mm512_movepi8_mask(seen.all)) == 0;
  return to;
}

}  // namespace

std::byte* row_writer_store(std::span<const RowPart* const> parts, size_t first, size_t end,
                            bool exact, std::byte* to, bool& plain) {
  if (exact) return store_rows<true>(parts, first, end, to, plain);
  return store_rows<false>(parts, first, end, to, plain);
}

}  // namespace pgsink::encode

#else  // other processors: RowWriter::plan() says no

namespace pgsink::encode {

std::byte* row_writer_store(std::span<const RowPart* const>, size_t, size_t, bool, std::byte* to,
                            bool&) {
  return to;
}

}  // namespace pgsink::encode

#endif
