#include "pgsink/job.h"

#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "pgsink/delivery/job_rows.h"
#include "pgsink/delivery/prepared_parts.h"
#include "pgsink/options/open_retry.h"
#include "pgsink/options/retry.h"
#include "pgsink/options/server.h"
#include "pgsink/plan/plan.h"
#include "pgsink/sink/claim.h"
#include "pgsink/sink/job_commit.h"
#include "pgsink/sink/job_target.h"
#include "pgsink/sink/job_ticket.h"
#include "pgsink/sink/open_target.h"
#include "pgsink/sink/pool.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

/// The target with the statements of the job.
struct JobTarget {
  Opened opened;
  JobPlan plan;
};
Result<JobTarget> plan_job(const SinkOptions& options, const Schema& schema, Env& env,
                           Connection& connection) {
  const Deadline deadline =
      env.clock.now() + std::chrono::milliseconds(options.connection_timeout_ms);
  return until_settled(options, connection, deadline, [&]() -> Result<JobTarget> {
    auto opened = open_target(options, &schema, connection, deadline);
    if (!opened) return fail(opened.error());
    auto plan = make_job_plan(options, opened->table, schema);
    if (!plan) return fail_at(options, plan.error());
    return JobTarget{std::move(*opened), std::move(*plan)};
  });
}

Result<PoolLease> connect(const SinkOptions& options, Pool& pool) {
  auto lease = OpenRetry(options, pool.env()).run([&] { return pool.checkout(); });
  return lease ? std::move(lease) : fail_at(options, lease.error());
}

/// Commits the transactions that a driver has decided to commit.
Status commit_decided(Env& env, Connection& connection, const JobRows& rows, const JobRow& row,
                      Deadline deadline) {
  if (row.prepared.empty()) return {};
  const auto done = PreparedParts::commit(env, connection, row.prepared, deadline);
  return done ? rows.settled(connection, row.prepared, deadline) : done;
}

// ---- the job ------------------------------------------------------------------------------------

class JobImpl final : public Job {
 public:
  JobImpl(SinkOptions options, std::shared_ptr<Pool> pool, JobTicket ticket, JobRows rows)
      : options_(std::move(options)),
        pool_(std::move(pool)),
        ticket_(std::move(ticket)),
        rows_(std::move(rows)),
        text_(write_ticket(ticket_)),
        committed_(ticket_.committed) {}

  const std::string& ticket() const override { return text_; }
  uint64_t epoch() const override { return ticket_.epoch; }
  bool committed() const override { return committed_; }

  Status number(uint64_t epoch, std::string host) override {
    if (epoch == 0) return fail(Errc::kUsage, "number(): epochs are numbered from 1");
    if (ticket_.numbered) {
      return fail(Errc::kUsage, "number(): the job has epoch " + std::to_string(ticket_.epoch) +
                                    " already: open it without a number");
    }
    ticket_.epoch = epoch;
    ticket_.host = std::move(host);
    ticket_.numbered = true;
    text_ = write_ticket(ticket_);
    return {};
  }

  Result<JobReport> commit(std::span<const std::string> tokens) override {
    return guarded([&]() -> Result<JobReport> {
      const auto winners = read_tokens(tokens, ticket_);
      if (!winners) return fail(winners.error());
      if (committed_) return repeated(*winners);
      auto report = try_commit(*winners);
      if (!report) return fail_at(options_, report.error());
      committed_ = true;
      return report;
    });
  }

  Status abort() override {
    const auto done = guarded([&]() -> Result<JobReport> {
      if (ticket_.atomic == Atomic::kNone || committed_) return JobReport{};
      const auto connection = connect(options_, *pool_);
      if (!connection) return fail(connection.error());
      if (auto ended = abandon(**connection); !ended) return fail(ended.error());
      const Status undone = staged() ? drop(**connection) : finish_parts(**connection);
      if (!undone) return fail(undone.error());
      return JobReport{};
    });
    return done ? Status() : fail(done.error());
  }

 private:
  bool staged() const { return ticket_.atomic == Atomic::kStaging; }
  Deadline soon() const { return pool_->env().clock.now() + kClaimTimeout; }

  JobReport repeated(const Winners& winners) const {
    return {.epoch = ticket_.epoch,
            .rows = winners.rows,
            .rejected = winners.rejected,
            .repeated = true};
  }

  /// Repeats what a lost connection or a deadlock has ended: the job's row says whether it is
  /// needed.
  Result<JobReport> try_commit(const Winners& winners) {
    for (int64_t retries = 0;; ++retries) {
      auto report = commit_once(winners);
      if (report || !is_transient(report.error()) || retries >= options_.max_retries) {
        return report;
      }
    }
  }

