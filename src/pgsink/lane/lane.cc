#include "pgsink/lane/lane.h"

#include <algorithm>
#include <new>
#include <utility>

#include "pgsink/lane/lane_messages.h"
#include "pgsink/lane/stop_report.h"
#include "pgsink/sql/control.h"

namespace pgsink {
namespace {

using Kind = FlightLog::Action::Kind;

/// How long it may take to read the table's catalog again.
constexpr Duration kLookTimeout = std::chrono::seconds(30);

/// Somebody who changes the table more often does not mean rows to get there.
constexpr uint32_t kChangesMax = 100;

Error error_of(Errc code, std::string message) {
  Error error;
  error.code = code;
  error.message = std::move(message);
  return error;
}

}  // namespace

Result<Lane::PlanTools> Lane::make_tools(const TargetPlan& target) {
  auto codecs = FlightEncoder::make_codecs(target.plan);
  if (!codecs) return fail(codecs.error());
  auto repeated_keys = RepeatedKeys::create(target.plan);
  if (!repeated_keys) return fail(repeated_keys.error());
  PlanTools tools{
      .codecs = std::move(*codecs), .repeated_keys = std::move(*repeated_keys), .finder = {}};
  if (target.leaves == nullptr) return tools;
  auto finder = target.leaves->finder();
  if (!finder) return fail(finder.error());
  tools.finder = std::move(*finder);
  return tools;
}

Result<std::unique_ptr<Lane>> Lane::create(Setup setup, std::unique_ptr<LaneDelivery> delivery) {
  auto tools = make_tools(*setup.plans.first());
  if (!tools) return fail(tools.error());
  return std::unique_ptr<Lane>(new Lane(std::move(setup), std::move(delivery), std::move(*tools)));
}

Lane::Lane(Setup setup, std::unique_ptr<LaneDelivery> delivery, PlanTools tools)
    : setup_(std::move(setup)),
      env_(setup_.env),
      log_(setup_.flights),
      metrics_(env_),
      trace_({.clock = env_.clock,
              .callback = setup_.options.on_flight,
              .connection = setup_.options.connection_name,
              .table = setup_.plans.first()->plan.table,
              .lane = setup_.number}),
      lines_({.callback = setup_.options.on_log,
              .connection = setup_.options.connection_name,
              .table = setup_.plans.first()->plan.table,
              .lane = setup_.number}),
      delivery_(std::move(delivery)),
      target_(setup_.plans.first()),
      link_({.env = env_,
             .inbox = setup_.inbox,
             .lane = setup_.number,
             .target = target_,
             .delivery = *delivery_,
             .origin = setup_.origin,
             .statements_max = setup_.statements_max}),
      intake_(setup_.inbox, setup_.number,
              {.transaction_rows = static_cast<size_t>(target_->plan.transaction_rows),
               .transaction_bytes = setup_.flight_bytes_max,
               .batch_rows = static_cast<size_t>(target_->plan.batch_rows),
               .ends_for_memory = !target_->plan.atomic}),
      sizes_({.grow = target_->plan.transactions_grow,
              .rows_first = static_cast<size_t>(target_->plan.batch_rows),
              .whole_batches = target_->plan.outcome_source == OutcomeSource::kEpoch},
             flights_, log_),
      rejects_(env_.clock, setup_.dead_letters, setup_.options.connection_name,
               target_->plan.table),
      leaves_(env_.clock),
      sender_({.clock = env_.clock,
               .target = target_,
               .delivery = *delivery_,
               .rejects = rejects_,
               .leaves = leaves_,
               .partitioner = setup_.partitioner},
              std::move(tools.codecs), std::move(tools.repeated_keys)),
      answers_({.clock = env_.clock,
                .target = target_,
                .log = log_,
                .metrics = metrics_,
                .transactions = setup_.transactions,
                .insert_letters = std::string(rejects_.insert_sql()),
                .creates_partitions = setup_.partitioner != nullptr}),
      settler_({.clock = env_.clock,
                .lane = setup_.number,
                .target = target_,
                .log = log_,
                .flights = flights_,
                .metrics = metrics_,
                .trace = trace_,
                .lines = lines_,
                .delivery = *delivery_,
                .sizes = sizes_,
                .rejects = rejects_,
                .leaves = leaves_,
                .sender = sender_,
                .partitioner = setup_.partitioner,
                .reports = setup_.reports}),
      own_({.own = setup_.transactions, .lane = setup_.number}) {
  leaves_.adopt(target_->leaves.get(), std::move(tools.finder), flights_);
}

Lane::~Lane() {
  if (task_) task_->join();
}

Status Lane::start(PoolLease connection) {
  link_.adopt(std::move(connection));
  begin_session();
  setup_.inbox.lanes().started();
  auto task = env_.tasks.spawn("pgsink-lane", [this] { run(); });
  if (!task) {
    setup_.inbox.lanes().ended();
    link_.leave(true);
    return fail(task.error());
  }
  task_ = std::move(*task);
  return {};
}

// ---- the loop ----------------------------------------------------------------------------------

void Lane::run() {
  try {
    while (turn()) metrics_.show_failing(log_.failing());
  } catch (const std::bad_alloc&) {
    // A read or write may be half done: only closing the connection is safe.
    step(FlightLog::Stopped{error_of(Errc::kOutOfMemory, "out of memory")});
  }
  end();
}

bool Lane::turn() {
  intake_.take(flights_, log_, env_.clock.now(), sizes_.rows_max(),
               [this] { return nothing_to_send(); });
  if (intake_.news().aborted) {
    step(FlightLog::Stopped{
        error_of(Errc::kInterrupted, "the sink was ended before its rows were committed")});
    return false;
  }
  if (link_) {
    if (const auto answers = handle_answers(); !answers) {
      lost(answers.error());
      return true;
    }
  }
  leaves_.find_some(flights_);
  const FlightLog::Action action = log_.next(env_.clock.now());
  if (done(action)) return false;
  perform(action);
  return true;
}

/// Whether a growing flight may end now: all of its rows are sent, as far as they can be before it
/// ends, and the server has little left to do, so that to wait for more rows gains nothing.
bool Lane::nothing_to_send() {
  constexpr size_t kAheadMax = 1;  // While the server works on one, the next one travels.
  Flight* const open = flights_.open();
  if (!sizes_.grow() || !link_ || open == nullptr) return false;
  const size_t ahead = link_->wire().size();
  if (link_->sending() == open->seq) return ahead <= kAheadMax + 1 && !open->next_rows();
  return link_->sending() == 0 && ahead <= kAheadMax && !sender_.may_begin(*open, *link_);
}

bool Lane::done(const FlightLog::Action& action) const {
  return action.kind == Kind::kFinished || (intake_.news().closing && log_.all_committed());
}

void Lane::perform(const FlightLog::Action& action) {
  if (link_ && link_->sending() != 0) return continue_rows(action.until);
  switch (action.kind) {
    case Kind::kConnect:
      return connect();
    case Kind::kFence:
    case Kind::kAskStatus:
    case Kind::kCountCommits:
    case Kind::kResolve:
      return ask_outcome(action);
    case Kind::kSend:
      return send(action);
    case Kind::kWait:
    case Kind::kFinished:
      return wait(action.until);
  }
}

/// For answers or news, whichever comes first.
void Lane::wait(Deadline deadline) {
  deadline = std::min(deadline, intake_.news().wake_at);
  if (!link_) return setup_.inbox.wait(setup_.number, deadline);
  const auto moved = link_->connection().pump(deadline);
  if (!moved && moved.error().code != Errc::kTimeout) lost(moved.error());
}

std::optional<FlightLog::Seq> Lane::step(const FlightLog::Event& event) {
  return log_.step(event, env_.clock.now());
}

// ---- what the log asks for ----------------------------------------------------------------------

void Lane::connect() {
  if (const Status connected = link_.connect(); !connected) {
    metrics_.error(connected.error());
    step(FlightLog::ConnectFailed{connected.error()});
    return;
  }
  begin_session();
}

void Lane::begin_session() {
  step(link_.connected());
  metrics_.connected();
  lines_.connected(link_->connection());
}

void Lane::ask_outcome(const FlightLog::Action& action) {
  const auto answer = pgsink::ask_outcome(action, flights_.at(action.seq), log_.committed_prefix(),
                                          *delivery_, link_->connection(), env_, own_);
  if (!answer) return lost(answer.error());
  if (std::holds_alternative<FlightLog::Fenced>(*answer)) lines_.fenced(action.backend);
  if (const auto* failed = std::get_if<FlightLog::FenceFailed>(&*answer)) {
    metrics_.error(failed->error);
  }
  if (const auto committed = step(*answer)) settler_.committed(*committed);
}

void Lane::send(const FlightLog::Action& action) {
  Flight& next = flights_.at(action.seq);
  sizes_.fit(next, *link_);
  const bool would_yield = next.is_open() && !next.in_doubt && any_in_doubt();
  if (would_yield || !sender_.may_begin(next, *link_)) return wait(action.until);
  if (next.in_doubt && !resolve_doubt(next)) return;
  drop_gone(next);
  if (next.generation != target_->generation) {
    rejects_.forget(next);
    next.failures = next.proofs_failed = 0;
    next.generation = target_->generation;
  }
  if (const Status begun = sender_.begin(next, *link_, log_.next_attempt()); !begun)
    return lost(begun.error());
  step(FlightLog::SendBegan{action.seq});
  link_->put_on_wire(action.seq);
  count_in_flight();
  metrics_.began(next, action.possible_duplicate, log_.retry_count());
  trace_.sent(next);
  if (const Status opened = sender_.open_rows(next, *link_); !opened) lost(opened.error());
}

/// Takes out rows that have become another writer's.
void Lane::drop_gone(Flight& flight) const {
  const auto is_gone = [&](const Piece& piece) { return delivery_->is_gone(piece); };
  if (!delivery_->loses_parts() || std::ranges::none_of(flight.pieces, is_gone)) return;
  rejects_.forget(flight);
  flight.restore_order();
  flight.drop_if(is_gone);
}

bool Lane::any_in_doubt() const { return std::ranges::any_of(flights_.all(), &Flight::in_doubt); }

/// Decides on the last attempt of a flight, now that nothing is on the wire. False if the flight is
/// not to be sent at once.
bool Lane::resolve_doubt(Flight& flight) {
  const Status looked = look_at_table(flight);
  if (link_->connection().broken()) {
    lost(looked ? error_of(Errc::kConnectionLost, "the connection broke after a failed transaction")
                : looked.error());
    return false;
  }
  if (!looked) {
    fail_unsent(flight, looked.error());
    return false;
  }
  flight.in_doubt = false;
  const auto& failure = flight.attempt.failure;
  if (failure && delivery_->is_fenced(failure->error)) {
    const auto lost = delivery_->find_lost(flight, link_->connection());
    if (!lost) {
      flight.in_doubt = true;
      pgsink::Error why = lost.error();
      if (link_->connection().broken()) {
        this->lost(std::move(why));
      } else {
        fail_unsent(flight, std::move(why));
      }
      return false;
    }
    if (*lost) return true;
  }
  // What failed by another plan says nothing of this one.
  if (flight.generation != target_->generation) return true;
  step(FlightLog::SendBegan{flight.seq});
  settler_.settle_without_doubt(flight, *link_);
  return false;
}

/// Takes the plan for what the table is now.
Status Lane::look_at_table(Flight& flight) {
  auto found = setup_.plans.look(target_, link_->connection(), env_.clock.now() + kLookTimeout);
  if (!found) return fail(found.error());
  if ((*found)->generation == target_->generation) return {};
  if (++flight.changes > kChangesMax) {
    return fail(Errc::kColumnType,
                "the table was changed " + std::to_string(kChangesMax) +
                    " times while one transaction was written: stop what alters it (ALTER TABLE "
                    "in the server's log), then open the sink again");
  }
  return adopt(std::move(*found));
}

Status Lane::adopt(TargetPlanPointer target) {
  auto tools = make_tools(*target);
  if (!tools) return fail(tools.error());
  link_->adopt(target->plan);
  sender_.adopt(target->plan, std::move(tools->codecs), std::move(tools->repeated_keys));
  leaves_.adopt(target->leaves.get(), std::move(tools->finder), flights_);
  target_ = std::move(target);
  return {};
}

/// The flight fails of what was found before it was sent.
void Lane::fail_unsent(const Flight& flight, Error error) {
  metrics_.error(error);
  step(FlightLog::SendBegan{flight.seq});
  step(FlightLog::Answered{.seq = flight.seq, .error = std::move(error)});
}

void Lane::continue_rows(Deadline until) {
  Flight& flight = flights_.at(link_->sending());
  const auto sent = sender_.continue_rows(flight, *link_, log_.stop_error());
  // Without its transaction's id, a commit whose answer is lost could not be found out.
  const bool identified = flight.attempt.phase >= AttemptPhase::kReceiving;
  if (target_->plan.atomic && identified && flight.attempt.next.piece > 0) {
    flight.let_go_of_sent();
    step(FlightLog::LetGo{flight.seq});
  }
  if (!sent) return lost(sent.error());
  if (*sent) return;
  // A failure is reported at once, whenever more rows come.
  if (flight.is_let_go() || !any_in_doubt()) return wait(until);
  if (const Status yielded = FlightSender::yield_copy(flight, *link_); !yielded) {
    lost(yielded.error());
  }
}

// ---- answers of the server ----------------------------------------------------------------------

Status Lane::handle_answers() {
  LaneSession& session = *link_;
  for (;;) {
    const auto event = session.connection().ready_event();
    if (!event) return fail(event.error());
    if (!*event) {
      tell_progress();
      return {};
    }
    if (session.observe(**event) && !session.wire().empty()) {
      Flight& oldest = flights_.at(session.wire().front());
      if (answers_.read(**event, oldest, session)) {
        session.take_off_wire();
        settler_.settle(oldest, session);
        count_in_flight();
      }
    }
    if (session.demoted()) {
      // A pooler or an address that moved led to it: another server may take writes.
      return fail(Errc::kSessionAttributes,
                  session.connection().endpoint() +
                      " no longer accepts writes (it became a standby, or "
                      "default_transaction_read_only is on): name the new primary in host if it is "
                      "not there");
    }
  }
}

/// The connection broke. Answers that arrived before still count.
void Lane::lost(Error error) {
  std::ignore = handle_answers();
  const uint64_t sent = link_->protocol().sent_position();
  for (const FlightLog::Seq seq : link_->wire()) {
    const Attempt& attempt = flights_.at(seq).attempt;
    const bool handed = attempt.commit_end > 0 && sent >= attempt.commit_end;
    if (handed) step(FlightLog::CommitHanded{seq, flights_.at(seq).rows_kept()});
  }
  const bool last_word = link_->fatal() && link_->connection().is_direct();
  if (link_->fatal()) error = *link_->fatal();
  metrics_.error(error);
  metrics_.lost(link_->wire().size());
  lines_.lost(error, link_->wire().size());
  for (const FlightLog::Seq seq : link_->wire()) trace_.lost(flights_.at(seq), error);
  link_.drop();
  step(FlightLog::Lost{std::move(error), last_word});
  count_in_flight();
}

void Lane::count_in_flight() {
  uint64_t rows = 0;
  if (link_) {
    for (const FlightLog::Seq seq : link_->wire()) rows += flights_.at(seq).rows;
  }
  metrics_.in_flight(rows);
  tell_progress();
}

void Lane::tell_progress() {
  OwnTransactions::Progress now{.sent = log_.next_attempt() - 1, .settled = 0};
  now.settled = now.sent;
  if (link_) {
    for (const FlightLog::Seq seq : link_->wire()) {
      now.settled -= flights_.at(seq).attempt.is_identified ? 0 : 1;
    }
  }
  if (now == told_) return;
  told_ = now;
  setup_.transactions.progress(setup_.number, now);
}

// ---- the end -----------------------------------------------------------------------------------

void Lane::end() {
  const bool stopped = log_.stop_error().has_value();
  if (stopped) {
    const Error cause = stop_cause();
    StopReport report = stop_report(log_, flights_, *delivery_, metrics_);
    SinkMetrics gauges;
    setup_.inbox.read_gauges(gauges);
    report.rows_accepted = gauges.rows_accepted;
    report.connection = setup_.options.connection_name;
    report.table = target_->plan.table;
    metrics_.error(describe_stop(cause, report));
    setup_.inbox.stop(cause, report);
  }
  link_.leave(!stopped);
  metrics_.disconnected();
  setup_.transactions.progress(setup_.number, {.sent = told_.sent, .settled = told_.sent});
  flights_.clear();
  setup_.inbox.lanes().ended();
}

Error Lane::stop_cause() {
  Error error = *log_.stop_error();
  const bool can_ask = link_ && link_->protocol().pending_requests() == 0;
  if (error.code == Errc::kFenced && can_ask) {
    delivery_->name_new_writer(error, link_->connection(), log_.committed_prefix());
  }
  return error;
}

}  // namespace pgsink
