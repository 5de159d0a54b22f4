// A pipeline over an unbounded source: micro-batch by micro-batch.
//
// Each is run through all queries before a row of it goes to a sink. If the engine refuses it, the
// rows that the source's own expressions cannot read are found by halving, rejected, and the rest
// is run again. So a malformed line never takes a good one with it.

#include <chrono>

#include "shell/run/pipeline.h"
#include "shell/run/pipeline_branch.h"
#include "shell/run/stateless.h"
#include "shell/text/numbers.h"

namespace pgsink::shell {
namespace {

using std::chrono::steady_clock;

/// How long one wait for rows takes at most; then signals are looked at.
constexpr std::chrono::milliseconds kTick{50};
/// Rejected rows that are told one by one.
constexpr uint64_t kRejectsToldMax = 10;

/// Lets signals interrupt the engine again.
class WithoutInterrupts {
 public:
  WithoutInterrupts(Signals& signals, Engine& engine) : signals_(signals), engine_(engine) {
    signals_.on_signal({});
  }
  ~WithoutInterrupts() {
    signals_.on_signal([&engine = engine_] { engine.interrupt(); });
  }
  WithoutInterrupts(const WithoutInterrupts&) = delete;
  WithoutInterrupts& operator=(const WithoutInterrupts&) = delete;

