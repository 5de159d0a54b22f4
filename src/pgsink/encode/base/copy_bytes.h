#pragma once
// copy_bytes: memcpy for sizes that are mostly small and vary from call to call.

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pgsink::encode {

template <size_t unit>
inline void copy_ends(std::byte* to, const std::byte* from, size_t size) {
  struct Unit {
    std::byte bytes[unit];
  };
  Unit front;
  Unit back;
  std::memcpy(&front, from, unit);
  std::memcpy(&back, from + size - unit, unit);
  std::memcpy(to, &front, unit);
  std::memcpy(to + size - unit, &back, unit);
}

/// copy_bytes copies `size` bytes and writes no other. Below 64 bytes it does two or four
/// overlapping moves and no call; the sizes in one column mostly use one or two of the cases.
inline void copy_bytes(std::byte* to, const std::byte* from, size_t size) {
  if (size >= 16) {
    if (size <= 32) return copy_ends<16>(to, from, size);
    if (size <= 64) return copy_ends<32>(to, from, size);
    std::memcpy(to, from, size);
    return;
  }
  if (size >= 8) return copy_ends<8>(to, from, size);
  if (size >= 4) return copy_ends<4>(to, from, size);
  for (size_t i = 0; i < size; ++i) to[i] = from[i];
}

}  // namespace pgsink::encode