  Result<JobReport> commit_once(const Winners& winners) {
    const auto connection = connect(options_, *pool_);
    if (!connection) return fail(connection.error());
    std::optional<JobTarget> target;
    if (staged()) {
      auto planned = plan_job(options_, schema_of(ticket_), pool_->env(), **connection);
      if (!planned) return fail(planned.error());
      target = *std::move(planned);
    }
    auto report =
        JobCommit(ticket_, rows_, winners).run(**connection, target ? &target->plan : nullptr);
    if (!report) return report;
    // The next job drops it otherwise.
    if (staged()) std::ignore = drop(**connection);
    if (ticket_.atomic != Atomic::kTwoPhase) return report;
    if (auto finished = finish_parts(**connection); !finished) return fail(finished.error());
    return report;
  }

  /// Commits the parts that were decided, and rolls back all others of this claim. REQUIRES:
  /// nothing is decided for this claim any more.
  Status finish_parts(Connection& connection) const {
    const auto row = rows_.read(connection, soon());
    if (!row) return fail(row.error());
    if (*row) {
      const auto done = commit_decided(pool_->env(), connection, rows_, **row, soon());
      if (!done) return done;
    }
    const auto parts =
        PreparedParts::create(connection, ticket_.schema, ticket_.sink_id, ticket_.writer, soon());
    if (!parts) return fail(parts.error());
    return parts->clear(pool_->env(), connection, PreparedParts::Whose::kOfThisClaim, {}, soon());
  }

  /// From now on no driver of this ticket commits it.
  Status abandon(Connection& connection) const {
    const auto sql = rows_.abandon_sql(ticket_.writer);
    if (!sql) return fail(sql.error());
    const auto done = run_control(connection, *sql, soon(), true);
    return done ? Status() : fail(done.error());
  }

  Status drop(Connection& connection) const {
    std::string role;
    if (!options_.set_role.empty()) {
      Quoted quoted;
      role = sql_text(Sql::kSetRole, {quoted.identifier(options_.set_role)}) + "; ";
      if (!quoted.status()) return quoted.status();
    }
    return rows_.drop_stage(connection, ticket_.stage, role, soon());
  }

  template <typename F>
  static Result<JobReport> guarded(F&& body) {
    try {
      return std::forward<F>(body)();
    } catch (const std::bad_alloc&) {
      return fail(Errc::kOutOfMemory, "out of memory");
    }
  }

  const SinkOptions options_;
  const std::shared_ptr<Pool> pool_;
  JobTicket ticket_;
  const JobRows rows_;
  std::string text_;
  bool committed_;
};

/// Makes the staging table, empty.
Status make_stage(Connection& connection, const JobRows& rows, const JobTicket& ticket,
                  const JobTarget& target, Deadline deadline) {
  const auto stage = rows.quoted_stage(ticket.stage);
  if (!stage) return fail(stage.error());
  const JobStatements& statements = target.plan.statements;
  std::string text = target.plan.role + sql_text(Sql::kJobStage, {*stage, statements.columns,
                                                                  statements.quoted_target});
  for (const EncodeColumn& column : target.plan.columns) {
    // Rows without a key become dead letters of their part.
    if (column.role != EncodeColumn::Role::kKey) continue;
    Quoted quoted;
    text += "; " + sql_text(Sql::kJobStageNotNull, {*stage, quoted.identifier(column.target_name)});
    if (!quoted.status()) return quoted.status();
  }
  const auto made = run_control(connection, text, deadline);
  if (made) return {};
  Error error = made.error();
  if (error.sqlstate == "42501") {
    error.code = Errc::kPrivilege;
    error.message = "a job stages its rows in a table of schema " + ticket.schema + " (" +
                    error.message + "): GRANT CREATE ON SCHEMA " + ticket.schema + " TO " +
                    role_to_grant(connection, target.plan.role, deadline) +
                    ", or use atomic = 'none'";
  }
  return fail(std::move(error));
}

/// Ends what two-phase jobs of this name have left: what is decided is committed, the rest rolled
/// back.
Status recover_parts(Env& env, Connection& connection, const JobRows& rows, const JobTicket& ticket,
                     const JobRow& row, Deadline deadline) {
  if (auto done = commit_decided(env, connection, rows, row, deadline); !done) return done;
  if (connection.server().max_prepared_transactions == 0) return {};
  const auto parts =
      PreparedParts::create(connection, ticket.schema, ticket.sink_id, ticket.writer, deadline);
  if (!parts) return fail(parts.error());
  return parts->clear(env, connection, PreparedParts::Whose::kOfOtherClaims, row.prepared,
                      deadline);
}

