#include "pgsink/plan/statements.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <pgproto/oid.h>
#include <pgproto/quote.h>

#include "pgsink/encode/rows/column_codec.h"
#include "pgsink/options/rules.h"
#include "pgsink/plan/sent_columns.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

using pgproto::quote_identifier;
using Role = EncodeColumn::Role;

std::string join(const std::vector<std::string>& parts, std::string_view between) {
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty()) text += between;
    text += part;
  }
  return text;
}

/// `prefix` followed by underscores until no column has that name.
std::string free_name(const CatalogTable& table, std::string name) {
  while (table.find_column(name) != nullptr) name += '_';
  return name;
}

/// A column's name as an expression that compares as the column itself does.
std::string compared(const std::string& name, const CatalogColumn& column) {
  return column.collation.empty() ? name : name + " COLLATE " + column.collation;
}

/// Composer knows the quoted names of one table and puts the templates together.
class Composer {
 public:
  Composer(const SinkOptions& options, const CatalogTable& table,
           const std::vector<EncodeColumn>& columns, const Keys& keys, const RowOrder& order)
      : options_(options), table_(table), columns_(columns), keys_(keys), order_(order) {}

  Result<Statements> compose();
  Result<JobStatements> compose_job();

 private:
  Status quote_names();
  Status choose_assignments();
  bool assignable(const CatalogColumn& column) const;
  Result<std::string> apply(const std::string& source, std::string_view order) const;
  std::string last_of_key(const std::string& source, std::string_view order) const;
  bool takes_first_values() const;
  std::string first_and_last_of_key(const std::string& source, std::string_view order) const;
  std::string in_order(const std::string& source, std::string_view order) const;
  std::string overriding() const;
  std::string insert(const std::string& rows) const;
  std::string on_conflict() const;
  std::string match(const std::vector<std::string>& given) const;
  std::string match() const;
  std::string delete_missing(const std::string& source) const;
  std::string assignments(std::string_view from) const;
  std::string parameter(RowStatement& statement, const std::string& column) const;
  std::vector<std::string> parameters(RowStatement& statement,
                                      const std::vector<std::string>& columns) const;
  RowStatement insert_row() const;
  RowStatement update_row() const;
  RowStatement delete_row() const;
  RowStatement keep_row() const;
  RowStatement move_row() const;
  void compose_rows(Statements& made) const;
  std::vector<OrderedField> ascending_key() const;
  void compose_ascending(Statements& made) const;

  const SinkOptions& options_;
  const CatalogTable& table_;
  const std::vector<EncodeColumn>& columns_;
  const Keys& keys_;
  const RowOrder& order_;

  std::string quoted_table_, quoted_columns_, quoted_inserted_, quoted_keys_, quoted_newer_;
  std::vector<std::string> all_, inserted_, key_names_, compared_keys_, assigned_;
  std::string change_, unchanged_, ordinal_;
  const CatalogColumn* newer_ = nullptr;
  std::optional<SentColumns> sent_;  ///< Set once the names are quoted.
};

Status Composer::quote_names() {
  const auto quote_into = [](std::string& to, std::string_view name) -> Status {
    auto quoted = quote_identifier(name);
    if (!quoted) return fail(quoted.error());
    to = std::move(*quoted);
    return {};
  };
  std::string schema, name;
  if (auto done = quote_into(schema, table_.schema); !done) return done;
  if (auto done = quote_into(name, table_.name); !done) return done;
  quoted_table_ = schema + "." + name;
  if (auto done = quote_into(ordinal_, free_name(table_, "pgsink_ordinal")); !done) return done;
  for (const EncodeColumn& column : columns_) {
    if (auto done = quote_into(name, column.target_name); !done) return done;
    all_.push_back(name);
    if (column.role == Role::kChange) {
      change_ = name;
    } else if (column.role == Role::kUnchanged) {
      unchanged_ = name;
    } else {
      inserted_.push_back(name);
    }
  }
  for (const CatalogColumn* column : keys_.columns) {
    if (auto done = quote_into(name, column->name); !done) return done;
    key_names_.push_back(name);
    compared_keys_.push_back(compared(name, *column));
  }
  if (!options_.newer_by.empty()) {
    if (auto done = quote_into(quoted_newer_, options_.newer_by); !done) return done;
    newer_ = table_.find_column(options_.newer_by);
  }
  quoted_columns_ = join(all_, ", ");
  quoted_inserted_ = join(inserted_, ", ");
  quoted_keys_ = join(key_names_, ", ");
  return {};
}