 private:
  Signals& signals_;
  Engine& engine_;
};

}  // namespace

// ---- binding -------------------------------------------------------------------------------

Outcome Pipeline::find_source() {
  const auto bound = context_.sources.bound();
  if (bound.empty()) return {};
  const SourcePosition place = branches_.front()->syntax.query_position;
  if (bound.size() > 1) {
    return std::unexpected(context_.places.fault(
        make_error(Errc::kQuery, "a pipeline reads one unbounded source, not both '" +
                                     bound[0]->name + "' and '" + bound[1]->name + "'"),
        place.offset, 1));
  }
  source_ = bound.front();
  for (const auto& branch : branches_) {
    if (branch->options == nullptr || branch->options->delivery != Delivery::kExactlyOnce) continue;
    return std::unexpected(context_.places.fault(
        make_error(Errc::kOptionConflict,
                   "delivery = 'exactly_once' needs a source that can be read "
                   "again; '" +
                       source_->name + "' cannot"),
        branch->syntax.target_position.offset, branch->syntax.target.size()));
  }
  return check_stateless();
}

Outcome Pipeline::check_stateless() {
  for (size_t i = 0; i < common_tables_.count(); ++i) {
    const EngineSql sql = common_tables_.select(i);
    const auto plan = plan_of(context_.engine, sql.text());
    if (!plan) {
      return std::unexpected(
          context_.places.engine_fault(plan.error(), sql, statement_.with_position, 4));
    }
    if (auto fits = refuse(*plan, statement_.with_position, 4); !fits) return fits;
  }
  for (const auto& branch : branches_) {
    const auto plan = plan_of(context_.engine, branch->sql.text());
    if (!plan) return std::unexpected(engine_fault(*branch, plan.error(), branch->sql));
    const size_t word = branch->syntax.query.find_first_of(" \n\t(");
    if (auto fits = refuse(*plan, branch->syntax.query_position, word); !fits) return fits;
  }
  return {};
}

Outcome Pipeline::refuse(const PlanNode& plan, SourcePosition place, size_t length) {
  const auto what = what_keeps_state(plan, source_->function);
  if (!what) return {};
  return std::unexpected(context_.places.fault(
      make_error(Errc::kQuery,
                 "a query over the unbounded source '" + source_->name +
                     "' works on each row by itself, with expressions and WHERE; this one has " +
                     *what + ", which would need rows that may never come"),
      place.offset, std::max<size_t>(length, 1)));
}

// ---- running -------------------------------------------------------------------------------

Outcome Pipeline::run_stream() {
  const WithoutInterrupts guard(context_.signals, context_.engine);
  const auto begin = steady_clock::now();
  flushed_at_ = begin;
  Outcome outcome;
  {
    const Progress progress(context_.progress,
                            statement_.name.empty() ? source_->name : statement_.name, [this] {
                              SinkMetrics all;
                              for (const auto& branch : branches_) {
                                if (branch->sink) all.merge(branch->sink->metrics());
                              }
                              return Moved{all};
                            });
    outcome = stream_until_end();
    // What was accepted is committed, however it ended: nobody can send it again.
    for (const auto& branch : branches_) {
      if (!branch->sink) continue;
      const auto closed = branch->sink->close();
      context_.connections.retire(branch->syntax.target, branch->sink.get());
      if (!closed && outcome) outcome = stopped_by(*branch, closed.error());
    }
  }
  if (outcome) outcome = keep_up();
  const double seconds = std::chrono::duration<double>(steady_clock::now() - begin).count();
  for (const auto& branch : branches_) {
    if (branch->options == nullptr) continue;
    report(*branch, !outcome ? "failed" : branch->done ? "done" : "interrupted", seconds);
    reports_.back().rows_rejected += rejected_;
  }
  return outcome;
}

Outcome Pipeline::stream_until_end() {
  const size_t rows_max = source_->rows->limits().batch_rows_max;
  bool finishing = false;
  for (;;) {
    if (context_.signals.received() != 0 && !finishing) {
      finishing = true;
      source_->rows->finish();
    }
    auto rows = source_->rows->next(rows_max, steady_clock::now() + kTick);
    if (!rows) return source_fault(rows.error());
    const bool end = rows->end;
    if (rows->batch.row_count() > 0) {
      if (auto moved = move(std::move(*rows)); !moved) return moved;
    }
    if (auto kept = keep_up(); !kept) return kept;
    if (!end) continue;
    for (const auto& branch : branches_) branch->done = !finishing;
    return {};
  }
}

/// Moves one micro-batch into the sinks.
Outcome Pipeline::move(UnboundedSource::Rows rows) {
  read_position_ = rows.batch.position;
  for (const auto& branch : branches_) branch->rows_read += rows.batch.row_count();
  source_->feed.set(std::move(rows.batch));
  auto made = make();
  if (!made) {
    bool any = false;
    if (auto rejected = reject_faulty(any); !rejected) return rejected;
    if (any) made = make();
  }
  if (!made) {
    EngineFault fault = made.error();
    const size_t last = source_->feed.batch().row_count() - 1;
    fault.error.message += "; in source '" + source_->name + "', between " +
                           source_->rows->place(0) + " and " + source_->rows->place(last);
    return std::unexpected(engine_fault(*branches_.front(), fault, branches_.front()->sql));
  }
  for (size_t i = 0; i < branches_.size(); ++i) {
    Branch& branch = *branches_[i];
    for (RecordBatch& batch : (*made)[i]) {
      batch.position = read_position_;
      if (auto written = branch.sink->write(std::move(batch)); !written) {
        return stopped_by(branch, written.error());
      }
      branch.written_position = read_position_;
    }
  }
  return {};
}

/// What every branch makes of the micro-batch. Branches into the engine's own tables come last:
/// they are done when they are made.
EngineResult<std::vector<Pipeline::Made>> Pipeline::make() {
  for (size_t i = 0; i < common_tables_.count(); ++i) {
    auto filled = context_.engine.execute(common_tables_.refill(i).text());
    if (!filled) return std::unexpected(filled.error());
  }
  std::vector<Made> all(branches_.size());
  for (const bool into_engine : {false, true}) {
    for (size_t i = 0; i < branches_.size(); ++i) {
      if ((branches_[i]->options == nullptr) != into_engine) continue;
      auto made = make(*branches_[i]);
      if (!made) return std::unexpected(made.error());
      all[i] = std::move(*made);
    }
  }
  return all;
}

EngineResult<Pipeline::Made> Pipeline::make(Branch& branch) {
  Made made;
  if (auto started = branch.query.start(); !started) return std::unexpected(started.error());
  while (branch.options != nullptr) {
    auto chunk = branch.query.next();
    if (!chunk) return std::unexpected(chunk.error());
    if (!chunk->filled()) break;
    auto batch = branch.rows.batch(*chunk);
    if (!batch) return std::unexpected(EngineFault{batch.error(), std::nullopt, false});
    made.push_back(std::move(*batch));
  }
  return made;
}

// ---- rejecting -----------------------------------------------------------------------------

/// The rows of a range that the source's own expressions fail for, each with the reason.
std::vector<std::pair<size_t, std::string>> Pipeline::faulty_rows(Query& whole, size_t begin,
                                                                  size_t count) {
  source_->feed.narrow(begin, count);
  std::string reason;
  auto started = whole.start();
  if (!started) reason = started.error().error.message;
  while (started) {
    const auto chunk = whole.next();
    if (!chunk) reason = chunk.error().error.message;
    if (!chunk || !chunk->filled()) break;
  }
  if (reason.empty()) return {};
  if (count == 1) return {{begin, reason}};
  auto faulty = faulty_rows(whole, begin, count / 2);
  for (auto& row : faulty_rows(whole, begin + count / 2, count - count / 2)) {
    faulty.push_back(std::move(row));
  }
  return faulty;
}

Outcome Pipeline::reject_faulty(bool& any) {
  auto whole = context_.engine.prepare("SELECT * FROM temp." + engine_identifier(source_->name));
  if (!whole) return source_fault(whole.error().error);
  const size_t count = source_->feed.batch().row_count();
  const auto faulty = faulty_rows(*whole, 0, count);
  source_->feed.narrow(0, count);
  any = !faulty.empty();
  for (const auto& [row, reason] : faulty) {
    source_->feed.drop(row);
    ++rejected_;
    const std::string what = source_->rows->place(row) + ": " + reason;
    if (rejected_ > source_->rows->limits().rejects_max) {
      const auto max = source_->rows->limits().rejects_max;
      return source_fault(make_error(
          Errc::kUsage,
          what + (max == 0 ? "; max_rejects lets that many such rows pass by"
                           : "; that is one more than max_rejects = " + std::to_string(max))));
    }
    if (rejected_ <= kRejectsToldMax) {
      context_.reporter.warning("source " + source_->name + ", " + what + "; it is rejected");
    }
  }
  return {};
}

Outcome Pipeline::source_fault(Error error) const {
  error.message = "source '" + source_->name + "': " + error.message;
  const auto& syntax = branches_.front()->syntax;
  return std::unexpected(context_.places.fault(std::move(error), syntax.query_position.offset, 1));
}

// ---- what is committed ---------------------------------------------------------------------

/// Ends epochs in time, and tells the source what every sink has committed.
Outcome Pipeline::keep_up() {
  uint64_t committed = read_position_;
  const auto now = steady_clock::now();
  bool flushed = false;
  for (const auto& branch : branches_) {
    if (!branch->sink) continue;
    const std::chrono::milliseconds timeout(branch->options->batch_timeout_ms);
    // Rows of two-phase commit are not seen before somebody ends their epoch.
    const bool due = branch->options->use_2pc && now - flushed_at_ >= timeout && !branch->done;
    if (due) {
      flushed = true;
      if (auto done = branch->sink->flush(); !done) return stopped_by(*branch, done.error());
    }
    const uint64_t durable = branch->sink->durable_position();
    if (durable < branch->written_position) committed = std::min(committed, durable);
  }
  if (flushed) flushed_at_ = now;
  if (committed == 0) return {};
  if (auto told = source_->rows->committed(committed); !told) return source_fault(told.error());
  return {};
}

}  // namespace pgsink::shell
