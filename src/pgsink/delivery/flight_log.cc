#include "pgsink/delivery/flight_log.h"

#include <algorithm>
#include <array>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

namespace pgsink {
namespace {

// A backend that is gone may hold its place in the list of running transactions a little longer.
constexpr Duration kStatusAgainAfter = std::chrono::milliseconds(100);
constexpr uint32_t kStatusAskedMax = 50;
constexpr Duration kCountAgainAfter = std::chrono::milliseconds(20);

Error rolled_back() {
  Error error;
  error.code = Errc::kRolledBack;
  error.message =
      "the connection broke during COMMIT, and the transaction was rolled "
      "back";
  return error;
}
Error unknown_outcome() {
  Error error;
  error.code = Errc::kOutcomeUnknown;
  error.message =
      "the connection broke during COMMIT, and it cannot be found out whether the "
      "transaction is committed: look into the table before you load the rows again";
  return error;
}

}  // namespace

FlightLog::FlightLog(Config config)
    : config_(std::move(config)),
      backoff_(config_.retry, config_.jitter_seed),
      limit_(config_.retry) {
  PGPROTO_ASSERT(config_.window_max > 0);
}

std::optional<FlightLog::Seq> FlightLog::step(const Event& event, TimePoint now) {
  return std::visit([&](const auto& e) { return on(e, now); }, event);
}

std::optional<FlightLog::Seq> FlightLog::on(const Added&, TimePoint) {
  flights_.emplace_back();
  ++last_added_;
  return std::nullopt;
}

std::optional<FlightLog::Seq> FlightLog::on(const Connected& event, TimePoint) {
  PGPROTO_ASSERT(!connected_ && on_the_wire_ == 0);
  connected_ = true;
  incarnation_ = event.incarnation;
  backend_ = event.backend;
  xid_begin_ = event.xid_begin;
  fenced_.reset();
  if (flights_.empty()) limit_.succeeded();  // Nothing waits to succeed.
  if (config_.outcome_source == OutcomeSource::kEpoch) return std::nullopt;
  const bool by_xid = config_.outcome_source == OutcomeSource::kXid;
  for (Flight& flight : flights_) {
    if (flight.state != State::kUnknown) continue;
    const bool same_system = flight.incarnation.system_identifier == incarnation_.system_identifier;
    if (by_xid && !same_system) {
      // Ids mean nothing here.
      send_again_as_unknown(flight);
    } else if (flight.backend.pid == 0) {
      if (must_fence()) {
        Error error;
        error.code = Errc::kCannotFence;
        error.message =
            "the connection through a pooler broke before the server process was known, and that "
            "process may still be running: wait until pg_stat_activity shows no session of this "
            "sink, then open it again";
        stop(error, 0);
        gave_up_connecting_ = true;
      } else {
        send_again_as_unknown(flight);
      }
    }
  }
  return std::nullopt;
}

std::optional<FlightLog::Seq> FlightLog::on(const ConnectFailed& event, TimePoint now) {
  PGPROTO_ASSERT(!connected_);
  ++connect_failures_;
  connect_not_before_ = now + backoff_.delay(connect_failures_);
  const auto counted = limit_.failed(connect_failures_, event.error, now);
  if (!config_.retry.rule.allows_reconnect(event.error) || !counted) {
    stop(counted ? event.error : counted.error(), 0);
    gave_up_connecting_ = true;
  }
  return std::nullopt;
}

std::optional<FlightLog::Seq> FlightLog::on(const SendBegan& event, TimePoint) {
  Flight& sent = flight(event.seq);
  PGPROTO_ASSERT(connected_ && sent.state == State::kToSend);
  if (sent.failures > 0 || sent.possible_duplicate) ++retry_count_;
  sent.duplicate_said = sent.possible_duplicate;
  set_state(sent, State::kOnWire);
  sent.commit_handed = false;
  sent.xid = 0;
  sent.attempt = ++attempts_;
  sent.backend = backend_;
  sent.incarnation = incarnation_;
  sent.status_asked = 0;
  ++on_the_wire_;
  return std::nullopt;
}

std::optional<FlightLog::Seq> FlightLog::on(const Identified& event, TimePoint) {
  Flight& sent = flight(event.seq);
  PGPROTO_ASSERT(sent.state == State::kOnWire);
  sent.xid = event.xid;
  sent.backend = event.backend;
  // A backend executes what it is sent in order.
  xid_begin_ = std::max(xid_begin_, event.xid + 1);
  return std::nullopt;
}

std::optional<FlightLog::Seq> FlightLog::on(const CommitHanded& event, TimePoint) {
  PGPROTO_ASSERT(flight(event.seq).state == State::kOnWire);
  flight(event.seq).commit_handed = true;
  flight(event.seq).rows = event.rows;
  return std::nullopt;
}

std::optional<FlightLog::Seq> FlightLog::on(const Answered& event, TimePoint now) {
  PGPROTO_ASSERT(flight(event.seq).state == State::kOnWire);
  --on_the_wire_;
  if (!event.error) return commit(event.seq);

  if (fails_by_itself(event.seq)) {
    fail_flight(event.seq, *event.error, event.repeat, now);
  } else {
    // Its guard, or the broken transaction before it, rolled it back.
    send_again(flight(event.seq), *event.error);
  }
  return std::nullopt;
}

std::optional<FlightLog::Seq> FlightLog::on(const SetAside& event, TimePoint now) {
  Flight& aside = flight(event.seq);
  PGPROTO_ASSERT(aside.state == State::kOnWire && fails_by_itself(event.seq));
  --on_the_wire_;
  set_state(aside, State::kToSend);
  aside.set_aside = true;
  aside.not_before = now;
  connect_failures_ = 0;
  return std::nullopt;
}

std::optional<FlightLog::Seq> FlightLog::on(const LetGo& event, TimePoint) {
  flight(event.seq).let_go = true;
  return std::nullopt;
}

std::optional<FlightLog::Seq> FlightLog::on(const Divided& event, TimePoint) {
  const auto place = static_cast<ptrdiff_t>(event.seq + 1 - first_seq());
  PGPROTO_ASSERT(flight(event.seq).state == State::kToSend ||
                 flight(event.seq).state == State::kOnWire);
  flights_.insert(flights_.begin() + place, Flight{});
  ++last_added_;
  return std::nullopt;
}

std::optional<FlightLog::Seq> FlightLog::on(const Lost& event, TimePoint now) {
  PGPROTO_ASSERT(connected_);
  connected_ = false;
  on_the_wire_ = 0;
  ++connect_failures_;
  connect_not_before_ = connect_failures_ == 1 ? now : now + backoff_.delay(connect_failures_);
  for (size_t i = 0; i < flights_.size(); ++i) {
    Flight& sent = flights_[i];
    if (sent.state != State::kOnWire) continue;
    // Without COMMIT it cannot be committed; but its backend may still hold the epoch row.
    const bool began = !event.last_word || config_.outcome_source != OutcomeSource::kXid ||
                       config_.idempotent || sent.xid != 0;
    const bool ask =
        (sent.commit_handed && began) || config_.outcome_source == OutcomeSource::kEpoch;
    if (ask) {
      set_state(sent, State::kUnknown);
      sent.xid_begin = xid_begin_;
    } else {
      send_again(sent, event.error);
    }
    sent.not_before = now;
    const auto counted = limit_.failed(++sent.failures, event.error, now);
    if (!counted) stop(counted.error(), first_seq() + i);
  }
  if (!config_.retry.rule.allows_reconnect(event.error)) stop(event.error, 0);
  if (const auto counted = limit_.failed(connect_failures_, event.error, now); !counted) {
    stop(counted.error(), 0);
    gave_up_connecting_ = true;
  }
  return std::nullopt;
}

std::optional<FlightLog::Seq> FlightLog::on(const Fenced& event, TimePoint) {
  const auto unknown = first_unknown();
  PGPROTO_ASSERT(connected_ && unknown);
  fenced_ = flight(*unknown).backend;
  fenced_xid_end_ = event.xid_end;
  if (config_.outcome_source != OutcomeSource::kXid) return std::nullopt;
  for (Flight& lost : flights_) {
    if (!lacks_xid(lost)) continue;
    const bool can_count = lost.xid_begin != 0 && event.xid_end != 0 && !config_.idempotent;
    if (event.last_attempt != 0 && lost.attempt > event.last_attempt) {
      send_again(lost, rolled_back());
    } else if (!can_count) {
      send_again_as_unknown(lost);
    }
  }
  return std::nullopt;
}

std::optional<FlightLog::Seq> FlightLog::on(const FenceFailed& event, TimePoint) {
  const auto unknown = first_unknown();
  PGPROTO_ASSERT(connected_ && unknown);
  const BackendIdentity backend = flight(*unknown).backend;
  // A backend of a former run of the server has ended: its pid may be that of another one now.
  const bool may_run = flight(*unknown).incarnation == incarnation_;
  if (must_fence() && (may_run || config_.outcome_source != OutcomeSource::kXid)) {
    stop(event.error, 0);
    gave_up_connecting_ = true;
    return std::nullopt;
  }
  for (Flight& lost : flights_) {
    if (lost.state == State::kUnknown && lost.backend == backend) send_again_as_unknown(lost);
  }
  return std::nullopt;
}

std::optional<FlightLog::Seq> FlightLog::on(const StatusAnswered& event, TimePoint now) {
  Flight& asked = flight(event.seq);
  PGPROTO_ASSERT(connected_ && asked.state == State::kUnknown && fenced_ == asked.backend);
  switch (event.status) {
    case XactStatus::kCommitted:
      if (asked.incarnation == incarnation_) return commit(event.seq);
      // After a crash it may be another transaction's.
      send_again_as_unknown(asked);
      break;
    case XactStatus::kAborted:
      send_again(asked, rolled_back());
      break;
    case XactStatus::kInProgress:
      asked.not_before = now + kStatusAgainAfter;
      if (++asked.status_asked >= kStatusAskedMax) send_again_as_unknown(asked);
      break;
    case XactStatus::kInFuture:
      if (asked.incarnation != incarnation_) {
        send_again(asked, rolled_back());  // The crash has forgotten it, and its rows.
        break;
      }
      [[fallthrough]];
    case XactStatus::kTooOld:
      send_again_as_unknown(asked);
      break;
  }
  return std::nullopt;
}

std::optional<FlightLog::Seq> FlightLog::on(const CommitsCounted& event, TimePoint now) {
  PGPROTO_ASSERT(connected_ && fenced_);
  std::vector<Flight*> lost;
  for (Flight& flight : flights_) {
    if (lacks_xid(flight)) lost.push_back(&flight);
  }
  PGPROTO_ASSERT(!lost.empty());
  if (!event.is_final && ++lost.front()->status_asked < kStatusAskedMax) {
    lost.front()->not_before = now + kCountAgainAfter;
    return std::nullopt;
  }
  // Which of them committed is not known, so those with the most rows are assumed.
  std::ranges::sort(lost, std::greater(), &Flight::rows);
  for (size_t i = 0; i < lost.size(); ++i) {
    i < event.others ? send_again_as_unknown(*lost[i]) : send_again(*lost[i], rolled_back());
  }
  return std::nullopt;
}

std::optional<FlightLog::Seq> FlightLog::on(const Resolved& event, TimePoint) {
  PGPROTO_ASSERT(connected_ && flight(event.seq).state == State::kUnknown);
  if (event.committed) return commit(event.seq);
  send_again(flight(event.seq), rolled_back());
  return std::nullopt;
}

std::optional<FlightLog::Seq> FlightLog::on(const ResolveFailed& event, TimePoint) {
  stop(event.error, 0);
  gave_up_connecting_ = true;
  return std::nullopt;
}

std::optional<FlightLog::Seq> FlightLog::on(const Stopped& event, TimePoint) {
  stop(event.error, 0);
  return std::nullopt;
}

std::optional<FlightLog::Seq> FlightLog::commit(Seq seq) {
  set_state(flight(seq), State::kCommitted);
  connect_failures_ = 0;
  limit_.succeeded();
  while (!flights_.empty() && flights_.front().state == State::kCommitted) flights_.pop_front();
  return seq;
}

void FlightLog::fail_flight(Seq seq, const Error& error, bool repeat, TimePoint now) {
  Flight& failed = flight(seq);
  set_state(failed, State::kToSend);
  ++failed.failures;
  failed.not_before = now + backoff_.delay(failed.failures);
  const bool again = !failed.let_go && (repeat || config_.retry.rule.allows(error));
  const auto counted = limit_.failed(failed.failures, error, now);
  if (!again || !counted) stop(again ? counted.error() : error, seq);
}

void FlightLog::send_again(Flight& flight, const Error& why) {
  set_state(flight, State::kToSend);
  if (flight.let_go) stop(why, seq_of(flight));
}

bool FlightLog::lacks_xid(const Flight& flight) const {
  return flight.state == State::kUnknown && flight.xid == 0 && flight.backend == fenced_;
}

FlightLog::Seq FlightLog::seq_of(const Flight& flight) const {
  const auto found =
      std::ranges::find_if(flights_, [&](const Flight& one) { return &one == &flight; });
  return first_seq() + static_cast<Seq>(found - flights_.begin());
}

void FlightLog::send_again_as_unknown(Flight& lost) {
  send_again(lost, unknown_outcome());
  lost.possible_duplicate = !config_.idempotent;
  lost.duplicate_said = false;
}

void FlightLog::stop(const Error& error, Seq seq) {
  if (stop_error_) return;  // The first cause is the one to report.
  stop_error_ = error;
  stop_seq_ = seq;
}

void FlightLog::set_state(Flight& flight, State state) {
  if (flight.state == State::kUnknown) --unknown_;
  if (state == State::kUnknown) ++unknown_;
  flight.state = state;
}

std::optional<FlightLog::Seq> FlightLog::first_unknown() const {
  if (unknown_ == 0) return std::nullopt;
  for (size_t i = 0; i < flights_.size(); ++i) {
    if (flights_[i].state == State::kUnknown) return first_seq() + i;
  }
  return std::nullopt;
}

size_t FlightLog::unknown_count() const {
  return static_cast<size_t>(std::ranges::count_if(flights_, [](const Flight& f) {
    return f.state == State::kUnknown || f.possible_duplicate;
  }));
}

std::optional<FlightLog::Seq> FlightLog::sendable(TimePoint now, Deadline& wake_at) const {
  // Behind a pooler. PgBouncer before 1.21 forgets, at the end of a COPY, messages that were sent
  // after it: it would give the session to other clients while our next transactions are in
  // progress there.
  const bool one_by_one = backend_.pid == 0;
  const size_t window = one_by_one ? 1 : config_.window_max;
  if (stop_error_ || on_the_wire_ >= window) return std::nullopt;
  std::optional<Seq> found;
  // In order, nothing may be on the wire after what is sent. Thousands of flights may wait after
  // the last that is: they are not looked at.
  size_t unseen = config_.ordered ? on_the_wire_ : 0;
  for (size_t i = 0; i < flights_.size() && (!found || unseen > 0); ++i) {
    const Flight& candidate = flights_[i];
    if (candidate.state == State::kOnWire && config_.ordered) {
      if (candidate.set_aside || found) return std::nullopt;
      --unseen;
    }
    if (found || candidate.state != State::kToSend) continue;
    if (candidate.not_before > now) {
      wake_at = std::min(wake_at, candidate.not_before);
      if (config_.ordered) return std::nullopt;
      continue;
    }
    found = first_seq() + i;
  }
  return found;
}

std::string FlightLog::describe(TimePoint now) const {
  static constexpr std::array<std::string_view, 4> kStates{"to send", "on wire", "unknown",
                                                           "committed"};
  std::string text = connected_ ? "connected" : "not connected";
  text += ", connect failures " + std::to_string(connect_failures_);
  if (!connected_ && connect_not_before_ > now) text += " (waits)";
  if (connected_) text += ", life " + incarnation_.stats_reset;
  if (fenced_) text += ", fenced " + std::to_string(fenced_->pid);
  if (stop_error_) text += ", stopped by " + stop_error_->to_string();
  if (gave_up_connecting_) text += ", gave up";
  for (size_t i = 0; i < flights_.size(); ++i) {
    const Flight& f = flights_[i];
    text += "; " + std::to_string(first_seq() + i) + " ";
    text += kStates[static_cast<size_t>(f.state)];
    text += ", failures " + std::to_string(f.failures) + ", xid " + std::to_string(f.xid);
    text += ", backend " + std::to_string(f.backend.pid) + ", life " + f.incarnation.stats_reset;
    if (f.commit_handed) text += ", commit handed";
    if (f.possible_duplicate) text += ", possible duplicate";
    if (f.duplicate_said) text += " (said)";
    if (f.status_asked > 0) text += ", asked";
    if (f.xid_begin > 0) text += ", after others";
    if (f.set_aside) text += ", deferred";
    if (f.let_go) text += ", let go";
    if (f.not_before > now) text += ", waits";
  }
  return text;
}

FlightLog::Action FlightLog::next(TimePoint now) const {
  Action action;
  const auto unknown = first_unknown();
  if (stop_error_ && on_the_wire_ == 0 && (!unknown || gave_up_connecting_)) {
    action.kind = Action::Kind::kFinished;
    return action;
  }
  if (!connected_) {
    const bool work = unknown || (!stop_error_ && !flights_.empty());
    if (!work) return action;
    action.until = connect_not_before_;
    if (now >= connect_not_before_) action.kind = Action::Kind::kConnect;
    return action;
  }
  if (unknown) {
    const Flight& lost = flight(*unknown);
    action.seq = *unknown;
    action.xid = lost.xid;
    action.backend = lost.backend;
    const bool fence_first = config_.outcome_source != OutcomeSource::kEpoch;
    if (fence_first && fenced_ != lost.backend) {
      action.kind = Action::Kind::kFence;
    } else if (config_.outcome_source != OutcomeSource::kXid) {
      action.kind = Action::Kind::kResolve;
    } else if (now < lost.not_before) {
      action.until = lost.not_before;
    } else if (lost.xid != 0) {
      action.kind = Action::Kind::kAskStatus;
    } else {
      action.kind = Action::Kind::kCountCommits;
      action.xid = lost.xid_begin;
      action.xid_end = fenced_xid_end_;
      action.without_xid = static_cast<uint64_t>(
          std::ranges::count_if(flights_, [&](const Flight& one) { return lacks_xid(one); }));
    }
    return action;
  }
  if (const auto seq = sendable(now, action.until)) {
    action.kind = Action::Kind::kSend;
    action.seq = *seq;
    action.possible_duplicate = flight(*seq).possible_duplicate && !flight(*seq).duplicate_said;
  }
  return action;
}

}  // namespace pgsink
