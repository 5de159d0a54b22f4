#include "pgsink/plan/row_order.h"

#include <algorithm>
#include <array>

#include "pgsink/encode/base/wire_type.h"
#include "pgsink/options/rules.h"
#include "pgsink/plan/keys.h"

namespace pgsink {
namespace {

/// A feature of a table that may give another result when rows are sent together.
enum class Feature : uint8_t {
  kTrigger,           ///< It runs when a statement ends, or once for it.
  kBeforeRow,         ///< A trigger BEFORE … FOR EACH ROW, which may skip or change the row.
  kUnique,            ///< Another constraint than the key's, checked row by row.
  kUniqueDeferrable,  ///< One that is checked when a statement ends, or later.
  kOwnReference,      ///< A foreign key of the table to itself.
  kReference,         ///< A foreign key to the table, which may cascade.
  kNumbers,           ///< A default that is another one each time.
  kRowCheck,          ///< Something may refuse a row that a later one replaces.
  kUnsent,            ///< A column that the input lacks: a new row begins with its default.
  kFirstValue,        ///< What only the first row of a key writes.
};

struct Rule {
  Feature feature;
  std::array<Together, 7> modes;  ///< By WriteMode.
};

constexpr auto kAlways = Together::kAlways, kDistinct = Together::kDistinctKeys,
               kNever = Together::kNever;

// insert has no key of which one row could stand for others, and COPY keeps the order. An update or
// delete of many rows joins them with the table, in the planner's order.
constexpr std::array<Rule, 10> kRules{{
    //                           insert   upsert     update     delete   ignore   changelog  replace
    {Feature::kTrigger, {kAlways, kNever, kNever, kNever, kNever, kNever, kAlways}},
    {Feature::kBeforeRow, {kAlways, kDistinct, kNever, kNever, kAlways, kNever, kAlways}},
    {Feature::kUnique, {kAlways, kDistinct, kNever, kAlways, kAlways, kNever, kAlways}},
    {Feature::kUniqueDeferrable, {kAlways, kNever, kNever, kAlways, kNever, kNever, kAlways}},
    {Feature::kOwnReference, {kAlways, kNever, kAlways, kNever, kNever, kNever, kAlways}},
    {Feature::kReference, {kAlways, kAlways, kAlways, kNever, kAlways, kNever, kAlways}},
    {Feature::kNumbers, {kAlways, kDistinct, kAlways, kAlways, kAlways, kNever, kAlways}},
    {Feature::kRowCheck, {kAlways, kDistinct, kDistinct, kAlways, kAlways, kDistinct, kAlways}},
    {Feature::kUnsent, {kAlways, kAlways, kAlways, kAlways, kAlways, kDistinct, kAlways}},
    {Feature::kFirstValue, {kAlways, kAlways, kAlways, kAlways, kAlways, kDistinct, kAlways}},
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

/// FeatureScan collects the features of a table that concern the rows of one sink.
class FeatureScan {
 public:
  FeatureScan(const SinkOptions& options, const CatalogTable& table,
              const std::vector<EncodeColumn>& columns, const Keys& keys)
      : options_(options), table_(table), columns_(columns), keys_(keys) {}

  RowOrder decide();

 private:
  void add(Feature feature);
  void add_triggers();
  void add_indexes();
  void add_references();
  void add_columns();
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

void FeatureScan::add(Feature feature) {
  const auto* const rule = std::ranges::find(kRules, feature, &Rule::feature);
  order_.together =
      std::max(order_.together, rule->modes[static_cast<size_t>(options_.write_mode)]);
}

void FeatureScan::add_triggers() {
  const WriteMode mode = options_.write_mode;
  const bool inserts = mode != WriteMode::kUpdate && mode != WriteMode::kDelete;
  const bool updates =
      mode == WriteMode::kUpsert || mode == WriteMode::kUpdate || mode == WriteMode::kChangelog;
  const bool deletes = mode == WriteMode::kDelete || mode == WriteMode::kChangelog;
  const bool as_replica = switches_triggers(options_);
  for (const CatalogSideEffects::Trigger& trigger : table_.side_effects.triggers) {
    const bool fires = as_replica ? trigger.of_replica : trigger.of_origin;
    const bool concerned = (inserts && trigger.on_insert) || (updates && trigger.on_update) ||
                           (deletes && trigger.on_delete);
    if (!fires || !concerned) continue;
    add(trigger.of_row && trigger.before ? Feature::kBeforeRow : Feature::kTrigger);
    order_.by_arrival = true;
  }
  // The tables of a view are not known.
  if (table_.side_effects.rules || table_.kind == CatalogTable::Kind::kView) add(Feature::kTrigger);
}

/// Whether a constraint beside the key's may refuse what the mode writes. Rows with different
/// values of a key WITHOUT OVERLAPS can meet, as at every exclusion constraint.
bool FeatureScan::is_rival(const CatalogIndex& index) const {
  if (!index.unique && !index.exclusion) return false;
  const bool of_key = !only_inserts(options_.write_mode) && index.unique && !index.exclusion &&
                      !index.partial && !index.expression && !keys_.columns.empty() &&
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

void FeatureScan::add_indexes() {
  if (options_.write_mode == WriteMode::kDelete) return;
  for (const CatalogIndex& index : table_.indexes) {
    if (!is_rival(index)) continue;
    add(index.immediate ? Feature::kUnique : Feature::kUniqueDeferrable);
    order_.by_arrival = true;
    order_.meeting_place = index.name;
  }
  if (table_.side_effects.unique_of_partition) {
    add(Feature::kUnique);
    order_.by_arrival = true;
    order_.meeting_place = "a unique index of a partition";
  }
}

void FeatureScan::add_references() {
  if (switches_triggers(options_)) return;  // The server's own are off too.
  if (table_.side_effects.referenced) add(Feature::kReference);
  if (!table_.side_effects.refers_to_itself) return;
  add(Feature::kOwnReference);
  order_.meeting_place = "a foreign key of the table to itself";
}

void FeatureScan::add_columns() {
  if (table_.side_effects.may_reject_rows) add(Feature::kRowCheck);
  for (const CatalogColumn& column : table_.columns) {
    if (column.generated != CatalogColumn::Generated::kNo) continue;
    const bool numbered =
        column.volatile_default || column.identity != CatalogColumn::Identity::kNo;
    if (!sent(column)) {
      add(Feature::kUnsent);
      if (numbered) add(Feature::kNumbers);
      order_.by_arrival = order_.by_arrival || numbered;
      continue;
    }
    if (keeps_first(options_, table_, column, keys_)) add(Feature::kFirstValue);
    // An update of a row that is not there may have a NULL, so that the encoder cannot decide.
    const bool updates = options_.write_mode == WriteMode::kUpdate;
    if (updates && column.not_null && assigned(options_, column, keys_)) add(Feature::kRowCheck);
  }
}

RowOrder FeatureScan::decide() {
  add_triggers();
  add_indexes();
  add_references();
  add_columns();
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
  return FeatureScan(options, table, columns, keys).decide();
}

}  // namespace pgsink