bool Composer::assignable(const CatalogColumn& column) const {
  // GENERATED ALWAYS AS IDENTITY can be given on INSERT but never set by UPDATE.
  return column.identity != CatalogColumn::Identity::kAlways &&
         std::ranges::find(keys_.columns, &column) == keys_.columns.end();
}

/// Which columns an UPDATE sets: update_columns, else every input column that is not a key.
Status Composer::choose_assignments() {
  for (const std::string& name : options_.update_columns) {
    const bool sent = std::ranges::any_of(
        columns_, [&](const EncodeColumn& column) { return column.target_name == name; });
    if (!sent) {
      return fail(Errc::kNoSuchColumn,
                  "update_columns: the input does not fill a column \"" + name + "\"");
    }
    const CatalogColumn* const column = table_.find_column(name);
    if (column != nullptr && column->identity == CatalogColumn::Identity::kAlways) {
      return fail(Errc::kColumnGenerated,
                  "update_columns: \"" + name +
                      "\" is GENERATED ALWAYS AS IDENTITY, which INSERT may give and UPDATE may "
                      "not set: leave it out");
    }
    const auto quoted = quote_identifier(name);
    if (!quoted) return fail(quoted.error());
    assigned_.push_back(*quoted);
  }
  if (!options_.update_columns.empty()) {
    // Else every row would be compared with the version that the row once began with.
    const bool sets_newer = newer_ == nullptr || !assignable(*newer_) ||
                            std::ranges::find(assigned_, quoted_newer_) != assigned_.end();
    if (!sets_newer) assigned_.push_back(quoted_newer_);
    return {};
  }
  for (size_t i = 0; i < columns_.size(); ++i) {
    const CatalogColumn* column = table_.find_column(columns_[i].target_name);
    if (column != nullptr && !columns_[i].is_note() && assignable(*column)) {
      assigned_.push_back(all_[i]);
    }
  }
  return {};
}

std::string Composer::last_of_key(const std::string& source, std::string_view order) const {
  const std::string keys = join(compared_keys_, ", ");
  std::string last(order);
  // newer_by decides within a transaction as between transactions: the greatest value wins, and the
  // first of equal ones.
  if (newer_ != nullptr) {
    last = compared(quoted_newer_, *newer_) + " DESC NULLS LAST, " + last;
  } else {
    last += " DESC";
  }
  return sql_text(Sql::kLastOfKey, {keys, quoted_columns_, source, keys, last});
}

/// Whether the row that a key begins with shows in something that later rows do not set.
bool Composer::takes_first_values() const {
  return std::ranges::any_of(columns_, [&](const EncodeColumn& column) {
    const CatalogColumn* known = table_.find_column(column.target_name);
    return known != nullptr && !column.is_note() && keeps_first(options_, table_, *known, keys_);
  });
}

/// For each key one row that has the same effect as all rows of the key one by one on an empty
/// place: columns that updates set come from the winning row, all others from the first.
std::string Composer::first_and_last_of_key(const std::string& source,
                                            std::string_view order) const {
  const std::string given_order = "given." + std::string(order);
  std::string columns, keys;
  for (const std::string& name : all_) {
    if (!columns.empty()) columns += ", ";
    const bool set = std::ranges::find(assigned_, name) != assigned_.end();
    columns += set ? "given." + name : sql_text(Sql::kFirstValue, {name, name});
  }
  for (const std::string& key : compared_keys_) {
    keys += (keys.empty() ? "given." : ", given.") + key;
  }
  std::string last = given_order + " DESC";
  if (newer_ != nullptr) {
    last = "given." + compared(quoted_newer_, *newer_) + " DESC NULLS LAST, " + given_order;
  }
  return sql_text(Sql::kFirstAndLastOfKey, {keys, columns, source, keys, given_order, keys, last});
}

