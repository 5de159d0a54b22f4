#include "pgsink/plan/plan.h"

#include <algorithm>
#include <array>
#include <limits>

#include <pgproto/quote.h>

#include "pgsink/options/names.h"
#include "pgsink/options/rules.h"
#include "pgsink/plan/faults.h"
#include "pgsink/plan/preflight.h"
#include "pgsink/plan/schema_change.h"
#include "pgsink/source.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

using pgproto::quote_identifier;
using pgproto::quote_literal;

std::vector<std::string_view> column_names(const CatalogTable& table) {
  std::vector<std::string_view> names;
  names.reserve(table.columns.size());
  for (const CatalogColumn& column : table.columns) names.push_back(column.name);
  return names;
}

// Source: NAMEDATALEN of the server
constexpr size_t kNameBytesMax = 63;

/// A name as the server keeps it: cut off after a whole character.
std::string kept_name(const std::string& name) {
  if (name.size() <= kNameBytesMax) return name;
  size_t bytes = kNameBytesMax;
  while (bytes > 0 && (static_cast<unsigned char>(name[bytes]) & 0xc0U) == 0x80U) --bytes;
  return name.substr(0, bytes);
}

/// The table column that an input column goes to: exact name, else the only one equal without case.
/// A name that is too long goes where the server, which cuts it, would find it.
Result<const CatalogColumn*> match_column(const CatalogTable& table, const std::string& given) {
  const std::string name = kept_name(given);
  if (const CatalogColumn* exact = table.find_column(name)) return exact;
  const CatalogColumn* found = nullptr;
  for (const CatalogColumn& column : table.columns) {
    if (!equal_without_case(column.name, name)) continue;
    if (found != nullptr) {
      return fail(Errc::kColumnAmbiguous, "input column \"" + name + "\" could be \"" +
                                              found->name + "\" or \"" + column.name +
                                              "\": give it the exact name, in a query for "
                                              "example by AS \"" +
                                              found->name + "\"");
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
                                       " values per row");
}

void check_writable(const CatalogColumn& column, Faults& faults) {
  if (column.generated == CatalogColumn::Generated::kNo) return;
  faults.add(Errc::kColumnGenerated,
             "column \"" + column.name + "\" is generated and cannot be written: leave it out");
}

/// Statements that would fix a table; "" for a view, and if a name cannot be quoted.
std::string alter(const CatalogTable& table, std::string_view what, const std::string& column,
                  const std::string& how) {
  Quoted quoted;
  const std::string name = quoted.identifier(table.schema) + "." + quoted.identifier(table.name);
  const std::string sql = sql_text(
      Sql::kAlterTarget, {name, std::string(what) + " " + quoted.identifier(column) + how});
  return quoted.status() && table.kind != CatalogTable::Kind::kView ? sql : "";
}

/// Whether NOT NULL is the column's own, and no part of a key.
bool may_be_null(const CatalogTable& table, const CatalogColumn& column) {
  const CatalogIndex* key = table.primary_key();
  const bool in_key =
      key != nullptr && std::ranges::find(key->columns, column.number) != key->columns.end();
  const auto type = table.types.find(column.type_oid);
  const bool domain =
      type != table.types.end() && type->second.kind == pgproto::TypeInfo::Kind::kDomain;
  return !in_key && !domain;
}

std::string mend_column(const CatalogTable& table, const Field& field) {
  return alter(table, "ADD COLUMN", field.name, " " + column_type(field));
}

/// Each column by itself, so that all are named. The message says which cast or input would fit; no
/// SQL is proposed, for another type of the column could change or lose the values that it has.
void check_types(const CatalogTable& table, const std::vector<EncodeColumn>& columns,
                 Faults& faults) {
  for (const EncodeColumn& column : columns) {
    const auto encoder = RowEncoder::create({column}, table.types);
    if (!encoder) faults.add(encoder.error());
  }
}

/// A changelog's column that is not a value of the row. A source's columns about the commit go to
/// the table only if it has such columns.
bool says_what_happened(const CatalogTable& table, const std::string& name) {
  if (name == kChangeColumn || name == kUnchangedColumn) return true;
  return (name == kLsnColumn || name == kCommitTimeColumn) && table.find_column(name) == nullptr;
}

/// Maps the input's columns in their order; `used` are the table columns that they fill.
std::vector<EncodeColumn> map_columns(const SinkOptions& options, const CatalogTable& table,
                                      const Schema& schema, std::vector<const CatalogColumn*>& used,
                                      Faults& faults) {
  const WriteMode mode = options.write_mode;
  const encode::ValueRules rules{.server_version = table.server_version,
                                 .rounds = options.on_rounding == OnRounding::kRound};
  std::vector<EncodeColumn> columns;
  for (size_t i = 0; i < schema.size(); ++i) {
    if (mode == WriteMode::kChangelog && says_what_happened(table, schema[i].name)) continue;
    const auto matched = schema[i].name.empty() ? column_at(table, i, schema.size())
                                                : match_column(table, schema[i].name);
    if (!matched) {
      const bool missing = matched.error().code == Errc::kNoSuchColumn && !schema[i].name.empty();
      faults.add(matched.error(), missing ? mend_column(table, schema[i]) : "");
      continue;
    }
    const CatalogColumn* column = *matched;
    if (std::ranges::find(used, column) != used.end()) {
      faults.add(Errc::kColumnAmbiguous,
                 "column \"" + column->name + "\" occurs twice in the input");
      continue;
    }
    if (mode != WriteMode::kDelete) check_writable(*column, faults);
    used.push_back(column);
    columns.push_back({.source_index = i,
                       .source = schema[i],
                       .target_name = column->name,
                       .target_oid = column->type_oid,
                       .type_modifier = column->type_modifier,
                       .rules = rules});
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
        "column \"" + column.name + "\" is NOT NULL without a default, and the input lacks it",
        may_be_null(table, column) ? alter(table, "ALTER COLUMN", column.name, " DROP NOT NULL")
                                   : "");
  }
}

