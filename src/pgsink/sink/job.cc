#include "pgsink/job.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <new>
#include <utility>
#include <vector>

#include "pgsink/delivery/job_rows.h"
#include "pgsink/options/open_retry.h"
#include "pgsink/options/retry.h"
#include "pgsink/options/server.h"
#include "pgsink/plan/plan.h"
#include "pgsink/sink/claim.h"
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

/// The tokens of a commit, one of each partition.
struct Winners {
  std::string parts = "{";  ///< As an array of the server.
  uint64_t rows = 0, rejected = 0;
};
Result<Winners> read_tokens(std::span<const std::string> texts, const JobTicket& ticket) {
  Winners winners;
  std::map<uint32_t, int64_t> parts;
  for (const std::string& text : texts) {
    const auto token = read_token(text);
    if (!token) return fail(token.error());
    const std::string partition = std::to_string(token->partition);
    if (token->writer != ticket.writer) {
      return fail(Errc::kUsage, "commit(): the token of partition " + partition +
                                    " is one of another job: pass those that parts of this ticket "
                                    "returned");
    }
    const auto [known, added] = parts.emplace(token->partition, token->part);
    if (!added && known->second == token->part) continue;
    if (!added) {
      return fail(Errc::kUsage, "commit(): two parts of partition " + partition +
                                    ": pass the token of one of its attempts");
    }
    if (winners.parts.size() > 1) winners.parts += ",";
    winners.parts += std::to_string(token->part);
    winners.rows += token->rows;
    winners.rejected += token->rejected;
  }
  winners.parts += "}";
  return winners;
}

/// The number in a command's tag: "INSERT 0 5" is 5.
uint64_t rows_of_tag(std::string_view tag) {
  uint64_t rows = 0;
  const size_t last = tag.rfind(' ');
  if (last != std::string_view::npos) {
    std::from_chars(tag.data() + last + 1, tag.data() + tag.size(), rows);
  }
  return rows;
}

// ---- the last transaction -----------------------------------------------------------------------

/// JobCommit moves the rows of the winners into the target, and the job's row with them.
class JobCommit {
 public:
  JobCommit(const JobTicket& ticket, const JobRows& rows, const Winners& winners)
      : ticket_(ticket), rows_(rows), winners_(winners) {}

  /// A transaction from begin to end. After an error it is rolled back, or its outcome is unknown
  /// and the connection broken; run() may be called again.
  Result<JobReport> run(Connection& connection, const JobPlan* plan) {
    auto done = attempt(connection, plan);
    if (!done && !connection.broken()) {
      std::ignore = connection.query(sql_text(Sql::kAbandon), kNoDeadline);
    }
    return done;
  }

 private:
  Result<QueryResult> query(Connection& connection, const std::string& text) {
    return connection.query(text, kNoDeadline);
  }

  Result<JobReport> attempt(Connection& connection, const JobPlan* plan) {
    JobReport report{.epoch = ticket_.epoch, .rows = winners_.rows, .rejected = winners_.rejected};
    // The first transaction that has this row decides: it is locked until the end.
    const auto locked = query(connection, sql_text(Sql::kBegin, {"READ COMMITTED"}) + "; " +
                                              sql_text(Sql::kDurable) + "; " + rows_.lock_sql());
    if (!locked) return fail(locked.error());
    const auto before = check_row(JobRows::parse(*locked));
    if (!before) return fail(before.error());
    if (*before) {
      report.repeated = true;
      const auto left = query(connection, sql_text(Sql::kAbandon));
      return left ? Result<JobReport>(report) : fail(left.error());
    }
    const auto decide = rows_.decide_sql(ticket_.epoch, ticket_.host, ticket_.writer);
    if (!decide) return fail(decide.error());
    const auto decided = query(connection, *decide);
    if (!decided) return fail(decided.error());
    if (plan != nullptr) {
      const auto changed = move(connection, *plan);
      if (!changed) return fail(changed.error());
      report.changed = *changed;
    }
    const auto committed = query(connection, sql_text(Sql::kCommit));
    if (!committed) return fail(committed.error());
    if (committed->tag == "COMMIT") return report;
    return fail(Errc::kRolledBack, "the server answered COMMIT with " + committed->tag);
  }

  /// Whether the epoch is committed already.
  Result<bool> check_row(const std::optional<JobRow>& row) const {
    const std::string job = "job \"" + ticket_.sink_id + "\"";
    if (!row) {
      return fail(Errc::kFenced, job + " has no row in " + rows_.table() +
                                     ": it was deleted, and with it what is committed");
    }
    if (row->decided_by == ticket_.writer) return true;
    if (auto known = rows_.check_host(*row, ticket_.host); !known) return fail(known.error());
    const bool owns = row->writer == ticket_.writer;
    // The host gives a number to one input only: who wrote it does not matter.
    if (row->epoch >= ticket_.epoch && ticket_.numbered) return true;
    if (owns) return false;
    if (row->epoch > ticket_.epoch) {
      return fail(Errc::kOutcomeUnknown,
                  job + " was continued by " + row->writer_name + ", up to epoch " +
                      std::to_string(row->epoch) + ": whether this driver's epoch " +
                      std::to_string(ticket_.epoch) +
                      " was committed before is not known. Run one driver at a time, and give "
                      "epochs numbers of your own");
    }
    return fail(Errc::kFenced, job + " was taken over by " + row->writer_name +
                                   ": nothing of this driver's epoch " +
                                   std::to_string(ticket_.epoch) +
                                   " is written. Run only one of the two, or give each its own "
                                   "sink_id");
  }

