#include "pgsink/encode/base/wire_type.h"

#include <algorithm>
#include <array>

namespace pgsink::encode {
namespace {

namespace oid = pgproto::oid;
using pgproto::Oid;
using pgproto::TypeInfo;

struct BuiltIn {
  Oid oid;
  Oid array_oid;
  TargetKind kind;
  std::string_view name;
  Oid part_oid = 0;  ///< The subtype of a range, the range of a multirange.
};

// Source: src/include/catalog/pg_type.dat and pg_range.dat.
constexpr BuiltIn kBuiltIns[] = {
    {oid::kBool, 1000, TargetKind::kBool, "boolean"},
    {oid::kBytea, 1001, TargetKind::kBytea, "bytea"},
    {oid::kChar, 1002, TargetKind::kChar, "\"char\""},
    {oid::kName, 1003, TargetKind::kName, "name"},
    {oid::kInt2, 1005, TargetKind::kInt2, "smallint"},
    {oid::kInt4, 1007, TargetKind::kInt4, "integer"},
    {oid::kInt8, 1016, TargetKind::kInt8, "bigint"},
    {oid::kText, 1009, TargetKind::kText, "text"},
    {oid::kOid, 1028, TargetKind::kOid, "oid"},
    {oid::kJson, 199, TargetKind::kJson, "json"},
    {oid::kXml, 143, TargetKind::kXml, "xml"},
    {oid::kFloat4, 1021, TargetKind::kFloat4, "real"},
    {oid::kFloat8, 1022, TargetKind::kFloat8, "double precision"},
    {oid::kMacaddr, 1040, TargetKind::kMacaddr, "macaddr"},
    {774, 775, TargetKind::kMacaddr8, "macaddr8"},
    {oid::kInet, 1041, TargetKind::kInet, "inet"},
    {oid::kCidr, 651, TargetKind::kCidr, "cidr"},
    {oid::kBpchar, 1014, TargetKind::kBpchar, "character"},
    {oid::kVarchar, 1015, TargetKind::kVarchar, "character varying"},
    {oid::kDate, 1182, TargetKind::kDate, "date"},
    {oid::kTime, 1183, TargetKind::kTime, "time without time zone"},
    {oid::kTimestamp, 1115, TargetKind::kTimestamp, "timestamp without time zone"},
    {oid::kTimestamptz, 1185, TargetKind::kTimestamptz, "timestamp with time zone"},
    {oid::kInterval, 1187, TargetKind::kInterval, "interval"},
    {oid::kTimetz, 1270, TargetKind::kTimetz, "time with time zone"},
    {oid::kBit, 1561, TargetKind::kBit, "bit"},
    {oid::kVarbit, 1563, TargetKind::kVarbit, "bit varying"},
    {oid::kNumeric, 1231, TargetKind::kNumeric, "numeric"},
    {oid::kUuid, 2951, TargetKind::kUuid, "uuid"},
    {oid::kJsonb, 3807, TargetKind::kJsonb, "jsonb"},
    {3904, 3905, TargetKind::kRange, "int4range", oid::kInt4},
    {3906, 3907, TargetKind::kRange, "numrange", oid::kNumeric},
    {3908, 3909, TargetKind::kRange, "tsrange", oid::kTimestamp},
    {3910, 3911, TargetKind::kRange, "tstzrange", oid::kTimestamptz},
    {3912, 3913, TargetKind::kRange, "daterange", oid::kDate},
    {3926, 3927, TargetKind::kRange, "int8range", oid::kInt8},
    {4451, 6150, TargetKind::kMultirange, "int4multirange", 3904},
    {4532, 6151, TargetKind::kMultirange, "nummultirange", 3906},
    {4533, 6152, TargetKind::kMultirange, "tsmultirange", 3908},
    {4534, 6153, TargetKind::kMultirange, "tstzmultirange", 3910},
    {4535, 6155, TargetKind::kMultirange, "datemultirange", 3912},
    {4536, 6157, TargetKind::kMultirange, "int8multirange", 3926},
};

constexpr std::string_view kKindNames[kTargetKindCount] = {
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "oid",
    "real",
    "double precision",
    "numeric",
    "text",
    "character varying",
    "character",
    "name",
    "\"char\"",
    "bytea",
    "date",
    "time without time zone",
    "time with time zone",
    "timestamp without time zone",
    "timestamp with time zone",
    "interval",
    "uuid",
    "json",
    "jsonb",
    "xml",
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "bit",
    "bit varying",
    "enum",
    "composite type",
    "array",
    "range",
    "multirange",
    "any other type",
};

/// The nesting limit; a type cannot contain itself, so it is never reached in practice.
constexpr int kDepthMax = 32;

class Resolver {
 public:
  Resolver(const pgproto::TypeMap& types, const ValueRules& rules) : types_(types), rules_(rules) {}

