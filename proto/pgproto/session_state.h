#pragma once
// The state of Session, and the steps of both directions. Not part of the interface.

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <pgproto/framer.h>
#include <pgproto/output_buffer.h>
#include <pgproto/session.h>
#include <pgproto/session_auth.h>
#include <pgproto/session_table.h>

namespace pgproto {

/// CopyFail reasons are cut to this size: the server accepts only small messages, and the reason is
/// a hint.
inline constexpr size_t kCopyFailReasonBytesMax = 1'000;

/// A request that awaits its answer, or the rest of it.
struct PendingRequest {
  RequestId id = 0;
  session_table::Phase kind{};  ///< The phase in which its answer begins.
  bool copy_announced = false;  ///< CopyData follow it, and the server has not started the COPY
                                ///< yet.
  uint64_t position = 0;        ///< Its position in the output.
};

/// is_utf8_name says whether the name of an encoding means UTF-8; case, '-' and '_' are ignored.
bool is_utf8_name(std::string_view encoding);

struct Session::State {
  explicit State(const SessionLimits& session_limits) : limits(session_limits) {}

  // Failures. A broken session does nothing more; the first reason is kept.
  template <typename Function>
  auto guarded(Function&& function) noexcept -> decltype(function());
  void break_with(Error error);
  void break_out_of_memory() noexcept;
  void break_by_misuse(const char* function);
  std::unexpected<Error> broken(Errc code, std::string message);
  std::unexpected<Error> misuse(const char* function) const;

  // Sending.
  bool may(session_table::Command command) const;
  void say(session_table::Command command);
  Status start(StartupConfig config);
  template <typename Encode>
  Result<RequestId> request(session_table::Phase kind, Copy copy, Encode encode);
  void enqueue(const PendingRequest& pending);
  void end_copy(Status encoded);

  // Receiving.
  Result<std::optional<Event>> next_event();
  std::unexpected<Error> broken_frame(Error error);
  Result<bool> step(const BackendMessage& message);
  session_table::Input classify(const BackendMessage& message) const;
  session_table::Input classify_copy_in() const;
  Status apply(const BackendMessage& message);
  Status move_to(session_table::Phase to);
  void finish_request();
  void skip_to_sync();
  void note_copy_refused(RequestId id);
  std::unexpected<Error> illegal(session_table::Input input);
  Status check_row(const DataRow& row);
  Status keep_parameter(const ParameterStatus& status);
  Status keep_key(const BackendKeyData& key);
  Status negotiate(const NegotiateProtocolVersion& answer);
  Status end_of_input();

  const SessionLimits limits;
  std::optional<Error> failure;

  OutputBuffer output;
  session_table::SendState send_state = session_table::SendState::kNew;
  std::byte* copy_header = nullptr;  ///< The room that copy_space() reserved for the header.
  RequestId copy_request = 0;        ///< The request whose COPY is open for sending.
  bool copy_refused = false;

  Framer framer;
  session_table::Phase phase = session_table::Phase::kNew;
  std::deque<PendingRequest> requests;
  RequestId last_request = 0;
  bool skipping = false;                ///< The server discards everything sent before the next
                                        ///< Sync.
  std::optional<size_t> row_columns;    ///< Columns of the current result, once known.
  std::optional<Error> fatal;           ///< The last FATAL: the reason why the connection is about
                                        ///< to end.
  std::array<std::byte, 64> scratch{};  ///< Room to receive into when there is no memory.

  std::unique_ptr<Authenticator> authenticator;  ///< Until the startup is done.
  bool startup_done = false;
  ReadyForQuery::Status transaction_status = ReadyForQuery::Status::kIdle;
  std::map<std::string, std::string, std::less<>> parameters;
  size_t parameters_bytes = 0;
  int32_t protocol_version = 0;
  int32_t backend_process_id = 0;
  std::vector<std::byte> cancel_key;
};

// Runs a public function: a failed allocation breaks the session instead of throwing. Nothing else
// is thrown, which the analyser cannot know.
template <typename Function>
// NOLINTNEXTLINE(bugprone-exception-escape)
auto Session::State::guarded(Function&& function) noexcept -> decltype(function()) {
  try {
    return function();
  } catch (const std::bad_alloc&) {
    break_out_of_memory();
    return fail(Error(*failure));  // A short text: copying it allocates nothing.
  }
}

template <typename Encode>
Result<RequestId> Session::State::request(session_table::Phase kind, Copy copy, Encode encode) {
  using session_table::Command;
  using session_table::Phase;
  if (failure) return fail(*failure);
  const auto command = copy == Copy::kNone ? Command::kRequest : Command::kRequestWithCopy;
  if (!may(command)) return misuse("a request");
  if (requests.size() >= limits.requests_max && kind != Phase::kSync) {
    return fail(Errc::kLimit, std::to_string(requests.size()) +
                                  " requests await their answers, which is requests_max; receive "
                                  "before sending more");
  }
  PendingRequest pending;
  pending.kind = kind;
  pending.copy_announced = copy != Copy::kNone;
  pending.position = output.appended_position();
  if (Status status = encode(); !status) {
    if (status.error().code == Errc::kOutOfMemory) break_out_of_memory();
    return fail(std::move(status.error()));
  }
  say(command);
  pending.id = ++last_request;
  enqueue(pending);
  return pending.id;
}

}  // namespace pgproto
