#include "pgsink/plan/preflight.h"

#include <algorithm>
#include <array>
#include <utility>

#include "pgsink/options/rules.h"
#include "pgsink/plan/statements.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

constexpr std::string_view kInsufficientPrivilege = "42501";

std::string name_of(const CatalogTable& table) {
  return "table " + table.schema + "." + table.name;
}

bool all_off(const SinkOptions& options) {
  return options.disable_triggers || options.fire_triggers == FireTriggers::kDisabled;
}

std::string_view what_asks(const SinkOptions& options) {
  if (options.disable_triggers) return "disable_triggers = true";
  return all_off(options) ? "fire_triggers = 'DISABLED'" : "fire_triggers = 'REPLICA'";
}

using Columns = std::vector<const CatalogColumn*>;

/// What the statements of a write mode do.
struct Needs {
  bool inserts, updates, finds, deletes;
};
constexpr std::array<Needs, 7> kNeeds{{
    {.inserts = true, .updates = false, .finds = false, .deletes = false},  // insert
    {.inserts = true, .updates = true, .finds = true, .deletes = false},    // upsert
    {.inserts = false, .updates = true, .finds = true, .deletes = false},   // update
    {.inserts = false, .updates = false, .finds = true, .deletes = true},   // delete
    {.inserts = true, .updates = false, .finds = true, .deletes = false},   // insert_ignore
    {.inserts = true, .updates = true, .finds = true, .deletes = true},     // changelog
    {.inserts = true, .updates = false, .finds = false, .deletes = true},   // replace
}};

/// The keys, or, if there is something wrong with them, what the options name.
Columns found_by(const SinkOptions& options, const CatalogTable& table, const Columns& keys) {
  if (!keys.empty()) return keys;
  Columns named;
  for (const auto* const names : {&options.key_columns, &options.conflict_columns}) {
    for (const std::string& name : *names) {
      if (const CatalogColumn* column = table.find_column(name)) named.push_back(column);
    }
  }
  return named;
}

/// The columns that an UPDATE sets.
Columns updated(const SinkOptions& options, const Columns& used, const Columns& keys) {
  Columns columns;
  for (const CatalogColumn* column : used) {
    const bool key = std::ranges::find(keys, column) != keys.end();
    const bool named =
        std::ranges::find(options.update_columns, column->name) != options.update_columns.end() ||
        (column->name == options.newer_by && !key);
    if (options.update_columns.empty() ? !key : named) columns.push_back(column);
  }
  return columns;
}

/// Denied collects privileges as GRANT has them: of all columns that need one, or of some.
struct Denied {
  Quoted quoted;
  std::string privileges;

  void add(const std::string& privilege) {
    privileges += (privileges.empty() ? "" : ", ") + privilege;
  }
  void add(const std::string& privilege, const Columns& columns, bool CatalogColumn::* has) {
    std::string names;
    size_t missing = 0;
    for (const CatalogColumn* column : columns) {
      if (column->*has) continue;
      names += (missing++ == 0 ? "" : ", ") + quoted.identifier(column->name);
    }
    if (missing > 0) add(missing == columns.size() ? privilege : privilege + " (" + names + ")");
  }
};

}  // namespace

void check_copy(const SinkOptions& options, const CatalogTable& table, Faults& faults) {
  const bool asks = options.use_copy == true && only_inserts(options.write_mode);
  if (!asks || takes_copy(table)) return;
  const bool view = table.kind == CatalogTable::Kind::kView;
  faults.add(Errc::kOptionConflict, "use_copy = true: " + table.schema + "." + table.name +
                                        (view ? " is a view, which rows enter by INSERT"
                                              : " has rules for INSERT, which COPY ignores") +
                                        "; leave use_copy out");
}

void check_privileges(const SinkOptions& options, const CatalogTable& table, const Columns& used,
                      const Columns& keys, Faults& faults) {
  const Needs& needs = kNeeds[static_cast<size_t>(options.write_mode)];
  Columns found = found_by(options, table, keys);
  Columns set = updated(options, used, found);
  // SELECT … FOR UPDATE asks for it too.
  if (set.empty() && options.write_mode == WriteMode::kChangelog) set = found;
  // ON CONFLICT DO NOTHING without columns reads no column.
  if (options.write_mode == WriteMode::kInsertIgnore && options.conflict_columns.empty()) {
    found.clear();
  }
  const auto reads = [&found](const CatalogColumn* column) {
    if (std::ranges::find(found, column) == found.end()) found.push_back(column);
  };
  // To set a column to its EXCLUDED value counts as reading it.
  if (needs.inserts && needs.updates) std::ranges::for_each(set, reads);
  if (const CatalogColumn* newer = table.find_column(options.newer_by)) reads(newer);
  Denied denied;
  if (needs.inserts) denied.add("INSERT", used, &CatalogColumn::insertable);
  if (needs.updates) denied.add("UPDATE", set, &CatalogColumn::updatable);
  if (needs.finds) denied.add("SELECT", found, &CatalogColumn::selectable);
  if ((needs.deletes || options.delete_missing) && !table.has_delete_privilege)
    denied.add("DELETE");
  if (denied.privileges.empty()) return;
  const std::string name =
      denied.quoted.identifier(table.schema) + "." + denied.quoted.identifier(table.name);
  const std::string role = denied.quoted.identifier(table.role);
  faults.add(Errc::kPrivilege, "the role " + role + " lacks " + denied.privileges,
             denied.quoted.status() ? sql_text(Sql::kGrant, {denied.privileges, name, role}) : "");
}

