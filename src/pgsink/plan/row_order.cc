#include "pgsink/plan/row_order.h"

#include <algorithm>
#include <array>

#include "pgsink/encode/base/wire_type.h"
#include "pgsink/options/rules.h"
#include "pgsink/plan/keys.h"

namespace pgsink {
namespace {

/// What the rows of a key, or their order, show in.
enum class Witness : uint8_t {
  kTrigger,           ///< It runs when a statement ends, or once for it.
  kBeforeRow,         ///< A trigger BEFORE … FOR EACH ROW, which may skip or change the row.
  kUnique,            ///< Another constraint than the key's, checked row by row.
  kUniqueDeferrable,  ///< One that is checked when a statement ends, or later.
  kOwnReference,      ///< A foreign key of the table to itself.
  kReference,         ///< A foreign key to the table, which may cascade.
  kNumbers,           ///< A default that is another one each time.
  kJudge,             ///< Something may refuse a row that a later one replaces.
  kUnsent,            ///< A column that the input lacks: a new row begins with its default.
  kFirstValue,        ///< What only the first row of a key writes.
};

struct Rule {
  Witness witness;
  std::array<Together, 6> modes;  ///< By WriteMode.
};

constexpr auto kAlways = Together::kAlways, kDistinct = Together::kDistinctKeys,
               kNever = Together::kNever;

// insert has no key of which one row could stand for others, and COPY keeps the order. An update or
// delete of many rows joins them with the table, in the planner's order.
constexpr std::array<Rule, 10> kRules{{
    //                           insert   upsert     update     delete   ignore   changelog
    {Witness::kTrigger, {kAlways, kNever, kNever, kNever, kNever, kNever}},
    {Witness::kBeforeRow, {kAlways, kDistinct, kNever, kNever, kAlways, kNever}},
    {Witness::kUnique, {kAlways, kDistinct, kNever, kAlways, kAlways, kNever}},
    {Witness::kUniqueDeferrable, {kAlways, kNever, kNever, kAlways, kNever, kNever}},
    {Witness::kOwnReference, {kAlways, kNever, kAlways, kNever, kNever, kNever}},
    {Witness::kReference, {kAlways, kAlways, kAlways, kNever, kAlways, kNever}},
    {Witness::kNumbers, {kAlways, kDistinct, kAlways, kAlways, kAlways, kNever}},
    {Witness::kJudge, {kAlways, kDistinct, kDistinct, kAlways, kAlways, kDistinct}},
    {Witness::kUnsent, {kAlways, kAlways, kAlways, kAlways, kAlways, kDistinct}},
    {Witness::kFirstValue, {kAlways, kAlways, kAlways, kAlways, kAlways, kDistinct}},
}};

bool is_key(const CatalogColumn& column, const Keys& keys) {
  return std::ranges::find(keys.columns, &column) != keys.columns.end();
}

bool assigned(const SinkOptions& options, const CatalogColumn& column, const Keys& keys) {
  if (options.update_columns.empty()) return !is_key(column, keys);
  return column.name == options.newer_by ||
         std::ranges::find(options.update_columns, column.name) != options.update_columns.end();
}

/// numeric(p,s): the table holds 1.0 and 1.00 as one text.
bool has_one_scale(const CatalogColumn& column, const pgproto::TypeMap& types) {
  const auto target = encode::resolve_target(column.type_oid, column.type_modifier, types);
  return target && target->kind == encode::TargetKind::kNumeric && target->type_modifier >= 0;
}

/// Judge collects what of a table sees the rows of one sink.
class Judge {
 public:
  Judge(const SinkOptions& options, const CatalogTable& table,
        const std::vector<EncodeColumn>& columns, const Keys& keys)
      : options_(options), table_(table), columns_(columns), keys_(keys) {}

  RowOrder decide();

 private:
  void see(Witness witness);
  void see_triggers();
  void see_indexes();
  void see_references();
  void see_columns();
  bool is_rival(const CatalogIndex& index) const;
  bool sent(const CatalogColumn& column) const {
    return std::ranges::find(columns_, column.name, &EncodeColumn::target_name) != columns_.end();
  }