  Result<uint64_t> move(Connection& connection, const JobPlan& plan) {
    const JobStatements& statements = plan.statements;
    const auto stage = rows_.quoted_stage(ticket_.stage);
    if (!stage) return fail(stage.error());
    // As long as this transaction holds the staging table, nobody drops it.
    const auto staged = query(
        connection,
        plan.settings + sql_text(Sql::kJobCount, {*stage, statements.quoted_part, winners_.parts}));
    if (!staged && staged.error().sqlstate == "42P01") return fail(gone());
    if (!staged) return fail(staged.error());
    const uint64_t found = parse_number(staged->scalar());
    if (found != winners_.rows) return fail(lost(found));
    if (ticket_.replace) {
      const auto emptied =
          query(connection,
                sql_text(Sql::kJobEmpty, {statements.quoted_target, statements.quoted_target}));
      if (!emptied) return fail(emptied.error());
    }
    const auto moved = query(
        connection, sql_text(Sql::kJobRows, {*stage, statements.quoted_part, winners_.parts}) +
                        statements.merge);
    if (!moved) return fail(moved.error());
    return rows_of_tag(moved->tag);
  }

  Error gone() const {
    return fail(Errc::kRolledBack, "the staging table of job \"" + ticket_.sink_id +
                                       "\" is gone: the job was aborted. Nothing of epoch " +
                                       std::to_string(ticket_.epoch) +
                                       " is written: run the job again")
        .error();
  }
  Error lost(uint64_t found) const {
    return fail(Errc::kRolledBack,
                "the parts of job \"" + ticket_.sink_id + "\" have staged " +
                    std::to_string(winners_.rows) + " rows, and " + std::to_string(found) +
                    " are there: the server has crashed or failed over since, which empties a "
                    "staging table. Nothing of epoch " +
                    std::to_string(ticket_.epoch) + " is written: run the job again")
        .error();
  }

  const JobTicket& ticket_;
  const JobRows& rows_;
  const Winners& winners_;
};

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
      if (!staged() || ticket_.committed) return JobReport{};
      const auto connection = connect(options_, *pool_);
      if (!connection) return fail(connection.error());
      if (auto dropped = drop(**connection); !dropped) return fail(dropped.error());
      return JobReport{};
    });
    return done ? Status() : fail(done.error());
  }

 private:
  bool staged() const { return ticket_.atomic == Atomic::kStaging; }

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
    return report;
  }

  Status drop(Connection& connection) const {
    std::string role;
    if (!options_.set_role.empty()) {
      Quoted quoted;
      role = sql_text(Sql::kSetRole, {quoted.identifier(options_.set_role)}) + "; ";
      if (!quoted.status()) return quoted.status();
    }
    return rows_.drop_stage(connection, ticket_.stage, role,
                            pool_->env().clock.now() + kClaimTimeout);
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

void name_columns(JobTicket& ticket, const JobPlan& plan, const Schema& schema) {
  for (const Field& field : schema) ticket.columns.push_back({field, ""});
  for (const EncodeColumn& column : plan.columns) {
    ticket.columns[column.source_index].staged_as = column.target_name;
  }
  ticket.part = plan.statements.part;
  ticket.ordinal = plan.statements.ordinal;
}

Result<std::unique_ptr<Job>> open_job(SinkOptions options, const Schema& schema,
                                      const JobOptions& job, Env* env) {
  if (auto fits = check_job_options(options); !fits) return fail(fits.error());
  JobTicket ticket{.sink_id = stored_sink_id(options),
                   .schema = options.schema,
                   .table = options.table,
                   .host = job.host,
                   .numbered = job.epoch > 0,
                   .atomic = job.atomic == Atomic::kNone ? Atomic::kNone : Atomic::kStaging,
                   .replace = job.replace};
  if (job.replace && ticket.atomic == Atomic::kNone) {
    return fail_at(options, fail(Errc::kOptionConflict,
                                 "replace empties the table in the transaction that fills it, "
                                 "and with atomic = 'none' each part has its own: use 'staging'")
                                .error());
  }
  if (job.replace &&
      (options.write_mode == WriteMode::kUpdate || options.write_mode == WriteMode::kDelete)) {
    return fail_at(options, fail(Errc::kOptionConflict,
                                 "replace: an emptied table has no row to update or delete: use "
                                 "write_mode = 'insert' or 'upsert'")
                                .error());
  }
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
  Status ready = rows->drop_stages(connection, target->plan.role, deadline);
  if (ready && !ticket.committed && ticket.atomic == Atomic::kStaging) {
    ready = make_stage(connection, *rows, ticket, *target, deadline);
  }
  if (!ready) return fail_at(options, ready.error());
  lease->give_back();
  return std::make_unique<JobImpl>(std::move(options), *std::move(pool), std::move(ticket),
                                   *std::move(rows));
}

Result<std::unique_ptr<Job>> resume_job(SinkOptions options, std::string_view text, Env* env) {
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
