// The receiving half of Session: one message in, one step of the table, one event out.

#include <type_traits>
#include <variant>

#include <pgproto/session_input.h>
#include <pgproto/session_state.h>

namespace pgproto {

using session_table::Command;
using session_table::Input;
using session_table::Phase;
using session_table::SendState;

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
    const RequestId request = requests.front_id();
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
  const Input input = classify(message, requests);
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

// What a legal message changes besides the phase.
Status Session::State::apply(const BackendMessage& message) {
  return std::visit(
      [this](const auto& m) -> Status {
        using Message = std::decay_t<decltype(m)>;
        if constexpr (std::is_same_v<Message, Authentication>) {
          return authenticator->answer(m, output);
        } else if constexpr (std::is_same_v<Message, ErrorResponse>) {
          if (is_fatal(m)) fatal = m.to_error();
          requests.refuse_open_copy();
        } else if constexpr (std::is_same_v<Message, ReadyForQuery>) {
          transaction_status = m.status;
        } else if constexpr (std::is_same_v<Message, RowDescription>) {
          row_columns = m.fields.size();
        } else if constexpr (std::is_same_v<Message, DataRow>) {
          return check_row(m);
        } else if constexpr (std::is_same_v<Message, CopyInResponse> ||
                             std::is_same_v<Message, CopyBothResponse>) {
          requests.copy_started();
        } else if constexpr (std::is_same_v<Message, ParameterStatus> ||
                             std::is_same_v<Message, BackendKeyData>) {
          return server.keep(m);
        } else if constexpr (std::is_same_v<Message, NegotiateProtocolVersion>) {
          return server.keep(m, authenticator->config().parameters);
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
      requests.finish_front();
      next_answer();
      return {};
    case Phase::kSkip:
      requests.skip_to_sync();
      next_answer();
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

// The answer to the next request begins.
void Session::State::next_answer() {
  row_columns.reset();
  phase = requests.next_phase();
}

Status Session::State::check_row(const DataRow& row) {
  if (!row_columns) row_columns = row.values.size();
  if (*row_columns == row.values.size()) return {};
  return fail(Errc::kProtocol, "the server sent a row of " + std::to_string(row.values.size()) +
                                   " columns in a result of " + std::to_string(*row_columns));
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
  error.sent = requests.front_is_sent(output.sent_position());
  break_with(error);
  return fail(std::move(error));
}

}  // namespace pgproto
