#include "pgsink/sink/open_target.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "pgsink/delivery/check.h"
#include "pgsink/lane/dead_letters.h"
#include "pgsink/options/server.h"
#include "pgsink/plan/keys.h"
#include "pgsink/plan/preflight.h"
#include "pgsink/plan/schema_change.h"

namespace pgsink {
namespace {

/// The table as it is, or as the options say to create it for the schema.
Result<CatalogTable> find_table(const SinkOptions& options, const Schema* schema,
                                Connection& connection, Deadline deadline) {
  const auto read = [&] {
    return read_table(connection, options.schema, options.table, deadline, options.set_role);
  };
  auto table = read();
  if (schema == nullptr) return table;
  if (!table && table.error().code == Errc::kNoSuchTable && options.create_table) {
    if (auto made = create_table(options, *schema, connection, deadline); !made) {
      return fail(made.error());
    }
    table = read();
  }
  if (!table) {
    Error error = table.error();
    const auto sql = create_table_sql(options, *schema);
    if (error.code == Errc::kNoSuchTable && sql) {
      error.message += error.message.ends_with("?") ? " " : ". ";
      error.message += "To fix it: " + *sql + "; or create_table = true";
    }
    return fail(std::move(error));
  }
  if (options.schema_evolution == SchemaEvolution::kAddColumns) {
    const auto added = add_missing_columns(options, *table, *schema, connection, deadline);
    if (!added) return fail(added.error());
    if (*added) table = read();
  }
  if (table && options.schema_evolution == SchemaEvolution::kValidate) {
    if (auto all = check_complete(options, *table, *schema); !all) return fail(all.error());
  }
  return table;
}

}  // namespace

Result<Opened> open_target(const SinkOptions& options, const Schema* schema, Connection& connection,
                           Deadline deadline) {
  if (auto path = check_path(connection, deadline); !path) return fail(path.error());
  auto table = find_table(options, schema, connection, deadline);
  if (!table) return fail_at(options, table.error());
  if (auto can = check_writable(*table); !can) return fail_at(options, can.error());
  if (auto can = check_foreign(options, *table); !can) return fail_at(options, can.error());
  auto partitions = check_partitions(options, *table, connection, deadline);
  if (!partitions) return fail_at(options, partitions.error());
  if (!options.dead_letter_table.empty()) {
    const bool may_create = schema != nullptr;
    const auto ready = ensure_dead_letter_table(options, may_create, connection, deadline);
    if (!ready) return fail_at(options, ready.error());
  }
  const auto switched = check_triggers(options, *table, connection, deadline);
  if (!switched) return fail_at(options, switched.error());
  return Opened{std::move(*table), std::move(*partitions)};
}

std::string target_state(const SinkOptions& options, Connection& connection, Deadline deadline) {
  const auto table =
      read_table(connection, options.schema, options.table, deadline, options.set_role);
  return table ? std::to_string(table->oid) + " " + table->version : table.error().to_string();
}

Status check_target(const SinkOptions& options, const CatalogTable& table) {
  std::vector<const CatalogColumn*> all;
  all.reserve(table.columns.size());
  for (const CatalogColumn& column : table.columns) all.push_back(&column);
  Faults faults;
  const Keys keys = keys_or_fault(options, table, all, faults);
  check_privileges(options, table, writable_columns(options, table), keys.columns, faults);
  check_copy(options, table, faults);
  if (faults.any()) return fail(faults.error(table.schema + "." + table.name));
  return {};
}

}  // namespace pgsink