/// All rows, in an order with the same result as one by one. If only the key can conflict, any
/// order will do in which equal keys keep theirs: then the order of the keys, in which two sinks
/// cannot deadlock.
std::string Composer::in_order(const std::string& source, std::string_view order) const {
  std::string by(order);
  if (!order_.by_arrival && !compared_keys_.empty()) by = join(compared_keys_, ", ") + ", " + by;
  return sql_text(Sql::kInOrder, {quoted_columns_, source, by});
}

std::string as_given(const std::string& rows) { return "(" + rows + ") AS given"; }

std::string Composer::on_conflict() const {
  if (options_.write_mode == WriteMode::kInsertIgnore) {
    const std::string target =
        options_.conflict_columns.empty() ? std::string() : " (" + quoted_keys_ + ")";
    return sql_text(Sql::kOnConflictNothing, {target});
  }
  if (assigned_.empty()) return sql_text(Sql::kOnConflictNothing, {" (" + quoted_keys_ + ")"});
  const std::string& newer = quoted_newer_;
  const std::string condition =
      newer_ == nullptr ? std::string()
                        : sql_text(Sql::kNewer, {newer, newer_->less, newer, newer, newer});
  return sql_text(Sql::kOnConflictUpdate, {quoted_keys_, assignments("EXCLUDED"), condition});
}

std::string Composer::overriding() const {
  const bool overrides = std::ranges::any_of(columns_, [&](const EncodeColumn& column) {
    const CatalogColumn* known = table_.find_column(column.target_name);
    return known != nullptr && known->identity == CatalogColumn::Identity::kAlways;
  });
  return overrides ? " OVERRIDING SYSTEM VALUE" : "";
}

std::string Composer::insert(const std::string& rows) const {
  return sql_text(Sql::kInsertSelect, {quoted_table_, quoted_inserted_, overriding(),
                                       "given." + join(inserted_, ", given."), rows});
}

/// The row of the table whose keys are those that are given.
std::string Composer::match(const std::vector<std::string>& given) const {
  std::string text;
  for (size_t i = 0; i < key_names_.size(); ++i) {
    const std::string target = "target." + key_names_[i];
    const CatalogColumn& column = *keys_.columns[i];
    std::string equal = target + " " + column.equal + " " + given[i];
    if (keys_.nulls_equal && !column.not_null) {
      equal.insert(0, "(").append(" OR (").append(target).append(" IS NULL AND ");
      equal.append(given[i]).append(" IS NULL))");
    }
    text += (text.empty() ? "" : " AND ") + equal;
  }
  return text;
}

std::string Composer::match() const {
  std::vector<std::string> given;
  given.reserve(key_names_.size());
  for (const std::string& name : key_names_) given.push_back("given." + name);
  return match(given);
}

/// Deletes the rows whose keys are not among those of `source`, ending in "; "; or "".
std::string Composer::delete_missing(const std::string& source) const {
  if (!options_.delete_missing) return {};
  return sql_text(Sql::kDeleteMissing, {quoted_table_, source, match()}) + "; ";
}

std::string Composer::assignments(std::string_view from) const {
  std::string text;
  for (const std::string& column : assigned_) {
    if (!text.empty()) text += ", ";
    text.append(column).append(" = ").append(from).append(".").append(column);
  }
  return text;
}