  Result<Target> resolve(Oid wanted, int32_t type_modifier, int depth) const {
    if (depth > kDepthMax) {
      return pgproto::fail(Errc::kColumnType, "the type nests deeper than 32 levels");
    }
    const auto known = types_.find(wanted);
    if (known != types_.end()) return resolve_known(known->second, type_modifier, depth);
    if (auto target = resolve_built_in(wanted, type_modifier, depth)) return std::move(*target);
    return pgproto::fail(Errc::kColumnType, "the type with OID " + std::to_string(wanted) +
                                                " is not described in the catalog that was read");
  }

 private:
  using Found = std::unique_ptr<Result<Target>>;

  Found resolve_built_in(Oid wanted, int32_t type_modifier, int depth) const {
    for (const BuiltIn& type : kBuiltIns) {
      if (type.oid == wanted) {
        Target target = scalar(type.kind, wanted, type_modifier, std::string(type.name));
        if (type.part_oid == 0) return found(std::move(target));
        return found(with_part(std::move(target), type.part_oid, -1, depth));
      }
      if (type.array_oid == wanted) {
        return found(array(wanted, type.oid, type_modifier, std::string(type.name) + "[]", depth));
      }
    }
    return nullptr;
  }

  Result<Target> resolve_known(const TypeInfo& type, int32_t type_modifier, int depth) const {
    switch (type.kind) {
      case TypeInfo::Kind::kDomain: {
        auto base = resolve(type.base_oid, type.type_modifier, depth + 1);
        if (!base) return base;
        base->oid = type.oid;
        base->name = type.name;
        base->delimiter = type.delimiter;
        return base;
      }
      case TypeInfo::Kind::kEnum: {
        Target target = scalar(TargetKind::kEnum, type.oid, -1, type.name);
        target.names = type.labels;
        return target;
      }
      case TypeInfo::Kind::kComposite:
        return composite(type, depth);
      case TypeInfo::Kind::kArray:
        return array(type.oid, type.element_oid, type_modifier, type.name, depth);
      case TypeInfo::Kind::kRange:
        return with_part(scalar(TargetKind::kRange, type.oid, -1, type.name), type.element_oid, -1,
                         depth);
      case TypeInfo::Kind::kMultirange:
        return with_part(scalar(TargetKind::kMultirange, type.oid, -1, type.name), type.element_oid,
                         -1, depth);
      default:
        break;
    }
    if (auto built_in = resolve_built_in(type.oid, type_modifier, depth)) {
      return std::move(*built_in);
    }
    // citext is an extension's type, so its OID differs; its binary form is that of text.
    if (type.name == "citext" || type.name.ends_with(".citext")) {
      return scalar(TargetKind::kText, type.oid, -1, type.name);
    }
    Target target = scalar(TargetKind::kInput, type.oid, type_modifier, type.name);
    target.delimiter = type.delimiter;
    target.names = {type.name};
    return target;
  }

  Target scalar(TargetKind kind, Oid oid, int32_t type_modifier, std::string name) const {
    Target target;
    target.rules = rules_;
    target.kind = kind;
    target.oid = oid;
    target.type_modifier = type_modifier;
    target.name = std::move(name);
    return target;
  }

  Result<Target> array(Oid oid, Oid element, int32_t type_modifier, std::string name,
                       int depth) const {
    return with_part(scalar(TargetKind::kArray, oid, -1, std::move(name)), element, type_modifier,
                     depth);
  }

  Result<Target> with_part(Target target, Oid part, int32_t type_modifier, int depth) const {
    auto resolved = resolve(part, type_modifier, depth + 1);
    if (!resolved) return resolved;
    target.parts.push_back(std::move(*resolved));
    return target;
  }

  Result<Target> composite(const TypeInfo& type, int depth) const {
    Target target = scalar(TargetKind::kComposite, type.oid, -1, type.name);
    for (const TypeInfo::Attribute& attribute : type.attributes) {
      auto part = resolve(attribute.type_oid, attribute.type_modifier, depth + 1);
      if (!part) return part;
      target.parts.push_back(std::move(*part));
      target.names.push_back(attribute.name);
    }
    return target;
  }

  static Found found(Result<Target> target) {
    return std::make_unique<Result<Target>>(std::move(target));
  }

  const pgproto::TypeMap& types_;
  const ValueRules& rules_;
};

}  // namespace

std::string_view target_kind_name(TargetKind kind) { return kKindNames[static_cast<size_t>(kind)]; }

Result<Target> resolve_target(Oid oid, int32_t type_modifier, const pgproto::TypeMap& types,
                              const ValueRules& rules) {
  return Resolver(types, rules).resolve(oid, type_modifier, 0);
}

bool is_named(const Target& target, std::string_view name) {
  return target.kind == TargetKind::kInput &&
         (target.names[0] == name || target.names[0].ends_with("." + std::string(name)));
}

bool goes_as_text(const Target& target) {
  return target.kind == TargetKind::kInput || std::ranges::any_of(target.parts, goes_as_text);
}

}  // namespace pgsink::encode
