#include "pgsink/sink/plan.h"

#include <algorithm>
#include <array>

#include <pgproto/quote.h>

#include "pgsink/sink/names.h"
#include "pgsink/sink/sql.h"

namespace pgsink {
namespace {

using pgproto::quote_identifier;
using pgproto::quote_literal;

/// Faults collects everything wrong with a plan; the first code names the error.
class Faults {
 public:
  void add(Errc code, const std::string& message) {
    if (text_.empty()) {
      code_ = code;
    } else {
      text_ += "; ";
    }
    text_ += message;
  }
  void add(const Error& error) { add(error.code, error.message); }
  bool any() const { return !text_.empty(); }
  Error error(const std::string& table) const {
    Error error;
    error.code = code_;
    error.message = "table " + table + ": " + text_;
    return error;
  }

 private:
  Errc code_ = Errc::kInternal;
  std::string text_;
};

std::vector<std::string_view> column_names(const CatalogTable& table) {
  std::vector<std::string_view> names;
  names.reserve(table.columns.size());
  for (const CatalogColumn& column : table.columns) names.push_back(column.name);
  return names;
}

/// The table column that an input column goes to: exact name, else the only one equal without case.
Result<const CatalogColumn*> match_column(const CatalogTable& table, const std::string& name) {
  if (const CatalogColumn* exact = table.find_column(name)) return exact;
  const CatalogColumn* found = nullptr;
  for (const CatalogColumn& column : table.columns) {
    if (!equal_without_case(column.name, name)) continue;
    if (found != nullptr) {
      return fail(Errc::kColumnAmbiguous, "input column \"" + name + "\" could be \"" +
                                              found->name + "\" or \"" + column.name +
                                              "\": give it the exact name");
    }
    found = &column;
  }
  if (found != nullptr) return found;
  std::string message = "it has no column \"" + name + "\" that the input has";
  const std::string_view nearest = nearest_name(name, column_names(table));
  if (!nearest.empty()) message.append(" (did you mean \"").append(nearest).append("\"?)");
  return fail(Errc::kNoSuchColumn, message);
}

/// The table column that an input column without a name (INSERT INTO … VALUES) goes to: by
/// position.
Result<const CatalogColumn*> column_at(const CatalogTable& table, size_t index, size_t count) {
  if (index < table.columns.size()) return &table.columns[index];
  return fail(Errc::kNoSuchColumn, "it has " + std::to_string(table.columns.size()) +
                                       " columns, but the input has " + std::to_string(count) +
                                       " values a row");
}

void check_writable(const CatalogColumn& column, Faults& faults) {
  if (column.generated != CatalogColumn::Generated::kNo) {
    faults.add(Errc::kColumnGenerated,
               "column \"" + column.name + "\" is generated and cannot be written: leave it out");
  } else if (!column.insertable) {
    faults.add(Errc::kPrivilege, "the role may not INSERT into column \"" + column.name + "\"");
  }
}

/// Maps the input's columns in their order; `used` are the table columns that they fill.
std::vector<EncodeColumn> map_columns(const CatalogTable& table, const Schema& schema,
                                      std::vector<const CatalogColumn*>& used, Faults& faults) {
  std::vector<EncodeColumn> columns;
  for (size_t i = 0; i < schema.size(); ++i) {
    const auto matched = schema[i].name.empty() ? column_at(table, i, schema.size())
                                                : match_column(table, schema[i].name);
    if (!matched) {
      faults.add(matched.error());
      continue;
    }
    const CatalogColumn* column = *matched;
    if (std::ranges::find(used, column) != used.end()) {
      faults.add(Errc::kColumnAmbiguous,
                 "column \"" + column->name + "\" stands twice in the input");
      continue;
    }
    check_writable(*column, faults);
    used.push_back(column);
    columns.push_back({.source_index = i,
                       .source = schema[i],
                       .target_name = column->name,
                       .target_oid = column->type_oid,
                       .type_modifier = column->type_modifier});
  }
  return columns;
}

void check_required(const CatalogTable& table, const std::vector<const CatalogColumn*>& used,
                    Faults& faults) {
  for (const CatalogColumn& column : table.columns) {
    const bool fills_itself = column.has_default ||
                              column.generated != CatalogColumn::Generated::kNo ||
                              column.identity != CatalogColumn::Identity::kNo;
    if (!column.not_null || fills_itself || std::ranges::find(used, &column) != used.end())
      continue;
    faults.add(
        Errc::kColumnRequired,
        "column \"" + column.name + "\" is NOT NULL without a default, and the input lacks it");
  }
}

std::string_view isolation_sql(IsolationLevel level) {
  static constexpr std::array<std::string_view, 4> kNames{"READ UNCOMMITTED", "READ COMMITTED",
                                                          "REPEATABLE READ", "SERIALIZABLE"};
  return kNames[static_cast<size_t>(level)];
}

/// What each transaction does before its rows: role, settings, limits. They are LOCAL, so that they
/// hold through a pooler and never reach the next user of the connection.
Result<std::string> session_sql(const SinkOptions& options) {
  std::string sql;
  if (options.statement_timeout_ms > 0) {
    sql += sql_text(Sql::kStatementTimeout, {std::to_string(options.statement_timeout_ms)}) + "; ";
  }
  if (options.lock_timeout_ms > 0) {
    sql += sql_text(Sql::kLockTimeout, {std::to_string(options.lock_timeout_ms)}) + "; ";
  }
  if (!options.set_role.empty()) {
    const auto role = quote_identifier(options.set_role);
    if (!role) return fail(role.error());
    sql += sql_text(Sql::kSetRole, {*role}) + "; ";
  }
  for (const auto& [name, value] : options.session_variables) {
    const auto quoted_name = quote_literal(name);
    if (!quoted_name) return fail(quoted_name.error());
    const auto quoted_value = quote_literal(value);
    if (!quoted_value) return fail(quoted_value.error());
    sql += sql_text(Sql::kSetVariable, {*quoted_name, *quoted_value}) + "; ";
  }
  return sql;
}

Result<std::string> copy_sql(const CatalogTable& table, const std::vector<EncodeColumn>& columns) {
  const auto schema = quote_identifier(table.schema);
  if (!schema) return fail(schema.error());
  const auto name = quote_identifier(table.name);
  if (!name) return fail(name.error());
  std::string list;
  for (const EncodeColumn& column : columns) {
    const auto quoted = quote_identifier(column.target_name);
    if (!quoted) return fail(quoted.error());
    if (!list.empty()) list += ", ";
    list += *quoted;
  }
  return sql_text(Sql::kCopyIn, {*schema + "." + *name, list});
}

Status write_sql(const SinkOptions& options, const CatalogTable& table, Plan& plan) {
  const auto session = session_sql(options);
  if (!session) return fail(session.error());
  const auto copy = copy_sql(table, plan.columns);
  if (!copy) return fail(copy.error());
  const std::string begin = sql_text(Sql::kBegin, {isolation_sql(options.isolation_level)}) + "; ";
  // The transaction names itself first: the first row of the answer is its id.
  const std::string rest = "; " + *session + *copy;
  plan.begin_copy = begin + sql_text(Sql::kIdentify) + rest;
  plan.begin_copy_pooled = begin + sql_text(Sql::kIdentifyPooled) + rest;
  plan.commit = sql_text(Sql::kCommit);
  return {};
}

}  // namespace

Result<Plan> make_plan(const SinkOptions& options, const CatalogTable& table,
                       const Schema& schema) {
  Plan plan;
  plan.table = table.schema + "." + table.name;
  Faults faults;
  if (schema.empty()) faults.add(Errc::kColumnRequired, "the input has no column");
  if (!table.has_insert_privilege &&
      std::ranges::none_of(table.columns, &CatalogColumn::insertable)) {
    faults.add(Errc::kPrivilege,
               "the role may not INSERT into it: GRANT INSERT ON " + plan.table + " TO the role");
  }
  std::vector<const CatalogColumn*> used;
  plan.columns = map_columns(table, schema, used, faults);
  check_required(table, used, faults);
  plan.types = table.types;
  if (faults.any()) return fail(faults.error(plan.table));
  // Says at once which types do not fit, by making the encoder that each lane will make.
  if (const auto encoder = RowEncoder::create(plan.columns, plan.types); !encoder) {
    return fail(encoder.error());
  }
  plan.batch_rows = options.use_copy.value_or(false) ? options.copy_batch_size : options.batch_size;
  plan.transaction_rows = options.transaction_size > 0 ? options.transaction_size : plan.batch_rows;
  if (auto written = write_sql(options, table, plan); !written) return fail(written.error());
  return plan;
}

}  // namespace pgsink