/// The statement that applies the rows of `source`; `order` is their order of arrival.
Result<std::string> Composer::apply(const std::string& source, std::string_view order) const {
  switch (options_.write_mode) {
    case WriteMode::kInsert:
    case WriteMode::kReplace:
      return insert(source);
    case WriteMode::kInsertIgnore:
      return insert(as_given(in_order(source, order))) + on_conflict();
    case WriteMode::kUpsert:
      if (order_.together != Together::kAlways) {
        return insert(as_given(in_order(source, order))) + on_conflict();
      }
      return insert(as_given(takes_first_values() ? first_and_last_of_key(source, order)
                                                  : last_of_key(source, order))) +
             on_conflict();
    case WriteMode::kUpdate:
      if (assigned_.empty()) {
        return fail(Errc::kColumnRequired,
                    "write_mode = 'update': the input has only key columns, so there is nothing to "
                    "update: add a column to the query");
      }
      return sql_text(Sql::kUpdateFrom,
                      {quoted_table_, assignments("given"), last_of_key(source, order), match()});
    case WriteMode::kDelete:
      return sql_text(Sql::kDeleteUsing, {quoted_table_, last_of_key(source, order), match()});
    case WriteMode::kChangelog:
      return sql_text(
          Sql::kApplyChanges,
          {last_of_key(source, order), quoted_table_, match(), change_,
           insert(sql_text(Sql::kChangedRows, {quoted_table_, match(), change_, change_})) +
               on_conflict()});
  }
  return fail(Errc::kInternal, "unknown write mode");
}

// ---- one row -----------------------------------------------------------------------------------

/// A column's value by a parameter of the statement, which is added if it has none yet.
std::string Composer::parameter(RowStatement& statement, const std::string& column) const {
  const auto at = static_cast<size_t>(std::ranges::find(all_, column) - all_.begin());
  const auto known = std::ranges::find(statement.columns, at);
  const auto number = static_cast<size_t>(known - statement.columns.begin()) + 1;
  if (known == statement.columns.end()) {
    statement.columns.push_back(at);
    statement.types.push_back(sent_->parameter_type(at));
  }
  return sent_->own_type(at, "$" + std::to_string(number));
}

std::vector<std::string> Composer::parameters(RowStatement& statement,
                                              const std::vector<std::string>& columns) const {
  std::vector<std::string> numbers;
  numbers.reserve(columns.size());
  for (const std::string& column : columns) numbers.push_back(parameter(statement, column));
  return numbers;
}

RowStatement Composer::insert_row() const {
  RowStatement row;
  const std::string values = join(parameters(row, inserted_), ", ");
  row.sql = sql_text(Sql::kInsertRow, {quoted_table_, quoted_inserted_, overriding(), values});
  if (!only_inserts(options_.write_mode)) row.sql += on_conflict();
  return row;
}

RowStatement Composer::update_row() const {
  RowStatement row;
  std::string sets;
  for (const std::string& name : assigned_) {
    if (!sets.empty()) sets += ", ";
    sets.append(name).append(" = ").append(parameter(row, name));
  }
  const std::string match_keys = match(parameters(row, key_names_));
  row.sql = sql_text(Sql::kUpdateRow, {quoted_table_, sets, match_keys});
  return row;
}

RowStatement Composer::delete_row() const {
  RowStatement row;
  row.sql = sql_text(Sql::kDeleteRow, {quoted_table_, match(parameters(row, key_names_))});
  return row;
}

/// Sets the columns that are not unchanged.
RowStatement Composer::keep_row() const {
  RowStatement row;
  std::string sets;
  for (const std::string& name : assigned_) {
    const auto at = static_cast<size_t>(std::ranges::find(all_, name) - all_.begin());
    const std::string value = parameter(row, name);
    if (!sets.empty()) sets += ", ";
    sets += sql_text(Sql::kUnlessUnchanged,
                     {name, parameter(row, unchanged_), std::to_string(at), name, value});
  }
  // Nothing can be set, but the row must be there.
  if (sets.empty()) sets = key_names_.front() + " = target." + key_names_.front();
  const std::string match_keys = match(parameters(row, key_names_));
  const std::string present =
      sql_text(Sql::kIsPresent, {Statements::kNeverSeen, quoted_table_, match_keys});
  row.sql = sql_text(Sql::kUpdateRow, {quoted_table_, sets, match_keys + " AND " + present});
  return row;
}

