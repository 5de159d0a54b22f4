#include "pgsink/partition/map.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "pgsink/encode/parse/parse.h"

namespace pgsink {
namespace {

using pgproto::fail;
using Limits64 = std::numeric_limits<int64_t>;

int64_t first_of(const PartitionMap::Range& range) { return range.span.first; }

std::string_view without_blanks(std::string_view value) {
  return value.substr(0, value.find_last_not_of(' ') + 1);
}

std::optional<int64_t> value_of(const BoundConstant& constant, const RangeRule& rule) {
  switch (constant.kind) {
    case BoundConstant::Kind::kMin:
      return Limits64::min();
    case BoundConstant::Kind::kMax:
      return Limits64::max();
    case BoundConstant::Kind::kValue:
      return rule.parse(constant.text);
    case BoundConstant::Kind::kNull:
      break;
  }
  return std::nullopt;
}

}  // namespace

Result<PartitionMap> PartitionMap::create(std::vector<Partition> partitions, const RangeRule* rule,
                                          const encode::Target& target) {
  PartitionMap map;
  map.padded_ = target.kind == encode::TargetKind::kBpchar;
  for (size_t i = 0; i < partitions.size(); ++i) {
    const Partition& partition = partitions[i];
    if (partition.bound.kind == PartitionBound::Kind::kList) map.read_list(partition, i, target);
    if (partition.bound.kind != PartitionBound::Kind::kRange || rule == nullptr) continue;
    if (auto added = map.read_range(partition, i, *rule); !added) return fail(added.error());
  }
  std::ranges::sort(map.ranges_, {}, first_of);
  map.partitions_ = std::move(partitions);
  return map;
}

Status PartitionMap::read_range(const Partition& partition, size_t number, const RangeRule& rule) {
  const bool one = partition.bound.from.size() == 1 && partition.bound.to.size() == 1;
  const auto first = one ? value_of(partition.bound.from[0], rule) : std::nullopt;
  const auto end = one ? value_of(partition.bound.to[0], rule) : std::nullopt;
  if (!first || !end) {
    return fail(Errc::kPartition,
                "create_partitions: the bounds of partition \"" + partition.name +
                    "\" have a form that pgsink does not know: leave create_partitions out and "
                    "create partitions yourself; please report it");
  }
  const bool open = partition.bound.to[0].kind == BoundConstant::Kind::kMax;
  ranges_.push_back({{*first, open ? Limits64::max() : *end - 1}, number});
  return {};
}

void PartitionMap::read_list(const Partition& partition, size_t number,
                             const encode::Target& target) {
  for (const BoundConstant& constant : partition.bound.values) {
    if (constant.kind == BoundConstant::Kind::kNull) {
      null_ = number;
      continue;
    }
    // A value that cannot be read, or has another form, is found when its partition is created.
    encode::Scratch bytes;
    encode::Fault fault;
    if (!encode::parse_value(target, constant.text, bytes, fault)) continue;
    note_value(std::string(pgproto::as_text(bytes.bytes_from(0))), number);
  }
}

void PartitionMap::add_range(const RangeSpan& span) {
  ranges_.insert(std::ranges::upper_bound(ranges_, span.first, {}, first_of), Range{span});
}

void PartitionMap::add_value(std::optional<std::string> value) {
  note_value(std::move(value), kCreated);
}

void PartitionMap::note_value(std::optional<std::string> value, size_t partition) {
  if (value) {
    if (padded_) value->resize(without_blanks(*value).size());
    values_.emplace(*std::move(value), partition);
  } else {
    null_ = partition;
  }
}

bool PartitionMap::same_partitions(const PartitionMap& other) const {
  return std::ranges::equal(partitions_, other.partitions_, {}, &Partition::oid, &Partition::oid);
}

const PartitionMap::Range* PartitionMap::find_range(int64_t value) const {
  const auto next = std::ranges::upper_bound(ranges_, value, {}, first_of);
  if (next == ranges_.begin()) return nullptr;
  const Range& range = *std::prev(next);
  return range.span.contains(value) ? &range : nullptr;
}

RangeSpan PartitionMap::clip(RangeSpan span, int64_t value) const {
  for (const auto& [taken, partition] : ranges_) {
    if (taken.last < value) {
      if (taken.last >= span.first) span.first = taken.last + 1;
    } else if (taken.first <= span.last) {
      span.last = taken.first - 1;
    }
  }
  return span;
}

std::optional<size_t> PartitionMap::find_value(const std::optional<std::string_view>& value) const {
  if (!value) return null_;
  const auto found = values_.find(padded_ ? without_blanks(*value) : *value);
  return found == values_.end() ? std::nullopt : std::optional(found->second);
}

uint64_t PartitionMap::modulus() const {
  uint64_t modulus = 0;
  for (const Partition& partition : partitions_) {
    modulus = std::max(modulus, partition.bound.modulus);
  }
  return modulus;
}

std::vector<uint64_t> PartitionMap::missing_remainders(uint64_t modulus) const {
  std::vector<uint64_t> missing;
  for (uint64_t remainder = 0; remainder < modulus; ++remainder) {
    const bool taken = std::ranges::any_of(partitions_, [&](const Partition& partition) {
      const PartitionBound& bound = partition.bound;
      return bound.modulus > 0 && remainder % bound.modulus == bound.remainder;
    });
    if (!taken) missing.push_back(remainder);
  }
  return missing;
}

}  // namespace pgsink
