#pragma once
// The last step of a job: one transaction that decides that its epoch is committed, and, with a
// staging table, moves the rows into the target.

#include <span>
#include <string>
#include <vector>

#include "pgsink/client/connection.h"
#include "pgsink/delivery/job_rows.h"
#include "pgsink/job.h"
#include "pgsink/plan/plan.h"
#include "pgsink/sink/job_ticket.h"

namespace pgsink {

/// Winners are the parts of a commit, one of each partition.
struct Winners {
  std::string parts = "{";        ///< As an array of the server.
  std::vector<std::string> gids;  ///< What they have prepared.
  uint64_t rows = 0, rejected = 0;
};
/// read_tokens fails with kUsage for tokens of other jobs, or two of one partition.
Result<Winners> read_tokens(std::span<const std::string> texts, const JobTicket& ticket);

class JobCommit {
 public:
  /// All outlive it.
  JobCommit(const JobTicket& ticket, const JobRows& rows, const Winners& winners)
      : ticket_(ticket), rows_(rows), winners_(winners) {}

  /// A transaction from begin to end. `plan`: how staged rows get into the target; null: there are
  /// none. After an error it is rolled back, or its outcome is unknown and the connection broken;
  /// run() may be called again.
  Result<JobReport> run(Connection& connection, const JobPlan* plan);

 private:
  Result<JobReport> attempt(Connection& connection, const JobPlan* plan);
  Result<bool> check_row(const std::optional<JobRow>& row) const;
  Status check_prepared(Connection& connection) const;
  Result<uint64_t> move(Connection& connection, const JobPlan& plan);
  Error aborted() const;
  Error lost(uint64_t found) const;

  const JobTicket& ticket_;
  const JobRows& rows_;
  const Winners& winners_;
};

}  // namespace pgsink
