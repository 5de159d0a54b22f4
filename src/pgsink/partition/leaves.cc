#include "pgsink/partition/leaves.h"

#include <algorithm>
#include <utility>

#include "pgsink/options/rules.h"
#include "pgsink/partition/store.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

/// Before this version, a partition that is being detached concurrently looks like any other.
constexpr int kVersionMin = 140000;

/// A rule for reading values and bounds; the width of its ranges does not matter.
Result<RangeRule> any_rule(const encode::Target& target) {
  auto of_times = RangeRule::create(target, "");
  return of_times ? std::move(of_times) : RangeRule::create(target, "1");
}

/// For few partitions a COPY into the parent costs little more; for more partitions than the server
/// keeps buffers for, it costs much more. Each separate COPY costs the server a millisecond
/// (docs/how-to/partitions.md).
/// Source: MAX_PARTITION_BUFFERS of the server's copyfrom.c.
constexpr size_t kPartitionsMin = 4, kBuffered = 32, kTimesDearer = 5;

bool copies_by_partition(const SinkOptions& options, const Plan& plan, const CatalogTable& table) {
  return options.write_mode == WriteMode::kInsert &&
         table.kind == CatalogTable::Kind::kPartitioned && !plan.statements.copy.empty() &&
         plan.statements.merge.empty() && options.partition_copy_min_rows > 0 &&
         why_atomic(options).empty() &&
         plan.transaction_rows / options.partition_copy_min_rows >= int64_t{kPartitionsMin};
}

}  // namespace

std::string Leaves::check(std::span<const Leaf* const> used) const {
  std::string rows;
  for (const Leaf* leaf : used) {
    rows += rows.empty() ? "" : ", ";
    rows += leaf->check;
  }
  return sql_text(Sql::kLeafCheck, {std::to_string(used.size()), rows, std::to_string(parent_)});
}

// ---- rows --------------------------------------------------------------------------------------

void LeafFinder::find(const Leaves& leaves, const RecordBatch& batch, RowRange rows,
                      std::span<uint32_t> numbers) {
  // The range of the previous row; none yet.
  PartitionMap::Range before{.span = {.first = 1, .last = 0}};
  while (rows.count > 0) {
    const size_t count = std::min(rows.count, KeyReader::kRowsMax);
    const KeyReader::Values& keys = key_.read(batch, rows);
    for (size_t i = 0; i < count; ++i) {
      const size_t partition = find(leaves, keys, i, before);
      const bool straight = leaves.leaf(partition) != nullptr;
      numbers[i] = static_cast<uint32_t>(straight ? partition : leaves.count());
    }
    numbers = numbers.subspan(count);
    rows.begin += count;
    rows.count -= count;
  }
}

size_t LeafFinder::find(const Leaves& leaves, const KeyReader::Values& keys, size_t i,
                        PartitionMap::Range& before) const {
  if (keys.size[i] == KeyReader::kRejected) return leaves.count();
  const bool null = keys.size[i] == KeyReader::kNull;
  if (!rule_) {
    std::optional<std::string_view> value;
    if (!null) value = pgproto::as_text(keys.bytes(i));
    return leaves.map().find_value(value).value_or(leaves.count());
  }
  if (null) return leaves.count();
  const int64_t value = rule_->load(keys.bytes(i));
  if (!before.span.contains(value)) {
    const PartitionMap::Range* found = leaves.map().find_range(value);
    if (found == nullptr) return leaves.count();
    before = *found;
  }
  return before.partition;
}

// ---- the table ---------------------------------------------------------------------------------

