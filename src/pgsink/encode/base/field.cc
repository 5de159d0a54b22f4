#include "pgsink/encode/base/field.h"

#include <array>
#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 sees its own "undefined" operands in <immintrin.h> as uninitialised (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#endif

namespace pgsink::encode {
namespace {

constexpr std::array<uint64_t, 256> kByteToFlags = [] {
  std::array<uint64_t, 256> flags{};
  for (size_t byte = 0; byte < 256; ++byte) {
    for (size_t bit = 0; bit < 8; ++bit) {
      const uint64_t flag = (byte >> bit) & 1;
      const size_t place = std::endian::native == std::endian::little ? bit : 7 - bit;
      flags[byte] |= flag << (8 * place);
    }
  }
  return flags;
}();

uint8_t bit_at(const uint8_t* bits, size_t index) {
  return static_cast<uint8_t>((bits[index >> 3] >> (index & 7)) & 1U);
}

const uint8_t* validity_from_bits(const ColumnView& column, const Block& block, uint8_t* scratch) {
  const auto offset = static_cast<size_t>(column.offset);
  if (block.indexes == nullptr) {
    const size_t from = offset + block.first;
    if (bits_all_set(column.validity_bits, from, block.count)) return nullptr;
    expand_bits(column.validity_bits, from, block.count, scratch);
    return scratch;
  }
  uint8_t all = 1;
  for (size_t i = 0; i < block.count; ++i) {
    scratch[i] = bit_at(column.validity_bits, offset + block.indexes[i]);
    all &= scratch[i];
  }
  return all != 0 ? nullptr : scratch;
}

}  // namespace

bool bits_all_set(const uint8_t* bits, size_t from, size_t count) {
  if (count == 0) return true;
  const size_t last = from + count - 1;
  const size_t first_byte = from >> 3;
  const size_t last_byte = last >> 3;
  const auto head = static_cast<uint8_t>(0xffU << (from & 7));
  const auto tail = static_cast<uint8_t>(0xffU >> (7 - (last & 7)));
  if (first_byte == last_byte) {
    const auto mask = static_cast<uint8_t>(head & tail);
    return (bits[first_byte] & mask) == mask;
  }
  if ((bits[first_byte] & head) != head || (bits[last_byte] & tail) != tail) return false;
  size_t at = first_byte + 1;
  for (; at + 8 <= last_byte; at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bits + at, 8);
    if (word != ~uint64_t{0}) return false;
  }
  for (; at < last_byte; ++at) {
    if (bits[at] != 0xff) return false;
  }
  return true;
}

#if defined(__x86_64__)
/// As expand_bits(), for whole groups of 64. Returns how many it expanded.
__attribute__((target("avx512f,avx512bw"))) size_t expand_groups(const uint8_t* bits, size_t from,
                                                                 size_t count, uint8_t* to) {
  constexpr size_t kGroup = 64;
  const unsigned shift = from & 7;
  const uint8_t* at = bits + (from >> 3);
  size_t done = 0;
  for (; done + kGroup <= count; done += kGroup, at += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, at, sizeof word);
    if (shift != 0) word = word >> shift | uint64_t{at[sizeof word]} << (kGroup - shift);
    _mm512_storeu_si512(to + done, _mm512_maskz_set1_epi8(word, 1));
  }
  return done;
}
#endif

void expand_bits(const uint8_t* bits, size_t from, size_t count, uint8_t* to) {
#if defined(__x86_64__)
  static const bool kHasGroups = __builtin_cpu_supports("avx512bw") != 0;
  if (kHasGroups) {
    const size_t done = expand_groups(bits, from, count, to);
    from += done;
    count -= done;
    to += done;
  }
#endif
  if (count == 0) return;
  const unsigned shift = from & 7;
  const uint8_t* at = bits + (from >> 3);
  const uint8_t* const last = bits + ((from + count - 1) >> 3);
  for (size_t i = 0; i < count; i += 8, ++at) {
    unsigned byte = *at;
    if (shift != 0) {
      const unsigned next = at < last ? at[1] : 0;
      byte = (byte | (next << 8)) >> shift;
    }
    std::memcpy(to + i, &kByteToFlags[byte & 0xff], 8);
  }
}

const uint8_t* load_validity(const ColumnView& column, const Block& block, uint8_t* scratch) {
  if (column.validity_bits != nullptr) return validity_from_bits(column, block, scratch);
  if (column.validity_bytes == nullptr) return nullptr;
  uint8_t all = 1;
  for (size_t i = 0; i < block.count; ++i) {
    const auto row = static_cast<ptrdiff_t>(block.row(i));
    scratch[i] = column.validity_bytes[row * column.validity_stride_bytes] != 0 ? 1 : 0;
    all &= scratch[i];
  }
  return all != 0 ? nullptr : scratch;
}

}  // namespace pgsink::encode
