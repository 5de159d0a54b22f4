#pragma once
// PartitionStore: the transaction that creates partitions, on a connection of its own.
//
// Creators of one parent take turns by an advisory lock of the transaction, and look again behind
// it, so that each partition is created once however many writers miss it. A partition is a table
// made LIKE its parent and then attached, which stops no writer: ATTACH PARTITION locks the parent
// in SHARE UPDATE EXCLUSIVE mode only (CREATE TABLE … PARTITION OF would need ACCESS EXCLUSIVE, and
// so wait for every transaction that writes, while all others wait behind it). Only a default
// partition is locked for as long as the server looks whether it holds rows of the new one.
// What others, who know nothing of that lock, create at the same time makes us look once more.

#include <optional>
#include <string>
#include <vector>

#include <pgsink/options.h>

#include "pgsink/client/connection.h"
#include "pgsink/partition/map.h"
#include "pgsink/partition/scheme.h"

namespace pgsink {

/// read_partitions reads the partitions of the target, in a transaction of its own.
Result<std::vector<Partition>> read_partitions(Connection& connection,
                                               const PartitionScheme& scheme, Deadline deadline);

class PartitionStore {
 public:
  /// `role` is set_role; all must be done until the deadline.
  PartitionStore(Connection& connection, const PartitionScheme& scheme, std::string role,
                 Duration lock_timeout, Deadline deadline);

  /// begin starts the transaction, waits for its turn and reads the partitions.
  Result<std::vector<Partition>> begin();
  /// read reads them again.
  Result<std::vector<Partition>> read();

  /// Constant is a value of any type as SQL and as text.
  struct Constant {
    std::string sql, text;
  };
  Result<Constant> constant(const std::optional<std::string>& value, Oid type);

  /// create makes one partition, or finds that its name or values are taken by now: look again.
  /// Fails with kPartition, kPrivilege or as the server does, naming the partition and what to do.
  enum class Outcome : uint8_t { kCreated, kNameTaken, kOverlaps };
  Result<Outcome> create(const std::string& name, const std::string& bound);
  /// name_taken explains who has a name that create() found taken.
  Error name_taken(const std::string& name, const std::string& bound);

  /// commit ends the transaction; the partitions as they are then.
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
