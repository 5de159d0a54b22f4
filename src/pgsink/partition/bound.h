#pragma once
// The bounds of a partition, parsed from the text of pg_get_expr().

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsink {

/// BoundConstant is one constant of a bound.
struct BoundConstant {
  enum class Kind : uint8_t { kValue, kNull, kMin, kMax };
  Kind kind = Kind::kValue;
  std::string text{};  ///< kValue: the value's text form.
};

struct PartitionBound {
  enum class Kind : uint8_t { kDefault, kList, kRange, kHash };
  Kind kind = Kind::kDefault;
  std::vector<BoundConstant> values{};      ///< kList.
  std::vector<BoundConstant> from{}, to{};  ///< kRange: one constant per key column.
  uint64_t modulus = 0, remainder = 0;      ///< kHash.
};

/// parse_partition_bound reads "FOR VALUES …" or "DEFAULT"; nothing if it is neither.
/// REQUIRES: it was printed with standard_conforming_strings = on.
/// Source: get_rule_expr() of the server, T_PartitionBoundSpec.
std::optional<PartitionBound> parse_partition_bound(std::string_view text);

}  // namespace pgsink
