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

/// Columns as the arrays of a statement.
class ColumnLists {
 public:
  void add(const CatalogColumn& column) {
    add(column.number, column.name, column.type_oid, column.type_modifier);
  }
  /// Adds it so that the index of an array is the number of a column.
  void add_at_number(const CatalogColumn& column) {
    while (count() + 1 < static_cast<size_t>(column.number)) add(0, "", 0, 0);
    add(column);
  }
  size_t count() const { return names_.size(); }
  std::string numbers() const { return "'{" + numbers_ + "}'"; }
  std::string types() const { return "'{" + types_ + "}'"; }
  std::string modifiers() const { return "'{" + modifiers_ + "}'"; }
  Result<std::string> names() const { return sql_array(names_); }

 private:
  void add(int16_t number, std::string_view name, pgproto::Oid type, int32_t modifier) {
    names_.emplace_back(name);
    append_number(numbers_, number);
    append_number(types_, type);
    append_number(modifiers_, modifier);
  }

  std::vector<std::string> names_;
  std::string numbers_, types_, modifiers_;
};

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
  ColumnLists sent, by_number;
  for (const CatalogColumn& column : table.columns) {  // In the order of their numbers.
    const bool is_sent = std::ranges::any_of(columns, [&](const EncodeColumn& one) {
      return !one.is_note() && one.target_name == column.name;
    });
    if (!is_sent) continue;
    sent.add(column);
    by_number.add_at_number(column);
  }
  const auto names = sent.names();
  if (!names) return fail(names.error());
  const auto names_by_number = by_number.names();
  if (!names_by_number) return fail(names_by_number.error());
  Quoted quoted;
  const std::string name = quoted.identifier(table.schema) + "." + quoted.identifier(table.name);
  const std::string oid = std::to_string(table.oid);
  TableShape made;
  made.oid_ = table.oid;
  made.version_ = table.version;
  auto version_sql = table_version_sql(table);
  if (!version_sql) return fail(version_sql.error());
  made.version_sql_ = std::move(*version_sql);
  made.version_proof_ =
      sql_text(Sql::kVersionProof, {made.version_sql_, quoted.literal(table.version)});
  const auto proof = [&](std::string_view before) {
    return sql_text(Sql::kShapeProof,
                    {std::string(before), std::to_string(sent.count()), oid, quoted.literal(name),
                     oid, by_number.types(), by_number.modifiers(), *names_by_number});
  };
  made.proof_ = proof("");
  made.identifying_proof_ = proof(sql_text(Sql::kIdentifyColumns));
  made.differences_ = sql_text(Sql::kShapeDifferences,
                               {quoted.literal(table.schema), quoted.literal(table.name), oid,
                                sent.numbers(), *names, sent.types(), sent.modifiers()});
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
