#include "shell/castable.h"

namespace pgsink::shell {
namespace {

struct CastType {
  std::string name;  ///< The SQL type to cast to.
  bool awkward = false;
};

CastType child_of(duckdb_logical_type taken);

/// The SQL name of a type without parts that can be cast to as it is; null for an awkward one.
const char* scalar_name(duckdb_type id) {
  switch (id) {
    case DUCKDB_TYPE_BOOLEAN:
      return "BOOLEAN";
    case DUCKDB_TYPE_TINYINT:
      return "TINYINT";
    case DUCKDB_TYPE_SMALLINT:
      return "SMALLINT";
    case DUCKDB_TYPE_INTEGER:
      return "INTEGER";
    case DUCKDB_TYPE_BIGINT:
      return "BIGINT";
    case DUCKDB_TYPE_UTINYINT:
      return "UTINYINT";
    case DUCKDB_TYPE_USMALLINT:
      return "USMALLINT";
    case DUCKDB_TYPE_UINTEGER:
      return "UINTEGER";
    case DUCKDB_TYPE_UBIGINT:
      return "UBIGINT";
    case DUCKDB_TYPE_HUGEINT:
      return "HUGEINT";
    case DUCKDB_TYPE_FLOAT:
      return "FLOAT";
    case DUCKDB_TYPE_DOUBLE:
      return "DOUBLE";
    case DUCKDB_TYPE_VARCHAR:
    case DUCKDB_TYPE_ENUM:
      return "VARCHAR";
    case DUCKDB_TYPE_BLOB:
      return "BLOB";
    case DUCKDB_TYPE_DATE:
      return "DATE";
    case DUCKDB_TYPE_TIME:
      return "TIME";
    case DUCKDB_TYPE_TIME_NS:
      return "TIME_NS";
    case DUCKDB_TYPE_TIMESTAMP:
      return "TIMESTAMP";
    case DUCKDB_TYPE_TIMESTAMP_S:
      return "TIMESTAMP_S";
    case DUCKDB_TYPE_TIMESTAMP_MS:
      return "TIMESTAMP_MS";
    case DUCKDB_TYPE_TIMESTAMP_NS:
      return "TIMESTAMP_NS";
    case DUCKDB_TYPE_TIMESTAMP_TZ:
      return "TIMESTAMPTZ";
    case DUCKDB_TYPE_INTERVAL:
      return "INTERVAL";
    case DUCKDB_TYPE_UUID:
      return "UUID";
    case DUCKDB_TYPE_SQLNULL:
      return "VARCHAR";
    default:
      return nullptr;
  }
}

/// The type as it is, but with text in the place of what is awkward, however deep.
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
    default: {
      const char* name = scalar_name(duckdb_get_type_id(type));
      return {name == nullptr ? "VARCHAR" : name, name == nullptr};
    }
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
