#include "pgsink/sink/table_target.h"

#include <algorithm>
#include <string>
#include <utility>

#include "pgsink/client/catalog.h"
#include "pgsink/options/names.h"
#include "pgsink/options/table_patterns.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

constexpr int64_t kBufferBytesMin = 1 << 20;

Result<std::string> role_sql(const SinkOptions& options) {
  if (options.set_role.empty()) return std::string();
  Quoted quoted;
  std::string sql = sql_text(Sql::kSetRole, {quoted.identifier(options.set_role)}) + "; ";
  if (!quoted.status()) return fail(quoted.status().error());
  return sql;
}

Status run_ddl(const SinkOptions& options, const std::string& statement, std::string_view option,
               Connection& connection, Deadline deadline) {
  const auto role = role_sql(options);
  if (!role) return fail(role.error());
  const auto done = run_control(connection, *role + statement, deadline);
  if (done || (!connection.broken() && lost_creation_race(done.error()))) return {};
  Error error = done.error();
  error.message = "connection \"" + options.connection_name + "\", table " + options.schema + "." +
                  options.table + ": " + std::string(option) + ": " + error.message;
  return fail(std::move(error));
}

Status create_schema(const SinkOptions& options, Connection& connection, Deadline deadline) {
  Quoted quoted;
  const std::string name = quoted.literal(options.schema);
  const std::string identifier = quoted.identifier(options.schema);
  if (!quoted.status()) return quoted.status();
  const auto there = run_control(connection, sql_text(Sql::kSchemaExists, {name}), deadline);
  if (!there) return fail(there.error());
  if (cell(*there, 0, 0) == "t") return {};
  return run_ddl(options, sql_text(Sql::kCreateSchema, {identifier}), "create_table", connection,
                 deadline);
}

Status create_target(const SinkOptions& options, const SourceTableInfo& table,
                     Connection& connection, Deadline deadline) {
  if (auto made = create_schema(options, connection, deadline); !made) return made;
  Quoted quoted;
  const std::string name =
      quoted.identifier(options.schema) + "." + quoted.identifier(options.table);
  std::string definition, keys;
  for (const SourceTableInfo::Column& column : table.columns) {
    const std::string identifier = quoted.identifier(column.name);
    definition += (definition.empty() ? "" : ", ") + identifier + " " + column.type;
    if (column.not_null) definition += " NOT NULL";
    if (column.primary) keys += (keys.empty() ? "" : ", ") + identifier;
  }
  if (!keys.empty()) definition += ", PRIMARY KEY (" + keys + ")";
  if (!quoted.status()) return quoted.status();
  return run_ddl(options, sql_text(Sql::kCreateTarget, {name, definition}), "create_table",
                 connection, deadline);
}

Status add_columns(const SinkOptions& options, const SourceTableInfo& source,
                   const CatalogTable& target, Connection& connection, Deadline deadline) {
  Quoted quoted;
  std::string additions;
  for (const SourceTableInfo::Column& column : source.columns) {
    const bool there = std::ranges::any_of(target.columns, [&](const CatalogColumn& one) {
      return equal_without_case(one.name, column.name);
    });
    if (there) continue;
    additions += (additions.empty() ? "" : ", ") +
                 sql_text(Sql::kAddColumn, {quoted.identifier(column.name), column.type});
  }
  if (additions.empty()) return {};
  const std::string name =
      quoted.identifier(options.schema) + "." + quoted.identifier(options.table);
  if (!quoted.status()) return quoted.status();
  return run_ddl(options, sql_text(Sql::kAlterTarget, {name, additions}),
                 "schema_evolution = 'add_columns'", connection, deadline);
}

}  // namespace

Result<SinkOptions> options_of_table(const SinkOptions& all, const SourceTableInfo& table,
                                     size_t tables) {
  const auto target = target_of({table.schema, table.name}, all);
  if (!target) return fail(target.error());
  SinkOptions options = all;
  options.target_tables.clear();
  options.schema = target->schema;
  options.table = target->name;
  if (!options.sink_id.empty()) options.sink_id += "/" + target->full();
  const auto count = static_cast<int64_t>(std::max<size_t>(tables, 1));
  options.buffer_bytes =
      std::min(all.buffer_bytes, std::max(all.buffer_bytes / count, kBufferBytesMin));
  options.batch_bytes = std::min(options.batch_bytes, options.buffer_bytes);
  return options;
}

Status prepare_target(SinkOptions& options, const SourceTableInfo& table, Connection& connection,
                      Deadline deadline) {
  const bool creates = std::exchange(options.create_table, false);
  const bool adds = options.schema_evolution == SchemaEvolution::kAddColumns;
  if (adds) options.schema_evolution = SchemaEvolution::kNone;
  if (!creates && !adds) return {};
  const auto target = read_table(connection, options.schema, options.table, deadline);
  if (target) {
    return adds ? add_columns(options, table, *target, connection, deadline) : Status();
  }
  if (target.error().code != Errc::kNoSuchTable) return fail(target.error());
  return creates ? create_target(options, table, connection, deadline) : Status();
}

}  // namespace pgsink
