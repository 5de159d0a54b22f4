#include "pgsink/encode/rows/source_class.h"

#include <iterator>

#include "pgsink/encode/values/nested.h"

namespace pgsink::encode {
namespace {

using S = SourceClass;

constexpr std::string_view kClassNames[] = {
    "null",     "boolean",  "integer", "float",  "decimal", "date", "time",   "timestamp",
    "duration", "interval", "text",    "binary", "uuid",    "list", "struct", "map",
};

std::string_view unit_name(TimeUnit unit) {
  switch (unit) {
    case TimeUnit::kSecond:
      return "s";
    case TimeUnit::kMilli:
      return "ms";
    case TimeUnit::kMicro:
      return "us";
    case TimeUnit::kNano:
      break;
  }
  return "ns";
}

constexpr std::string_view kKindNames[] = {
    "null",
    "bool",
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "decimal32",
    "decimal64",
    "decimal128",
    "decimal256",
    "date32",
    "date64",
    "std::chrono::days",
    "time32",
    "time64",
    "timestamp",
    "duration",
    "interval[months]",
    "interval[days, ms]",
    "interval[months, days, ns]",
    "interval[months, days, us]",
    "utf8",
    "large_utf8",
    "binary",
    "large_binary",
    "utf8_view",
    "binary_view",
    "fixed_size_binary",
    "uuid",
    "std::string",
    "std::string_view",
    "std::vector<std::byte>",
    "list",
    "large_list",
    "fixed_size_list",
    "std::vector",
    "struct",
    "map",
    "dictionary",
};
static_assert(std::size(kKindNames) == static_cast<size_t>(ColumnKind::kDictionary) + 1);

}  // namespace

std::string_view source_class_name(SourceClass source) {
  return kClassNames[static_cast<size_t>(source)];
}

SourceClass source_class(const Field& field) {
  const ColumnKind kind = field.kind;
  const auto within = [kind](ColumnKind first, ColumnKind last) {
    return kind >= first && kind <= last;
  };
  using K = ColumnKind;
  if (kind == K::kDictionary) return source_class(field.children[0]);
  if (kind == K::kNull) return S::kNull;
  if (within(K::kBoolBits, K::kBoolBytes)) return S::kBool;
  if (within(K::kInt8, K::kUint64)) return S::kInteger;
  if (within(K::kFloat16, K::kFloat64)) return S::kFloat;
  if (within(K::kDecimal32, K::kDecimal256)) return S::kDecimal;
  if (within(K::kDate32, K::kDays64)) return S::kDate;
  if (within(K::kTime32, K::kTime64)) return S::kTime;
  if (kind == K::kTimestamp) return S::kTimestamp;
  if (kind == K::kDuration) return S::kDuration;
  if (within(K::kIntervalMonths, K::kIntervalMonthDayMicro)) return S::kInterval;
  if (kind == K::kUuid) return S::kUuid;
  if (is_list(kind)) return S::kList;
  if (kind == K::kStruct) return S::kStruct;
  if (kind == K::kMap) return S::kMap;
  const bool binary = kind == K::kBinary32 || kind == K::kBinary64 || kind == K::kBinaryView ||
                      kind == K::kFixedBinary || kind == K::kStdBytes;
  return binary ? S::kBinary : S::kText;
}

std::string source_name(const Field& field) {
  std::string name(kKindNames[static_cast<size_t>(field.kind)]);
  const SourceClass source = source_class(field);
  const bool runs = field.kind == ColumnKind::kDictionary && field.width != 0;
  if (runs) return "run_end_encoded<" + source_name(field.children[0]) + ">";
  if (field.kind == ColumnKind::kDictionary)
    return "dictionary<" + source_name(field.children[0]) + ">";
  if (source == S::kTime || source == S::kTimestamp || source == S::kDuration) {
    name += "[" + std::string(unit_name(field.unit)) + (field.utc ? ", UTC]" : "]");
  } else if (source == S::kDecimal) {
    name += "(" + std::to_string(field.precision) + "," + std::to_string(field.scale) + ")";
  } else if (source == S::kList || source == S::kStruct || source == S::kMap) {
    name += "<";
    for (size_t i = 0; i < field.children.size(); ++i) {
      if (i != 0) name += ", ";
      name += source_name(field.children[i]);
    }
    name += ">";
  } else if (field.json || field.json_value) {
    name = "json";
  }
  return name;
}

}  // namespace pgsink::encode
