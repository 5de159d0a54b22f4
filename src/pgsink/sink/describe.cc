// The target's columns for display: the content of system.postgresql_tables.

#include <algorithm>
#include <new>

#include "pgsink/client/connection.h"
#include "pgsink/client/env.h"
#include "pgsink/options/open_retry.h"
#include "pgsink/options/server.h"
#include "pgsink/sink.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

const std::vector<std::string>& given_keys(const SinkOptions& options) {
  return options.conflict_columns.empty() ? options.key_columns : options.conflict_columns;
}

TargetColumn column_of(const SinkOptions& options, const QueryResult& rows, size_t row) {
  TargetColumn column;
  column.name = cell(rows, row, 0);
  column.type = cell(rows, row, 1);
  column.nullable = cell(rows, row, 2) != "t";
  column.default_text = cell(rows, row, 3);
  const auto& keys = given_keys(options);
  column.is_key =
      keys.empty() ? cell(rows, row, 4) == "t" : std::ranges::find(keys, column.name) != keys.end();
  column.is_generated = cell(rows, row, 5) == "t";
  column.ordinal = static_cast<int32_t>(parse_number(cell(rows, row, 6)));
  return column;
}

Result<std::vector<TargetColumn>> describe(const SinkOptions& options, Env& env) {
  auto connect = to_connect_options(options, env.files);
  if (!connect) return fail(connect.error());
  auto connection = OpenRetry(options, env).run([&] { return Connection::open(env, *connect); });
  if (!connection) return fail(connection.error());
  const Deadline deadline = env.clock.now() + connect->connect_timeout;
  Quoted quoted;
  const std::string schema = quoted.literal(options.schema);
  const std::string table = quoted.literal(options.table);
  if (!quoted.status()) return fail(quoted.status().error());
  const auto rows =
      run_control(**connection, sql_text(Sql::kDescribeTable, {schema, table}), deadline);
  if (!rows) return fail(rows.error());
  std::vector<TargetColumn> columns;
  columns.reserve(rows->rows.size());
  for (size_t i = 0; i < rows->rows.size(); ++i) columns.push_back(column_of(options, *rows, i));
  if (!columns.empty()) return columns;
  const auto there =
      run_control(**connection, sql_text(Sql::kTableExists, {schema, table}), deadline);
  if (!there) return fail(there.error());
  if (cell(*there, 0, 0) != "0") return columns;
  return fail(Errc::kNoSuchTable, "there is no table " + options.schema + "." + options.table);
}

}  // namespace

Result<std::vector<TargetColumn>> describe_target(const SinkOptions& options, Env* env) {
  try {
    OsEnv own_env;
    if (env == nullptr) env = &own_env.env();
    auto columns = describe(options, *env);
    if (columns) return columns;
    Error error = std::move(columns.error());
    error.message = "connection \"" + options.connection_name + "\": " + error.message;
    return fail(std::move(error));
  } catch (const std::bad_alloc&) {
    return fail(Errc::kOutOfMemory, "out of memory");
  }
}

}  // namespace pgsink
