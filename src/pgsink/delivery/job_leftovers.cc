#include "pgsink/delivery/job_leftovers.h"

#include <algorithm>
#include <utility>

#include "pgsink/delivery/job_rows.h"
#include "pgsink/delivery/prepared_parts.h"
#include "pgsink/delivery/writer_sessions.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

constexpr std::string_view kLocked = "55P03";
// A driver that commits holds its row, and a part that writes its staging table.
constexpr int64_t kBlockedMs = 500;

/// Lists what the jobs of one schema have left.
class SchemaLeftovers {
 public:
  SchemaLeftovers(Connection& connection, std::string schema, Deadline deadline)
      : connection_(connection), schema_(std::move(schema)), deadline_(deadline) {}

  Status read(std::vector<JobLeftover>& to) {
    const auto rows = JobRows::create(schema_, "");
    if (!rows) return fail(rows.error());
    if (auto read = read_jobs(rows->table()); !read) return read;
    if (auto read = read_stages(); !read) return read;
    for (Job& job : jobs_) {
      if (job.left.open) to.push_back(std::move(job.left));
    }
    std::ranges::move(ended_, std::back_inserter(to));
    return {};
  }

 private:
  struct Job {
    JobLeftover left;
    std::string stage_prefix, stage;  ///< `stage`: of the present claim.
  };

  Status read_jobs(const std::string& table) {
    const auto found = run_control(connection_, sql_text(Sql::kJobList, {table}), deadline_);
    if (!found) return fail(found.error());
    for (size_t i = 0; i < found->rows.size(); ++i) {
      Job job;
      job.left.schema = schema_;
      job.left.sink_id = cell(*found, i, 0);
      job.left.epoch = parse_number(cell(*found, i, 1));
      job.left.writer = cell(*found, i, 2);
      job.left.open = !job.left.writer.empty() && job.left.writer != cell(*found, i, 3);
      job.left.writer_name = cell(*found, i, 4);
      job.left.since = cell(*found, i, 5);
      const auto rows = JobRows::create(schema_, job.left.sink_id);
      if (!rows) return fail(rows.error());
      if (job.left.open) {
        auto part = find_session(connection_,
                                 PreparedParts::sessions_sql(schema_, job.left.sink_id), deadline_);
        if (!part) return fail(part.error());
        job.left.used_by = *std::move(part);
      }
      job.stage_prefix = rows->stage_prefix();
      job.stage = rows->stage_name(job.left.writer);
      jobs_.push_back(std::move(job));
    }
    return {};
  }

  Status read_stages() {
    Quoted quoted;
    const std::string list =
        sql_text(Sql::kJobStageList, {quoted.literal(schema_), quoted.literal(kStagePrefix)});
    if (!quoted.status()) return quoted.status();
    const auto found = run_control(connection_, list, deadline_);
    if (!found) return fail(found.error());
    for (size_t i = 0; i < found->rows.size(); ++i) {
      const std::string name = cell(*found, i, 0);
      if (!is_stage_name(name)) continue;
      auto used =
          find_session(connection_, sql_text(Sql::kTableUsers, {cell(*found, i, 3)}), deadline_);
      if (!used) return fail(used.error());
      JobLeftover& left = leftover_of(name);
      left.stage = name;
      left.owner = cell(*found, i, 1);
      left.bytes = parse_number(cell(*found, i, 2));
      if (!used->empty()) left.used_by = *std::move(used);
    }
    return {};
  }

  /// The entry of a staging table: of its job if that is open, else one of its own.
  JobLeftover& leftover_of(const std::string& name) {
    const auto job = std::ranges::find_if(
        jobs_, [&](const Job& one) { return name.starts_with(one.stage_prefix); });
    if (job != jobs_.end() && job->left.open && job->stage == name) return job->left;
    JobLeftover ended;
    ended.schema = schema_;
    if (job != jobs_.end()) {
      ended.sink_id = job->left.sink_id;
      ended.epoch = job->left.epoch;
    }
    ended_.push_back(std::move(ended));
    return ended_.back();
  }

  Connection& connection_;
  const std::string schema_;
  const Deadline deadline_;
  std::vector<Job> jobs_;
  std::vector<JobLeftover> ended_;
};

/// Runs a statement that waits for locks only for a short time. False if it met one.
Result<bool> run_unless_locked(Connection& connection, const std::string& sql, Deadline deadline) {
  const auto done = run_control(
      connection, sql_text(Sql::kLockTimeout, {std::to_string(kBlockedMs)}) + "; " + sql, deadline,
      true);
  if (done) return true;
  if (!connection.broken() && done.error().sqlstate == kLocked) return false;
  return fail(done.error());
}

}  // namespace

Result<std::vector<JobLeftover>> list_job_leftovers(Connection& connection, Deadline deadline) {
  const auto schemas = run_control(connection, sql_text(Sql::kJobTables), deadline);
  if (!schemas) return fail(schemas.error());
  std::vector<JobLeftover> found;
  for (size_t i = 0; i < schemas->rows.size(); ++i) {
    SchemaLeftovers schema(connection, cell(*schemas, i, 0), deadline);
    if (auto read = schema.read(found); !read) return fail(read.error());
  }
  return found;
}

Result<bool> abandon_job(Connection& connection, const JobLeftover& job, Deadline deadline) {
  const auto rows = JobRows::create(job.schema, job.sink_id);
  if (!rows) return fail(rows.error());
  const auto sql = rows->abandon_sql(job.writer);
  if (!sql) return fail(sql.error());
  const auto free = run_unless_locked(connection, *sql, deadline);
  if (!free) return free;
  if (!*free) {
    return fail(Errc::kResolveRefused, "job \"" + job.sink_id +
                                           "\" is being committed at this moment: wait, and list "
                                           "what is left again");
  }
  const auto now = rows->read(connection, deadline);
  if (!now) return fail(now.error());
  return *now && (*now)->writer.empty();
}

Result<bool> drop_leftover(Connection& connection, const JobLeftover& job, Deadline deadline) {
  const auto rows = JobRows::create(job.schema, job.sink_id);
  if (!rows) return fail(rows.error());
  const auto stage = rows->quoted_stage(job.stage);
  if (!stage) return fail(stage.error());
  Quoted quoted;
  const std::string role = sql_text(Sql::kSetRole, {quoted.identifier(job.owner)});
  if (!quoted.status()) return fail(quoted.status().error());
  return run_unless_locked(connection, role + "; " + sql_text(Sql::kJobDrop, {*stage}), deadline);
}

}  // namespace pgsink
