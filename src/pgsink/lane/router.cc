#include "pgsink/lane/router.h"

#include <algorithm>

#include "pgsink/options/rules.h"
#include "pgsink/plan/keys.h"

namespace pgsink {
namespace {

/// The columns of "hash(a, b)"; none for anything else.
std::vector<std::string> hashed_columns(std::string_view rule) {
  constexpr std::string_view kHash = "hash(";
  std::vector<std::string> names;
  if (!rule.starts_with(kHash)) return names;
  rule.remove_prefix(kHash.size());
  rule.remove_suffix(1);
  while (!rule.empty()) {
    const size_t comma = std::min(rule.find(','), rule.size());
    std::string_view name = rule.substr(0, comma);
    while (name.starts_with(' ')) name.remove_prefix(1);
    while (name.ends_with(' ')) name.remove_suffix(1);
    names.emplace_back(name);
    rule.remove_prefix(std::min(comma + 1, rule.size()));
  }
  return names;
}

}  // namespace

std::vector<std::string> Router::hashable(const CatalogTable& table,
                                          const std::vector<std::string>& keys) {
  std::vector<std::string> names;
  std::string others;
  for (const std::string& name : keys) {
    const CatalogColumn* column = table.find_column(name);
    if (column == nullptr || told_by_bytes(*column, table.types)) {
      names.push_back(name);
    } else {
      others += (others.empty() ? "\"" : ", \"") + name + "\"";
    }
  }
  if (others.empty()) return names;
  warning_ = "parallelism: values of the key column(s) " + others +
             " may be equal for the server and differ in their bytes (by type or collation), so ";
  warning_ += names.empty() ? "all rows take one lane and the others stay idle: leave "
                              "parallelism out, or use a key of another type or collation"
                            : "only the other key columns say which lane a row takes";
  return names;
}

void Router::use_one_lane(std::string why) {
  all_to_one_ = true;
  rule_ = "one lane";
  if (!why.empty()) warning_ = std::move(why);
}

Result<Router> Router::create(const SinkOptions& options, const CatalogTable& table,
                              const Plan& plan) {
  const std::vector<EncodeColumn>& columns = plan.columns;
  const std::vector<std::string>& keys = plan.keys;
  Router router(static_cast<size_t>(options.parallelism), static_cast<size_t>(plan.run_rows));
  // With streams, the stream says it.
  if (router.lanes_ == 1 || options.streams) return router;
  if (const std::string& place = plan.order.meeting_place;
      !only_inserts(options.write_mode) && options.partition_by.empty() && !place.empty()) {
    router.use_one_lane(
        "parallelism: rows with different keys may conflict in " + place +
        ", and then their order matters. So all rows take one lane, and the others "
        "stay idle. If rows never conflict there, set partition_by = 'hash(…)' with "
        "the key columns");
    return router;
  }
  std::vector<std::string> names = hashed_columns(options.partition_by);
  const bool chosen = !names.empty();
  if (options.partition_by.empty()) {
    names = router.hashable(table, keys);
    if (names.empty() && !keys.empty()) {
      router.use_one_lane("");
      return router;
    }
  }
  if (!keys.empty() && names.empty()) {
    return fail(Errc::kOptionConflict,
                "partition_by = 'round_robin' would lose the order of the rows of a key: use "
                "'hash(…)' over key columns");
  }
  std::vector<EncodeColumn> hashed;
  for (const std::string& name : names) {
    const auto found = std::ranges::find(columns, name, &EncodeColumn::target_name);
    if (found == columns.end()) {
      return fail(Errc::kNoSuchColumn,
                  "partition_by: the input does not fill a column \"" + name + "\"");
    }
    if (chosen && !keys.empty() && std::ranges::find(keys, name) == keys.end()) {
      return fail(Errc::kOptionConflict, "partition_by: \"" + name +
                                             "\" is not a key column, so rows of one key could "
                                             "take different lanes and lose their order");
    }
    const CatalogColumn* column = table.find_column(name);
    if (column != nullptr && !told_by_bytes(*column, table.types)) {
      return fail(Errc::kColumnType,
                  "partition_by: values of column \"" + name +
                      "\" may be equal for the server and differ in their bytes (by type or "
                      "collation): leave it out of partition_by, or use parallelism = 1");
    }
    hashed.push_back(*found);
    hashed.back().role = EncodeColumn::Role::kValue;
  }
  if (hashed.empty()) return router;
  if (auto used = router.use_hash(hashed, table, plan); !used) return fail(used.error());
  return router;
}

Status Router::use_hash(const std::vector<EncodeColumn>& hashed, const CatalogTable& table,
                        const Plan& plan) {
  auto hash = KeyHash::create(hashed, table.types);
  if (!hash) {
    Error error = std::move(hash.error());
    error.message = "parallelism: " + error.message + "; use parallelism = 1";
    return fail(std::move(error));
  }
  hash_ = std::move(*hash);
  auto unchanged = UnchangedRows::create(plan);
  if (!unchanged) return fail(unchanged.error());
  unchanged_ = std::move(*unchanged);
  for (const EncodeColumn& column : hashed) {
    const auto type = table.types.find(column.target_oid);
    rule_ += (rule_.empty() ? "hash(" : ", ") + column.target_name + " " +
             (type == table.types.end() ? std::to_string(column.target_oid) : type->second.name);
  }
  rule_ += ")";
  return {};
}

std::vector<Share> Router::route(const RecordBatch& batch) {
  if (lanes_ == 1 || all_to_one_ || moves(batch)) {
    return {Share{.lane = 0, .begin = 0, .count = batch.row_count(), .indexes = {}}};
  }
  return hash_ ? by_hash(batch) : by_turns(batch.row_count());
}

/// Runs of rows in turns: a lane should get whole transactions.
std::vector<Share> Router::by_turns(size_t rows) {
  std::vector<Share> shares;
  size_t begin = 0;
  do {
    const size_t count = std::min(rows - begin, run_rows_ - turn_rows_);
    shares.push_back({.lane = turn_, .begin = begin, .count = count, .indexes = {}});
    begin += count;
    turn_rows_ += count;
    if (turn_rows_ == run_rows_) {
      turn_ = (turn_ + 1) % lanes_;
      turn_rows_ = 0;
    }
  } while (begin < rows);
  return shares;
}

std::vector<Share> Router::by_hash(const RecordBatch& batch) {
  hashes_.resize(batch.row_count());
  hash_->hash(batch, {0, batch.row_count()}, hashes_.data());
  std::vector<Share> shares(lanes_);
  for (size_t lane = 0; lane < lanes_; ++lane) shares[lane].lane = lane;
  for (size_t row = 0; row < hashes_.size(); ++row) {
    shares[hashes_[row] % lanes_].indexes.push_back(static_cast<uint32_t>(row));
  }
  for (Share& share : shares) share.count = share.indexes.size();
  const auto none = [](const Share& share) { return share.count == 0; };
  if (std::ranges::all_of(shares, none)) {
    shares.resize(1);  // A batch without rows still has a position.
  } else {
    std::erase_if(shares, none);
  }
  return shares;
}

}  // namespace pgsink
