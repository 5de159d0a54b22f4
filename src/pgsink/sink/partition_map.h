#pragma once
// PartitionMap: which values have a partition, as far as known. Pure.

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <pgproto/oid.h>

#include "pgsink/sink/partition_bound.h"
#include "pgsink/sink/partition_range.h"

namespace pgsink {

using pgproto::Oid;

/// Partition is one partition of the target, as the catalog has it.
struct Partition {
  Oid oid = 0;
  std::string name;
  bool partitioned = false;  ///< It has partitions itself.
  PartitionBound bound;
};

class PartitionMap {
 public:
  PartitionMap() = default;
  /// `rule` for ranges; `target` is the key's type. Fails with kPartition if a bound cannot be
  /// read.
  static Result<PartitionMap> create(std::vector<Partition> partitions, const RangeRule* rule,
                                     const encode::Target& target);

  const std::vector<Partition>& partitions() const { return partitions_; }
  /// Whether both were made of the same partitions.
  bool same_partitions(const PartitionMap& other) const;

  /// The range of the partition that takes a value, the default partition aside; null if none does.
  const RangeSpan* find_range(int64_t value) const;
  /// What no partition takes of `span` around a value in it. REQUIRES: find_range(value) is null.
  RangeSpan clip(RangeSpan span, int64_t value) const;

  /// Whether a partition takes a value in binary form, nothing for NULL, the default one aside.
  bool takes(const std::optional<std::string_view>& value) const;
  /// add_range and add_value note what a partition was created for; add_value also a value that a
  /// partition takes in another form, such as 1.0 for 1.00.
  void add_range(const RangeSpan& span);
  void add_value(std::optional<std::string> value);

  /// The greatest modulus of hash partitions; 0 without any.
  uint64_t modulus() const;
  /// The remainders of `modulus`, a multiple of all, that no partition takes.
  std::vector<uint64_t> missing_remainders(uint64_t modulus) const;

 private:
  Status read_range(const Partition& partition, const RangeRule& rule);
  void read_list(const Partition& partition, const encode::Target& target);

  std::vector<Partition> partitions_;
  std::vector<RangeSpan> ranges_;  ///< In order.
  std::set<std::string, std::less<>> values_;
  bool padded_ = false;  ///< Blanks behind a value mean nothing.
  bool takes_null_ = false;
};

}  // namespace pgsink
