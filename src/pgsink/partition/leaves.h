#pragma once
// Leaves: the partitions that rows are copied into directly, so that the server need not find each
// row's partition.
//
// Only partitions where that has the same result as a COPY into the parent (see Sql::kPlainLeaves),
// and only if the key is one column whose bounds can be read. Later changes of the table do no
// harm: a row that does not fit its partition is an error, and so is, at the end of a transaction,
// a partition that no longer belongs to the table (Leaves::check). COPY locks the partition until
// the transaction ends, so that check holds until the commit. In both cases the transaction is sent
// again through the parent.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <pgsink/options.h>

#include "pgsink/client/connection.h"
#include "pgsink/encode/rows/key_reader.h"
#include "pgsink/partition/map.h"
#include "pgsink/partition/scheme.h"
#include "pgsink/plan/plan.h"

namespace pgsink {

/// Leaf is a partition that can take rows directly.
struct Leaf {
  Oid oid = 0;
  std::string copy;   ///< The COPY statement.
  std::string check;  ///< Its part of Leaves::check().
};

/// Leaves are those of one table at one moment. Immutable.
class Leaves {
 public:
  /// `of_partition` holds a leaf or nothing for each of the map's partitions.
  Leaves(Oid parent, PartitionMap map, std::vector<std::optional<Leaf>> of_partition)
      : parent_(parent), map_(std::move(map)), leaves_(std::move(of_partition)) {}

  const PartitionMap& map() const { return map_; }
  size_t count() const { return leaves_.size(); }
  /// Null if rows of that partition go through the parent.
  const Leaf* leaf(size_t partition) const {
    return partition < leaves_.size() && leaves_[partition] ? &*leaves_[partition] : nullptr;
  }
  /// The statement that fails if one of them no longer is a partition of the table.
  std::string check(std::span<const Leaf* const> used) const;

 private:
  Oid parent_ = 0;
  PartitionMap map_;
  std::vector<std::optional<Leaf>> leaves_;
};

/// LeafFinder finds the partition of each row. One per thread.
class LeafFinder {
 public:
  LeafFinder(KeyReader key, std::optional<RangeRule> rule)
      : key_(std::move(key)), rule_(std::move(rule)) {}

  /// Writes a number for each of `rows`: that of its partition, or leaves.count() if the row goes
  /// through the parent. `numbers` has room for all.
  void find(const Leaves& leaves, const RecordBatch& batch, RowRange rows,
            std::span<uint32_t> numbers);

 private:
  size_t find(const Leaves& leaves, const KeyReader::Values& keys, size_t i,
              PartitionMap::Range& before) const;

  KeyReader key_;
  std::optional<RangeRule> rule_;
};

/// LeafCatalog holds the leaves as of the last look at the catalog.
class LeafCatalog {
 public:
  /// Null if rows go through the parent only: the table has no partitions, or none that a row's key
  /// determines, the mode does not copy into the table, or transactions are too small for
  /// partition_copy_min_rows.
  static Result<std::unique_ptr<LeafCatalog>> open(const SinkOptions& options, const Plan& plan,
                                                   const CatalogTable& table, Env& env,
                                                   Connection& connection, Deadline deadline);

  /// Whether it is faster to copy that many rows directly into that many partitions.
  bool pays(size_t rows, size_t partitions) const;
  /// Reads the catalog again, in a separate transaction.
  Status refresh(Connection& connection, Deadline deadline);
  /// Thread-safe.
  std::shared_ptr<const Leaves> leaves() const;
  Result<LeafFinder> finder() const;

 private:
  LeafCatalog(const SinkOptions& options, PartitionScheme scheme, Env& env)
      : rows_min_(static_cast<size_t>(options.partition_copy_min_rows)),
        scheme_(std::move(scheme)),
        monitor_(env.tasks.monitor()) {}

  const size_t rows_min_;
  const PartitionScheme scheme_;
  std::string role_sql_;     ///< Takes the role that will write; "" if it is the session's.
  std::string sent_sql_;     ///< An array of the columns that the rows have.
  std::string columns_sql_;  ///< A list of the columns that the rows have.
  EncodeColumn key_;
  pgproto::TypeMap types_;
  encode::Target target_;
  std::optional<RangeRule> rule_;
  std::unique_ptr<Monitor> monitor_;
  std::shared_ptr<const Leaves> leaves_;  ///< Guarded by monitor_.
};

}  // namespace pgsink
