#include <utility>

#include <pgproto/session.h>
#include <pgproto/session_state.h>

namespace pgproto {

using session_table::Command;
using session_table::Phase;

Session::Session(SessionLimits limits) : state_(std::make_unique<State>(limits)) {}
Session::~Session() = default;

// ---- startup ------------------------------------------------------------------------------------

void Session::request_tls() {
  if (!state_->may(Command::kRequestTls)) return state_->break_by_misuse("request_tls()");
  if (auto status = encode_ssl_request(state_->output); !status) {
    return state_->break_with(std::move(status.error()));
  }
  state_->say(Command::kRequestTls);
  state_->phase = Phase::kTlsRequested;
}

Result<Session::TlsAnswer> Session::tls_answer() {
  State& state = *state_;
  return state.guarded([&]() -> Result<TlsAnswer> {
    if (state.failure) return fail(*state.failure);
    if (!state.may(Command::kTlsAnswer)) return state.misuse("tls_answer()");
    const Bytes bytes = state.framer.buffered();
    if (bytes.empty()) return TlsAnswer::kPending;
    const char answer = static_cast<char>(bytes[0]);
    if (answer == 'E') {
      return state.broken(
          Errc::kProtocol,
          "the server answered the request for TLS with an error, whose text is not shown because "
          "it may be forged: the connection is not encrypted yet");
    }
    if (answer != 'S' && answer != 'N') {
      return state.broken(Errc::kProtocol,
                          "the answer to the request for TLS is neither yes nor no; is this a "
                          "PostgreSQL server?");
    }
    if (bytes.size() > 1) {
      return state.broken(Errc::kProtocol,
                          "unencrypted bytes follow the answer to the request for TLS: an attacker "
                          "may have injected them");
    }
    state.framer.skip(1);
    state.say(Command::kTlsAnswer);
    return answer == 'S' ? TlsAnswer::kAccepted : TlsAnswer::kRefused;
  });
}

Status Session::startup(StartupConfig config) {
  return state_->guarded([&] { return state_->start(std::move(config)); });
}

// ---- requests -----------------------------------------------------------------------------------

Result<RequestId> Session::query(std::string_view sql, Copy copy) {
  return state_->guarded([&] {
    return state_->request(Phase::kQuery, copy, [&] { return encode_query(state_->output, sql); });
  });
}

Result<RequestId> Session::parse(std::string_view name, std::string_view sql,
                                 std::span<const Oid> types) {
  return state_->guarded([&] {
    return state_->request(Phase::kParse, Copy::kNone,
                           [&] { return encode_parse(state_->output, name, sql, types); });
  });
}

Result<RequestId> Session::bind(std::string_view portal, std::string_view statement,
                                std::span<const Parameter> parameters, int16_t result_format) {
  return state_->guarded([&] {
    return state_->request(Phase::kBind, Copy::kNone, [&] {
      return encode_bind(state_->output, portal, statement, parameters, result_format);
    });
  });
}

Result<RequestId> Session::describe_statement(std::string_view name) {
  return state_->guarded([&] {
    return state_->request(Phase::kDescribeStatement, Copy::kNone, [&] {
      return encode_describe(state_->output, Target::kStatement, name);
    });
  });
}

Result<RequestId> Session::describe_portal(std::string_view name) {
  return state_->guarded([&] {
    return state_->request(Phase::kDescribePortal, Copy::kNone,
                           [&] { return encode_describe(state_->output, Target::kPortal, name); });
  });
}

Result<RequestId> Session::execute(std::string_view portal, int32_t rows_max, Copy copy) {
  return state_->guarded([&] {
    return state_->request(Phase::kExecute, copy,
                           [&] { return encode_execute(state_->output, portal, rows_max); });
  });
}

Result<RequestId> Session::close_statement(std::string_view name) {
  return state_->guarded([&] {
    return state_->request(Phase::kClose, Copy::kNone,
                           [&] { return encode_close(state_->output, Target::kStatement, name); });
  });
}

Result<RequestId> Session::close_portal(std::string_view name) {
  return state_->guarded([&] {
    return state_->request(Phase::kClose, Copy::kNone,
                           [&] { return encode_close(state_->output, Target::kPortal, name); });
  });
}

RequestId Session::sync() {
  const auto id = state_->guarded([&] {
    return state_->request(Phase::kSync, Copy::kNone, [&] { return encode_sync(state_->output); });
  });
  if (id) return *id;
  state_->break_with(Error(id.error()));
  return 0;
}

void Session::flush() {
  if (!state_->may(Command::kFlush)) return state_->break_by_misuse("flush()");
  state_->copy_header = nullptr;
  if (auto status = encode_flush(state_->output); !status) {
    state_->break_with(std::move(status.error()));
  }
}

void Session::terminate() {
  // There is nothing to end, or it has ended already.
  if (!state_->may(Command::kTerminate)) return;
  if (auto status = encode_terminate(state_->output); !status) {
    return state_->break_with(std::move(status.error()));
  }
  state_->say(Command::kTerminate);
  state_->requests.end_copy();
}

// ---- COPY ---------------------------------------------------------------------------------------

MutableBytes Session::copy_space(size_t size) {
  State& state = *state_;
  if (!state.may(Command::kCopyData) || size > kLargeMessageBytesMax - 4) {
    state.break_by_misuse("copy_space()");
    return {};
  }
  state.copy_header = state.output.reserve(kMessageHeaderBytes + size);
  if (state.copy_header == nullptr) {
    state.break_out_of_memory();
    return {};
  }
  return {state.copy_header + kMessageHeaderBytes, size};
}

void Session::copy_commit(size_t size) {
  State& state = *state_;
  if (state.copy_header == nullptr) return state.break_by_misuse("copy_commit()");
  if (size == 0) {
    state.output.release();
  } else {
    store_copy_data_header(state.copy_header, size);
    state.output.append(kMessageHeaderBytes + size);
  }
  state.copy_header = nullptr;
}

void Session::copy_done() {
  if (!state_->may(Command::kCopyEnd)) return state_->break_by_misuse("copy_done()");
  state_->end_copy(encode_copy_done(state_->output));
}

void Session::copy_fail(std::string_view reason) {
  if (!state_->may(Command::kCopyEnd)) return state_->break_by_misuse("copy_fail()");
  // The reason is a hint for the server's log; it must not be the cause that a COPY cannot be
  // failed.
  reason = reason.substr(0, reason.find('\0')).substr(0, kCopyFailReasonBytesMax);
  state_->end_copy(encode_copy_fail(state_->output, reason));
}

bool Session::copy_refused() const { return state_->requests.copy_refused(); }

// ---- bytes --------------------------------------------------------------------------------------

Bytes Session::output() const { return state_->output.unsent(); }
void Session::output_sent(size_t size) { state_->output.mark_sent(size); }
uint64_t Session::appended_position() const { return state_->output.appended_position(); }
uint64_t Session::sent_position() const { return state_->output.sent_position(); }

MutableBytes Session::receive_space() {
  const MutableBytes space = state_->framer.receive_space();
  if (!space.empty()) return space;
  state_->break_out_of_memory();
  return state_->scratch;
}

void Session::received(size_t size) {
  // After a failure, received bytes are ignored; they may be in `scratch`.
  if (!state_->failure) state_->framer.received(size);
}

Result<std::optional<Event>> Session::next_event() {
  return state_->guarded([&] { return state_->next_event(); });
}

Status Session::received_eof() {
  return state_->guarded([&] { return state_->end_of_input(); });
}

// ---- state --------------------------------------------------------------------------------------

bool Session::startup_done() const { return state_->startup_done; }
ReadyForQuery::Status Session::transaction_status() const { return state_->transaction_status; }
size_t Session::pending_requests() const { return state_->requests.size(); }
bool Session::answers_due() const {
  using enum session_table::Phase;
  if (state_->requests.empty()) return false;
  if (state_->phase == kQueryCopyBoth) return false;
  const bool takes_data = state_->phase == kQueryCopyIn || state_->phase == kExecuteCopyIn;
  return !(takes_data && state_->requests.front_copy_is_open());
}
std::string_view Session::parameter(std::string_view name) const {
  return state_->server.parameter(name);
}
int32_t Session::protocol_version() const { return state_->server.protocol_version(); }
int32_t Session::backend_process_id() const { return state_->server.backend_process_id(); }
Bytes Session::cancel_key() const { return state_->server.cancel_key(); }

}  // namespace pgproto