std::string_view isolation_sql(IsolationLevel level) {
  static constexpr std::array<std::string_view, 4> kNames{"READ UNCOMMITTED", "READ COMMITTED",
                                                          "REPEATABLE READ", "SERIALIZABLE"};
  return kNames[static_cast<size_t>(level)];
}

constexpr int64_t kTwoPhaseLockTimeoutMs = 10'000;

/// Locks of a prepared transaction may be held until the next epoch, or forever: waiting for them
/// must have a limit.
std::string lock_timeout_sql(const SinkOptions& options) {
  std::optional<int64_t> limit = options.lock_timeout_ms;
  if (options.use_2pc && limit.value_or(0) == 0) limit = kTwoPhaseLockTimeoutMs;
  return limit ? sql_text(Sql::kLockTimeout, {std::to_string(*limit)}) + "; " : std::string();
}

/// What each transaction does before its rows: role, settings, limits. They are LOCAL, so that they
/// hold through a pooler and never reach the next user of the connection.
Result<std::string> session_sql(const SinkOptions& options) {
  std::string sql;
  if (options.statement_timeout_ms) {
    sql += sql_text(Sql::kStatementTimeout, {std::to_string(*options.statement_timeout_ms)}) + "; ";
  }
  sql += lock_timeout_sql(options);
  // Before the role, which may lack the right to.
  if (switches_triggers(options)) sql += sql_text(Sql::kTriggersOfReplica) + "; ";
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

// Arrays cost the server less than a staging table at every size that was measured (up to 100,000
// rows, by bench/modes_vs_libpq_bench), but client and server hold them whole: memory bounds them.
constexpr size_t kArraysBytesMax = size_t{8} << 20;
// A COPY costs the server more to begin than a statement over arrays, and its first 1,000 rows more
// than later ones, because it makes a slot for each of them. By bench/modes_vs_libpq_bench arrays
// cost less up to here: by half without an index, by a tenth with one. Many long rows cost less by
// COPY.
constexpr size_t kSeriesRowsMax = 1000;
constexpr size_t kSeriesBytesMax = size_t{1} << 20;
// The server takes no parameter of 1 GiB, and a value may grow when it is encoded.
constexpr size_t kArraysOnlyBytesMax = size_t{256} << 20;

Status write_sql(const SinkOptions& options, Plan& plan) {
  const auto session = session_sql(options);
  if (!session) return fail(session.error());
  plan.commit = sql_text(Sql::kCommit);
  const std::string_view isolation = isolation_sql(options.isolation_level);
  const Statements& statements = plan.statements;

  // The transaction identifies itself first: the first row of the answer is its id.
  TransactionSql& direct = plan.direct;
  direct.begin = sql_text(Sql::kBegin, {isolation}) + "; ";
  const bool one_snapshot = options.isolation_level >= IsolationLevel::kRepeatableRead;
  if (one_snapshot) {
    const auto lock = plan.shape.lock_sql(options.set_role);
    if (!lock) return fail(lock.error());
    if (!lock->empty()) direct.begin += lock_timeout_sql(options) + *lock + "; ";
  }
  direct.identify = sql_text(Sql::kIdentify) + "; ";
  direct.settings = *session;
  direct.planner = statements.planner.session;
  direct.defaults = sql_text(Sql::kSessionDefaults, {isolation});
  if (!statements.stage.session.empty()) {
    std::string role;
    if (!options.set_role.empty()) {
      // The role that writes it must own it.
      const auto quoted = quote_identifier(options.set_role);
      if (!quoted) return fail(quoted.error());
      role = sql_text(Sql::kSetRole, {*quoted}) + "; ";
    }
    direct.stage = sql_text(
        Sql::kStageProven,
        {role, sql_text(Sql::kStaged), statements.stage.session, plan.shape.proof_sql(false)});
  }
  // The epoch row of a lane orders its flights; flights of different streams share no row.
  direct.guarded = plan.ordered && (plan.outcome_source != OutcomeSource::kEpoch || plan.by_stream);
  direct.series = session->empty() && plan.outcome_source == OutcomeSource::kXid && !one_snapshot;
  if (plan.ordered) {
    if (!plan.idempotent) direct.open_series = sql_text(Sql::kIdentifyGuarded);
  } else {
    direct.series_identifies = !plan.idempotent;
  }

  TransactionSql& pooled = plan.pooled;
  pooled.begin = direct.begin;
  pooled.identify = sql_text(Sql::kIdentifyPooled) + "; ";
  pooled.settings = *session;
  pooled.pooled = true;
  pooled.one_snapshot = direct.one_snapshot = one_snapshot;
  if (!statements.planner.transaction.empty()) {
    pooled.settings += statements.planner.transaction + "; ";
  }
  if (!statements.stage.transaction.empty()) {
    pooled.stage_local = statements.stage.transaction + "; ";
  }
  return {};
}

/// A staging table is temporary, and a transaction that touched one cannot be prepared: so
/// everything goes as arrays.
Status go_without_staging(const SinkOptions& options, const CatalogTable& table, Plan& plan) {
  if (options.use_copy == true) {
    return fail(Errc::kOptionConflict,
                "use_copy = true goes through a temporary staging table for this write_mode and "
                "table, and a transaction that touched one cannot be prepared: leave use_copy or "
                "use_2pc out");
  }
  if (plan.statements.apply.empty()) {
    const EncodeColumn* column = first_not_unnestable(table, plan.columns);
    return fail(Errc::kCannotPrepare,
                "use_2pc: column \"" + column->target_name +
                    "\" is an array or a composite, which for this write_mode and table goes "
                    "through a temporary staging table, and a transaction that touched one cannot "
                    "be prepared: leave use_2pc out, or use write_mode = 'insert'");
  }
  plan.statements.copy.clear();
  plan.statements.stage = {};
  plan.arrays_bytes_max = kArraysOnlyBytesMax;
  return {};
}

// Source: MaxHeapAttributeNumber of the server
constexpr size_t kTableColumnsMax = 1600;

/// Whether a staging table has no column left that numbers its rows.
bool is_too_wide_to_stage(const Plan& plan) {
  return !plan.statements.merge.empty() && plan.columns.size() >= kTableColumnsMax;
}

/// So many columns go as arrays at every size.
Status go_as_arrays(const SinkOptions& options, const CatalogTable& table, Plan& plan) {
  const std::string wide = "the input has " + std::to_string(plan.columns.size()) +
                           " columns, and a staging table would need one more, which is more than "
                           "the server allows";
  if (options.use_copy == true) {
    return fail(Errc::kOptionConflict, "use_copy = true: " + wide + ": leave use_copy out");
  }
  if (plan.statements.apply.empty()) {
    return fail(Errc::kOptionConflict,
                "write_mode: column \"" + first_not_unnestable(table, plan.columns)->target_name +
                    "\" is an array or a composite, which needs a staging table, and " + wide +
                    ": leave a column out, or use write_mode = 'insert'");
  }
  plan.statements.copy.clear();
  plan.statements.stage = {};
  plan.arrays_bytes_max = kArraysOnlyBytesMax;
  return {};
}

/// Decides which paths may be taken.
Status choose_paths(const SinkOptions& options, const CatalogTable& table, Plan& plan) {
  if (options.use_2pc && !copies_into_target(options.write_mode, table, plan.columns)) {
    return go_without_staging(options, table, plan);
  }
  if (is_too_wide_to_stage(plan)) return go_as_arrays(options, table, plan);
  const bool arrays_possible = !plan.statements.apply.empty();
  if (options.use_copy == false && !arrays_possible) {
    const EncodeColumn* column = first_not_unnestable(table, plan.columns);
    return fail(Errc::kOptionConflict, "use_copy = false: column \"" + column->target_name +
                                           "\" is an array or a composite, which only COPY can "
                                           "carry; leave use_copy out");
  }
  if (options.use_copy == false) {
    plan.statements.copy.clear();
    plan.arrays_bytes_max = kArraysOnlyBytesMax;
    return {};
  }
  const std::string_view atomic = why_atomic(options);
  if (!atomic.empty() && plan.statements.copy.empty()) {
    return fail(Errc::kOptionConflict, std::string(atomic) + " needs COPY, which " + plan.table +
                                           " does not take in this write_mode: leave it out");
  }
  if (options.use_copy == true || !atomic.empty() || !arrays_possible) return {};
  if (copies_into_target(options.write_mode, table, plan.columns)) {
    plan.series_rows_max = kSeriesRowsMax;
    plan.series_bytes_max = kSeriesBytesMax;
  } else {
    plan.arrays_bytes_max = kArraysBytesMax;
  }
  return {};
}

/// Deletes send their keys only.
void keep_keys(const Keys& keys, std::vector<EncodeColumn>& columns) {
  std::erase_if(columns, [&](const EncodeColumn& column) {
    return std::ranges::none_of(
        keys.columns, [&](const CatalogColumn* key) { return key->name == column.target_name; });
  });
}

std::optional<EncodeColumn> take_note(const CatalogTable& table, const Schema& schema,
                                      EncodeColumn::Role role) {
  const bool change = role == EncodeColumn::Role::kChange;
  const auto found =
      std::ranges::find(schema, change ? kChangeColumn : kUnchangedColumn, &Field::name);
  if (found == schema.end()) return std::nullopt;
  constexpr Oid kByteaOid = 17, kCharOid = 18;  // Source: pg_type.dat of the server
  std::string name = change ? "pgsink_change" : "pgsink_unchanged";
  while (table.find_column(name) != nullptr) name += '_';
  return EncodeColumn{.source_index = static_cast<size_t>(found - schema.begin()),
                      .source = *found,
                      .target_name = std::move(name),
                      .target_oid = change ? kCharOid : kByteaOid,
                      .type_modifier = -1,
                      .role = role,
                      .rules = {}};
}

/// How the values of each column travel. A row that deletes carries its key and nothing else.
void give_roles(const SinkOptions& options, const CatalogTable& table, const Keys& keys,
                const RowOrder& order, std::vector<EncodeColumn>& columns) {
  using Role = EncodeColumn::Role;
  const WriteMode mode = options.write_mode;
  const bool replaced = order.together == Together::kAlways &&
                        (mode == WriteMode::kUpsert || mode == WriteMode::kChangelog);
  for (EncodeColumn& column : columns) {
    const CatalogColumn* known = table.find_column(column.target_name);
    const bool key = std::ranges::find(keys.columns, known) != keys.columns.end();
    if (key && mode != WriteMode::kInsertIgnore && (known->not_null || !keys.nulls_equal)) {
      column.role = Role::kKey;
    } else if (mode == WriteMode::kChangelog && !key) {
      column.role = Role::kUnlessLacking;
    }
    // The server would not see the NULL of a row that a later one replaces.
    column.not_null = replaced && known->not_null;
    const auto type = table.types.find(known->type_oid);
    column.as_base_type = mode == WriteMode::kChangelog && type != table.types.end() &&
                          type->second.kind == pgproto::TypeInfo::Kind::kDomain;
  }
}

constexpr int64_t kUnboundedRows = std::numeric_limits<int64_t>::max();

}  // namespace

