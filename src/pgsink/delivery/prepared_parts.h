#pragma once
// PreparedParts: the prepared transactions of a two-phase job. A part writes into the target in one
// transaction and prepares it. The driver stores the gids of the parts that count in pgsink_jobs,
// and commits these transactions then; all others of its claim are rolled back.
//
// Why nothing stays prepared without the driver's knowledge: the transaction of a part first takes
// an advisory lock of its job and its claim, shared, until its end, and then reads in pgsink_jobs
// that the claim may still commit. A driver first changes that row, then ends the sessions that
// hold the lock, and then lists the prepared transactions. So either the part finds the changed
// row, or the driver finds the part. Such a lock ends with its transaction.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pgsink/client/connection.h"
#include "pgsink/client/env.h"

namespace pgsink {

/// PreparedPart is what the gid of a part says.
struct PreparedPart {
  uint32_t partition = 0;
  int64_t part = 0;  ///< Random.
  uint64_t rows = 0, rejected = 0;
  std::string gid;
};

class PreparedParts {
 public:
  /// For the claim `writer` of a job. Asks the server for the database's name.
  static Result<PreparedParts> create(Connection& connection, std::string_view schema,
                                      std::string_view sink_id, std::string_view writer,
                                      Deadline deadline);

  // ---- a part ----------------------------------------------------------------------------------
  /// What follows BEGIN, with any search path, ending in "; ". Fails the transaction if the claim
  /// cannot commit any more. REQUIRES: READ COMMITTED.
  const std::string& begin_sql() const { return begin_; }
  /// Whether an error of the server is that failure.
  static bool is_guard_failure(const Error& error);
  /// The gid of these numbers.
  std::string gid(const PreparedPart& part) const;
  /// PREPARE TRANSACTION, which ends a part in place of COMMIT.
  static Result<std::string> prepare_sql(const std::string& gid);
  /// Whether this transaction is prepared.
  static Result<bool> is_prepared(Connection& connection, const std::string& gid,
                                  Deadline deadline);
  /// A prepared part of this partition, of whatever attempt.
  Result<std::optional<PreparedPart>> find(Connection& connection, uint32_t partition,
                                           Deadline deadline) const;

  // ---- the driver ------------------------------------------------------------------------------
  /// Commits them. Those that are gone are committed already.
  static Status commit(Env& env, Connection& connection, std::span<const std::string> gids,
                       Deadline deadline);
  /// Whose parts.
  enum class Whose : uint8_t { kOfThisClaim, kOfOtherClaims };
  /// Ends the sessions that write such parts, and rolls back what such parts have prepared, but for
  /// `kept`. REQUIRES: pgsink_jobs says that they cannot commit any more.
  Status clear(Env& env, Connection& connection, Whose whose, std::span<const std::string> kept,
               Deadline deadline) const;

  /// What the gids of all claims of a job begin with.
  static std::string prefix_of(std::string_view database, std::string_view schema,
                               std::string_view sink_id);
  /// The list of the sessions that write parts of any claim of a job, as for end_sessions().
  static std::string sessions_sql(std::string_view schema, std::string_view sink_id);
  /// The claim in a gid that begins with prefix_of(); "" if it is none.
  static std::string_view claim_of_gid(std::string_view gid, std::string_view prefix);

 private:
  std::string sink_id_, writer_;
  std::string prefix_;  ///< Of the gids of all claims.
  std::string begin_;
  uint32_t job_key_ = 0, claim_key_ = 0;
};

}  // namespace pgsink
