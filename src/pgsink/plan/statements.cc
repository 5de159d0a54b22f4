#include "pgsink/plan/statements.h"

#include <algorithm>
#include <array>
#include <utility>

#include <pgproto/quote.h>

#include "pgsink/encode/base/wire_type.h"
#include "pgsink/encode/rows/column_codec.h"
#include "pgsink/encode/rows/key_hash.h"
#include "pgsink/options/names.h"
#include "pgsink/plan/sent_columns.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

using pgproto::quote_identifier;
using pgproto::TypeInfo;
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

bool same_columns(const CatalogIndex& index, const std::vector<const CatalogColumn*>& columns) {
  return index.columns.size() == columns.size() &&
         std::ranges::all_of(columns, [&](const CatalogColumn* column) {
           return std::ranges::find(index.columns, column->number) != index.columns.end();
         });
}

/// A column's name as an expression that compares as the column itself does.
std::string compared(const std::string& name, const CatalogColumn& column) {
  return column.collation.empty() ? name : name + " COLLATE " + column.collation;
}

/// numeric(p,s): the table holds 1.0 and 1.00 as one text.
bool has_one_scale(const CatalogColumn& column, const pgproto::TypeMap& types) {
  const auto target = encode::resolve_target(column.type_oid, column.type_modifier, types);
  return target && target->kind == encode::TargetKind::kNumeric && target->type_modifier >= 0;
}

/// Composer knows the quoted names of one table and puts the templates together.
class Composer {
 public:
  Composer(const SinkOptions& options, const CatalogTable& table,
           const std::vector<EncodeColumn>& columns, const Keys& keys)
      : options_(options), table_(table), columns_(columns), keys_(keys) {}

  Result<Statements> compose();

 private:
  Status quote_names();
  Status choose_assignments();
  bool assignable(const CatalogColumn& column) const;
  Result<std::string> apply(const std::string& source, std::string_view order) const;
  std::string last_of_key(const std::string& source, std::string_view order) const;
  bool takes_first_values() const;
  std::string first_and_last_of_key(const std::string& source, std::string_view order) const;
  std::string in_order(const std::string& source, std::string_view order) const;
  std::string insert(const std::string& rows) const;
  std::string on_conflict() const;
  std::string match() const;
  std::string assignments(std::string_view from) const;

  const SinkOptions& options_;
  const CatalogTable& table_;
  const std::vector<EncodeColumn>& columns_;
  const Keys& keys_;

