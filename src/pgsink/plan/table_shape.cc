#include "pgsink/plan/table_shape.h"

#include <algorithm>
#include <utility>

#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

template <typename Number>
void append_number(std::string& list, Number number) {
  list += (list.empty() ? "" : ",") + std::to_string(number);
}

/// A list of numbers as the literal of an array.
std::string array_literal(const std::string& list) { return "'{" + list + "}'"; }

/// One sentence for each difference: rows of Sql::kShapeDifferences.
std::string difference_text(const QueryResult& differences, size_t row) {
  const std::string name = cell(differences, row, 0);
  const std::string was = cell(differences, row, 1);
  const std::string now = cell(differences, row, 2);
  if (name.empty()) {
    return now == "true" ? "it was dropped and recreated, or another table took its name"
                         : "it was dropped or renamed";
  }
  const std::string column = "column \"" + name + "\" ";
  if (now.empty()) return column + "is gone";
  if (now == was) return column + "was dropped and recreated";
  return column + "was " + was + ", is now " + now;
}

}  // namespace

Result<TableShape> TableShape::create(const CatalogTable& table,
                                      const std::vector<EncodeColumn>& columns) {
  std::vector<std::string> names;
  std::string numbers, types, modifiers;
  for (const CatalogColumn& column : table.columns) {  // In the order of their numbers.
    const bool sent = std::ranges::any_of(columns, [&](const EncodeColumn& one) {
      return one.role != EncodeColumn::Role::kChange && one.target_name == column.name;
    });
    if (!sent) continue;
    names.push_back(column.name);
    append_number(numbers, column.number);
    append_number(types, column.type_oid);
    append_number(modifiers, column.type_modifier);
  }
  const auto name_array = sql_array(names);
  if (!name_array) return fail(name_array.error());
  Quoted quoted;
  const std::string name = quoted.identifier(table.schema) + "." + quoted.identifier(table.name);
  const std::string oid = std::to_string(table.oid);
  numbers = array_literal(numbers);
  types = array_literal(types);
  modifiers = array_literal(modifiers);
  TableShape made;
  made.oid_ = table.oid;
  made.version_ = table.version;
  auto version_sql = table_version_sql(table);
  if (!version_sql) return fail(version_sql.error());
  made.version_sql_ = std::move(*version_sql);
  made.version_proof_ =
      sql_text(Sql::kVersionProof, {made.version_sql_, quoted.literal(table.version)});
  made.proof_ = sql_text(Sql::kShapeProof, {numbers, types, modifiers, *name_array, oid,
                                            quoted.literal(name), oid, numbers});
  made.differences_ =
      sql_text(Sql::kShapeDifferences, {quoted.literal(table.schema), quoted.literal(table.name),
                                        oid, numbers, *name_array, types, modifiers});
  const bool lockable =
      table.kind == CatalogTable::Kind::kTable || table.kind == CatalogTable::Kind::kPartitioned;
  if (lockable && (table.has_insert_privilege || table.has_delete_privilege)) {
    made.lock_ = sql_text(Sql::kLockTarget, {name});
  }
  if (!quoted.status()) return fail(quoted.status().error());
  return made;
}

Result<std::string> TableShape::lock_sql(const std::string& role) const {
  if (lock_.empty() || role.empty()) return lock_;
  Quoted quoted;
  const std::string name = quoted.identifier(role);
  if (!quoted.status()) return fail(quoted.status().error());
  return sql_text(Sql::kSetRole, {name}) + "; " + lock_ + "; RESET ROLE";
}

Result<std::string> TableShape::version_now(Connection& connection, Deadline deadline) const {
  const auto now = run_control(connection, version_sql_, deadline);
  if (!now) return fail(now.error());
  return now->rows.empty() ? std::string() : cell(*now, 0, 0);
}

Result<std::string> TableShape::differences(Connection& connection, Deadline deadline) const {
  const auto differences = run_control(connection, differences_, deadline);
  if (!differences) return fail(differences.error());
  std::string text;
  for (size_t i = 0; i < differences->rows.size(); ++i) {
    text += (text.empty() ? "" : ", ") + difference_text(*differences, i);
  }
  return text;
}

}  // namespace pgsink