std::vector<const CatalogColumn*> writable_columns(const SinkOptions& options,
                                                   const CatalogTable& table) {
  const Needs& needs = kNeeds[static_cast<size_t>(options.write_mode)];
  Columns all, writable;
  for (const CatalogColumn& column : table.columns) {
    if (column.generated != CatalogColumn::Generated::kNo) continue;
    all.push_back(&column);
    const bool may = (!needs.inserts || column.insertable) && (!needs.updates || column.updatable);
    if (may) writable.push_back(&column);
  }
  return writable.empty() ? all : writable;
}

Keys keys_or_fault(const SinkOptions& options, const CatalogTable& table, const Columns& used,
                   Faults& faults) {
  if (only_inserts(options.write_mode)) return {};
  auto found = find_keys(options, table, used);
  if (found) return std::move(*found);
  const Error& error = found.error();
  Quoted quoted;
  std::string keys;
  for (const std::string& key : options.conflict_columns) {
    keys += (keys.empty() ? "" : ", ") + quoted.identifier(key);
  }
  const std::string name = quoted.identifier(table.schema) + "." + quoted.identifier(table.name);
  // Of a partitioned table it would have to hold the partition's key too.
  const bool mends = error.code == Errc::kNoUniqueIndex && !keys.empty() && quoted.status() &&
                     table.kind == CatalogTable::Kind::kTable;
  faults.add(error, mends ? sql_text(Sql::kUniqueIndex, {name, keys}) : "");
  return {};
}

Status check_writable(const CatalogTable& table) {
  if (table.kind != CatalogTable::Kind::kMaterializedView) return {};
  return fail(Errc::kOptionConflict, name_of(table) +
                                         " is a materialized view, which only REFRESH MATERIALIZED "
                                         "VIEW fills: write to the tables that it reads");
}

Status check_foreign(const SinkOptions& options, const CatalogTable& table) {
  const bool foreign = table.kind == CatalogTable::Kind::kForeign;
  if (options.is_foreign_table.value_or(foreign) != foreign) {
    return fail(Errc::kOptionConflict,
                std::string("is_foreign_table = ") + (foreign ? "false" : "true") + ": " +
                    name_of(table) + (foreign ? " is a foreign table" : " is not a foreign table") +
                    "; leave the option out, because the catalog has this information");
  }
  const WriteMode mode = options.write_mode;
  const bool on_conflict = mode == WriteMode::kUpsert || mode == WriteMode::kInsertIgnore ||
                           mode == WriteMode::kChangelog;
  if (!foreign || !on_conflict) return {};
  return fail(Errc::kOptionConflict, "write_mode: " + name_of(table) +
                                         " is a foreign table, and foreign tables do not support "
                                         "ON CONFLICT; use 'insert', 'update' or 'delete'");
}

Status check_triggers(const SinkOptions& options, const CatalogTable& table, Connection& connection,
                      Deadline deadline) {
  if (!switches_triggers(options)) return {};
  const auto firing =
      connection.query(sql_text(Sql::kTriggersOfReplica) + "; " +
                           sql_text(Sql::kAlwaysFiringTriggers,
                                    {std::to_string(table.oid), std::to_string(table.oid)}),
                       deadline);
  if (!firing && firing.error().sqlstate == kInsufficientPrivilege) {
    Error error = firing.error();
    error.code = Errc::kPrivilege;
    error.message = std::string(what_asks(options)) +
                    " needs the right to set session_replication_role: GRANT SET ON PARAMETER "
                    "session_replication_role TO " +
                    role_to_grant(connection, "", deadline) +
                    " (before PostgreSQL 15 only a superuser has it)";
    return fail(std::move(error));
  }
  if (!firing) return fail(firing.error());
  if (!all_off(options) || firing->scalar().empty()) return {};
  return fail(Errc::kOptionConflict,
              std::string(what_asks(options)) + ": " + name_of(table) +
                  " has triggers that are enabled ALWAYS or REPLICA, which no transaction can "
                  "switch off for itself: " +
                  firing->scalar() + "; ALTER TABLE … ENABLE TRIGGER makes them ordinary ones");
}

}  // namespace pgsink
