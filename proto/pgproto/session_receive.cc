// The receiving half of Session: one message in, one step of the table, one event out.

#include <algorithm>
#include <type_traits>
#include <variant>

#include <pgproto/session_state.h>

namespace pgproto {

using session_table::Command;
using session_table::Input;
using session_table::Phase;
using session_table::SendState;

namespace {

Input classify_authentication(Authentication::Code code) {
  switch (code) {
    case Authentication::Code::kOk:
      return Input::kAuthOk;
    case Authentication::Code::kCleartextPassword:
    case Authentication::Code::kMd5Password:
      return Input::kAuthPassword;
    case Authentication::Code::kSasl:
      return Input::kAuthSasl;
    case Authentication::Code::kSaslContinue:
      return Input::kAuthSaslContinue;
    case Authentication::Code::kSaslFinal:
      return Input::kAuthSaslFinal;
    default:
      return Input::kAuthOther;
  }
}

// The severity that is never localised exists since PostgreSQL 9.6.
bool is_fatal(const DiagnosticFields& fields) {
  const auto severity = fields.severity_plain.empty() ? fields.severity : fields.severity_plain;
  return severity == "FATAL" || severity == "PANIC";
}

// The inputs that follow from the message's type alone.
template <typename Message>
constexpr Input plain_input() {
  if constexpr (std::is_same_v<Message, BackendKeyData>) return Input::kBackendKeyData;
  if constexpr (std::is_same_v<Message, NegotiateProtocolVersion>) {
    return Input::kNegotiateProtocolVersion;
  }
  if constexpr (std::is_same_v<Message, ParameterStatus>) return Input::kParameterStatus;
  if constexpr (std::is_same_v<Message, NoticeResponse>) return Input::kNoticeResponse;
  if constexpr (std::is_same_v<Message, NotificationResponse>) return Input::kNotificationResponse;
  if constexpr (std::is_same_v<Message, ReadyForQuery>) return Input::kReadyForQuery;
  if constexpr (std::is_same_v<Message, RowDescription>) return Input::kRowDescription;
  if constexpr (std::is_same_v<Message, DataRow>) return Input::kDataRow;
  if constexpr (std::is_same_v<Message, EmptyQueryResponse>) return Input::kEmptyQueryResponse;
  if constexpr (std::is_same_v<Message, CopyOutResponse>) return Input::kCopyOutResponse;
  if constexpr (std::is_same_v<Message, CopyData>) return Input::kCopyData;
  if constexpr (std::is_same_v<Message, CopyDone>) return Input::kCopyDone;
  if constexpr (std::is_same_v<Message, ParseComplete>) return Input::kParseComplete;
  if constexpr (std::is_same_v<Message, BindComplete>) return Input::kBindComplete;
  if constexpr (std::is_same_v<Message, CloseComplete>) return Input::kCloseComplete;
  if constexpr (std::is_same_v<Message, NoData>) return Input::kNoData;
  if constexpr (std::is_same_v<Message, PortalSuspended>) return Input::kPortalSuspended;
  if constexpr (std::is_same_v<Message, ParameterDescription>) return Input::kParameterDescription;
  return Input::kOther;
}

}  // namespace

bool is_utf8_name(std::string_view encoding) {
  std::string plain;
  for (const char c : encoding.substr(0, 16)) {
    if (c == '-' || c == '_') continue;
    plain += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return plain == "UTF8" || plain == "UNICODE";
}

Result<std::optional<Event>> Session::State::next_event() {
  while (true) {
    if (failure) return fail(*failure);
    if (phase == Phase::kTlsRequested) return std::nullopt;  // tls_answer() reads it.
    const bool trusted = phase >= Phase::kAuthenticated;
    auto frame = framer.next(trusted ? limits.message_bytes_max : limits.startup_message_bytes_max);
    if (!frame) return broken_frame(std::move(frame.error()));
    if (!*frame) return std::nullopt;
    auto message = decode_backend((*frame)->type, (*frame)->body);
    if (!message) return broken(message.error().code, std::move(message.error().message));
    const RequestId request = requests.empty() ? 0 : requests.front().id;
    const auto show = step(*message);
    if (!show) {
      break_with(show.error());
      return fail(*failure);
    }
    if (*show) return Event{request, *std::move(message), (*frame)->type, (*frame)->body};
  }
}

// A server that cannot start a process reports it in the format of protocol 2: an 'E' and a text
// without length, whose first bytes then look like an impossible length.
std::unexpected<Error> Session::State::broken_frame(Error error) {
  if (phase == Phase::kStartupSent && framer.buffered()[0] == std::byte{'E'}) {
    return broken(Errc::kConnect,
                  "the server refused the connection with an error of protocol 2, as it does when "
                  "it cannot start a process; see the server's log");
  }
  return broken(error.code, std::move(error.message));
}

// Whether the message becomes an event: all but the requests for authentication do.
Result<bool> Session::State::step(const BackendMessage& message) {
  const Input input = classify(message);
  const session_table::Cell cell = session_table::next_cell(phase, input);
  if (cell == session_table::kIllegal) return illegal(input);
  if (auto status = apply(message); !status) return fail(std::move(status.error()));
  if (input == Input::kCopyInUnannounced) {
    if (auto status = encode_copy_fail(output, "this COPY FROM STDIN was not announced"); !status) {
      return fail(std::move(status.error()));
    }
  }
  if (auto status = move_to(static_cast<Phase>(cell)); !status) {
    return fail(std::move(status.error()));
  }
  const auto* authentication = std::get_if<Authentication>(&message);
  return authentication == nullptr || authentication->code == Authentication::Code::kOk;
}

Input Session::State::classify(const BackendMessage& message) const {
  return std::visit(
      [this](const auto& m) {
        using Message = std::decay_t<decltype(m)>;
        if constexpr (std::is_same_v<Message, Authentication>) {
          return classify_authentication(m.code);
        } else if constexpr (std::is_same_v<Message, ErrorResponse>) {
          return is_fatal(m) ? Input::kFatalErrorResponse : Input::kErrorResponse;
        } else if constexpr (std::is_same_v<Message, CommandComplete>) {
          const bool sending = send_state == SendState::kCopyOpen && !requests.empty() &&
                               requests.front().id == copy_request;
          return sending ? Input::kCommandCompleteEarly : Input::kCommandComplete;
        } else if constexpr (std::is_same_v<Message, CopyInResponse>) {
          return classify_copy_in();
        } else if constexpr (std::is_same_v<Message, CopyBothResponse>) {
          const bool announced = !requests.empty() && requests.front().copy_announced;
          return announced ? Input::kCopyBothResponse : Input::kCopyUnanswerable;
        } else {
          return plain_input<Message>();
        }
      },
      message);
}

Input Session::State::classify_copy_in() const {
  if (requests.empty() || requests.front().copy_announced) return Input::kCopyInResponse;
  return requests.size() == 1 ? Input::kCopyInUnannounced : Input::kCopyUnanswerable;
}

// What a legal message changes besides the phase.
Status Session::State::apply(const BackendMessage& message) {
  return std::visit(
      [this](const auto& m) -> Status {
        using Message = std::decay_t<decltype(m)>;
        if constexpr (std::is_same_v<Message, Authentication>) {
          return authenticator->answer(m, output);
        } else if constexpr (std::is_same_v<Message, ErrorResponse>) {
          if (is_fatal(m)) fatal = m.to_error();
          if (!requests.empty()) note_copy_refused(requests.front().id);
        } else if constexpr (std::is_same_v<Message, ReadyForQuery>) {
          transaction_status = m.status;
        } else if constexpr (std::is_same_v<Message, RowDescription>) {
          row_columns = m.fields.size();
        } else if constexpr (std::is_same_v<Message, DataRow>) {
          return check_row(m);
        } else if constexpr (std::is_same_v<Message, CopyInResponse> ||
                             std::is_same_v<Message, CopyBothResponse>) {
          if (!requests.empty()) requests.front().copy_announced = false;
        } else if constexpr (std::is_same_v<Message, ParameterStatus>) {
          return keep_parameter(m);
        } else if constexpr (std::is_same_v<Message, BackendKeyData>) {
          return keep_key(m);
        } else if constexpr (std::is_same_v<Message, NegotiateProtocolVersion>) {
          return negotiate(m);
        }
        return {};
      },
      message);
}

Status Session::State::move_to(Phase to) {
  switch (to) {
    case Phase::kStay:
      return {};
    case Phase::kAnswered:
      finish_request();
      return {};
    case Phase::kSkip:
      skip_to_sync();
      return {};
    case Phase::kIdle:  // By the table only the end of the startup leads there.
      authenticator.reset();
      startup_done = true;
      phase = Phase::kIdle;
      if (send_state != SendState::kTerminated) say(Command::kStartupDone);
      return {};
    case Phase::kQueryNext:
      row_columns.reset();
      break;
    default:
      break;
  }
  phase = to;
  return {};
}

// The oldest request is answered: the answer to the next one begins.
void Session::State::finish_request() {
  note_copy_refused(requests.front().id);
  requests.pop_front();
  row_columns.reset();
  phase = requests.empty() ? Phase::kIdle : requests.front().kind;
}

void Session::State::skip_to_sync() {
  do {
    finish_request();
  } while (!requests.empty() && requests.front().kind != Phase::kSync);
  skipping = requests.empty();
}

// An answer to the request whose COPY is still being sent means that the server will not take it:
// the request failed, or was not a COPY.
void Session::State::note_copy_refused(RequestId id) {
  if (send_state == SendState::kCopyOpen && id == copy_request) copy_refused = true;
}

Status Session::State::check_row(const DataRow& row) {
  if (!row_columns) row_columns = row.values.size();
  if (*row_columns == row.values.size()) return {};
  return fail(Errc::kProtocol, "the server sent a row of " + std::to_string(row.values.size()) +
                                   " columns in a result of " + std::to_string(*row_columns));
}

Status Session::State::keep_parameter(const ParameterStatus& status) {
  if (status.name == "client_encoding" && !is_utf8_name(status.value)) {
    return fail(Errc::kProtocol, "client_encoding was changed to " +
                                     std::string(status.value.substr(0, 64)) +
                                     "; it must stay UTF8, because texts are sent unconverted");
  }
  auto found = parameters.find(status.name);
  const size_t freed = found == parameters.end() ? 0 : found->first.size() + found->second.size();
  const size_t bytes = parameters_bytes - freed + status.name.size() + status.value.size();
  if (bytes > limits.parameters_bytes_max ||
      (found == parameters.end() && parameters.size() >= limits.parameters_max)) {
    return fail(Errc::kLimit, "the server reports more parameters than parameters_max (" +
                                  std::to_string(limits.parameters_max) + ") or larger ones than " +
                                  "parameters_bytes_max (" +
                                  std::to_string(limits.parameters_bytes_max) + ")");
  }
  parameters.insert_or_assign(std::string(status.name), std::string(status.value));
  parameters_bytes = bytes;
  return {};
}

Status Session::State::keep_key(const BackendKeyData& key) {
  if (protocol_version == kProtocol30 && key.secret_key.size() != kCancelKeyBytesMin) {
    return fail(Errc::kProtocol, "the server sent a cancel key of " +
                                     std::to_string(key.secret_key.size()) +
                                     " bytes; protocol 3.0 has 4");
  }
  backend_process_id = key.process_id;
  cancel_key.assign(key.secret_key.begin(), key.secret_key.end());
  return {};
}

Status Session::State::negotiate(const NegotiateProtocolVersion& answer) {
  const int32_t asked_minor = protocol_version & 0xffff;
  if (answer.newest_minor == 1) {
    return fail(Errc::kProtocol, "the server wants protocol 3.1, which does not exist");
  }
  if (answer.newest_minor > asked_minor) {
    return fail(Errc::kProtocol, "the server wants a newer protocol than the 3." +
                                     std::to_string(asked_minor) + " that was requested");
  }
  if (answer.newest_minor == asked_minor && answer.unrecognized_options.empty()) {
    return fail(Errc::kProtocol, "the server negotiates the protocol but changes nothing");
  }
  for (const std::string_view option : answer.unrecognized_options) {
    const auto& sent = authenticator->config().parameters;
    const bool asked = std::any_of(
        sent.begin(), sent.end(), [&](const auto& parameter) { return parameter.first == option; });
    if (!asked || !option.starts_with("_pq_.")) {
      return fail(Errc::kProtocol, "the server refuses a protocol option that was not requested");
    }
  }
  protocol_version = kProtocol30 + answer.newest_minor;
  return {};
}

std::unexpected<Error> Session::State::illegal(Input input) {
  if (input == Input::kAuthOther) {
    return broken(
        Errc::kAuthentication,
        "the server asks for an authentication method that is not supported (GSS, SSPI or "
        "another); supported are cleartext password, MD5 and SCRAM-SHA-256");
  }
  if (input == Input::kAuthOk && authenticator != nullptr) {
    return broken(
        Errc::kAuthentication,
        "the server reports a successful login before it proved that it knows the password");
  }
  if (input == Input::kCopyUnanswerable) {
    return broken(Errc::kProtocol,
                  "an unannounced COPY cannot be ended: the server reads the messages sent after "
                  "it as its data; announce it with Session::Copy::kIn or kBoth");
  }
  return broken(Errc::kProtocol, std::string("the server sent ") + session_table::name_of(input) +
                                     " " + session_table::place_of(phase) +
                                     ", where the protocol does not allow it");
}

Status Session::State::end_of_input() {
  if (failure) return fail(*failure);
  if (send_state == SendState::kTerminated && requests.empty()) return {};
  Error error;
  if (fatal) error = *fatal;  // Report the server's reason, not only that the connection broke.
  error.code = startup_done ? Errc::kConnectionLost : Errc::kConnect;
  // Class 28 is "invalid authorization specification": a wrong password, no such user, pg_hba.conf.
  if (!startup_done && error.sqlstate.class_code() == "28") error.code = Errc::kAuthentication;
  error.message = "the server closed the connection";
  if (fatal) error.message += ": " + fatal->message;
  if (!framer.buffered().empty()) error.message += " in the middle of a message";
  if (!startup_done) {
    error.message += " during the startup";
  } else if (!requests.empty()) {
    error.message +=
        " while " + std::to_string(requests.size()) + " requests awaited their answers";
  }
  error.sent = !requests.empty() && output.sent_position() > requests.front().position;
  break_with(error);
  return fail(std::move(error));
}

}  // namespace pgproto