Result<std::unique_ptr<LeafCatalog>> LeafCatalog::open(const SinkOptions& options, const Plan& plan,
                                                       const CatalogTable& table, Env& env,
                                                       Connection& connection, Deadline deadline) {
  if (!copies_by_partition(options, plan, table)) return nullptr;
  if (connection.server().version < kVersionMin) return nullptr;
  auto scheme = read_partition_scheme(options, table, connection, deadline);
  if (!scheme) return fail(scheme.error());
  if (!*scheme || (*scheme)->type == PartitionType::kHash) return nullptr;
  const auto key = std::ranges::find(plan.columns, (*scheme)->column, &EncodeColumn::target_name);
  const CatalogColumn* column = table.find_column((*scheme)->column);
  if (key == plan.columns.end() || column == nullptr) return nullptr;
  auto target = encode::resolve_target(column->type_oid, column->type_modifier, plan.types);
  if (!target) return nullptr;
  std::unique_ptr<LeafCatalog> made(new LeafCatalog(options, std::move(**scheme), env));
  made->key_ = *key;
  made->types_ = plan.types;
  made->target_ = std::move(*target);
  if (made->scheme_.type == PartitionType::kRange) {
    auto rule = any_rule(made->target_);
    if (!rule) return nullptr;
    made->rule_ = std::move(*rule);
  }
  Quoted quoted;
  std::vector<std::string> sent;
  sent.reserve(plan.columns.size());
  for (const EncodeColumn& sent_column : plan.columns) {
    sent.push_back(sent_column.target_name);
    made->columns_sql_ += made->columns_sql_.empty() ? "" : ", ";
    made->columns_sql_ += quoted.identifier(sent_column.target_name);
  }
  if (!options.set_role.empty()) {
    made->role_sql_ = sql_text(Sql::kSetRole, {quoted.identifier(options.set_role)}) + "; ";
  }
  if (!quoted.status()) return fail(quoted.status().error());
  auto array = sql_array(sent);
  if (!array) return fail(array.error());
  made->sent_sql_ = std::move(*array);
  if (auto looked = made->refresh(connection, deadline); !looked) return fail(looked.error());
  return made;
}

bool LeafCatalog::pays(size_t rows, size_t partitions) const {
  if (partitions < kPartitionsMin) return false;
  return rows / partitions >= rows_min_ / (partitions > kBuffered ? kTimesDearer : 1);
}

Status LeafCatalog::refresh(Connection& connection, Deadline deadline) {
  auto partitions = read_partitions(connection, scheme_, deadline);
  if (!partitions) return fail(partitions.error());
  const std::string oid = std::to_string(scheme_.oid);
  const auto plain = run_control(
      connection, role_sql_ + sql_text(Sql::kPlainLeaves, {oid, sent_sql_, oid, oid}), deadline);
  if (!plain) return fail(plain.error());
  Quoted quoted;
  std::vector<std::optional<Leaf>> leaves(partitions->size());
  for (size_t i = 0; i < plain->rows.size(); ++i) {
    const auto leaf_oid = static_cast<Oid>(parse_number(cell(*plain, i, 0)));
    const auto found = std::ranges::find(*partitions, leaf_oid, &Partition::oid);
    if (found == partitions->end()) continue;
    const std::string table = cell(*plain, i, 1);
    leaves[static_cast<size_t>(found - partitions->begin())] =
        Leaf{.oid = leaf_oid,
             .copy = sql_text(Sql::kCopyIn, {table, columns_sql_}),
             .check = sql_text(Sql::kLeafRow, {cell(*plain, i, 0), quoted.literal(table)})};
  }
  if (!quoted.status()) return quoted.status();
  auto map = PartitionMap::create(std::move(*partitions), rule_ ? &*rule_ : nullptr, target_);
  // If bounds cannot be read, no row's partition is known.
  auto seen = std::make_shared<const Leaves>(scheme_.oid, map ? std::move(*map) : PartitionMap(),
                                             std::move(leaves));
  const Monitor::Lock lock(*monitor_);
  leaves_ = std::move(seen);
  return {};
}

std::shared_ptr<const Leaves> LeafCatalog::leaves() const {
  const Monitor::Lock lock(*monitor_);
  return leaves_;
}

Result<LeafFinder> LeafCatalog::finder() const {
  auto key = KeyReader::create(key_, types_);
  if (!key) return fail(key.error());
  return LeafFinder(std::move(*key), rule_);
}

}  // namespace pgsink
