#pragma once
// PartitionMap: which values have a partition, as far as known. Pure.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <pgproto/oid.h>

#include "pgsink/partition/bound.h"
#include "pgsink/partition/range.h"

namespace pgsink {

using pgproto::Oid;

/// Partition is one partition of the target, as in the catalog.
struct Partition {
  Oid oid = 0;
  std::string name;
  bool partitioned = false;  ///< It is partitioned itself.
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

  /// kCreated is the number of a partition that was created later.
  static constexpr size_t kCreated = static_cast<size_t>(-1);
  /// Range is the values of one partition.
  struct Range {
    RangeSpan span;
    size_t partition = kCreated;  ///< Its number in partitions().
  };
  /// The range that contains a value, not counting the default partition; null if none does.
  const Range* find_range(int64_t value) const;
  /// The part of `span` around a value in it that has no partition. REQUIRES: find_range(value) is
  /// null.
  RangeSpan clip(RangeSpan span, int64_t value) const;

  /// The number of the partition for a value in binary form, nothing for NULL, not counting the
  /// default one. Nothing if there is none.
  std::optional<size_t> find_value(const std::optional<std::string_view>& value) const;
  /// add_range and add_value record the values of a created partition; add_value also a value that
  /// a partition takes in another form, such as 1.0 for 1.00.
  void add_range(const RangeSpan& span);
  void add_value(std::optional<std::string> value);

  /// The greatest modulus of hash partitions; 0 without any.
  uint64_t modulus() const;
  /// The remainders of `modulus`, a multiple of all, that have no partition.
  std::vector<uint64_t> missing_remainders(uint64_t modulus) const;

 private:
  Status read_range(const Partition& partition, size_t number, const RangeRule& rule);
  void read_list(const Partition& partition, size_t number, const encode::Target& target);
  void note_value(std::optional<std::string> value, size_t partition);

  std::vector<Partition> partitions_;
  std::vector<Range> ranges_;                          ///< In order.
  std::map<std::string, size_t, std::less<>> values_;  ///< The partition number of each list value.
  std::optional<size_t> null_;                         ///< The partition of NULL.
  bool padded_ = false;                                ///< Blanks at the end of a value are
                                                       ///< ignored.
};

}  // namespace pgsink
