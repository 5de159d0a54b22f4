#pragma once
// What jobs have left whose driver does not come back, for `pgsink recover`. A driver holds no
// connection between its calls, so nobody can see whether it lives. What is known for certain is
// whether a job can still commit: its claim is the one in pgsink_jobs, and has not committed.

#include <optional>
#include <string>
#include <vector>

#include "pgsink/client/connection.h"

namespace pgsink {

/// JobLeftover is a job that is open, or a staging table of one that has ended.
struct JobLeftover {
  std::string schema, sink_id;  ///< sink_id: "" if the job has no row any more.
  bool open = false;            ///< Its driver may still commit it.
  std::string writer;           ///< The claim of an open job.
  uint64_t epoch = 0;           ///< The last that the job's name has committed.
  std::string writer_name;      ///< Of the last driver.
  std::string since;            ///< When it opened the job, or committed it. UTC; "": not known.
  std::string stage;            ///< Name of the staging table; "": none.
  std::string owner;            ///< Of the staging table.
  uint64_t bytes = 0;           ///< Of the staging table, on disk.
  std::string used_by;          ///< A session that uses the staging table, or writes a part of a
                                ///< two-phase job; "" if none does.
};
/// list_job_leftovers lists them in this database, by all tables of jobs that the role may read.
Result<std::vector<JobLeftover>> list_job_leftovers(Connection& connection, Deadline deadline);

/// abandon_job ends an open job: a driver that still lives cannot commit it any more. False if the
/// job is not open any more. Fails with kResolveRefused if its driver commits it at this moment.
Result<bool> abandon_job(Connection& connection, const JobLeftover& job, Deadline deadline);

/// drop_leftover drops the staging table of a job that has ended, as the role that owns it. False
/// if a session uses it. REQUIRES: the job has ended.
Result<bool> drop_leftover(Connection& connection, const JobLeftover& job, Deadline deadline);

}  // namespace pgsink
