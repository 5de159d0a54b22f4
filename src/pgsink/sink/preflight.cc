#include "pgsink/sink/preflight.h"

#include "pgsink/sink/sql.h"

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

}  // namespace

Status check_foreign(const SinkOptions& options, const CatalogTable& table) {
  const bool foreign = table.kind == CatalogTable::Kind::kForeign;
  if (options.is_foreign_table.value_or(foreign) != foreign) {
    return fail(Errc::kOptionConflict,
                std::string("is_foreign_table = ") + (foreign ? "false" : "true") + ": " +
                    name_of(table) + (foreign ? " is a foreign table" : " is no foreign table") +
                    "; leave the option out, the catalog says it");
  }
  const WriteMode mode = options.write_mode;
  const bool on_conflict = mode == WriteMode::kUpsert || mode == WriteMode::kInsertIgnore ||
                           mode == WriteMode::kChangelog;
  if (!foreign || !on_conflict) return {};
  return fail(Errc::kOptionConflict, "write_mode: " + name_of(table) +
                                         " is a foreign table, and those know no ON CONFLICT; use "
                                         "'insert', 'update' or 'delete'");
}

bool switches_triggers(const SinkOptions& options) {
  return all_off(options) || options.fire_triggers == FireTriggers::kReplica;
}

Status check_triggers(const SinkOptions& options, const CatalogTable& table, Connection& connection,
                      Deadline deadline) {
  if (!switches_triggers(options)) return {};
  const auto stubborn = connection.query(
      sql_text(Sql::kTriggersOfReplica) + "; " +
          sql_text(Sql::kStubbornTriggers, {std::to_string(table.oid), std::to_string(table.oid)}),
      deadline);
  if (!stubborn && stubborn.error().sqlstate == kInsufficientPrivilege) {
    Error error = stubborn.error();
    error.code = Errc::kPrivilege;
    error.message = std::string(what_asks(options)) +
                    " needs the right to set session_replication_role: GRANT SET ON PARAMETER "
                    "session_replication_role TO the role that logs in (before PostgreSQL 15 only "
                    "a superuser has it)";
    return fail(std::move(error));
  }
  if (!stubborn) return fail(stubborn.error());
  if (!all_off(options) || stubborn->scalar().empty()) return {};
  return fail(Errc::kOptionConflict,
              std::string(what_asks(options)) + ": " + name_of(table) +
                  " has triggers that are enabled ALWAYS or REPLICA, which no transaction can "
                  "switch off for itself: " +
                  stubborn->scalar() + "; ALTER TABLE … ENABLE TRIGGER makes them ordinary ones");
}

}  // namespace pgsink
