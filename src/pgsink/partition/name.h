#pragma once
// PartitionName: the template of the names of partitions (option partition_name). Pure.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <pgsink/options.h>

#include "pgsink/partition/range.h"

namespace pgsink {

/// The longest name in a server with default settings (NAMEDATALEN - 1).
inline constexpr size_t kNameBytesMax = 63;

class PartitionName {
 public:
  /// parse reads a template: text with {table}, and {start} or {end} (with a format of strftime()
  /// after a colon) for ranges, {value} for lists, {remainder} and {modulus} for hashes; {{ and }}
  /// are braces. "" is the default of the type. Fails with kOptionValue on anything else, and if
  /// all partitions would have the same name.
  static Result<PartitionName> parse(std::string_view text, PartitionType type);

  /// check_distinct fails with kOptionConflict if two ranges of the rule would have one name.
  Status check_distinct(const RangeRule& rule) const;

  std::string of_range(std::string_view table, const RangeRule& rule, const RangeSpan& span) const;
  std::string of_value(std::string_view table, std::string_view value) const;
  std::string of_remainder(std::string_view table, uint64_t modulus, uint64_t remainder) const;

 private:
  struct Part {
    enum class Kind : uint8_t { kText, kTable, kStart, kEnd, kValue, kRemainder, kModulus };
    Kind kind = Kind::kText;
    std::string text{};  ///< The text of kText; the format of kStart and kEnd.
  };
  static std::optional<Part> placeholder(std::string_view text, PartitionType type);

  std::vector<Part> parts_;
};

}  // namespace pgsink