void name_columns(JobTicket& ticket, const JobPlan& plan, const Schema& schema) {
  for (const Field& field : schema) ticket.columns.push_back({field, ""});
  for (const EncodeColumn& column : plan.columns) {
    ticket.columns[column.source_index].staged_as = column.target_name;
  }
  ticket.part = plan.statements.part;
  ticket.ordinal = plan.statements.ordinal;
}

Result<std::unique_ptr<Job>> open_job(SinkOptions options, const Schema& schema, JobOptions job,
                                      Env* env) {
  if (take_replace(options)) job.replace = true;
  if (auto fits = check_job_options(options); !fits) return fail(fits.error());
  JobTicket ticket{.sink_id = stored_sink_id(options),
                   .schema = options.schema,
                   .table = options.table,
                   .host = job.host,
                   .numbered = job.epoch > 0,
                   .atomic = job.atomic == Atomic::kAuto ? Atomic::kStaging : job.atomic,
                   .replace = job.replace};
  if (auto fits = check_job(options, job); !fits) return fail(fits.error());
  auto pool = make_sink_pool(options, env, false);
  if (!pool) return fail_at(options, pool.error());
  Clock& clock = (*pool)->env().clock;
  auto lease = connect(options, **pool);
  if (!lease) return fail(lease.error());
  Connection& connection = **lease;
  auto target = plan_job(options, schema, (*pool)->env(), connection);
  if (!target) return fail(target.error());
  auto rows = JobRows::create(options.schema, ticket.sink_id);
  if (!rows) return fail_at(options, rows.error());
  const Deadline deadline = clock.now() + kClaimTimeout;
  if (ticket.atomic == Atomic::kTwoPhase) {
    const auto can =
        check_two_phase_job(options, schema, target->opened.table, connection, deadline);
    if (!can) return fail_at(options, can.error());
  }
  if (auto made = rows->ensure_table(connection, deadline); !made) {
    return fail_at(options, made.error());
  }
  const auto row = rows->claim((*pool)->env(), connection, job.host, ticket.numbered,
                               target->opened.table.oid, deadline);
  if (!row) return fail_at(options, row.error());
  ticket.writer = row->writer;
  ticket.epoch = ticket.numbered ? job.epoch : row->epoch + 1;
  ticket.committed = ticket.epoch <= row->epoch;
  ticket.stage = rows->stage_name(ticket.writer);
  name_columns(ticket, target->plan, schema);
  Status ready = recover_parts((*pool)->env(), connection, *rows, ticket, *row, deadline);
  if (ready) ready = rows->drop_stages(connection, target->plan.role, deadline);
  if (ready && !ticket.committed && ticket.atomic == Atomic::kStaging) {
    ready = make_stage(connection, *rows, ticket, *target, deadline);
  }
  if (!ready) return fail_at(options, ready.error());
  lease->give_back();
  return std::make_unique<JobImpl>(std::move(options), *std::move(pool), std::move(ticket),
                                   *std::move(rows));
}

Result<std::unique_ptr<Job>> resume_job(SinkOptions options, std::string_view text, Env* env) {
  take_replace(options);  // The ticket says it.
  if (auto fits = check_job_options(options); !fits) return fail(fits.error());
  auto ticket = read_ticket_for(options, text);
  if (!ticket) return fail(ticket.error());
  auto rows = JobRows::create(ticket->schema, ticket->sink_id);
  if (!rows) return fail_at(options, rows.error());
  auto pool = make_sink_pool(options, env, false);
  if (!pool) return fail_at(options, pool.error());
  return std::make_unique<JobImpl>(std::move(options), *std::move(pool), *std::move(ticket),
                                   *std::move(rows));
}

}  // namespace

Result<std::unique_ptr<Job>> Job::open(SinkOptions options,
                                       const std::shared_ptr<const Schema>& schema,
                                       const JobOptions& job, Env* env) {
  if (schema == nullptr) return fail(Errc::kUsage, "Job::open: no schema");
  try {
    return open_job(std::move(options), *schema, job, env);
  } catch (const std::bad_alloc&) {
    return fail(Errc::kOutOfMemory, "out of memory");
  }
}

Result<std::unique_ptr<Job>> Job::resume(SinkOptions options, std::string_view ticket, Env* env) {
  try {
    return resume_job(std::move(options), ticket, env);
  } catch (const std::bad_alloc&) {
    return fail(Errc::kOutOfMemory, "out of memory");
  }
}

}  // namespace pgsink
