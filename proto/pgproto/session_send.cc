// The sending half of Session, and its failures.

#include <cstring>

#include <pgproto/session_state.h>

namespace pgproto {

using session_table::Command;
using session_table::Phase;
using session_table::SendState;

void Session::State::break_with(Error error) {
  if (!failure) failure = std::move(error);
}

void Session::State::break_out_of_memory() noexcept {
  if (failure && failure->code == Errc::kOutOfMemory) return;
  Error error;
  error.code = Errc::kOutOfMemory;
  error.message = "out of memory";
  failure = std::move(error);
}

void Session::State::break_by_misuse(const char* function) { break_with(misuse(function).error()); }

std::unexpected<Error> Session::State::broken(Errc code, std::string message) {
  Error error;
  error.code = code;
  error.message = std::move(message);
  error.sent = requests.front_is_sent(output.sent_position());
  break_with(error);
  return fail(std::move(error));
}

std::unexpected<Error> Session::State::misuse(const char* function) const {
  std::string message = std::string(function) + " is not allowed now: ";
  switch (send_state) {
    case SendState::kNew:
      message += "the startup was not sent";
      break;
    case SendState::kTlsRequested:
      message += "the answer to request_tls() is pending";
      break;
    case SendState::kTlsAnswered:
      message += "startup() comes next";
      break;
    case SendState::kStarting:
      message += "the startup is not done";
      break;
    case SendState::kOpen:
      message += "no COPY is open for sending, or its size is wrong";
      break;
    case SendState::kCopyOpen:
      message += "a COPY is open; end it by copy_done() or copy_fail()";
      break;
    case SendState::kTerminated:
      message += "terminate() was called";
      break;
  }
  return fail(Errc::kUsage, std::move(message));
}

bool Session::State::may(Command command) const {
  return !failure && session_table::next_send_cell(send_state, command) != session_table::kIllegal;
}

void Session::State::say(Command command) {
  PGPROTO_ASSERT(may(command));
  send_state = static_cast<SendState>(session_table::next_send_cell(send_state, command));
}

Status Session::State::start(StartupConfig config) {
  if (failure) return fail(*failure);
  if (!may(Command::kStartup)) return misuse("startup()");
  if (config.protocol_version != kProtocol30 && config.protocol_version != kProtocol32) {
    return fail(Errc::kUsage, "the protocol version must be 3.0 or 3.2");
  }
  if (config.require_auth == 0) {
    return fail(Errc::kUsage, "require_auth forbids every way to authenticate");
  }
  std::vector<std::pair<std::string, std::string>> sent{{"user", config.user}};
  for (const auto& [name, value] : config.parameters) {
    if (name == "user") return fail(Errc::kUsage, "the user is not a further startup parameter");
    if (name != "client_encoding") {
      sent.emplace_back(name, value);
    } else if (!is_utf8_name(value)) {
      return fail(Errc::kUsage, "client_encoding must be UTF8, which all texts are sent in");
    }
  }
  sent.emplace_back("client_encoding", "UTF8");
  if (auto status = encode_startup(output, config.protocol_version, sent); !status) {
    return status;
  }
  server.request_version(config.protocol_version);
  authenticator = std::make_unique<Authenticator>(std::move(config), limits);
  phase = Phase::kStartupSent;
  say(Command::kStartup);
  return {};
}

void Session::State::end_copy(Status encoded) {
  copy_header = nullptr;
  if (!encoded) return break_with(std::move(encoded.error()));
  say(Command::kCopyEnd);
  requests.end_copy();
}

}  // namespace pgproto
