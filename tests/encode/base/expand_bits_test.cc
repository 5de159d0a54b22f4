// Bits as bytes, at every place and in every number.

#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "pgsink/encode/base/field.h"

namespace pgsink::test {
namespace {

TEST(ExpandBits, AreTheBitsFromEveryPlaceInEveryNumber) {
  constexpr size_t kBits = 400;
  std::vector<uint8_t> bits(kBits / 8);
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint8_t>(i * 151 + 37);
  for (size_t from = 0; from < 70; ++from) {
    for (size_t count = 0; count <= encode::kBlockRowsMax; ++count) {
      // A buffer that ends with the last bit: reading after it is found by AddressSanitizer.
      const std::vector<uint8_t> exact(
          bits.begin(), bits.begin() + static_cast<ptrdiff_t>((from + count + 7) / 8));
      std::vector<uint8_t> flags(encode::kFlagBytes, 9);
      encode::expand_bits(exact.data(), from, count, flags.data());
      for (size_t i = 0; i < count; ++i) {
        const int bit = bits[(from + i) / 8] >> ((from + i) % 8) & 1;
        ASSERT_EQ(flags[i], bit) << from << " + " << i << " of " << count;
      }
    }
  }
}

}  // namespace
}  // namespace pgsink::test
