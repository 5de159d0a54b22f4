#include <bit>
#include <cstdint>
#include <cstring>

#include <pgproto/error.h>
#include <pgproto/utf8.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace pgproto {
namespace {

/// Length of the prefix whose bytes are all in 1 … 127.
size_t ascii_prefix(const char* text, size_t size) {
  size_t at = 0;
#if defined(__SSE2__)
  const __m128i zero = _mm_setzero_si128();
  for (; at + 32 <= size; at += 32) {
    const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + at));
    const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + at + 16));
    // As signed bytes, plain ASCII is greater than zero.
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

}  // namespace

std::optional<char32_t> utf8_decode_next(std::string_view& text) {
  if (text.empty()) return std::nullopt;
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) {
    text.remove_prefix(1);
    return lead;
  }
  // By lead byte: the number of bytes, and the range of the second byte, which is narrower where
  // the full range would allow overlong forms, surrogates or too large codes.
  size_t size = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf) {
    size = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    size = 3;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    size = 4;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
  } else {
    return std::nullopt;
  }
  if (text.size() < size || byte(1) < low || byte(1) > high) return std::nullopt;
  char32_t code = lead & (0x7fU >> size);
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return std::nullopt;
    code = code << 6 | (byte(i) & 0x3f);
  }
  text.remove_prefix(size);
  return code;
}

void utf8_append(std::string& text, char32_t code) {
  const auto put = [&](char32_t value) { text += static_cast<char>(value); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xc0 | code >> 6);
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3f));
  } else {
    put(0xf0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3f));
    put(0x80 | (code >> 6 & 0x3f));
  }
  put(0x80 | (code & 0x3f));
}

bool utf8_valid(std::string_view text) {
  while (true) {
    text.remove_prefix(ascii_prefix(text.data(), text.size()));
    if (text.empty()) return true;
    if (!utf8_decode_next(text)) return false;
  }
}

bool is_plain_ascii(std::string_view text) {
  return ascii_prefix(text.data(), text.size()) == text.size();
}

size_t utf8_fault_at(std::string_view text) {
  std::string_view rest = text;
  while (true) {
    rest.remove_prefix(ascii_prefix(rest.data(), rest.size()));
    // Stay in a run of other characters until the next ASCII one.
    do {
      if (rest.empty()) return std::string_view::npos;
      if (rest[0] == '\0' || !utf8_decode_next(rest)) return text.size() - rest.size();
    } while (rest.empty() || static_cast<signed char>(rest[0]) <= 0);
  }
}

bool utf8_is_text(std::string_view text) { return utf8_fault_at(text) == std::string_view::npos; }

size_t utf8_length(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xc0U) == 0x80U ? 0 : 1;
  return count;
}

CodePoint code_point_at(std::string_view text, size_t offset) {
  PGPROTO_ASSERT(offset < text.size());
  std::string_view rest = text.substr(offset);
  const size_t before = rest.size();
  const std::optional<char32_t> code = utf8_decode_next(rest);
  if (!code) return {.value = 0xfffd, .bytes = 1, .valid = false};
  return {.value = *code, .bytes = before - rest.size()};
}

}  // namespace pgproto
