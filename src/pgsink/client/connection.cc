#include "pgsink/client/connection.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "pgsink/client/connect.h"
#include "pgsink/client/identity.h"
#include "pgsink/client/query_collector.h"

namespace pgsink {

using pgproto::Event;

namespace {

// Statements of query_each() that may await answers; more do not make it faster.
constexpr size_t kQueriesAtOnceMax = 64;
// How long an answer may travel.
constexpr Duration kLateAnswerMax = std::chrono::seconds(1);
// Nobody answers: the second time, the server counts as gone.
constexpr int kLooksInVainMax = 2;

std::string cut(std::string_view text) { return std::string(text.substr(0, kNoticeBytesMax)); }

}  // namespace

Connection::Connection(Env& env, const ConnectOptions& options) : env_(env), options_(options) {
  options_.password.clear();  // Only cancel() needs the options again, and it does not log in.
}

Result<std::unique_ptr<Connection>> Connection::open(Env& env, const ConnectOptions& options,
                                                     pgproto::SaltedKeyCache* salted_keys) {
  return Connector(env, options, salted_keys).open();
}

Connection::~Connection() {
  if (!transport_) return;
  // Unsent output may contain a COMMIT that its owner gave up: it must not be sent on destruction.
  if (!broken_ && session_ && session_->output().empty()) {
    session_->terminate();
    if (!session_->output().empty()) {
      std::ignore = transport_->exchange(session_->output(), {}, kAtOnce);
      transport_->end_stream();
    }
  }
  transport_->close();
}

// ---- the loop -----------------------------------------------------------------------------------

std::unexpected<Error> Connection::break_with(Error error) {
  broken_ = true;
  failure_ = error;
  transport_->close();
  return fail(std::move(error));
}

// The connection ended. The server's last messages are read first: a FATAL explains the end better
// than the socket does.
std::unexpected<Error> Connection::lost(const Error* cause) {
  if (auto status = stash_events(); !status) return break_with(std::move(status.error()));
  Error error;
  if (auto status = session_->received_eof(); !status) {
    error = std::move(status.error());
  } else {
    error.code = Errc::kConnectionLost;
    error.message = "the server closed the connection";
  }
  if (!error.sqlstate.is_set() && cause != nullptr) {
    error.message += " (" + cause->message + ")";
    if (cause->code == Errc::kTls) error.code = Errc::kTls;
  }
  error.message = endpoint_ + ": " + error.message;
  return break_with(std::move(error));
}

Result<bool> Connection::pump(Deadline deadline) {
  if (broken_) return fail(*failure_);
  ++counters_.exchanges;
  Deadline until = deadline;
  if (watch_ && !answers_due()) {
    due_since_.reset();
  } else if (watch_) {
    if (!due_since_) due_since_ = env_.clock.now();
    until = std::min(deadline, *due_since_ + watch_->longest);
  }
  const auto exchanged = transport_->exchange(session_->output(), session_->receive_space(), until);
  if (exchanged) return moved(*exchanged);
  if (exchanged.error().code != Errc::kTimeout) return lost(&exchanged.error());
  if (until < deadline) {
    if (auto alive = check_silence(); !alive) return fail(alive.error());
    if (deadline == kNoDeadline || env_.clock.now() < deadline) return true;
  }
  return fail(Errc::kTimeout, endpoint_ + ": " + exchanged.error().message);
}

Result<bool> Connection::moved(const Transport::Moved& moved) {
  session_->output_sent(moved.sent);
  session_->received(moved.received);
  counters_.bytes_sent += moved.sent;
  counters_.bytes_received += moved.received;
  if (moved.sent > 0 || moved.received > 0) {
    due_since_.reset();
    looks_in_vain_ = 0;
  }
  if (moved.eof) return lost(nullptr);
  return !moved.interrupted;
}

// ---- silence ------------------------------------------------------------------------------------

void Connection::watch_silence(const SilenceWatch& watch) {
  watch_.reset();
  if (watch.longest <= Duration::zero()) return;
  if (server_.backend.backend_start.empty()) return;
  watch_ = std::make_unique<SilenceWatch>(watch);
}

bool Connection::answers_due() const {
  return !session_->output().empty() || session_->answers_due();
}

// The server has said nothing for as long as it may. OK if it still works, or cannot be asked yet.
Status Connection::check_silence() {
  using Kind = BackendLook::Kind;
  const Duration silent = env_.clock.now() - *due_since_;
  due_since_.reset();
  BackendLook look = look_at_backend(*watch_, server_, is_direct());
  if (look.kind == Kind::kWaits) {
    // Its answer may be on the way at this moment.
    const auto late =
        transport_->exchange(session_->output(), session_->receive_space(),
                             env_.clock.now() + std::min(kLateAnswerMax, watch_->longest));
    if (late) {
      const auto taken = moved(*late);
      if (!taken) return fail(taken.error());
      if (late->sent > 0 || late->received > 0 || late->interrupted) return {};
    } else if (late.error().code != Errc::kTimeout) {
      return fail(lost(&late.error()).error());
    }
    const BackendLook again = look_at_backend(*watch_, server_, is_direct());
    if (again.kind == Kind::kWaits && again.since != look.since) return {};
    look = again;
  }
  if (look.kind == Kind::kWorks) return {};
  if (look.kind == Kind::kNoServer && ++looks_in_vain_ < kLooksInVainMax) return {};
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(silent).count();
  Error error;
  error.code = Errc::kConnectionLost;
  error.message =
      endpoint_ + ": the server said nothing for " + std::to_string(seconds) +
      " s though an answer was due (silence_timeout_ms), and the connection is dead: " + look.why;
  return break_with(std::move(error));
}

Result<bool> Connection::drain_output(size_t bytes, Deadline deadline) {
  while (session_->output().size() > bytes) {
    const uint64_t received_before = counters_.bytes_received;
    const auto moved = pump(deadline);
    if (!moved || !*moved) return moved;
    if (counters_.bytes_received == received_before) continue;
    if (auto status = stash_events(); !status) return break_with(std::move(status.error()));
  }
  return true;
}

Status Connection::send_only(Deadline deadline) {
  while (!session_->output().empty()) {
    if (broken_) return fail(*failure_);
    ++counters_.exchanges;
    const auto moved = transport_->exchange(session_->output(), {}, deadline);
    if (!moved && moved.error().code == Errc::kTimeout) return fail(moved.error());
    if (!moved) return lost(&moved.error());
    session_->output_sent(moved->sent);
    counters_.bytes_sent += moved->sent;
    if (moved->eof) return lost(nullptr);
  }
  return {};
}

// ---- events -------------------------------------------------------------------------------------

std::vector<Error> Connection::take_notices() {
  std::vector<Error> taken(notices_.begin(), notices_.end());
  notices_.clear();
  return taken;
}

void Connection::keep_notice(const pgproto::NoticeResponse& notice) {
  ++counters_.notices;
  if (notices_.size() == kNoticesMax) {
    notices_.pop_front();
    ++counters_.notices_dropped;
  }
  Error kept;
  kept.code = Errc::kServer;
  kept.severity = cut(notice.severity_plain.empty() ? notice.severity : notice.severity_plain);
  kept.sqlstate = notice.sqlstate;
  kept.message = cut(notice.message);
  kept.detail = cut(notice.detail);
  kept.hint = cut(notice.hint);
  kept.where = cut(notice.where);
  notices_.push_back(std::move(kept));
}

// True if the event answers no request: notices, parameters (the session keeps them, and requires
// UTF8), notifications.
bool Connection::consume(const Event& event) {
  if (const auto* notice = std::get_if<pgproto::NoticeResponse>(&event.message)) {
    keep_notice(*notice);
    return true;
  }
  return std::holds_alternative<pgproto::ParameterStatus>(event.message) ||
         std::holds_alternative<pgproto::NotificationResponse>(event.message);
}

Status Connection::stash_events() {
  for (;;) {
    const auto event = session_->next_event();
    if (!event) return fail(event.error());
    if (!*event) return {};
    if (consume(**event)) continue;
    const pgproto::Bytes body = (*event)->body;
    stashed_bytes_ += body.size() + sizeof(StashedEvent);
    if (stashed_bytes_ > kStashedBytesMax) {
      return fail(Errc::kLimit, "the server answers faster than its answers are read: more than " +
                                    std::to_string(kStashedBytesMax) + " bytes wait");
    }
    stash_.push_back({(*event)->request, (*event)->type, {body.begin(), body.end()}});
  }
}

Result<std::optional<Event>> Connection::ready_event() {
  if (!stash_.empty()) {
    shown_ = std::move(stash_.front());
    stash_.pop_front();
    stashed_bytes_ -= shown_.body.size() + sizeof(StashedEvent);
    auto message = pgproto::decode_backend(shown_.type, shown_.body);
    // It was decoded successfully once before.
    if (!message) return break_with(std::move(message.error()));
    return Event{shown_.request, *std::move(message), shown_.type, shown_.body};
  }
  if (broken_) return fail(*failure_);
  for (;;) {
    auto event = session_->next_event();
    if (!event) return break_with(std::move(event.error()));
    if (!*event || !consume(**event)) return event;
  }
}

Result<std::optional<Event>> Connection::next_event(Deadline deadline) {
  for (;;) {
    auto event = ready_event();
    if (!event || *event) return event;
    const auto moved = pump(deadline);
    if (!moved) {
      if (!stash_.empty()) continue;  // Events from before the end are returned first.
      return fail(moved.error());
    }
    if (!*moved) return std::nullopt;
  }
}

void Connection::interrupt() { transport_->interrupt(); }

Status Connection::cancel(Deadline deadline) {
  return Connector(env_, options_, nullptr).cancel(address_, !tls_.empty(), *session_, deadline);
}

// ---- queries ------------------------------------------------------------------------------------

Result<QueryResult> Connection::collect(Deadline deadline) {
  QueryCollector collector;
  for (;;) {
    const auto event = next_event(deadline);
    if (!event) {
      if (!broken_) return break_with(event.error());
      return fail(event.error());
    }
    // interrupt() is only for pump(): a query cannot be left in the middle, and its deadline limits
    // the wait.
    if (!*event) continue;
    if (collector.take((*event)->message)) return collector.finish();
  }
}

Result<QueryResult> Connection::query(std::string_view sql, Deadline deadline) {
  if (broken_) return fail(*failure_);
  PGPROTO_ASSERT(session_->pending_requests() == 0);
  if (const auto sent = session_->query(sql); !sent) return fail(sent.error());
  return collect(deadline);
}

Result<QueryResult> Connection::query(std::string_view sql,
                                      std::span<const std::optional<std::string>> parameters,
                                      Deadline deadline) {
  if (broken_) return fail(*failure_);
  PGPROTO_ASSERT(session_->pending_requests() == 0);
  std::vector<pgproto::Session::Parameter> values;
  for (const auto& parameter : parameters) {
    pgproto::Session::Parameter value;
    if (parameter) value.value = pgproto::as_bytes(*parameter);
    values.push_back(value);
  }
  // A failure here happens before any of it is in the output, or breaks the session.
  if (const auto sent = session_->parse("", sql, {}); !sent) return fail(sent.error());
  Status bound;
  if (const auto sent = session_->bind("", "", values); !sent) bound = fail(sent.error());
  if (bound) {
    if (const auto sent = session_->describe_portal(""); !sent) return fail(sent.error());
    if (const auto sent = session_->execute(""); !sent) return fail(sent.error());
  }
  session_->sync();
  auto result = collect(deadline);
  if (!bound) return fail(bound.error());
  return result;
}

Result<std::vector<Result<QueryResult>>> Connection::query_each(
    std::span<const std::string> statements, Deadline deadline) {
  if (broken_) return fail(*failure_);
  PGPROTO_ASSERT(session_->pending_requests() == 0);
  std::vector<Result<QueryResult>> results;
  size_t sent = 0;
  while (results.size() < statements.size()) {
    // Few enough that their answers fit into the buffers while they are not being read.
    for (; sent < statements.size() && sent - results.size() < kQueriesAtOnceMax; ++sent) {
      if (const auto request = session_->query(statements[sent]); !request) {
        return break_with(request.error());
      }
    }
    auto result = collect(deadline);
    if (broken_) return fail(*failure_);
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace pgsink
