#include "pgsink/plan/sent_columns.h"

#include <algorithm>

#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

using encode::Wire;
using pgproto::TypeInfo;

/// Source: pg_type.dat of the server.
constexpr Oid kCharArrayOid = 1002, kTextArrayOid = 1009, kNumericArrayOid = 1231;

bool is_change(const EncodeColumn& column) { return column.role == EncodeColumn::Role::kChange; }

const TypeInfo& base_type(const EncodeColumn& column, const pgproto::TypeMap& types) {
  const TypeInfo& type = types.at(column.target_oid);
  return type.kind == TypeInfo::Kind::kDomain ? types.at(type.base_oid) : type;
}

}  // namespace

SentColumns::SentColumns(const CatalogTable& table, const std::vector<EncodeColumn>& columns,
                         const std::vector<std::string>& names)
    : table_(table), columns_(columns), names_(names) {
  for (const EncodeColumn& column : columns) {
    wires_.push_back(encode::column_wire(column, table.types));
  }
}

bool SentColumns::casts() const {
  return std::ranges::any_of(wires_, [](Wire wire) { return wire != Wire::kOwn; });
}

std::string SentColumns::staged() const {
  std::string text;
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (!text.empty()) text += ", ";
    if (is_change(columns_[i])) {
      text += "'I'::pg_catalog.\"char\" AS " + names_[i];
    } else if (wires_[i] == Wire::kOwn) {
      text += names_[i];
    } else {
      text +=
          sql_text(wires_[i] == Wire::kText ? Sql::kStageText : Sql::kStageNumeric, {names_[i]});
    }
  }
  return text;
}

std::string SentColumns::unnests() const {
  std::string text;
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (i > 0) text += ", ";
    text += sql_text(Sql::kUnnest, {std::to_string(i + 1), names_[i]});
  }
  return text;
}

std::vector<Oid> SentColumns::array_types() const {
  std::vector<Oid> types;
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (is_change(columns_[i])) {
      types.push_back(kCharArrayOid);
    } else if (wires_[i] == Wire::kOwn) {
      types.push_back(table_.types.at(columns_[i].target_oid).array_oid);
    } else {
      types.push_back(wires_[i] == Wire::kText ? kTextArrayOid : kNumericArrayOid);
    }
  }
  return types;
}

/// A column as its type, below all domains: those are the INSERT's own business, or a changelog
/// could not leave the columns of a deleted row NULL.
std::string SentColumns::cast(size_t column) const {
  const std::string& name = names_[column];
  if (wires_[column] == Wire::kOwn) return "given." + name;
  const TypeInfo& type = base_type(columns_[column], table_.types);
  if (wires_[column] == Wire::kNumeric && !columns_[column].rules.rounds) {
    return sql_text(Sql::kMoneyColumn, {name, name, name, name, name});
  }
  // A cast could be another function than the one that COPY would read the text by.
  if (wires_[column] == Wire::kText && !type.input_function.empty()) {
    return sql_text(Sql::kInputColumn, {type.input_function, name, name});
  }
  return sql_text(Sql::kCastColumn, {name, type.sql_name, name});
}

std::string SentColumns::with_casts(const std::string& source, const std::string& ordinal) const {
  if (!casts()) return source;
  std::string columns;
  for (size_t i = 0; i < columns_.size(); ++i) columns += (i > 0 ? ", " : "") + cast(i);
  return sql_text(Sql::kCastRows, {columns, ordinal, source});
}

}  // namespace pgsink
