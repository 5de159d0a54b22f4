#include "pgsink/plan/keys.h"

#include <algorithm>
#include <utility>

#include "pgsink/encode/rows/key_hash.h"
#include "pgsink/sql/control.h"

namespace pgsink {
namespace {

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

/// The statement that makes an index on the columns, after ": "; "" if the table cannot have one.
std::string index_statement(const CatalogTable& table,
                            const std::vector<const CatalogColumn*>& columns) {
  using Kind = CatalogTable::Kind;
  if (table.kind != Kind::kTable && table.kind != Kind::kPartitioned) return "";
  Quoted quoted;
  std::string names;
  for (const CatalogColumn* column : columns) {
    names += (names.empty() ? "" : ", ") + quoted.identifier(column->name);
  }
  return ": CREATE UNIQUE INDEX ON " + quoted.identifier(table.schema) + "." +
         quoted.identifier(table.name) + " (" + names + ")";
}

/// Whether ON CONFLICT can lean on it.
bool arbitrates(const CatalogIndex& index) {
  return index.unique && index.immediate && !index.partial && !index.expression && !index.exclusion;
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

/// A key WITHOUT OVERLAPS (PostgreSQL 18) is enforced by an exclusion constraint, which ON CONFLICT
/// cannot use: fails if one would decide.
Status check_temporal(const CatalogTable& table, const std::vector<const CatalogColumn*>& keys) {
  for (const CatalogIndex& index : table.indexes) {
    if (!index.unique || !index.exclusion || !same_columns(index, keys)) continue;
    return fail(Errc::kNoUniqueIndex,
                "the key " + index.name + " on (" + name_list(columns_of(table, index)) +
                    ") is WITHOUT OVERLAPS, which ON CONFLICT does not support: use "
                    "write_mode = 'insert', 'update' or 'delete', or 'insert_ignore' without "
                    "conflict_columns");
  }
  return {};
}

/// ON CONFLICT needs an index of the table that it names.
Status check_kind(const CatalogTable& table, bool conflicts) {
  if (!conflicts || table.kind != CatalogTable::Kind::kView) return {};
  return fail(Errc::kNoUniqueIndex,
              "it is a view, which has no unique index: write to the table that it selects from, "
              "or use write_mode = 'insert'");
}

/// The columns of the only unique index whose columns the input fills; none if there are several.
template <typename Sent>
std::vector<const CatalogColumn*> only_unique_columns(const CatalogTable& table, Sent&& sent) {
  std::vector<const CatalogColumn*> found;
  for (const CatalogIndex& index : table.indexes) {
    std::vector<const CatalogColumn*> columns = columns_of(table, index);
    if (!arbitrates(index) || !std::ranges::all_of(columns, sent)) continue;
    if (!found.empty()) return {};
    found = std::move(columns);
  }
  return found;
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

/// Whether ON CONFLICT can find a row by these columns.
Status check_arbiter(const CatalogTable& table, const std::vector<const CatalogColumn*>& columns,
                     std::string_view option) {
  if (auto usable = check_deferrable(table, &columns); !usable) return usable;
  if (auto usable = check_temporal(table, columns); !usable) return usable;
  const auto fits = [&](const CatalogIndex& index) {
    return arbitrates(index) && same_columns(index, columns);
  };
  if (std::ranges::any_of(table.indexes, fits)) return {};
  return fail(Errc::kNoUniqueIndex,
              std::string(option) + ": there is no unique index on exactly the columns (" +
                  name_list(columns) + "); " + unique_indexes(table) +
                  ". Partial, expression and deferrable indexes cannot be used" +
                  index_statement(table, columns));
}

}  // namespace

bool same_columns(const CatalogIndex& index, const std::vector<const CatalogColumn*>& columns) {
  return index.columns.size() == columns.size() &&
         std::ranges::all_of(columns, [&](const CatalogColumn* column) {
           return std::ranges::find(index.columns, column->number) != index.columns.end();
         });
}

bool told_by_bytes(const CatalogColumn& column, const pgproto::TypeMap& types) {
  return !column.nondeterministic && !column.own_equality &&
         KeyHash::fits(column.type_oid, column.type_modifier, types);
}

Result<Keys> find_keys(const SinkOptions& options, const CatalogTable& table,
                       const std::vector<const CatalogColumn*>& used) {
  const WriteMode mode = options.write_mode;
  const bool conflicts = mode == WriteMode::kUpsert || mode == WriteMode::kChangelog ||
                         (mode == WriteMode::kInsertIgnore && !options.conflict_columns.empty());
  if (auto usable = check_kind(table, conflicts); !usable) return fail(usable.error());
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
    // Only for the order of the rows: what they may meet at.
    if (keys.columns.empty() || !std::ranges::all_of(keys.columns, sent)) {
      keys.columns = only_unique_columns(table, sent);
    }
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
    if (auto usable = check_arbiter(table, keys.columns, option); !usable) {
      return fail(usable.error());
    }
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

}  // namespace pgsink
