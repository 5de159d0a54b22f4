#pragma once
// JobRows: the row of a job's name in the table pgsink_jobs, and its staging tables. The row says
// which epoch is committed, who may commit the next one, and who numbers them. It changes in the
// transaction that moves the staged rows, so it always agrees with the target. A driver that opens
// a job stores a new claim, and from then on the driver before it finds another claim than its own.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pgsink/client/connection.h"
#include "pgsink/client/env.h"

namespace pgsink {

/// JobRow is its content.
struct JobRow {
  uint64_t epoch = 0;       ///< Committed; 0: none yet.
  std::string host;         ///< Who numbers the epochs; "": nobody.
  std::string writer;       ///< The claim that may commit; "": the job was abandoned.
  std::string decided_by;   ///< The claim that committed `epoch`.
  std::string writer_name;  ///< For people.
  uint32_t table_oid = 0;   ///< Of the target.
  /// Prepared transactions that `epoch` consists of, and that may not be committed yet.
  std::vector<std::string> prepared;
};

/// What the names of all staging tables begin with.
inline constexpr std::string_view kStagePrefix = "pgsink_stage_";
/// Whether a name is as JobRows::stage_name() makes them, of any job.
bool is_stage_name(std::string_view name);

class JobRows {
 public:
  /// For the table of a schema and one name. Fails with kUsage on what cannot be quoted.
  static Result<JobRows> create(std::string_view schema, std::string_view sink_id);

  /// Creates pgsink_jobs if it is missing: see ensure_control_table().
  Status ensure_table(Connection& connection, Deadline deadline) const;
  /// claim stores a new claim and returns the row. A commit of the driver before is waited for, and
  /// terminated if it takes long. Fails with kCannotResume if `host` is not the one that numbers
  /// the epochs, or, where `numbered`, if their rows went into another table; with kCannotFence if
  /// the commit of the driver before cannot be ended.
  Result<JobRow> claim(Env& env, Connection& connection, const std::string& host, bool numbered,
                       uint32_t table_oid, Deadline deadline) const;
  /// The row; nullopt if there is none.
  Result<std::optional<JobRow>> read(Connection& connection, Deadline deadline) const;
  /// abandon_sql takes a claim back, unless it has committed: its driver finds that it was aborted.
  Result<std::string> abandon_sql(const std::string& writer) const;
  /// For transactions of a driver, with any search path. lock_sql() returns a row for parse().
  std::string lock_sql() const;
  /// A row without a host gets `host`. `prepared`: the transactions to commit after this one. Fails
  /// with kUsage on what cannot be quoted.
  Result<std::string> decide_sql(uint64_t epoch, const std::string& host, const std::string& writer,
                                 std::span<const std::string> prepared) const;
  /// Fails with kCannotResume if another host numbers the epochs.
  Status check_host(const JobRow& row, const std::string& host) const;
  /// Forgets prepared transactions that are committed, unless the row names others now.
  Status settled(Connection& connection, std::span<const std::string> prepared,
                 Deadline deadline) const;
  /// nullopt if the row is gone.
  static std::optional<JobRow> parse(const QueryResult& result);

  /// The name of the staging table of a claim.
  std::string stage_name(const std::string& writer) const;
  /// What the names of all staging tables of this job's name begin with.
  std::string stage_prefix() const;
  /// Its name quoted, with the schema.
  Result<std::string> quoted_stage(const std::string& name) const;
  /// drop_stages drops all staging tables of this name, but for those that are in use. `role` is a
  /// statement and "; ", or "".
  Status drop_stages(Connection& connection, const std::string& role, Deadline deadline) const;
  Status drop_stage(Connection& connection, const std::string& name, const std::string& role,
                    Deadline deadline) const;

  /// The table's name, quoted, with the schema.
  const std::string& table() const { return table_; }

 private:
  Status check_table(const JobRow& row, uint32_t table_oid) const;

  std::string schema_, sink_id_;
  std::string table_, sink_, quoted_schema_;  // quoted
};

}  // namespace pgsink
