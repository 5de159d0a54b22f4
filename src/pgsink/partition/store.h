#pragma once
// PartitionStore: the transaction that creates partitions, on a separate connection.
//
// Creators of one parent take turns with a transaction-level advisory lock, and look again after
// they got it, so that each partition is created once however many writers miss it. A partition is
// created LIKE its parent and then attached, which blocks no writer: ATTACH PARTITION locks the
// parent in SHARE UPDATE EXCLUSIVE mode only. (CREATE TABLE … PARTITION OF would need ACCESS
// EXCLUSIVE, and so would wait for every writing transaction while all others wait for it.) Only a
// default partition is locked, while the server checks whether it holds rows of the new one. If
// sessions that do not use that lock create partitions at the same time, we look again.

#include <optional>
#include <string>
#include <vector>

#include <pgsink/options.h>

#include "pgsink/client/connection.h"
#include "pgsink/partition/map.h"
#include "pgsink/partition/scheme.h"

namespace pgsink {

/// read_partitions reads the partitions of the target, in a separate transaction.
Result<std::vector<Partition>> read_partitions(Connection& connection,
                                               const PartitionScheme& scheme, Deadline deadline);

class PartitionStore {
 public:
  /// `role` is set_role; everything must be done before the deadline.
  PartitionStore(Connection& connection, const PartitionScheme& scheme, std::string role,
                 Duration lock_timeout, Deadline deadline);

  /// begin starts the transaction, waits for the lock and reads the partitions.
  Result<std::vector<Partition>> begin();
  /// read reads them again.
  Result<std::vector<Partition>> read();

  /// Constant is a value of any type as SQL and as text.
  struct Constant {
    std::string sql, text;
  };
  Result<Constant> constant(const std::optional<std::string>& value, Oid type);

  /// create creates one partition. False if its name or values are taken by now: read them again.
  /// Fails with kPartition, kPrivilege or the server's error, naming the partition and what to do.
  enum class Outcome : uint8_t { kCreated, kNameTaken, kOverlaps };
  Result<Outcome> create(const std::string& name, const std::string& bound);
  /// name_taken explains which relation has the name that create() found taken.
  Error name_taken(const std::string& name, const std::string& bound);

  /// commit ends the transaction and returns the partitions as they are then.
  Result<std::vector<Partition>> commit();

 private:
  Result<QueryResult> run(std::string_view sql);
  Error explain(Error error, const std::string& what) const;
  std::string quoted_table(const std::string& name, Status& status) const;

  Connection& connection_;
  const PartitionScheme& scheme_;
  const std::string role_;
  const Duration lock_timeout_;
  const Deadline deadline_;
};

}  // namespace pgsink