  std::string quoted_table_, quoted_columns_, quoted_inserted_, quoted_keys_, quoted_newer_;
  std::vector<std::string> all_, inserted_, key_names_, compared_keys_, assigned_;
  std::string change_, ordinal_;
  const CatalogColumn* newer_ = nullptr;
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

/// Which columns an UPDATE sets: update_columns, else every one sent that is no key.
Status Composer::choose_assignments() {
  for (const std::string& name : options_.update_columns) {
    const bool sent = std::ranges::any_of(
        columns_, [&](const EncodeColumn& column) { return column.target_name == name; });
    if (!sent) {
      return fail(Errc::kNoSuchColumn,
                  "update_columns: the input does not fill a column \"" + name + "\"");
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
    if (column != nullptr && columns_[i].role != Role::kChange && assignable(*column)) {
      assigned_.push_back(all_[i]);
    }
  }
  return {};
}

std::string Composer::last_of_key(const std::string& source, std::string_view order) const {
  const std::string keys = join(compared_keys_, ", ");
  std::string last(order);
  // What newer_by decides between transactions it decides within one: the greatest, and of equal
  // ones the first.
  if (newer_ != nullptr) {
    last = compared(quoted_newer_, *newer_) + " DESC NULLS LAST, " + last;
  } else {
    last += " DESC";
  }
  return sql_text(Sql::kLastOfKey, {keys, quoted_columns_, source, keys, last});
}

/// Whether the row that a key begins with shows in something that later rows do not set: a column
/// outside update_columns, or a key that may be spelled in several ways.
bool Composer::takes_first_values() const {
  const auto keeps_first = [&](const std::string& name) {
    const auto key = std::ranges::find(key_names_, name);
    if (key == key_names_.end()) return std::ranges::find(assigned_, name) == assigned_.end();
    const CatalogColumn& column = *keys_.columns[static_cast<size_t>(key - key_names_.begin())];
    return !told_by_bytes(column, table_.types) && !has_one_scale(column, table_.types);
  };
  return std::ranges::any_of(inserted_, keeps_first);
}

/// One row of each key that writes what all of them write one by one to an empty place: what
/// updates set comes from the row that wins, all else from the first.
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

/// All rows, in an order in which each meets what it would meet if they came one by one. Where
/// nothing but the key can be in the way that is any in which equal keys keep their order: then the
/// keys' own, in which two sinks never wait for each other.
std::string Composer::in_order(const std::string& source, std::string_view order) const {
  const bool rivals = std::ranges::any_of(table_.indexes, [&](const CatalogIndex& index) {
    return (index.unique || index.exclusion) &&
           (index.partial || index.expression || !same_columns(index, keys_.columns));
  });
  std::string by(order);
  if (!rivals && !compared_keys_.empty()) by = join(compared_keys_, ", ") + ", " + by;
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

std::string Composer::insert(const std::string& rows) const {
  const bool overrides = std::ranges::any_of(columns_, [&](const EncodeColumn& column) {
    const CatalogColumn* known = table_.find_column(column.target_name);
    return known != nullptr && known->identity == CatalogColumn::Identity::kAlways;
  });
  return sql_text(Sql::kInsertSelect,
                  {quoted_table_, quoted_inserted_, overrides ? " OVERRIDING SYSTEM VALUE" : "",
                   "given." + join(inserted_, ", given."), rows});
}

std::string Composer::match() const {
  std::string text;
  for (size_t i = 0; i < key_names_.size(); ++i) {
    const std::string target = "target." + key_names_[i], given = "given." + key_names_[i];
    const CatalogColumn& column = *keys_.columns[i];
    std::string equal = target + " " + column.equal + " " + given;
    if (keys_.nulls_equal && !column.not_null) {
      equal = "(" + equal + " OR (" + target + " IS NULL AND " + given + " IS NULL))";
    }
    text += (text.empty() ? "" : " AND ") + equal;
  }
  return text;
}

std::string Composer::assignments(std::string_view from) const {
  std::string text;
  for (const std::string& column : assigned_) {
    if (!text.empty()) text += ", ";
    text.append(column).append(" = ").append(from).append(".").append(column);
  }
  return text;
}

/// The statement that applies the rows of `source`, whose arrival `order` tells.
Result<std::string> Composer::apply(const std::string& source, std::string_view order) const {
  switch (options_.write_mode) {
    case WriteMode::kInsert:
      return insert(source);
    case WriteMode::kInsertIgnore:
      return insert(as_given(in_order(source, order))) + on_conflict();
    case WriteMode::kUpsert:
      return insert(as_given(takes_first_values() ? first_and_last_of_key(source, order)
                                                  : last_of_key(source, order))) +
             on_conflict();
    case WriteMode::kUpdate:
      if (assigned_.empty()) {
        return fail(Errc::kColumnRequired,
                    "update has no column to set: all that the input "
                    "fills are keys");
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

Result<Statements> Composer::compose() {
  if (auto quoted = quote_names(); !quoted) return fail(quoted.error());
  if (auto chosen = choose_assignments(); !chosen) return fail(chosen.error());
  Statements made;
  const SentColumns sent(table_, columns_, all_);
  made.reads_text = sent.casts();
  if (copies_into_target(options_.write_mode, table_, columns_)) {
    made.copy = sql_text(Sql::kCopyIn, {quoted_table_, quoted_columns_});
  } else {
    const std::string staging = sql_text(Sql::kStaged);
    const std::string ordinal = sql_text(Sql::kStageOrdinal, {ordinal_});
    made.stage.session = sql_text(Sql::kStage, {sent.staged(), quoted_table_, ordinal});
    made.stage.transaction = sql_text(Sql::kStageOnce, {sent.staged(), quoted_table_, ordinal});
    made.copy = sql_text(Sql::kCopyIn, {staging, quoted_columns_});
    auto merge = apply(sent.with_casts(staging + " AS given", ordinal_), ordinal_);
    if (!merge) return fail(merge.error());
    made.merge = std::move(*merge);
  }
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

  made.array_types = sent.array_types();
  if (options_.write_mode == WriteMode::kDelete && key_names_.size() == 1 && !keys_.nulls_equal &&
      !sent.casts()) {
    made.apply = sql_text(Sql::kDeleteAny,
                          {quoted_table_, key_names_.front(), keys_.columns.front()->equal});
    return made;
  }
  const std::string source =
      sent.with_casts(sql_text(Sql::kUnnested, {sent.unnests(), ordinal_}), ordinal_);
  auto statement = apply(source, ordinal_);
  if (!statement) return fail(statement.error());
  made.apply = std::move(*statement);
  return made;
}

// ---- keys --------------------------------------------------------------------------------------

std::string name_list(const std::vector<const CatalogColumn*>& columns) {
  std::string text;
  for (const CatalogColumn* column : columns) {
    if (!text.empty()) text += ", ";
    text += column->name;
  }
  return text;
}

std::vector<const CatalogColumn*> columns_of(const CatalogTable& table, const CatalogIndex& index) {
  std::vector<const CatalogColumn*> columns;
  for (const CatalogColumn& column : table.columns) {
    if (std::ranges::find(index.columns, column.number) != index.columns.end()) {
      columns.push_back(&column);
    }
  }
  return columns;
}

/// Whether ON CONFLICT can lean on it.
bool arbitrates(const CatalogIndex& index) {
  return index.unique && index.immediate && !index.partial && !index.expression;
}

/// ON CONFLICT cannot lean on a constraint that is checked later: fails if one would decide. `keys`
/// are the columns of ON CONFLICT; null if it names none, so that every constraint decides.
Status check_deferrable(const CatalogTable& table, const std::vector<const CatalogColumn*>* keys) {
  for (const CatalogIndex& index : table.indexes) {
    if (index.immediate || !(index.unique || index.exclusion)) continue;
    if (keys != nullptr && (index.exclusion || !same_columns(index, *keys))) continue;
    return fail(Errc::kNoUniqueIndex,
                "the constraint " + index.name + " on (" + name_list(columns_of(table, index)) +
                    ") is DEFERRABLE, and ON CONFLICT cannot work with such a one: make it NOT "
                    "DEFERRABLE (drop it and add it again), or name the columns of another unique "
                    "index in conflict_columns");
  }
  return {};
}

std::string unique_indexes(const CatalogTable& table) {
  std::string text;
  for (const CatalogIndex& index : table.indexes) {
    if (!arbitrates(index)) continue;
    text +=
        (text.empty() ? "" : "; ") + index.name + " (" + name_list(columns_of(table, index)) + ")";
  }
  return text.empty() ? "it has none" : "it has " + text;
}

}  // namespace

bool takes_copy(const CatalogTable& table) {
  return table.kind != CatalogTable::Kind::kView && !table.insert_rules;
}

bool told_by_bytes(const CatalogColumn& column, const pgproto::TypeMap& types) {
  return !column.nondeterministic && !column.own_equality &&
         KeyHash::fits(column.type_oid, column.type_modifier, types);
}

bool copies_into_target(WriteMode mode, const CatalogTable& table,
                        const std::vector<EncodeColumn>& columns) {
  return mode == WriteMode::kInsert && !table.row_security && takes_copy(table) &&
         std::ranges::all_of(columns, [&](const EncodeColumn& column) {
           return encode::column_wire(column, table.types) == encode::Wire::kOwn;
         });
}

const EncodeColumn* first_not_unnestable(const CatalogTable& table,
                                         const std::vector<EncodeColumn>& columns) {
  for (const EncodeColumn& column : columns) {
    if (column.role == Role::kChange) continue;
    if (encode::column_wire(column, table.types) != encode::Wire::kOwn) continue;
    auto found = table.types.find(column.target_oid);
    if (found == table.types.end() || found->second.array_oid == 0) return &column;
    if (found->second.kind == TypeInfo::Kind::kDomain) {
      found = table.types.find(found->second.base_oid);
      if (found == table.types.end()) return &column;
    }
    const TypeInfo::Kind kind = found->second.kind;
    if (kind == TypeInfo::Kind::kArray || kind == TypeInfo::Kind::kComposite) return &column;
  }
  return nullptr;
}

Result<Keys> find_keys(const SinkOptions& options, const CatalogTable& table,
                       const std::vector<const CatalogColumn*>& used) {
  const WriteMode mode = options.write_mode;
  const bool conflicts = mode == WriteMode::kUpsert || mode == WriteMode::kChangelog ||
                         (mode == WriteMode::kInsertIgnore && !options.conflict_columns.empty());
  const bool by_conflict =
      options.key_columns.empty() || mode == WriteMode::kUpsert || mode == WriteMode::kInsertIgnore;
  const std::vector<std::string>& names =
      by_conflict ? options.conflict_columns : options.key_columns;
  const std::string_view option =
      by_conflict && mode != WriteMode::kUpdate && mode != WriteMode::kDelete ? "conflict_columns"
                                                                              : "key_columns";
  Keys keys;
  if (names.empty()) {
    if (const CatalogIndex* primary = table.primary_key()) {
      keys.columns = columns_of(table, *primary);
    }
  }
  for (const std::string& name : names) {
    const CatalogColumn* column = table.find_column(name);
    if (column == nullptr) {
      return fail(Errc::kNoSuchColumn,
                  std::string(option) + ": the table has no column \"" + name + "\"");
    }
    keys.columns.push_back(column);
  }
  const auto sent = [&](const CatalogColumn* column) {
    return std::ranges::find(used, column) != used.end();
  };
  if (mode == WriteMode::kInsertIgnore && options.conflict_columns.empty()) {
    if (auto usable = check_deferrable(table, nullptr); !usable) return fail(usable.error());
    // Only for the order of the rows.
    if (!std::ranges::all_of(keys.columns, sent)) keys.columns.clear();
    return keys;
  }
  if (keys.columns.empty()) {
    return fail(
        conflicts ? Errc::kNoUniqueIndex : Errc::kMissingOption,
        "it has no primary key: name the columns that tell rows apart in " + std::string(option));
  }
  for (const CatalogColumn* column : keys.columns) {
    if (!sent(column)) {
      return fail(Errc::kColumnRequired, "the input lacks the key column \"" + column->name + "\"");
    }
  }
  if (conflicts) {
    if (auto usable = check_deferrable(table, &keys.columns); !usable) return fail(usable.error());
  }
  if (conflicts && std::ranges::none_of(table.indexes, [&](const CatalogIndex& index) {
        return arbitrates(index) && same_columns(index, keys.columns);
      })) {
    return fail(Errc::kNoUniqueIndex, std::string(option) + ": no unique index is on exactly (" +
                                          name_list(keys.columns) + "); " + unique_indexes(table) +
                                          " (partial, expression and deferrable ones do "
                                          "not count)");
  }
  keys.nulls_equal = std::ranges::any_of(table.indexes, [&](const CatalogIndex& index) {
    return index.nulls_not_distinct && arbitrates(index) && same_columns(index, keys.columns);
  });
  keys.indexed = std::ranges::any_of(table.indexes, [&](const CatalogIndex& index) {
    return !index.partial && !index.expression && !index.columns.empty() &&
           std::ranges::any_of(keys.columns, [&](const CatalogColumn* column) {
             return column->number == index.columns.front();
           });
  });
  return keys;
}

Result<Statements> write_statements(const SinkOptions& options, const CatalogTable& table,
                                    const std::vector<EncodeColumn>& columns, const Keys& keys) {
  return Composer(options, table, columns, keys).compose();
}

}  // namespace pgsink
