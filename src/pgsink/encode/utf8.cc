#include "pgsink/encode/utf8.h"

#include <bit>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace pgsink::encode {
namespace {

constexpr size_t kShownCharactersMax = 40;

bool is_continuation(unsigned char c) { return (c & 0xc0U) == 0x80U; }

/// Bytes of the character at the front of `text`; 0 if it is NUL or not valid.
size_t character_bytes(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  if (lead < 0x80) return lead != 0 ? 1 : 0;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const size_t bytes = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (text.size() < bytes) return 0;
  for (size_t i = 1; i < bytes; ++i) {
    if (!is_continuation(at(i))) return 0;
  }
  if (lead == 0xe0 && at(1) < 0xa0) return 0;   // overlong
  if (lead == 0xed && at(1) >= 0xa0) return 0;  // surrogate
  if (lead == 0xf0 && at(1) < 0x90) return 0;   // overlong
  if (lead == 0xf4 && at(1) >= 0x90) return 0;  // above U+10FFFF
  return bytes;
}

/// Length of the front part whose bytes are all in 1 … 127.
size_t ascii_prefix(const char* text, size_t size) {
  size_t at = 0;
#if defined(__SSE2__)
  const __m128i zero = _mm_setzero_si128();
  for (; at + 32 <= size; at += 32) {
    const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + at));
    const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + at + 16));
    // As signed bytes, plain ASCII is what is greater than zero.
    const auto low = static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpgt_epi8(a, zero)));
    const auto high = static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpgt_epi8(b, zero)));
    const uint32_t good = low | high << 16;
    if (good != ~uint32_t{0}) return at + static_cast<size_t>(std::countr_one(good));
  }
  if (at + 16 <= size) {
    const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + at));
    const auto good = static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpgt_epi8(a, zero)));
    if (good != 0xffff) return at + static_cast<size_t>(std::countr_one(good));
    at += 16;
  }
#endif
  constexpr uint64_t kHigh = 0x8080808080808080U;
  constexpr uint64_t kOnes = 0x0101010101010101U;
  for (; at + 8 <= size; at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, text + at, 8);
    // High bit set, or a borrow into it: at least one byte is not in 1 … 127.
    if (((word | (word - kOnes)) & kHigh) != 0) break;
  }
  for (; at < size; ++at) {
    if (static_cast<signed char>(text[at]) <= 0) return at;
  }
  return at;
}

void append_hex(std::string& to, unsigned char c) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  to += "\\x";
  to += kDigits[c >> 4];
  to += kDigits[c & 15];
}

}  // namespace

bool is_plain_ascii(std::string_view text) {
  return ascii_prefix(text.data(), text.size()) == text.size();
}

size_t utf8_fault_at(std::string_view text) {
  size_t at = 0;
  while (true) {
    at += ascii_prefix(text.data() + at, text.size() - at);
    // A run of other characters: stay with them until the next ASCII one.
    do {
      if (at == text.size()) return std::string_view::npos;
      const size_t bytes = character_bytes(text.substr(at));
      if (bytes == 0) return at;
      at += bytes;
    } while (at == text.size() || static_cast<signed char>(text[at]) <= 0);
  }
}

size_t utf8_length(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += is_continuation(static_cast<unsigned char>(c)) ? 0 : 1;
  return count;
}

std::string shortened(std::string_view text) {
  std::string shown = "\"";
  size_t characters = 0;
  while (!text.empty()) {
    if (characters++ == kShownCharactersMax) {
      shown += "…";
      break;
    }
    const size_t bytes = character_bytes(text);
    const auto c = static_cast<unsigned char>(text[0]);
    if (bytes == 0 || c < 0x20 || c == 0x7f) {
      append_hex(shown, c);
      text.remove_prefix(1);
    } else {
      shown += text.substr(0, bytes);
      text.remove_prefix(bytes);
    }
  }
  shown += '"';
  return shown;
}

}  // namespace pgsink::encode