std::vector<EncodeColumn> Plan::distinct_columns() const {
  std::vector<EncodeColumn> found;
  if (order.together != Together::kDistinctKeys) return found;
  for (const EncodeColumn& column : columns) {
    if (std::ranges::find(keys, column.target_name) == keys.end()) continue;
    found.push_back(column);
    found.back().role = EncodeColumn::Role::kValue;
  }
  return found;
}

void Plan::take_whole_epochs() {
  one_transaction = true;
  transaction_rows = kUnboundedRows;
}

namespace {

/// How rows form transactions, and what is guaranteed about them.
Status cut_transactions(const SinkOptions& options, Plan& plan) {
  const WriteMode mode = options.write_mode;
  plan.outcome_source = options.use_2pc                              ? OutcomeSource::kGid
                        : options.delivery == Delivery::kExactlyOnce ? OutcomeSource::kEpoch
                                                                     : OutcomeSource::kXid;
  plan.by_stream = options.streams;
  plan.idempotent = mode == WriteMode::kDelete && plan.outcome_source == OutcomeSource::kXid &&
                    plan.order.together == Together::kAlways;
  // A row that waits for others to be left out beside it must not be overtaken by one that it
  // meets.
  const bool overtaken = takes_dead_letters(options) && !plan.order.meeting_place.empty();
  plan.ordered = plan.outcome_source == OutcomeSource::kEpoch ||
                 (only_inserts(mode) ? overtaken : !plan.idempotent);
  plan.batch_rows = options.use_copy.value_or(false) ? options.copy_batch_size : options.batch_size;
  plan.run_rows = options.transaction_size > 0 ? options.transaction_size : plan.batch_rows;
  plan.atomic = !why_atomic(options).empty();
  plan.transactions_grow = options.transaction_size == 0 && !options.use_2pc && !plan.atomic &&
                           plan.order.together == Together::kAlways;
  plan.transaction_rows = plan.transactions_grow || plan.atomic ? kUnboundedRows : plan.run_rows;
  if (options.use_2pc) {
    // Prepared transactions are scarce: unless an option says otherwise, one takes what memory
    // allows.
    if (options.transaction_size == 0) plan.transaction_rows = kUnboundedRows;
    if (!only_inserts(mode)) plan.take_whole_epochs();
    if (plan.one_transaction && plan.keys.empty() && options.parallelism > 1 &&
        options.partition_by.empty()) {
      return fail(
          Errc::kOptionConflict,
          "use_2pc with parallelism needs to know which rows may meet at a unique key, and it has "
          "no primary key that the input fills: use partition_by = 'hash(…)' or parallelism = 1");
    }
  }
  return {};
}

/// What the rows of a schema are for a table.
struct Mapped {
  std::vector<EncodeColumn> columns;
  Keys keys;
  RowOrder order;
};

Result<Mapped> map_rows(const SinkOptions& options, const CatalogTable& table, const Schema& schema,
                        Faults& faults) {
  const WriteMode mode = options.write_mode;
  const bool inserts = mode != WriteMode::kUpdate && mode != WriteMode::kDelete;
  Mapped mapped;
  if (schema.empty()) faults.add(Errc::kColumnRequired, "the input has no column");
  std::vector<const CatalogColumn*> used;
  mapped.columns = map_columns(options, table, schema, used, faults);
  if (inserts) check_required(table, used, faults);
  mapped.keys = keys_or_fault(options, table, used, faults);
  if (mode == WriteMode::kDelete && !mapped.keys.columns.empty()) {
    keep_keys(mapped.keys, mapped.columns);
  }
  check_types(table, mapped.columns, faults);
  check_privileges(options, table, used, mapped.keys.columns, faults);
  check_copy(options, table, faults);
  if (faults.any()) return fail(faults.error(table.schema + "." + table.name));
  mapped.order = row_order(options, table, mapped.columns, mapped.keys);
  return mapped;
}

}  // namespace

