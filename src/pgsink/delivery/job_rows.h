#pragma once
// JobRows: the row of a job's name in the table pgsink_jobs, and its staging tables. The row says
// which epoch is committed, who may commit the next one, and who numbers them. It changes in the
// transaction that moves the staged rows, so it always agrees with the target. A driver that opens
// a job stores a new claim, and from then on the driver before it finds another claim than its own.

#include <optional>
#include <string>
#include <vector>

#include "pgsink/client/connection.h"
#include "pgsink/client/env.h"

namespace pgsink {

/// JobRow is its content.
struct JobRow {
  uint64_t epoch = 0;       ///< Committed; 0: none yet.
  std::string host;         ///< Who numbers the epochs; "": nobody.
  std::string writer;       ///< The claim that may commit.
  std::string decided_by;   ///< The claim that committed `epoch`.
  std::string writer_name;  ///< For people.
  uint32_t table_oid = 0;   ///< Of the target.
};

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
  /// For transactions of a driver, with any search path. lock_sql() returns a row for parse().
  std::string lock_sql() const;
  /// A row without a host gets `host`. Fails with kUsage on what cannot be quoted.
  Result<std::string> decide_sql(uint64_t epoch, const std::string& host,
                                 const std::string& writer) const;
  /// Fails with kCannotResume if another host numbers the epochs.
  Status check_host(const JobRow& row, const std::string& host) const;
  /// nullopt if the row is gone.
  static std::optional<JobRow> parse(const QueryResult& result);

  /// The name of the staging table of a claim.
  std::string stage_name(const std::string& writer) const;
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
