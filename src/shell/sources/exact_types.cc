#include "shell/sources/exact_types.h"

#include <algorithm>

namespace pgsink::shell {
namespace {

using Kind = ExactType::Kind;

/// The types whose texts are checked, and the decimals that they hold.
struct Known {
  duckdb_type id;
  Kind kind;
  const char* name;
  int32_t scale;
};
constexpr Known kKnown[] = {
    {DUCKDB_TYPE_TINYINT, Kind::kInteger, "TINYINT", 0},
    {DUCKDB_TYPE_SMALLINT, Kind::kInteger, "SMALLINT", 0},
    {DUCKDB_TYPE_INTEGER, Kind::kInteger, "INTEGER", 0},
    {DUCKDB_TYPE_BIGINT, Kind::kInteger, "BIGINT", 0},
    {DUCKDB_TYPE_HUGEINT, Kind::kInteger, "HUGEINT", 0},
    {DUCKDB_TYPE_UTINYINT, Kind::kInteger, "UTINYINT", 0},
    {DUCKDB_TYPE_USMALLINT, Kind::kInteger, "USMALLINT", 0},
    {DUCKDB_TYPE_UINTEGER, Kind::kInteger, "UINTEGER", 0},
    {DUCKDB_TYPE_UBIGINT, Kind::kInteger, "UBIGINT", 0},
    {DUCKDB_TYPE_UHUGEINT, Kind::kInteger, "UHUGEINT", 0},
    {DUCKDB_TYPE_BIGNUM, Kind::kInteger, "BIGNUM", 0},
    {DUCKDB_TYPE_FLOAT, Kind::kFloat, "FLOAT", 0},
    {DUCKDB_TYPE_DOUBLE, Kind::kFloat, "DOUBLE", 0},
    {DUCKDB_TYPE_BOOLEAN, Kind::kBoolean, "BOOLEAN", 0},
    {DUCKDB_TYPE_DATE, Kind::kDate, "DATE", 0},
    {DUCKDB_TYPE_TIME, Kind::kTime, "TIME", 6},
    {DUCKDB_TYPE_TIME_NS, Kind::kTime, "TIME_NS", 9},
    {DUCKDB_TYPE_TIME_TZ, Kind::kTime, "TIMETZ", 6},
    {DUCKDB_TYPE_TIMESTAMP, Kind::kTime, "TIMESTAMP", 6},
    {DUCKDB_TYPE_TIMESTAMP_S, Kind::kTime, "TIMESTAMP_S", 0},
    {DUCKDB_TYPE_TIMESTAMP_MS, Kind::kTime, "TIMESTAMP_MS", 3},
    {DUCKDB_TYPE_TIMESTAMP_NS, Kind::kTime, "TIMESTAMP_NS", 9},
    {DUCKDB_TYPE_TIMESTAMP_TZ, Kind::kTime, "TIMESTAMPTZ", 6},
    {DUCKDB_TYPE_INTERVAL, Kind::kTime, "INTERVAL", 6},
};

bool is_json(duckdb_logical_type type) {
  char* const alias = duckdb_logical_type_get_alias(type);
  const bool json = alias != nullptr && std::string_view(alias) == "JSON";
  duckdb_free(alias);
  return json;
}

/// A part has no separate text in the user's spelling.
void add_part(ExactType& whole, duckdb_logical_type taken) {
  const OwnedType part(taken);
  whole.children.push_back(exact_type_of(part.get(), "value of its type in " + whole.name));
}

ExactType nested(Kind kind, duckdb_logical_type type, const std::string& written) {
  ExactType exact{.kind = kind, .name = written};
  if (kind == Kind::kMap) {
    add_part(exact, duckdb_map_type_key_type(type));
    add_part(exact, duckdb_map_type_value_type(type));
  } else if (duckdb_get_type_id(type) == DUCKDB_TYPE_LIST) {
    add_part(exact, duckdb_list_type_child_type(type));
  } else if (kind == Kind::kList) {
    add_part(exact, duckdb_array_type_child_type(type));
  } else {
    for (idx_t i = 0; i < duckdb_struct_type_child_count(type); ++i) {
      char* const name = duckdb_struct_type_child_name(type, i);
      exact.names.emplace_back(name);
      duckdb_free(name);
      add_part(exact, duckdb_struct_type_child_type(type, i));
    }
  }
  return exact;
}

}  // namespace

ExactType exact_type_of(duckdb_logical_type type, const std::string& written) {
  switch (const duckdb_type id = duckdb_get_type_id(type)) {
    case DUCKDB_TYPE_LIST:
    case DUCKDB_TYPE_ARRAY:
      return nested(Kind::kList, type, written);
    case DUCKDB_TYPE_STRUCT:
      return nested(Kind::kStruct, type, written);
    case DUCKDB_TYPE_MAP:
      return nested(Kind::kMap, type, written);
    case DUCKDB_TYPE_VARCHAR:
      return {.kind = is_json(type) ? Kind::kJson : Kind::kText,
              .name = is_json(type) ? "JSON" : "VARCHAR"};
    case DUCKDB_TYPE_DECIMAL: {
      const int32_t scale = duckdb_decimal_scale(type);
      return {.kind = Kind::kDecimal,
              .name = "DECIMAL(" + std::to_string(duckdb_decimal_width(type)) + "," +
                      std::to_string(scale) + ")",
              .scale = scale};
    }
    default: {
      const auto* const known = std::ranges::find(kKnown, id, &Known::id);
      if (known == std::end(kKnown)) return {.kind = Kind::kOther, .name = written};
      return {.kind = known->kind, .name = known->name, .scale = known->scale};
    }
  }
}

}  // namespace pgsink::shell