  const SinkOptions& options_;
  const CatalogTable& table_;
  const std::vector<EncodeColumn>& columns_;
  const Keys& keys_;
  RowOrder order_;
};

void Judge::see(Witness witness) {
  const auto* const rule = std::ranges::find(kRules, witness, &Rule::witness);
  order_.together =
      std::max(order_.together, rule->modes[static_cast<size_t>(options_.write_mode)]);
}

void Judge::see_triggers() {
  const WriteMode mode = options_.write_mode;
  const bool inserts = mode != WriteMode::kUpdate && mode != WriteMode::kDelete;
  const bool updates =
      mode == WriteMode::kUpsert || mode == WriteMode::kUpdate || mode == WriteMode::kChangelog;
  const bool deletes = mode == WriteMode::kDelete || mode == WriteMode::kChangelog;
  const bool as_replica = switches_triggers(options_);
  for (const CatalogWatchers::Trigger& trigger : table_.watchers.triggers) {
    const bool fires = as_replica ? trigger.of_replica : trigger.of_origin;
    const bool concerned = (inserts && trigger.on_insert) || (updates && trigger.on_update) ||
                           (deletes && trigger.on_delete);
    if (!fires || !concerned) continue;
    see(trigger.of_row && trigger.before ? Witness::kBeforeRow : Witness::kTrigger);
    order_.by_arrival = true;
  }
  // The tables of a view are not known.
  if (table_.watchers.rules || table_.kind == CatalogTable::Kind::kView) see(Witness::kTrigger);
}

/// Whether a constraint beside the key's may refuse what the mode writes.
bool Judge::is_rival(const CatalogIndex& index) const {
  if (!index.unique && !index.exclusion) return false;
  const bool of_key = options_.write_mode != WriteMode::kInsert && index.unique && !index.partial &&
                      !index.expression && !keys_.columns.empty() &&
                      same_columns(index, keys_.columns);
  if (of_key) return false;
  // Of columns that fill themselves it knows no values to meet at.
  const auto fills = [&](const CatalogColumn& column) {
    return sent(column) && std::ranges::find(index.columns, column.number) != index.columns.end();
  };
  if (!index.expression && std::ranges::none_of(table_.columns, fills)) return false;
  if (options_.write_mode != WriteMode::kUpdate || index.partial || index.expression) return true;
  return std::ranges::any_of(table_.columns, [&](const CatalogColumn& column) {
    return assigned(options_, column, keys_) && sent(column) &&
           std::ranges::find(index.columns, column.number) != index.columns.end();
  });
}

void Judge::see_indexes() {
  if (options_.write_mode == WriteMode::kDelete) return;
  for (const CatalogIndex& index : table_.indexes) {
    if (!is_rival(index)) continue;
    see(index.immediate ? Witness::kUnique : Witness::kUniqueDeferrable);
    order_.by_arrival = true;
    order_.meeting_place = index.name;
  }
  if (table_.watchers.unique_of_partition) {
    see(Witness::kUnique);
    order_.by_arrival = true;
    order_.meeting_place = "a unique index of a partition";
  }
}

void Judge::see_references() {
  if (switches_triggers(options_)) return;  // The server's own are off too.
  if (table_.watchers.referenced) see(Witness::kReference);
  if (!table_.watchers.refers_to_itself) return;
  see(Witness::kOwnReference);
  order_.meeting_place = "a foreign key of the table to itself";
}

void Judge::see_columns() {
  if (table_.watchers.judges_rows) see(Witness::kJudge);
  for (const CatalogColumn& column : table_.columns) {
    if (column.generated != CatalogColumn::Generated::kNo) continue;
    const bool numbered =
        column.volatile_default || column.identity != CatalogColumn::Identity::kNo;
    if (!sent(column)) {
      see(Witness::kUnsent);
      if (numbered) see(Witness::kNumbers);
      order_.by_arrival = order_.by_arrival || numbered;
      continue;
    }
    if (keeps_first(options_, table_, column, keys_)) see(Witness::kFirstValue);
    // An update of a row that is not there may have a NULL, so that the encoder cannot judge.
    const bool updates = options_.write_mode == WriteMode::kUpdate;
    if (updates && column.not_null && assigned(options_, column, keys_)) see(Witness::kJudge);
  }
}

RowOrder Judge::decide() {
  see_triggers();
  see_indexes();
  see_references();
  see_columns();
  // Only the server could tell whether a key comes twice.
  const bool tellable = std::ranges::all_of(keys_.columns, [&](const CatalogColumn* column) {
    return told_by_bytes(*column, table_.types);
  });
  if (order_.together == kDistinct && !tellable) order_.together = kNever;
  return std::move(order_);
}

}  // namespace

bool keeps_first(const SinkOptions& options, const CatalogTable& table, const CatalogColumn& column,
                 const Keys& keys) {
  if (is_key(column, keys)) {
    return !told_by_bytes(column, table.types) && !has_one_scale(column, table.types);
  }
  return !assigned(options, column, keys);
}

RowOrder row_order(const SinkOptions& options, const CatalogTable& table,
                   const std::vector<EncodeColumn>& columns, const Keys& keys) {
  return Judge(options, table, columns, keys).decide();
}

}  // namespace pgsink
