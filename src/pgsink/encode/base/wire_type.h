#pragma once
// Target: a PostgreSQL type as the encoder sees it, with all its parts.

#include <string>
#include <string_view>
#include <vector>

#include <pgproto/type_info.h>

#include <pgsink/record_batch.h>

#include "pgsink/encode/base/value_rules.h"

namespace pgsink::encode {

/// TargetKind is the binary format that values of the type have, or kInput.
enum class TargetKind : uint8_t {
  kBool,
  kInt2,
  kInt4,
  kInt8,
  kOid,
  kFloat4,
  kFloat8,
  kNumeric,
  kText,
  kVarchar,
  kBpchar,
  kName,
  kChar,
  kBytea,
  kDate,
  kTime,
  kTimetz,
  kTimestamp,
  kTimestamptz,
  kInterval,
  kUuid,
  kJson,
  kJsonb,
  kXml,
  kInet,
  kCidr,
  kMacaddr,
  kMacaddr8,
  kBit,
  kVarbit,
  kEnum,
  kComposite,
  kArray,
  kRange,
  kMultirange,
  kInput,  ///< Any other type: the server's own input function reads its text.
};
inline constexpr size_t kTargetKindCount = static_cast<size_t>(TargetKind::kInput) + 1;

/// target_kind_name is the SQL name of a kind: "bigint", "enum", "array".
std::string_view target_kind_name(TargetKind kind);

/// Target is one type with its parts: an array's element, a range's bound, a composite's
/// attributes.
struct Target {
  TargetKind kind = TargetKind::kText;
  pgproto::Oid oid = 0;        ///< The OID in arrays and composites; a domain's own.
  int32_t type_modifier = -1;  ///< Arrays: the modifier of the elements.
  std::string name;            ///< For messages: "numeric(18,4)".
  std::vector<Target> parts;
  /// Attribute names, an enum's labels, or of kInput the type's own name below all domains.
  std::vector<std::string> names;
  char delimiter = ',';  ///< Between the elements of an array's text.
  ValueRules rules{};    ///< The same in all parts.
};

/// resolve_target resolves domains, arrays, composites and ranges. The error says which type is
/// unknown.
Result<Target> resolve_target(pgproto::Oid oid, int32_t type_modifier,
                              const pgproto::TypeMap& types, const ValueRules& rules = {});

/// is_named says whether the target is an extension's type of that name, whatever its schema.
bool is_named(const Target& target, std::string_view name);

/// goes_as_text says whether a value is sent as the text that the server's input function reads:
/// the type, or one that it is made of, has no binary form here.
bool goes_as_text(const Target& target);

}  // namespace pgsink::encode