/// Columns that the input lacks move too.
RowStatement Composer::move_row() const {
  RowStatement row;
  const std::string match_keys = match(parameters(row, key_names_));
  std::string columns = quoted_keys_, values, sets;
  for (const std::string& name : key_names_) {
    const auto at = static_cast<size_t>(std::ranges::find(all_, name) - all_.begin());
    row.types.push_back(sent_->parameter_type(at));
    values +=
        (values.empty() ? "" : ", ") + sent_->own_type(at, "$" + std::to_string(row.types.size()));
  }
  for (const CatalogColumn& column : table_.columns) {
    const bool key = std::ranges::find(keys_.columns, &column) != keys_.columns.end();
    if (key || column.generated != CatalogColumn::Generated::kNo) continue;
    const auto name = quote_identifier(column.name);
    PGPROTO_ASSERT(name);
    columns += ", " + *name;
    values += ", gone." + *name;
    if (!assignable(column)) continue;
    sets += (sets.empty() ? "" : ", ") + *name + " = EXCLUDED." + *name;
  }
  const std::string conflict = sets.empty()
                                   ? sql_text(Sql::kOnConflictNothing, {" (" + quoted_keys_ + ")"})
                                   : sql_text(Sql::kOnConflictUpdate, {quoted_keys_, sets, ""});
  row.sql = sql_text(Sql::kMoveRow, {quoted_table_, match_keys, quoted_table_, columns, values}) +
            conflict;
  return row;
}

void Composer::compose_rows(Statements& made) const {
  switch (options_.write_mode) {
    case WriteMode::kChangelog:
      made.row_delete = delete_row();
      if (!unchanged_.empty()) {
        made.unchanged = static_cast<size_t>(std::ranges::find(all_, unchanged_) - all_.begin());
        made.row_keeping = keep_row();
        made.row_move = move_row();
      }
      [[fallthrough]];
    case WriteMode::kInsert:
    case WriteMode::kReplace:
    case WriteMode::kInsertIgnore:
    case WriteMode::kUpsert:
      made.row = insert_row();
      return;
    case WriteMode::kUpdate:
      made.row = update_row();
      return;
    case WriteMode::kDelete:
      made.row = delete_row();
      return;
  }
}

/// How the server orders the values of a type, if that is plain from their bytes.
std::optional<bool> orders_as_signed(Oid type) {
  using namespace pgproto::oid;
  constexpr std::array kSigned{kInt2, kInt4, kInt8, kDate, kTime, kTimestamp, kTimestamptz};
  if (std::ranges::find(kSigned, type) != kSigned.end()) return true;
  if (type == kUuid || type == kOid) return false;
  return std::nullopt;
}

/// The key as the client compares it; empty if it cannot.
std::vector<OrderedField> Composer::ascending_key() const {
  std::vector<OrderedField> key;
  for (size_t i = 0; i < key_names_.size(); ++i) {
    const CatalogColumn& column = *keys_.columns[i];
    const auto is_signed = orders_as_signed(column.type_oid);
    if (!is_signed || !told_by_bytes(column, table_.types)) return {};
    const auto at = std::ranges::find(all_, key_names_[i]);
    if (at == all_.end()) return {};
    key.push_back({static_cast<size_t>(at - all_.begin()), *is_signed});
  }
  return key;
}

/// Rows whose keys ascend are in the order that the statement would sort them into, and each is the
/// last of its key.
void Composer::compose_ascending(Statements& made) const {
  const bool sorts =
      options_.write_mode == WriteMode::kUpsert || options_.write_mode == WriteMode::kInsertIgnore;
  if (!sorts || sent_->casts()) return;
  made.ascending_key = ascending_key();
  if (made.ascending_key.empty()) return;
  made.apply_ascending =
      insert(sql_text(Sql::kUnnestedInOrder, {sent_->unnests()})) + on_conflict();
}

