#pragma once
// Target: a PostgreSQL type as the encoder sees it, with all its parts.

#include <string>
#include <string_view>
#include <vector>

#include <pgproto/type_info.h>

#include <pgsink/record_batch.h>

namespace pgsink::encode {

/// TargetKind is the binary format that values of the type have.
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
};
inline constexpr size_t kTargetKindCount = static_cast<size_t>(TargetKind::kMultirange) + 1;

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
  std::vector<std::string> names;  ///< Attribute names, or an enum's labels.
};

/// resolve_target resolves domains, arrays, composites and ranges. The error says which type is
/// unknown or has no binary form here.
Result<Target> resolve_target(pgproto::Oid oid, int32_t type_modifier,
                              const pgproto::TypeMap& types);

}  // namespace pgsink::encode
