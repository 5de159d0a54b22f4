#include "shell/engine/type_text.h"

#include "shell/engine/engine.h"

namespace pgsink::shell {
namespace {

/// The types that stay what they are, and two that become text without being awkward.
struct PlainType {
  duckdb_type id;
  const char* name;
};
constexpr PlainType kPlainTypes[] = {
    {DUCKDB_TYPE_BOOLEAN, "BOOLEAN"},
    {DUCKDB_TYPE_TINYINT, "TINYINT"},
    {DUCKDB_TYPE_SMALLINT, "SMALLINT"},
    {DUCKDB_TYPE_BIGINT, "BIGINT"},
    {DUCKDB_TYPE_UTINYINT, "UTINYINT"},
    {DUCKDB_TYPE_USMALLINT, "USMALLINT"},
    {DUCKDB_TYPE_UINTEGER, "UINTEGER"},
    {DUCKDB_TYPE_UBIGINT, "UBIGINT"},
    {DUCKDB_TYPE_HUGEINT, "HUGEINT"},
    {DUCKDB_TYPE_FLOAT, "FLOAT"},
    {DUCKDB_TYPE_DOUBLE, "DOUBLE"},
    {DUCKDB_TYPE_VARCHAR, "VARCHAR"},
    {DUCKDB_TYPE_ENUM, "VARCHAR"},
    {DUCKDB_TYPE_BLOB, "BLOB"},
    {DUCKDB_TYPE_DATE, "DATE"},
    {DUCKDB_TYPE_TIME, "TIME"},
    {DUCKDB_TYPE_TIME_NS, "TIME_NS"},
    {DUCKDB_TYPE_TIMESTAMP, "TIMESTAMP"},
    {DUCKDB_TYPE_TIMESTAMP_S, "TIMESTAMP_S"},
    {DUCKDB_TYPE_TIMESTAMP_MS, "TIMESTAMP_MS"},
    {DUCKDB_TYPE_TIMESTAMP_NS, "TIMESTAMP_NS"},
    {DUCKDB_TYPE_TIMESTAMP_TZ, "TIMESTAMPTZ"},
    {DUCKDB_TYPE_INTERVAL, "INTERVAL"},
    {DUCKDB_TYPE_UUID, "UUID"},
    {DUCKDB_TYPE_SQLNULL, "VARCHAR"},
};

TypeText child_of(duckdb_logical_type taken, const std::string& integer) {
  const OwnedType owned(taken);
  return type_text(owned.get(), integer);
}

}  // namespace

TypeText type_text(duckdb_logical_type type, const std::string& integer) {
  switch (duckdb_get_type_id(type)) {
    case DUCKDB_TYPE_INTEGER:
      return {.name = integer, .integers = true};
    case DUCKDB_TYPE_LIST: {
      TypeText child = child_of(duckdb_list_type_child_type(type), integer);
      child.name += "[]";
      return child;
    }
    case DUCKDB_TYPE_ARRAY: {
      TypeText child = child_of(duckdb_array_type_child_type(type), integer);
      child.name += "[" + std::to_string(duckdb_array_type_array_size(type)) + "]";
      return child;
    }
    case DUCKDB_TYPE_MAP: {
      const TypeText key = child_of(duckdb_map_type_key_type(type), integer);
      const TypeText value = child_of(duckdb_map_type_value_type(type), integer);
      return {.name = "MAP(" + key.name + ", " + value.name + ")",
              .awkward = key.awkward || value.awkward,
              .integers = key.integers || value.integers};
    }
    case DUCKDB_TYPE_STRUCT: {
      TypeText out{.name = "STRUCT("};
      for (idx_t i = 0; i < duckdb_struct_type_child_count(type); ++i) {
        char* name = duckdb_struct_type_child_name(type, i);
        const TypeText child = child_of(duckdb_struct_type_child_type(type, i), integer);
        out.name += (i == 0 ? "" : ", ") + engine_identifier(name) + " " + child.name;
        out.awkward = out.awkward || child.awkward;
        out.integers = out.integers || child.integers;
        duckdb_free(name);
      }
      out.name += ")";
      return out;
    }
    case DUCKDB_TYPE_DECIMAL:
      return {.name = "DECIMAL(" + std::to_string(duckdb_decimal_width(type)) + ", " +
                      std::to_string(duckdb_decimal_scale(type)) + ")"};
    default:
      for (const PlainType& plain : kPlainTypes) {
        if (plain.id == duckdb_get_type_id(type)) return {.name = plain.name};
      }
      return {.name = "VARCHAR", .awkward = true};
  }
}

}  // namespace pgsink::shell
