#pragma once
// Partitioner: partitions that are missing for rows are created before the rows are sent.
//
// It stands in front of the lanes: write() asks it about each batch. A pass over the key column,
// as it will be sent, finds the values that no known partition takes; usually there are none. Else
// one thread at a time creates what is missing (partition_store.h), and the others look again. As a
// COPY under way does not see partitions that came about after its start, a flight begins only when
// it has all of its rows (Lane::send). Where somebody drops a partition meanwhile, the server tells
// so, and the lane asks for it to be restored.
//
// A row whose key the encoder rejects, a NULL or an infinity in a range: none of these makes a
// partition. The server decides what becomes of them.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <pgsink/options.h>
#include <pgsink/record_batch.h>

#include "pgsink/client/connection.h"
#include "pgsink/encode/rows/key_reader.h"
#include "pgsink/options/retry.h"
#include "pgsink/partition/leaves.h"
#include "pgsink/partition/map.h"
#include "pgsink/partition/name.h"
#include "pgsink/partition/scheme.h"
#include "pgsink/partition/store.h"
#include "pgsink/plan/plan.h"

namespace pgsink {

class Partitioner {
 public:
  struct Setup {
    Env& env;
    SinkOptions options;  ///< REQUIRES: creates_partitions(options).
    ConnectOptions connect;
    pgproto::SaltedKeyCache* salted_keys = nullptr;
    PartitionScheme scheme;
    LeafCatalog* leaves = nullptr;  ///< To be told of new ones.
  };
  /// Reads the partitions through `connection`, and creates those that are missing of a hash. Fails
  /// with kColumnRequired if the input lacks the key.
  static Result<std::unique_ptr<Partitioner>> open(Setup setup, const Plan& plan,
                                                   const CatalogTable& table,
                                                   Connection& connection);

  /// What whoever runs the sink should know.
  std::vector<std::string> warnings() const;

  /// ensure creates the partitions that are missing for a batch. Any thread.
  Status ensure(const RecordBatch& batch);

  /// A number that grows with each change of the partitions known.
  uint64_t generation() const;
  /// Some rows of a batch.
  struct Rows {
    const RecordBatch* batch = nullptr;
    RowRange rows;
  };
  /// restore looks anew which partitions there are, after the server found none for one of these
  /// rows, which were sent when generation() was `sent`, and creates those that are missing,
  /// without retries. False if nothing changed since: sending them again would not help. Any
  /// thread.
  Result<bool> restore(const std::vector<Rows>& rows, uint64_t sent);

 private:
  using Map = std::shared_ptr<const PartitionMap>;
  /// Readers are what one thread needs to look at rows.
  struct Readers {
    std::optional<KeyReader> key, change;
  };
  /// Missing are values that no partition takes: one of each range; nothing stands for NULL.
  struct Missing {
    std::vector<int64_t> values;
    std::vector<std::optional<std::string>> list;
    bool remainders = false;  ///< Of a hash.

    size_t size() const { return values.size() + list.size(); }
    bool empty() const { return size() == 0 && !remainders; }
  };

  explicit Partitioner(Setup setup);

  // looking
  Map map() const;
  Result<std::unique_ptr<Readers>> borrow();
  void give_back(std::unique_ptr<Readers> readers);
  Status ensure_rows(const RecordBatch& batch, RowRange rows, const RetryPolicy& retry);
  Missing find_missing(Readers& readers, const PartitionMap& map, const RecordBatch& batch,
                       RowRange rows) const;
  void look_at_ranges(const PartitionMap& map, const KeyReader::Values& keys, size_t count,
                      RangeSpan& known, Missing& missing) const;
  void look_at_list(const PartitionMap& map, const KeyReader::Values& keys, size_t count,
                    Missing& missing) const;

  // creating
  Status change(const Missing& missing, const RetryPolicy& retry);
  Result<PartitionMap> create_with_retries(const Missing& missing, const RetryPolicy& retry);
  Result<PartitionMap> create_once(const Missing& missing);
  Status create_range(PartitionStore& store, PartitionMap& map, int64_t value);
  Status create_list(PartitionStore& store, PartitionMap& map,
                     const std::optional<std::string>& value,
                     std::vector<std::string>& other_forms);
  Status create_remainders(PartitionStore& store, PartitionMap& map);
  Result<PartitionMap> make_map(Result<std::vector<Partition>> partitions) const;
  bool retries(const Error& error) const;
  void pause(Duration delay);
  Error lost_race(const std::string& what) const;

  Setup setup_;
  PartitionName name_;
  std::optional<RangeRule> rule_;
  encode::Target target_;
  Oid type_oid_ = 0;
  uint64_t modulus_ = 0;  ///< As the options say; 0: they do not.
  RetryPolicy retry_;
  EncodeColumn key_;
  std::optional<EncodeColumn> change_;  ///< Of a changelog: which rows are inserted.
  pgproto::TypeMap types_;

  std::unique_ptr<Monitor> monitor_;
  // Guarded by monitor_:
  Map map_;
  uint64_t generation_ = 0;
  bool busy_ = false;  ///< Somebody creates.
  std::vector<std::unique_ptr<Readers>> idle_;
};

}  // namespace pgsink
