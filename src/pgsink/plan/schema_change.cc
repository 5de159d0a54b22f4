#include "pgsink/plan/schema_change.h"

#include <algorithm>
#include <array>
#include <utility>

#include "pgsink/options/names.h"
#include "pgsink/plan/plan.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

using K = ColumnKind;

/// The kinds whose type depends on nothing else.
struct PlainType {
  ColumnKind kind;
  std::string_view type;
};
constexpr PlainType kPlainTypes[] = {
    {K::kNull, "text"},
    {K::kBoolBits, "boolean"},
    {K::kBoolBytes, "boolean"},
    {K::kInt8, "smallint"},
    {K::kUint8, "smallint"},
    {K::kInt16, "smallint"},
    {K::kUint16, "integer"},
    {K::kInt32, "integer"},
    {K::kUint32, "bigint"},
    {K::kInt64, "bigint"},
    {K::kUint64, "numeric(20,0)"},
    {K::kFloat16, "real"},
    {K::kFloat32, "real"},
    {K::kFloat64, "double precision"},
    {K::kDate32, "date"},
    {K::kDate64, "date"},
    {K::kDays64, "date"},
    {K::kTime32, "time"},
    {K::kTime64, "time"},
    {K::kDuration, "interval"},
    {K::kIntervalMonths, "interval"},
    {K::kIntervalDayTime, "interval"},
    {K::kIntervalMonthDayNano, "interval"},
    {K::kIntervalMonthDayMicro, "interval"},
    {K::kBinary32, "bytea"},
    {K::kBinary64, "bytea"},
    {K::kBinaryView, "bytea"},
    {K::kFixedBinary, "bytea"},
    {K::kStdBytes, "bytea"},
    {K::kUuid, "uuid"},
    {K::kStruct, "jsonb"},
    {K::kMap, "jsonb"},
};

bool is_list(ColumnKind kind) {
  return kind == K::kList32 || kind == K::kList64 || kind == K::kFixedList || kind == K::kStdVector;
}

bool is_decimal(ColumnKind kind) {
  return kind == K::kDecimal32 || kind == K::kDecimal64 || kind == K::kDecimal128 ||
         kind == K::kDecimal256;
}

/// The input's columns that the table has.
std::vector<const Field*> stored_fields(const SinkOptions& options, const Schema& schema) {
  std::vector<const Field*> fields;
  for (const Field& field : schema) {
    const bool instruction = options.write_mode == WriteMode::kChangelog &&
                             (field.name == kChangeColumn || field.name == kUnchangedColumn);
    if (!instruction) fields.push_back(&field);
  }
  return fields;
}

bool fills(const Field& field, const CatalogColumn& column) {
  return equal_without_case(field.name, column.name);
}

const std::vector<std::string>& key_names(const SinkOptions& options) {
  return options.key_columns.empty() ? options.conflict_columns : options.key_columns;
}

/// Runs DDL as the role that will write.
Status run_ddl(const SinkOptions& options, const std::string& statement, Connection& connection,
               Deadline deadline) {
  std::string sql;
  if (!options.set_role.empty()) {
    Quoted quoted;
    sql = sql_text(Sql::kSetRole, {quoted.identifier(options.set_role)}) + "; ";
    if (!quoted.status()) return quoted.status();
  }
  const auto done = run_control(connection, sql + statement, deadline);
  if (!done) return fail(done.error());
  return {};
}

}  // namespace

std::string column_type(const Field& field) {
  for (const PlainType& plain : kPlainTypes) {
    if (plain.kind == field.kind) return std::string(plain.type);
  }
  if (is_list(field.kind)) return column_type(field.children.front()) + "[]";
  if (field.kind == K::kDictionary) return column_type(field.children.front());
  if (field.kind == K::kTimestamp) return field.utc ? "timestamptz" : "timestamp";
  if (is_decimal(field.kind)) {
    if (field.precision <= 0) return "numeric";
    return "numeric(" + std::to_string(field.precision) + "," + std::to_string(field.scale) + ")";
  }
  return field.json ? "jsonb" : "text";
}

Result<std::string> create_table_sql(const SinkOptions& options, const Schema& schema) {
  Quoted quoted;
  const std::string table =
      quoted.identifier(options.schema) + "." + quoted.identifier(options.table);
  std::string definition;
  for (const Field* field : stored_fields(options, schema)) {
    if (field->name.empty()) {
      return fail(Errc::kColumnRequired,
                  "create_table: the input's columns have no names; give them some (SELECT … AS "
                  "name) or create the table first");
    }
    if (!definition.empty()) definition += ", ";
    definition += quoted.identifier(field->name) + " " + column_type(*field);
  }
  std::string keys;
  for (const std::string& key : key_names(options)) {
    keys += (keys.empty() ? "" : ", ") + quoted.identifier(key);
  }
  if (!keys.empty()) definition += ", PRIMARY KEY (" + keys + ")";
  if (!quoted.status()) return fail(quoted.status().error());
  return sql_text(Sql::kCreateTarget, {table, definition});
}

Status create_table(const SinkOptions& options, const Schema& schema, Connection& connection,
                    Deadline deadline) {
  const auto sql = create_table_sql(options, schema);
  if (!sql) return fail(sql.error());
  auto created = run_ddl(options, *sql, connection, deadline);
  if (created || (!connection.broken() && lost_creation_race(created.error()))) return {};
  Error error = created.error();
  error.message = "create_table: " + error.message;
  return fail(std::move(error));
}

Result<bool> add_missing_columns(const SinkOptions& options, const CatalogTable& table,
                                 const Schema& schema, Connection& connection, Deadline deadline) {
  Quoted quoted;
  std::string additions;
  for (const Field* field : stored_fields(options, schema)) {
    if (field->name.empty()) continue;  // By position.
    const bool there = std::ranges::any_of(
        table.columns, [&](const CatalogColumn& column) { return fills(*field, column); });
    if (there) continue;
    if (!additions.empty()) additions += ", ";
    additions += sql_text(Sql::kAddColumn, {quoted.identifier(field->name), column_type(*field)});
  }
  if (additions.empty()) return false;
  const std::string name = quoted.identifier(table.schema) + "." + quoted.identifier(table.name);
  if (!quoted.status()) return fail(quoted.status().error());
  const auto done =
      run_ddl(options, sql_text(Sql::kAlterTarget, {name, additions}), connection, deadline);
  if (done) return true;
  Error error = done.error();
  error.message = "schema_evolution = 'add_columns': " + error.message;
  return fail(std::move(error));
}

Status check_complete(const SinkOptions& options, const CatalogTable& table, const Schema& schema) {
  std::string missing;
  const auto fields = stored_fields(options, schema);
  for (const CatalogColumn& column : table.columns) {
    if (column.generated != CatalogColumn::Generated::kNo) continue;
    const bool filled =
        std::ranges::any_of(fields, [&](const Field* field) { return fills(*field, column); });
    if (!filled) missing += (missing.empty() ? "\"" : ", \"") + column.name + "\"";
  }
  if (missing.empty()) return {};
  return fail(Errc::kColumnRequired, "schema_evolution = 'validate': the input lacks columns of " +
                                         table.schema + "." + table.name + ": " + missing);
}

}  // namespace pgsink
