#include "shell/run/pipeline.h"

#include <algorithm>
#include <chrono>

#include "pgsink/ddl/lexer.h"
#include "shell/engine/castable.h"
#include "shell/run/pipeline_branch.h"
#include "shell/text/numbers.h"

namespace pgsink::shell {
namespace {

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

bool starts_with_word(std::string_view query, std::string_view upper) {
  return Lexer(query).next().is_word(upper);
}

}  // namespace

Pipeline::Pipeline(const CreatePipeline& statement, Context context)
    : statement_(statement),
      context_(context),
      common_tables_(statement.branches.size() > 1 ? statement.with : std::string_view(),
                     statement.with_position.offset) {}

Pipeline::~Pipeline() {
  for (const auto& branch : branches_) {
    if (branch->sink) context_.connections.retire(branch->syntax.target, branch->sink.get());
  }
  branches_.clear();
  for (size_t i = 0; i < created_tables_; ++i) {
    (void)context_.engine.execute(common_tables_.drop(i));
  }
}

std::string Pipeline::label(const Branch& branch) const {
  if (statement_.name.empty()) return branch.syntax.target;
  return statement_.branches.size() == 1 ? statement_.name
                                         : statement_.name + " -> " + branch.syntax.target;
}

Faults Pipeline::engine_fault(const Branch& branch, const EngineFault& fault,
                              const EngineSql& sql) const {
  return context_.places.engine_fault(fault, sql, branch.syntax.query_position, 1);
}

// ---- binding -------------------------------------------------------------------------------

Outcome Pipeline::bind() {
  context_.sources.forget_bound();
  for (; created_tables_ < common_tables_.count(); ++created_tables_) {
    const EngineSql sql = common_tables_.create(created_tables_);
    if (auto made = context_.engine.execute(sql.text()); !made) {
      return std::unexpected(
          context_.places.engine_fault(made.error(), sql, statement_.with_position, 4));
    }
  }
  for (const InsertBranch& syntax : statement_.branches) {
    branches_.push_back(std::make_unique<Branch>(syntax));
    if (auto bound = bind_branch(*branches_.back()); !bound) return bound;
  }
  return find_source();
}

Outcome Pipeline::bind_branch(Branch& branch) {
  const std::string& target = branch.syntax.target;
  branch.options = context_.connections.find(target);
  if (branch.options == nullptr && !context_.engine.has_table(target)) {
    return std::unexpected(context_.places.fault(
        make_error(Errc::kUnknownConnection, "there is no connection and no table '" + target +
                                                 "'" + context_.connections.did_you_mean(target)),
        branch.syntax.target_position.offset, target.size()));
  }
  branch.sql = query_sql(branch);
  if (auto bound = bind_query(branch); !bound || branch.options == nullptr) return bound;
  if (auto cast = cast_awkward_columns(branch.sql, branch.query.columns())) {
    branch.sql = std::move(*cast);
    if (auto bound = bind_query(branch); !bound) return bound;
  }
  return name_columns(branch);
}

Outcome Pipeline::bind_query(Branch& branch) {
  auto query = context_.engine.prepare(branch.sql.text());
  if (!query) return std::unexpected(engine_fault(branch, query.error(), branch.sql));
  branch.query = std::move(*query);
  return {};
}

/// The query of a branch as the engine gets it.
EngineSql Pipeline::query_sql(const Branch& branch) const {
  const InsertBranch& syntax = branch.syntax;
  EngineSql sql;
  if (common_tables_.count() > 0) {
    sql.own(common_tables_.reading(common_tables_.count())).own("\n");
  } else if (!statement_.with.empty()) {
    sql.source(statement_.with, statement_.with_position.offset).own("\n");
  }
  if (branch.options == nullptr) {
    sql.own("INSERT INTO ").own(engine_identifier(syntax.target));
    for (size_t i = 0; i < syntax.columns.size(); ++i) {
      sql.own(i == 0 ? " (" : ", ").own(engine_identifier(syntax.columns[i]));
    }
    sql.own(syntax.columns.empty() ? "\n" : ")\n");
  }
  // DuckDB takes no WITH behind a WITH list unless it stands in brackets.
  const bool nested = !sql.text().empty() && starts_with_word(syntax.query, "WITH");
  if (nested) sql.own("SELECT * FROM (");
  sql.source(syntax.query, syntax.query_position.offset);
  if (nested) sql.own("\n)");
  return sql;
}

Outcome Pipeline::name_columns(Branch& branch) {
  const auto& columns = branch.query.columns();
  const auto& given = branch.syntax.columns;
  std::vector<std::string> names;
  if (!given.empty() && given.size() != columns.size()) {
    return std::unexpected(context_.places.fault(
        make_error(Errc::kQuery, "INSERT INTO names " + std::to_string(given.size()) +
                                     " columns, but the query has " +
                                     std::to_string(columns.size())),
        branch.syntax.target_position.offset, branch.syntax.target.size()));
  }
  const bool by_position = given.empty() && starts_with_word(branch.syntax.query, "VALUES");
  names.reserve(columns.size());
  for (size_t i = 0; i < columns.size(); ++i) {
    names.push_back(!given.empty() ? given[i] : by_position ? "" : columns[i].name);
  }
  auto rows = ArrowRows::of(context_.engine, columns, names);
  if (!rows) {
    return std::unexpected(context_.places.fault(rows.error(), branch.syntax.query_position.offset,
                                                 branch.syntax.query.size()));
  }
  branch.rows = std::move(*rows);
  return {};
}

Outcome Pipeline::check() { return bind(); }

// ---- running -------------------------------------------------------------------------------

Outcome Pipeline::run() {
  if (auto bound = bind(); !bound) return bound;
  if (auto opened = open_sinks(); !opened) return opened;
  if (source_ != nullptr) return run_stream();
  if (auto filled = fill_common_tables(); !filled) return filled;
  for (const auto& branch : branches_) {
    if (context_.signals.received() != 0) break;
    if (auto done = run_branch(*branch); !done) return done;
  }
  return {};
}

Outcome Pipeline::open_sinks() {
  for (const auto& branch : branches_) {
    if (branch->options == nullptr) continue;
    SinkOptions options = *branch->options;
    if (source_ != nullptr) {
      const auto timeout = source_->rows->limits().delivery_timeout.count();
      if (timeout > 0) options.batch_timeout_ms = std::min(options.batch_timeout_ms, timeout);
    }
    const auto pool = context_.connections.pool(branch->syntax.target);
    auto sink = pool ? Sink::open(std::move(options), branch->rows.schema(), nullptr, *pool)
                     : std::unexpected(pool.error());
    if (!sink) {
      return std::unexpected(context_.places.fault(
          sink.error(), branch->syntax.target_position.offset, branch->syntax.target.size()));
    }
    branch->sink = std::move(*sink);
    for (const std::string& text : branch->sink->warnings()) context_.reporter.warning(text);
    context_.connections.attach(branch->syntax.target, branch->sink.get());
  }
  return {};
}

Outcome Pipeline::fill_common_tables() {
  for (size_t i = 0; i < common_tables_.count(); ++i) {
    const EngineSql sql = common_tables_.fill(i);
    auto filled = context_.engine.execute(sql.text());
    if (!filled && filled.error().interrupted && context_.signals.received() != 0) return {};
    if (!filled) {
      return std::unexpected(
          context_.places.engine_fault(filled.error(), sql, statement_.with_position, 4));
    }
  }
  return {};
}

Outcome Pipeline::run_branch(Branch& branch) {
  if (branch.options == nullptr) return run_in_engine(branch);
  const Stopwatch watch;
  Outcome outcome;
  const Sink& sink = *branch.sink;
  {
    const Progress progress(
        context_.progress, label(branch), [this, &sink, known = false]() mutable {
          Moved moved{.metrics = sink.metrics(), .fraction = context_.engine.progress()};
          known = known || moved.fraction;
          const auto accepted = static_cast<double>(moved.metrics.rows_accepted);
          // Of the input that was read, what is committed; and at the end nothing is read any more.
          if (known && accepted > 0) {
            const double written = static_cast<double>(moved.metrics.rows_written) / accepted;
            moved.fraction = moved.fraction.value_or(1) * written;
          }
          return moved;
        });
    outcome = stream(branch);
  }
  context_.connections.retire(branch.syntax.target, &sink);
  const bool interrupted = outcome && !branch.done;
  report(branch, !outcome ? "failed" : interrupted ? "interrupted" : "done", watch.seconds());
  return outcome;
}

Outcome Pipeline::run_in_engine(Branch& branch) {
  if (auto started = branch.query.start(); !started) {
    if (started.error().interrupted && context_.signals.received() != 0) return {};
    return std::unexpected(engine_fault(branch, started.error(), branch.sql));
  }
  return {};
}

/// Moves the rows of a branch and commits them. Leaves `done` false if a signal ended it early.
Outcome Pipeline::stream(Branch& branch) {
  auto started = branch.query.start();
  while (started && context_.signals.received() == 0) {
    auto chunk = branch.query.next();
    if (!chunk) {
      started = std::unexpected(chunk.error());
      break;
    }
    branch.done = !chunk->filled();
    if (branch.done) break;
    auto batch = branch.rows.batch(*chunk);
    if (!batch) return stopped_by(branch, batch.error());
    branch.rows_read += batch->row_count();
    batch->position = branch.rows_read;  // What exactly-once goes on behind.
    if (auto written = branch.sink->write(std::move(*batch)); !written) {
      return stopped_by(branch, written.error());
    }
  }
  const bool interrupted = !started && started.error().interrupted && context_.signals.received();
  if (!started && !interrupted) {
    Faults faults = engine_fault(branch, started.error(), branch.sql);
    const SinkMetrics metrics = branch.sink->metrics();
    faults.front().error.message += "; " + grouped(metrics.rows_written) + " of the " +
                                    grouped(branch.rows_read) + " rows before it are committed";
    return std::unexpected(std::move(faults));
  }
  if (auto closed = branch.sink->close(); !closed) return stopped_by(branch, closed.error());
  return {};
}

/// The sink stopped: says what is in the target and what is not.
Outcome Pipeline::stopped_by(Branch& branch, Error error) {
  const SinkMetrics metrics = branch.sink->metrics();
  error.message += "; " + grouped(metrics.rows_written) + " of " + grouped(branch.rows_read) +
                   " rows read are known to be committed";
  return std::unexpected(context_.places.fault(
      std::move(error), branch.syntax.target_position.offset, branch.syntax.target.size()));
}

void Pipeline::report(Branch& branch, std::string_view outcome, double seconds) {
  const SinkMetrics metrics = branch.sink->metrics();
  SinkReport report;
  report.pipeline = statement_.name;
  report.connection = branch.syntax.target;
  report.table = branch.options->schema + "." + branch.options->table;
  report.outcome = outcome;
  report.rows_read = branch.rows_read;
  report.rows_written = metrics.rows_written;
  report.rows_rejected = metrics.rejected_rows;
  report.batches_retried = metrics.retry_count;
  report.bytes = metrics.bytes_written;
  report.seconds = seconds;
  report.commit_p99_seconds = metrics.write_latency.quantile(0.99);
  reports_.push_back(std::move(report));
}

}  // namespace pgsink::shell
