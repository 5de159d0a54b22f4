#include "pgsink/lane/lane.h"

#include <algorithm>
#include <new>
#include <utility>

#include "pgsink/lane/lane_messages.h"
#include "pgsink/lane/outcome.h"
#include "pgsink/lane/stop_report.h"
#include "pgsink/sql/control.h"

namespace pgsink {
namespace {

using Kind = FlightLog::Action::Kind;

Error error_of(Errc code, std::string message) {
  Error error;
  error.code = code;
  error.message = std::move(message);
  return error;
}

}  // namespace

Lane::Lane(Setup setup, std::unique_ptr<LaneDelivery> delivery, RowEncoder encoder,
           std::optional<ColumnArrays> arrays)
    : setup_(std::move(setup)),
      env_(setup_.env),
      log_(setup_.flights),
      metrics_(env_),
      delivery_(std::move(delivery)),
      link_({.env = env_,
             .inbox = setup_.inbox,
             .lane = setup_.number,
             .plan = setup_.plan,
             .delivery = *delivery_,
             .origin = setup_.origin,
             .statements_max = setup_.statements_max}),
      intake_(setup_.inbox, setup_.number,
              {.transaction_rows = static_cast<size_t>(setup_.plan.transaction_rows),
               .transaction_bytes = setup_.flight_bytes_max}),
      rejects_(env_.clock, setup_.dead_letters, setup_.name, setup_.plan.table),
      leaves_(env_.clock, setup_.leaves, std::move(setup_.leaf_finder)),
      sender_({.clock = env_.clock,
               .plan = setup_.plan,
               .delivery = *delivery_,
               .rejects = rejects_,
               .leaves = leaves_,
               .partitioner = setup_.partitioner},
              std::move(encoder), std::move(arrays)),
      answers_({.clock = env_.clock,
                .plan = setup_.plan,
                .log = log_,
                .metrics = metrics_,
                .insert_letters = std::string(rejects_.insert_sql()),
                .creates_partitions = setup_.partitioner != nullptr}),
      settler_({.clock = env_.clock,
                .lane = setup_.number,
                .log = log_,
                .flights = flights_,
                .metrics = metrics_,
                .delivery = *delivery_,
                .rejects = rejects_,
                .leaves = leaves_,
                .partitioner = setup_.partitioner,
                .reports = setup_.reports}) {}

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
    // What was being read or written is half done: only closing the connection is safe.
    step(FlightLog::Stopped{error_of(Errc::kOutOfMemory, "out of memory")});
  }
  end();
}

bool Lane::turn() {
  intake_.take(flights_, log_, env_.clock.now());
  if (intake_.news().aborted) {
    step(FlightLog::Stopped{error_of(Errc::kInterrupted, "the sink was aborted")});
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

bool Lane::done(const FlightLog::Action& action) const {
  return action.kind == Kind::kFinished || (intake_.news().closing && log_.all_committed());
}

void Lane::perform(const FlightLog::Action& action) {
  if (link_ && link_->copying() != 0) return continue_copy(action.until);
  switch (action.kind) {
    case Kind::kConnect:
      return connect();
    case Kind::kFence:
    case Kind::kAskStatus:
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

// ---- what the log wants ------------------------------------------------------------------------

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
}

void Lane::ask_outcome(const FlightLog::Action& action) {
  const auto answer = pgsink::ask_outcome(action, flights_.at(action.seq), log_.committed_prefix(),
                                          *delivery_, link_->connection(), env_);
  if (!answer) return lost(answer.error());
  if (const auto* failed = std::get_if<FlightLog::FenceFailed>(&*answer)) {
    metrics_.error(failed->error);
  }
  if (const auto committed = step(*answer)) settler_.committed(*committed);
}

void Lane::send(const FlightLog::Action& action) {
  Flight& next = flights_.at(action.seq);
  if (!sender_.may_begin(next, *link_)) return wait(action.until);
  if (std::exchange(next.doubts_shape, false)) {
    if (const auto changed = shape_change()) {
      metrics_.error(*changed);
      step(FlightLog::SendBegan{action.seq});
      step(FlightLog::Answered{.seq = action.seq, .error = *changed});
      return;
    }
    if (link_->connection().broken()) {
      return lost(
          error_of(Errc::kConnectionLost, "the connection broke after a failed transaction"));
    }
  }
  if (const Status begun = sender_.begin(next, *link_); !begun) return lost(begun.error());
  step(FlightLog::SendBegan{action.seq});
  link_->put_on_wire(action.seq);
  count_in_flight();
  metrics_.began(next, action.possible_duplicate, log_.retry_count());
  if (const Status opened = sender_.open_rows(next, *link_); !opened) lost(opened.error());
}

/// What has changed of the table, if something has and the server says so.
std::optional<Error> Lane::shape_change() {
  const auto changed =
      setup_.plan.shape.changes(link_->connection(), env_.clock.now() + kAskTimeout);
  return changed ? *changed : std::nullopt;
}

void Lane::continue_copy(Deadline until) {
  const auto sent = sender_.continue_copy(flights_.at(link_->copying()), *link_, log_.stop_error());
  if (!sent) {
    lost(sent.error());
  } else if (!*sent) {
    wait(until);
  }
}

// ---- what the server says ----------------------------------------------------------------------

Status Lane::handle_answers() {
  LaneSession& session = *link_;
  for (;;) {
    const auto event = session.connection().ready_event();
    if (!event) return fail(event.error());
    if (!*event) return {};
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
                  "the server takes no writes any more: it is looked for again");
    }
  }
}

/// The connection broke. What had arrived before counts.
void Lane::lost(Error error) {
  std::ignore = handle_answers();
  const uint64_t sent = link_->protocol().sent_position();
  for (const FlightLog::Seq seq : link_->wire()) {
    const Attempt& attempt = flights_.at(seq).attempt;
    const bool handed = attempt.commit_end > 0 && sent >= attempt.commit_end;
    if (handed) step(FlightLog::CommitHanded{seq});
  }
  if (link_->fatal()) error = *link_->fatal();
  metrics_.error(error);
  metrics_.lost(link_->wire().size());
  link_.drop();
  step(FlightLog::Lost{std::move(error)});
  count_in_flight();
}

void Lane::count_in_flight() {
  uint64_t rows = 0;
  if (link_) {
    for (const FlightLog::Seq seq : link_->wire()) rows += flights_.at(seq).rows;
  }
  metrics_.in_flight(rows);
}

// ---- the end -----------------------------------------------------------------------------------

void Lane::end() {
  const bool stopped = log_.stop_error().has_value();
  if (stopped) {
    const Error cause = stop_cause();
    StopReport report = stop_report(log_, flights_, *delivery_, metrics_);
    report.connection = setup_.name;
    report.table = setup_.plan.table;
    metrics_.error(describe_stop(cause, report));
    setup_.inbox.stop(cause, report);
  }
  link_.leave(!stopped);
  metrics_.disconnected();
  flights_.clear();
  setup_.inbox.lanes().ended();
}

Error Lane::stop_cause() {
  Error error = *log_.stop_error();
  const bool can_ask = link_ && link_->protocol().pending_requests() == 0;
  if (error.code == Errc::kFenced && can_ask) {
    delivery_->name_new_writer(error, link_->connection(), log_.committed_prefix());
  }
  // Rows of other types are refused with words that say nothing of that.
  const bool of_rows = error.code == Errc::kServer || error.code == Errc::kRowRejected;
  if (can_ask && of_rows && log_.stop_seq() != 0) {
    if (auto changed = shape_change()) error = *std::move(changed);
  }
  return error;
}

}  // namespace pgsink
