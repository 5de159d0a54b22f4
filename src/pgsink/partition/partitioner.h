#pragma once
// Partitioner: creates missing partitions before the rows are sent.
//
// It comes before the lanes: write() calls it for each batch. A pass over the key column, in the
// form in which it will be sent, finds the values that no known partition takes; usually there are
// none. Otherwise one thread at a time creates what is missing (store.h), and the others check
// again. A running COPY does not see partitions that are created after its start, so a flight
// begins only when it has all of its rows. If another session drops a partition meanwhile, the
// server reports it, and the lane asks for it to be restored.
//
// No partition is created for a row whose key the encoder rejects, or for a NULL or an infinity in
// a range. The server decides about such rows.

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
    LeafCatalog* leaves = nullptr;  ///< Is informed of new partitions.
  };
  /// Reads the partitions through `connection`, and creates the missing ones of a hash. Fails with
  /// kColumnRequired if the input lacks the key.
  static Result<std::unique_ptr<Partitioner>> open(Setup setup, const Plan& plan,
                                                   const CatalogTable& table,
                                                   Connection& connection);

  /// Messages for the operator.
  std::vector<std::string> warnings() const;

  /// ensure creates the partitions that are missing for a batch. Thread-safe.
  Status ensure(const RecordBatch& batch);

  /// A number that grows with each change of the known partitions.
  uint64_t generation() const;
  /// Some rows of a batch.
  struct Rows {
    const RecordBatch* batch = nullptr;
    RowRange rows;
  };
  /// restore reads the partitions again, after the server found none for one of these rows, which
  /// were sent when generation() was `sent`, and creates the missing ones, without retries. False
  /// if nothing has changed since: sending the rows again would not help. Thread-safe.
  Result<bool> restore(const std::vector<Rows>& rows, uint64_t sent);

 private:
  using Map = std::shared_ptr<const PartitionMap>;
  /// Readers are what one thread needs to read keys.
  struct Readers {
    std::optional<KeyReader> key, change;
  };
  /// Missing are values without a partition: one of each range; nullopt is NULL.
  struct Missing {
    std::vector<int64_t> values;
    std::vector<std::optional<std::string>> list;
    bool remainders = false;  ///< For a hash.

    size_t size() const { return values.size() + list.size(); }
    bool empty() const { return size() == 0 && !remainders; }
  };

  explicit Partitioner(Setup setup);

  // ---- finding what is missing
  // --------------------------------------------------------------------
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

  // ---- creating
  // -----------------------------------------------------------------------------------
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
  uint64_t modulus_ = 0;  ///< From the options; 0: not given.
  RetryPolicy retry_;
  EncodeColumn key_;
  std::optional<EncodeColumn> change_;  ///< For a changelog: which rows are inserted.
  pgproto::TypeMap types_;

  std::unique_ptr<Monitor> monitor_;
  // Guarded by monitor_:
  Map map_;
  uint64_t generation_ = 0;
  bool busy_ = false;  ///< A thread is creating partitions.
  std::vector<std::unique_ptr<Readers>> idle_;
};

}  // namespace pgsink
