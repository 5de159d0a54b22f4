#pragma once
// Reading and writing bytes in network order. Bytes of a peer are read only by ByteReader: it
// checks every length against the bytes at hand, and once it has failed it stays failed.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include <pgproto/error.h>

namespace pgproto {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

/// A view of text as bytes, valid as long as the text.
inline Bytes as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
/// A view of bytes as text, valid as long as the bytes.
inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// big_endian swaps between host and network order.
template <std::integral T>
constexpr T big_endian(T value) {
  if constexpr (std::endian::native == std::endian::little && sizeof(T) > 1) {
    return std::byteswap(value);
  } else {
    return value;
  }
}

/// store_be writes an integer in network order to unaligned memory of sizeof(T) bytes.
template <std::integral T>
inline void store_be(std::byte* to, T value) {
  value = big_endian(value);
  std::memcpy(to, &value, sizeof(T));
}

/// load_be reads an integer in network order from unaligned memory of sizeof(T) bytes.
template <std::integral T>
inline T load_be(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return big_endian(value);
}

/// ByteReader reads through bytes of a peer. The first read past the end makes ok() false
/// permanently; that read and all later ones return zero or nothing, so a decoder checks once at
/// its end.
class ByteReader {
 public:
  /// `bytes` must outlive the reader and its results.
  explicit ByteReader(Bytes bytes) : rest_(bytes) {}

  /// read reads an integer in network order.
  template <std::integral T>
  T read() {
    if (!take(sizeof(T))) return 0;
    return load_be<T>(taken_.data());
  }
  /// The next `size` bytes as a view; empty on failure.
  Bytes read_bytes(size_t size) { return take(size) ? taken_ : Bytes{}; }
  /// Text up to the next NUL, which is consumed; a missing NUL is a failure.
  std::string_view read_cstring() {
    const void* nul = rest_.empty() ? nullptr : std::memchr(rest_.data(), 0, rest_.size());
    if (nul == nullptr) {
      fail();
      return {};
    }
    const auto size = static_cast<size_t>(static_cast<const std::byte*>(nul) - rest_.data());
    take(size + 1);
    return as_text(taken_.first(size));
  }
  /// A count whose elements take at least `element_bytes_min` each. Fails unless that many bytes
  /// are left.
  size_t read_count_u16(size_t element_bytes_min) {
    const size_t count = read<uint16_t>();
    if (count * element_bytes_min > rest_.size()) fail();
    return ok_ ? count : 0;
  }

  /// rest is what was not read yet; empty after a failure.
  Bytes rest() const { return rest_; }
  /// remaining is the number of bytes not read yet.
  size_t remaining() const { return rest_.size(); }
  /// ok says whether no read has failed.
  bool ok() const { return ok_; }
  /// True if nothing failed and every byte was read.
  bool done() const { return ok_ && rest_.empty(); }
  /// fail makes the reader fail, for a decoder that finds a fault itself.
  void fail() {
    ok_ = false;
    rest_ = {};
  }

 private:
  bool take(size_t size) {
    if (!ok_ || rest_.size() < size) {
      fail();
      taken_ = {};
      return false;
    }
    taken_ = rest_.first(size);
    rest_ = rest_.subspan(size);
    return true;
  }

  Bytes rest_;
  Bytes taken_;
  bool ok_ = true;
};

}  // namespace pgproto