Result<Statements> Composer::compose() {
  if (auto quoted = quote_names(); !quoted) return fail(quoted.error());
  if (auto chosen = choose_assignments(); !chosen) return fail(chosen.error());
  Statements made;
  sent_.emplace(table_, columns_, all_);
  made.reads_text = sent_->casts();
  if (copies_into_target(options_.write_mode, table_, columns_)) {
    made.copy = sql_text(Sql::kCopyIn, {quoted_table_, quoted_columns_});
    made.copied_table = table_.name;
  } else {
    const std::string staging = sql_text(Sql::kStaged);
    const std::string ordinal = sql_text(Sql::kStageOrdinal, {ordinal_});
    made.stage.session = sql_text(Sql::kStage, {sent_->staged(), quoted_table_, ordinal});
    made.stage.transaction = sql_text(Sql::kStageOnce, {sent_->staged(), quoted_table_, ordinal});
    made.copy = sql_text(Sql::kCopyIn, {staging, quoted_columns_});
    made.copied_table = staging.substr(staging.find('.') + 1);
    auto merge = apply(sent_->with_casts(staging + " AS given", ordinal_), ordinal_);
    if (!merge) return fail(merge.error());
    made.merge = delete_missing(staging + " AS given") + std::move(*merge);
  }
  if (options_.write_mode == WriteMode::kReplace) {
    made.before = sql_text(Sql::kEmpty, {quoted_table_, quoted_table_}) + "; ";
  }
  // Only the statement over all rows knows which are missing.
  if (!options_.delete_missing) compose_rows(made);
  const bool joins = options_.write_mode == WriteMode::kUpdate ||
                     options_.write_mode == WriteMode::kDelete ||
                     options_.write_mode == WriteMode::kChangelog;
  if (joins && keys_.indexed) {
    const auto index_only = [](std::string_view local) {
      return sql_text(Sql::kIndexOnly, {local, local, local, local});
    };
    made.planner.session = index_only("false");
    made.planner.transaction = index_only("true");
  }
  if (first_not_unnestable(table_, columns_) != nullptr) return made;

  made.array_types = sent_->array_types();
  if (options_.write_mode == WriteMode::kDelete && key_names_.size() == 1 && !keys_.nulls_equal &&
      !sent_->casts()) {
    made.apply = sql_text(Sql::kDeleteAny,
                          {quoted_table_, key_names_.front(), keys_.columns.front()->equal});
    return made;
  }
  const std::string source =
      sent_->with_casts(sql_text(Sql::kUnnested, {sent_->unnests(), ordinal_}), ordinal_);
  auto statement = apply(source, ordinal_);
  if (!statement) return fail(statement.error());
  made.apply = std::move(*statement);
  compose_ascending(made);
  return made;
}

Result<JobStatements> Composer::compose_job() {
  if (options_.write_mode == WriteMode::kChangelog) {
    return fail(Errc::kOptionConflict,
                "write_mode = 'changelog': the parts of a job write in no order, and the order of "
                "changes counts. Use a sink, or atomic = 'none' with each key in one partition");
  }
  if (auto quoted = quote_names(); !quoted) return fail(quoted.error());
  if (auto chosen = choose_assignments(); !chosen) return fail(chosen.error());
  // A part writes into the staging table as into any table, and what a value becomes depends on the
  // type there.
  sent_.emplace(table_, columns_, all_, true);
  JobStatements made;
  made.columns = sent_->staged();
  made.part = free_name(table_, "pgsink_part");
  made.ordinal = free_name(table_, "pgsink_ordinal");
  const auto part = quote_identifier(made.part);
  if (!part) return fail(part.error());
  made.quoted_part = *part;
  made.quoted_target = quoted_table_;
  made.columns += ", 0::pg_catalog.int8 AS " + *part + ", 0::pg_catalog.int8 AS " + ordinal_;
  auto merge = apply(sent_->with_casts(sql_text(Sql::kJobSource), ordinal_), ordinal_);
  if (!merge) return fail(merge.error());
  made.merge = std::move(*merge);
  if (options_.delete_missing) {
    made.missing =
        sql_text(Sql::kDeleteMissing, {quoted_table_, sql_text(Sql::kJobSource), match()});
  }
  return made;
}

}  // namespace

Result<JobStatements> write_job_statements(const SinkOptions& options, const CatalogTable& table,
                                           const std::vector<EncodeColumn>& columns,
                                           const Keys& keys) {
  const RowOrder together;
  return Composer(options, table, columns, keys, together).compose_job();
}

Result<Statements> write_statements(const SinkOptions& options, const CatalogTable& table,
                                    const std::vector<EncodeColumn>& columns, const Keys& keys,
                                    const RowOrder& order) {
  return Composer(options, table, columns, keys, order).compose();
}

}  // namespace pgsink
