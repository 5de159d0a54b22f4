#include "pgsink/plan/sent_columns.h"

#include <algorithm>

#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

using encode::Wire;
using Role = EncodeColumn::Role;
using pgproto::TypeInfo;

/// Source: pg_type.dat of the server.
constexpr Oid kByteaArrayOid = 1001, kCharArrayOid = 1002, kTextArrayOid = 1009,
              kNumericArrayOid = 1231;

const TypeInfo& base_type(const EncodeColumn& column, const pgproto::TypeMap& types) {
  const TypeInfo& type = types.at(column.target_oid);
  return type.kind == TypeInfo::Kind::kDomain ? types.at(type.base_oid) : type;
}

/// The name of a type without a modifier: "character" and "bit" alone mean a length of 1.
std::string unbounded_name(const TypeInfo& type) {
  if (type.oid == pgproto::oid::kBpchar) return "pg_catalog.bpchar";
  if (type.oid == pgproto::oid::kBit) return "pg_catalog.\"bit\"";
  return type.name;
}

}  // namespace

SentColumns::SentColumns(const CatalogTable& table, const std::vector<EncodeColumn>& columns,
                         const std::vector<std::string>& names, bool own_types)
    : table_(table), columns_(columns), names_(names) {
  for (const EncodeColumn& column : columns) {
    wires_.push_back(own_types ? Wire::kOwn : encode::column_wire(column, table.types));
  }
}

bool SentColumns::casts() const {
  return std::ranges::any_of(wires_, [](Wire wire) { return wire != Wire::kOwn; });
}

std::string SentColumns::staged() const {
  std::string text;
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (!text.empty()) text += ", ";
    if (columns_[i].role == Role::kChange) {
      text += "'I'::pg_catalog.\"char\" AS " + names_[i];
    } else if (columns_[i].role == Role::kUnchanged) {
      text += "NULL::pg_catalog.bytea AS " + names_[i];
    } else if (wires_[i] == Wire::kOwn && columns_[i].as_base_type) {
      text += names_[i] + "::" + unbounded_name(base_type(columns_[i], table_.types)) + " AS " +
              names_[i];
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
    if (columns_[i].is_note()) {
      types.push_back(columns_[i].role == Role::kChange ? kCharArrayOid : kByteaArrayOid);
    } else if (wires_[i] == Wire::kOwn) {
      const TypeInfo& own = table_.types.at(columns_[i].target_oid);
      types.push_back(columns_[i].as_base_type ? table_.types.at(own.base_oid).array_oid
                                               : own.array_oid);
    } else {
      types.push_back(wires_[i] == Wire::kText ? kTextArrayOid : kNumericArrayOid);
    }
  }
  return types;
}

Oid SentColumns::parameter_type(size_t column) const {
  if (columns_[column].is_note()) return columns_[column].target_oid;
  if (wires_[column] != Wire::kOwn) return encode::wire_oid(wires_[column]);
  return base_type(columns_[column], table_.types).oid;
}

/// Domains are the INSERT's own business, or a changelog could not leave the columns of a deleted
/// row NULL.
std::string SentColumns::own_type(size_t column, const std::string& value) const {
  if (wires_[column] == Wire::kOwn) return value;
  const TypeInfo& type = base_type(columns_[column], table_.types);
  if (wires_[column] == Wire::kNumeric && !columns_[column].rules.rounds) {
    return sql_text(Sql::kMoneyValue, {value, value, value, value});
  }
  // A cast could be another function than the one that COPY would read the text by.
  if (wires_[column] == Wire::kText && !type.input_function.empty()) {
    return sql_text(Sql::kInputValue, {type.input_function, value});
  }
  return sql_text(Sql::kCastValue, {value, type.sql_name});
}

std::string SentColumns::with_casts(const std::string& source, const std::string& ordinal) const {
  if (!casts()) return source;
  std::string columns;
  for (size_t i = 0; i < columns_.size(); ++i) {
    columns += (i > 0 ? ", " : "") + own_type(i, "given." + names_[i]) + " AS " + names_[i];
  }
  return sql_text(Sql::kCastRows, {columns, ordinal, source});
}

}  // namespace pgsink
