#include "shell/engine/castable.h"

namespace pgsink::shell {
namespace {

struct CastType {
  std::string name;  ///< The SQL type to cast to.
  bool awkward = false;
};

/// The types that are kept, and two that are converted to text without being problematic.
struct PlainType {
  duckdb_type id;
  const char* name;
};
constexpr PlainType kPlainTypes[] = {
    {DUCKDB_TYPE_BOOLEAN, "BOOLEAN"},
    {DUCKDB_TYPE_TINYINT, "TINYINT"},
    {DUCKDB_TYPE_SMALLINT, "SMALLINT"},
    {DUCKDB_TYPE_INTEGER, "INTEGER"},
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

CastType child_of(duckdb_logical_type taken);

/// The type with text in place of problematic types, at any depth.
CastType cast_type(duckdb_logical_type type) {
  switch (duckdb_get_type_id(type)) {
    case DUCKDB_TYPE_LIST: {
      const CastType child = child_of(duckdb_list_type_child_type(type));
      return {child.name + "[]", child.awkward};
    }
    case DUCKDB_TYPE_ARRAY: {
      const CastType child = child_of(duckdb_array_type_child_type(type));
      const idx_t length = duckdb_array_type_array_size(type);
      return {child.name + "[" + std::to_string(length) + "]", child.awkward};
    }
    case DUCKDB_TYPE_MAP: {
      const CastType key = child_of(duckdb_map_type_key_type(type));
      const CastType value = child_of(duckdb_map_type_value_type(type));
      return {"MAP(" + key.name + ", " + value.name + ")", key.awkward || value.awkward};
    }
    case DUCKDB_TYPE_STRUCT: {
      CastType out{"STRUCT(", false};
      for (idx_t i = 0; i < duckdb_struct_type_child_count(type); ++i) {
        char* name = duckdb_struct_type_child_name(type, i);
        const CastType child = child_of(duckdb_struct_type_child_type(type, i));
        out.name += (i == 0 ? "" : ", ") + engine_identifier(name) + " " + child.name;
        out.awkward = out.awkward || child.awkward;
        duckdb_free(name);
      }
      out.name += ")";
      return out;
    }
    case DUCKDB_TYPE_DECIMAL:
      return {"DECIMAL(" + std::to_string(duckdb_decimal_width(type)) + ", " +
                  std::to_string(duckdb_decimal_scale(type)) + ")",
              false};
    default:
      for (const PlainType& plain : kPlainTypes) {
        if (plain.id == duckdb_get_type_id(type)) return {plain.name, false};
      }
      return {"VARCHAR", true};
  }
}

CastType child_of(duckdb_logical_type taken) {
  const OwnedType owned(taken);
  return cast_type(owned.get());
}

}  // namespace

std::optional<EngineSql> cast_awkward_columns(const EngineSql& query,
                                              const std::vector<Column>& columns) {
  std::string list;
  std::string aliases;
  bool any = false;
  for (size_t i = 0; i < columns.size(); ++i) {
    const CastType type = cast_type(columns[i].type.get());
    const std::string alias = "c" + std::to_string(i);
    list += i == 0 ? "" : ", ";
    list += type.awkward ? "CAST(" + alias + " AS " + type.name + ")" : alias;
    list += " AS " + engine_identifier(columns[i].name);
    aliases += (i == 0 ? "" : ", ") + alias;
    any = any || type.awkward;
  }
  if (!any) return std::nullopt;
  // The line break: the query may end in a comment.
  return query.wrapped("SELECT " + list + " FROM (", "\n) AS q(" + aliases + ")");
}

}  // namespace pgsink::shell
