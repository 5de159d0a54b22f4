#pragma once
// The state of Session, and the steps of both directions. Not part of the interface.

#include <array>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include <pgproto/framer.h>
#include <pgproto/output_buffer.h>
#include <pgproto/request_queue.h>
#include <pgproto/server_report.h>
#include <pgproto/session.h>
#include <pgproto/session_auth.h>
#include <pgproto/session_table.h>

namespace pgproto {

/// CopyFail reasons are cut to this size: the server accepts only small messages, and the reason is
/// a hint.
inline constexpr size_t kCopyFailReasonBytesMax = 1'000;

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
  void end_copy(Status encoded);

  // Receiving.
  Result<std::optional<Event>> next_event();
  std::unexpected<Error> broken_frame(Error error);
  Result<bool> step(const BackendMessage& message);
  Status apply(const BackendMessage& message);
  Status move_to(session_table::Phase to);
  void next_answer();
  std::unexpected<Error> illegal(session_table::Input input);
  Status check_row(const DataRow& row);
  Status end_of_input();

  const SessionLimits limits;
  std::optional<Error> failure;

  OutputBuffer output;
  session_table::SendState send_state = session_table::SendState::kNew;
  std::byte* copy_header = nullptr;  ///< The room that copy_space() reserved for the header.

  Framer framer;
  session_table::Phase phase = session_table::Phase::kNew;
  RequestQueue requests;
  std::optional<size_t> row_columns;    ///< Columns of the current result, once known.
  std::optional<Error> fatal;           ///< The last FATAL: the reason why the connection is about
                                        ///< to end.
  std::array<std::byte, 64> scratch{};  ///< Room to receive into when there is no memory.

  std::unique_ptr<Authenticator> authenticator;  ///< Until the startup is done.
  bool startup_done = false;
  ReadyForQuery::Status transaction_status = ReadyForQuery::Status::kIdle;
  ServerReport server{limits};
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
  copy_header = nullptr;
  const RequestId id = requests.add(pending);
  if (phase == Phase::kIdle) phase = requests.next_phase();
  return id;
}

}  // namespace pgproto