Result<Plan> make_plan(const SinkOptions& options, const CatalogTable& table,
                       const Schema& schema) {
  const WriteMode mode = options.write_mode;
  Plan plan;
  plan.table = table.schema + "." + table.name;
  plan.types = table.types;
  Faults faults;
  auto mapped = map_rows(options, table, schema, faults);
  if (!mapped) return fail(mapped.error());
  plan.columns = std::move(mapped->columns);
  plan.order = mapped->order;
  // A snapshot has each key once; of several rows the last one counts.
  if (options.delete_missing) plan.order.together = Together::kAlways;
  const Keys& keys = mapped->keys;
  if (options.atomic && plan.order.together != Together::kAlways) {
    return fail(Errc::kOptionConflict,
                "atomic = true: " + plan.table +
                    " has triggers, defaults or further unique constraints, so each row of a key "
                    "has an effect, and all rows of a transaction must be known before the first "
                    "is sent. atomic sends them earlier: leave atomic out");
  }
  give_roles(options, table, keys, plan.order, plan.columns);
  if (mode == WriteMode::kChangelog) {
    auto change = take_note(table, schema, EncodeColumn::Role::kChange);
    if (!change) {
      faults.add(Errc::kColumnRequired,
                 "a changelog's input needs a column \"_op\" that says "
                 "what each row does: I, U or D");
      return fail(faults.error(plan.table));
    }
    auto unchanged = take_note(table, schema, EncodeColumn::Role::kUnchanged);
    if (unchanged && !why_atomic(options).empty()) {
      return fail(Errc::kOptionConflict,
                  "atomic = true: the input has a column \"_unchanged\", and which rows need a "
                  "statement of their own must be known before the first is sent. atomic sends "
                  "them earlier: leave atomic or the column out");
    }
    if (unchanged) plan.columns.insert(plan.columns.begin(), std::move(*unchanged));
    plan.columns.insert(plan.columns.begin(), std::move(*change));
  }
  // Reports at once which types do not fit, by making the encoder that each lane will make.
  if (const auto encoder = RowEncoder::create(plan.columns, plan.types); !encoder) {
    return fail(encoder.error());
  }
  auto shape = TableShape::create(table, plan.columns);
  if (!shape) {
    faults.add(shape.error());
    return fail(faults.error(plan.table));
  }
  plan.shape = std::move(*shape);
  auto statements = write_statements(options, table, plan.columns, keys, plan.order);
  if (!statements) {
    faults.add(statements.error());
    return fail(faults.error(plan.table));
  }
  plan.statements = std::move(*statements);
  for (const CatalogColumn* key : keys.columns) plan.keys.push_back(key->name);
  if (auto cut = cut_transactions(options, plan); !cut) {
    faults.add(cut.error());
    return fail(faults.error(plan.table));
  }
  if (auto chosen = choose_paths(options, table, plan); !chosen) return fail(chosen.error());
  if (auto written = write_sql(options, plan); !written) return fail(written.error());
  return plan;
}

Result<JobPlan> make_job_plan(const SinkOptions& options, const CatalogTable& table,
                              const Schema& schema) {
  Faults faults;
  auto mapped = map_rows(options, table, schema, faults);
  if (!mapped) return fail(mapped.error());
  JobPlan plan;
  plan.columns = std::move(mapped->columns);
  give_roles(options, table, mapped->keys, RowOrder(), plan.columns);
  if (const auto encoder = RowEncoder::create(plan.columns, table.types); !encoder) {
    return fail(encoder.error());
  }
  auto statements = write_job_statements(options, table, plan.columns, mapped->keys);
  auto settings = session_sql(options);
  if (!statements || !settings) {
    faults.add(!statements ? statements.error() : settings.error());
    return fail(faults.error(table.schema + "." + table.name));
  }
  plan.statements = *std::move(statements);
  plan.settings = *std::move(settings);
  if (options.set_role.empty()) return plan;
  const auto role = quote_identifier(options.set_role);
  if (!role) return fail(role.error());
  plan.role = sql_text(Sql::kSetRole, {*role}) + "; ";
  return plan;
}

}  // namespace pgsink
