#pragma once
// Prefetching memory. The address may be past any object, where pointer arithmetic is undefined, so
// it is computed as a number; nothing is read there.

#include <cstddef>
#include <cstdint>

namespace pgsink::encode {

__attribute__((always_inline)) inline const void* address_ahead(const void* at, size_t bytes) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): nothing is read through it
  return reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(at) + bytes);
}
/// prefetch_to_read prefetches the cache line `bytes` after `at` for reading.
__attribute__((always_inline)) inline void prefetch_to_read(const void* at, size_t bytes) {
  __builtin_prefetch(address_ahead(at, bytes), 0);
}
/// prefetch_to_write prefetches the cache line `bytes` after `at` for writing.
__attribute__((always_inline)) inline void prefetch_to_write(const void* at, size_t bytes) {
  __builtin_prefetch(address_ahead(at, bytes), 1);
}

}  // namespace pgsink::encode
