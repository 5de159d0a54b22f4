#include "pgsink/client/env.h"

#include <array>
#include <cstring>

namespace pgsink {

uint64_t Random::next_u64() {
  std::array<std::byte, sizeof(uint64_t)> bytes{};
  fill(bytes);
  uint64_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

}  // namespace pgsink
