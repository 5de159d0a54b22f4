#pragma once
// The legal transitions of a session, in two constexpr tables: what the server may send when, and
// what the client may send when. Only these tables decide a state; session.cc looks up, applies and
// acts.
//
// Source: PostgreSQL documentation, "Message Flow".

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>

namespace pgproto::session_table {

// ---- what the server may send -------------------------------------------------------------------

/// Phase says how far the answer to the oldest unanswered request has come. The first block is the
/// startup; a phase of the second block that starts a request is also the request's kind.
enum class Phase : uint8_t {
  kNew,            ///< Nothing sent.
  kTlsRequested,   ///< SSLRequest sent: the answer is one byte, not a message.
  kStartupSent,    ///< StartupMessage sent.
  kNegotiated,     ///< NegotiateProtocolVersion came.
  kPasswordSent,   ///< Cleartext or MD5 password sent.
  kSaslStarted,    ///< SASLInitialResponse sent.
  kSaslResponded,  ///< SASLResponse with the client's proof sent.
  kSaslProven,     ///< The server proved that it knows the password.
  kAuthenticated,  ///< AuthenticationOk came; ReadyForQuery ends the startup.
  kIdle,           ///< Every request is answered.

  kQuery,      ///< Nothing of the answer came.
  kQueryRows,  ///< RowDescription came.
  kQueryNext,  ///< A statement of the Query is complete: the next result or ReadyForQuery.
  kQueryCopyIn,
  kQueryCopyOut,
  kQueryCopyOutDone,
  kQueryCopyBoth,
  kQueryCopyBothDone,  ///< The server ended its side.
  kQueryFailed,        ///< ErrorResponse came: only ReadyForQuery may follow.
  kParse,
  kBind,
  kDescribeStatement,
  kDescribePortal,  ///< Also the second half of kDescribeStatement.
  kExecute,
  kExecuteRows,
  kExecuteCopyIn,
  kExecuteCopyOut,
  kExecuteCopyOutDone,
  kClose,
  kSync,
  kSyncFailed,  ///< For example a deferred constraint: the implicit transaction ends at Sync.

  kFatal,  ///< FATAL or PANIC came: the server is closing the connection.

  // Only as the target of a transition:
  kStay,      ///< The phase does not change.
  kAnswered,  ///< The request is done; the next in the queue begins.
  kSkip,      ///< The request failed and the server discards all messages up to the next Sync.
};
inline constexpr size_t kPhaseCount = static_cast<size_t>(Phase::kStay);

/// Input is a backend message as far as the table distinguishes it.
enum class Input : uint8_t {
  kAuthOk,
  kAuthPassword,  ///< AuthenticationCleartextPassword or AuthenticationMD5Password
  kAuthSasl,
  kAuthSaslContinue,
  kAuthSaslFinal,
  kAuthOther,  ///< A method that this library does not support.
  kNegotiateProtocolVersion,
  kBackendKeyData,
  kParameterStatus,
  kNoticeResponse,
  kNotificationResponse,
  kErrorResponse,
  kFatalErrorResponse,
  kReadyForQuery,
  kRowDescription,
  kDataRow,
  kCommandComplete,
  kCommandCompleteEarly,  ///< CommandComplete before the client ended its side of the COPY.
  kEmptyQueryResponse,
  kCopyInResponse,
  kCopyInUnannounced,  ///< No COPY was announced for this request, and nothing was sent after it.
  kCopyUnanswerable,   ///< Not announced, and too late: the COPY swallows the requests sent after
                       ///< it.
  kCopyOutResponse,
  kCopyBothResponse,
  kCopyData,
  kCopyDone,
  kParseComplete,
  kBindComplete,
  kCloseComplete,
  kNoData,
  kPortalSuspended,
  kParameterDescription,
  kOther,  ///< FunctionCallResponse and others: the session sends no FunctionCall.
};
inline constexpr size_t kInputCount = static_cast<size_t>(Input::kOther) + 1;

/// PhaseSet is a set of phases, one bit each.
using PhaseSet = uint64_t;
static_assert(kPhaseCount <= 64);

constexpr PhaseSet set_of(Phase phase) { return PhaseSet{1} << static_cast<unsigned>(phase); }
template <typename... More>
constexpr PhaseSet set_of(Phase first, More... more) {
  return set_of(first) | set_of(more...);
}
/// phases_between is the set of all phases from `first` to `last`, both included.
constexpr PhaseSet phases_between(Phase first, Phase last) {
  return (set_of(last) << 1) - set_of(first);
}

/// A row of the table: in any phase of `from`, `input` is legal and leads to `to`.
struct Transition {
  PhaseSet from;
  Input input;
  Phase to;
};

namespace rows {
using enum Phase;

inline constexpr PhaseSet kNegotiating = set_of(kStartupSent, kNegotiated);
inline constexpr PhaseSet kStartup = phases_between(kStartupSent, kAuthenticated);
inline constexpr PhaseSet kSimple = phases_between(kQuery, kQueryFailed);
inline constexpr PhaseSet kSimpleRunning = kSimple & ~set_of(kQueryFailed);
inline constexpr PhaseSet kExtended = phases_between(kParse, kClose);
inline constexpr PhaseSet kReady = set_of(kIdle) | kSimple | kExtended | set_of(kSync, kSyncFailed);
inline constexpr PhaseSet kResultMayStart = set_of(kQuery, kQueryNext);

inline constexpr Transition kTransitions[] = {
    // Startup. AuthenticationOk is legal only while no proof is in progress: after
    // AuthenticationSASL the server must prove itself first.
    {set_of(kStartupSent), Input::kNegotiateProtocolVersion, kNegotiated},
    {kNegotiating | set_of(kPasswordSent, kSaslProven), Input::kAuthOk, kAuthenticated},
    {kNegotiating, Input::kAuthPassword, kPasswordSent},
    {kNegotiating, Input::kAuthSasl, kSaslStarted},
    {set_of(kSaslStarted), Input::kAuthSaslContinue, kSaslResponded},
    {set_of(kSaslResponded), Input::kAuthSaslFinal, kSaslProven},
    {set_of(kAuthenticated), Input::kBackendKeyData, kStay},
    {set_of(kAuthenticated), Input::kReadyForQuery, kIdle},
    {kStartup, Input::kErrorResponse, kFatal},

    // May come at any time. A server that is not authenticated yet may only send notices.
    {kStartup | kReady | set_of(kFatal), Input::kNoticeResponse, kStay},
    {kReady | set_of(kAuthenticated, kFatal), Input::kParameterStatus, kStay},
    {kReady | set_of(kAuthenticated, kFatal), Input::kNotificationResponse, kStay},
    {kStartup | kReady | set_of(kFatal), Input::kFatalErrorResponse, kFatal},
    {set_of(kIdle, kFatal), Input::kErrorResponse, kStay},

    // Simple query: any number of results, then ReadyForQuery.
    {kResultMayStart, Input::kRowDescription, kQueryRows},
    {kResultMayStart, Input::kEmptyQueryResponse, kQueryNext},
    {kResultMayStart, Input::kCommandComplete, kQueryNext},
    {kResultMayStart, Input::kCommandCompleteEarly, kQueryNext},
    {set_of(kQueryRows), Input::kDataRow, kStay},
    {set_of(kQueryRows), Input::kCommandComplete, kQueryNext},
    {set_of(kQueryRows), Input::kCommandCompleteEarly, kQueryNext},
    {set_of(kQueryNext), Input::kReadyForQuery, kAnswered},
    {kSimpleRunning, Input::kErrorResponse, kQueryFailed},
    {set_of(kQueryFailed), Input::kErrorResponse, kStay},
    {set_of(kQueryFailed), Input::kReadyForQuery, kAnswered},

    {kResultMayStart, Input::kCopyInResponse, kQueryCopyIn},
    {kResultMayStart, Input::kCopyInUnannounced, kQueryCopyIn},
    {set_of(kQueryCopyIn), Input::kCommandComplete, kQueryNext},
    {kResultMayStart, Input::kCopyOutResponse, kQueryCopyOut},
    {set_of(kQueryCopyOut), Input::kCopyData, kStay},
    {set_of(kQueryCopyOut), Input::kCopyDone, kQueryCopyOutDone},
    {set_of(kQueryCopyOutDone), Input::kCommandComplete, kQueryNext},
    {kResultMayStart, Input::kCopyBothResponse, kQueryCopyBoth},
    {set_of(kQueryCopyBoth), Input::kCopyData, kStay},
    {set_of(kQueryCopyBoth), Input::kCopyDone, kQueryCopyBothDone},
    // A server that shuts down ends the stream this way, without CopyDone, and closes.
    {set_of(kQueryCopyBoth), Input::kCommandComplete, kQueryNext},
    {set_of(kQueryCopyBoth), Input::kCommandCompleteEarly, kQueryNext},
    {set_of(kQueryCopyBothDone), Input::kCommandComplete, kQueryNext},
    {set_of(kQueryCopyBothDone), Input::kRowDescription, kQueryRows},  // the next timeline

    // Extended query: each message is a request of its own.
    {kExtended, Input::kErrorResponse, kSkip},
    {set_of(kParse), Input::kParseComplete, kAnswered},
    {set_of(kBind), Input::kBindComplete, kAnswered},
    {set_of(kDescribeStatement), Input::kParameterDescription, kDescribePortal},
    {set_of(kDescribePortal), Input::kRowDescription, kAnswered},
    {set_of(kDescribePortal), Input::kNoData, kAnswered},
    {set_of(kExecute), Input::kDataRow, kExecuteRows},
    {set_of(kExecuteRows), Input::kDataRow, kStay},
    {set_of(kExecute, kExecuteRows), Input::kCommandComplete, kAnswered},
    {set_of(kExecute, kExecuteRows), Input::kCommandCompleteEarly, kAnswered},
    {set_of(kExecute, kExecuteRows), Input::kPortalSuspended, kAnswered},
    {set_of(kExecute), Input::kEmptyQueryResponse, kAnswered},
    {set_of(kExecute), Input::kCopyInResponse, kExecuteCopyIn},
    {set_of(kExecute), Input::kCopyInUnannounced, kExecuteCopyIn},
    {set_of(kExecuteCopyIn), Input::kCommandComplete, kAnswered},
    {set_of(kExecute), Input::kCopyOutResponse, kExecuteCopyOut},
    {set_of(kExecuteCopyOut), Input::kCopyData, kStay},
    {set_of(kExecuteCopyOut), Input::kCopyDone, kExecuteCopyOutDone},
    {set_of(kExecuteCopyOutDone), Input::kCommandComplete, kAnswered},
    {set_of(kClose), Input::kCloseComplete, kAnswered},
    {set_of(kSync), Input::kErrorResponse, kSyncFailed},
    {set_of(kSync, kSyncFailed), Input::kReadyForQuery, kAnswered},
    {set_of(kSyncFailed), Input::kErrorResponse, kStay},
};
}  // namespace rows

/// A cell of the table; kIllegal is not a phase.
using Cell = uint8_t;
inline constexpr Cell kIllegal = 0xff;
using PhaseTable = std::array<std::array<Cell, kInputCount>, kPhaseCount>;

/// build_phase_table fills the table from its rows.
consteval PhaseTable build_phase_table() {
  PhaseTable table{};
  for (auto& row : table) row.fill(kIllegal);
  for (const Transition& transition : rows::kTransitions) {
    for (size_t phase = 0; phase < kPhaseCount; ++phase) {
      if ((transition.from >> phase & 1) == 0) continue;
      table[phase][static_cast<size_t>(transition.input)] = static_cast<Cell>(transition.to);
    }
  }
  return table;
}
inline constexpr PhaseTable kPhaseTable = build_phase_table();

/// phase_rows_are_unique says whether no two rows have the same phase and input.
consteval bool phase_rows_are_unique() {
  std::array<PhaseSet, kInputCount> seen{};
  for (const Transition& transition : rows::kTransitions) {
    PhaseSet& phases = seen[static_cast<size_t>(transition.input)];
    if ((phases & transition.from) != 0) return false;
    phases |= transition.from;
  }
  return true;
}
static_assert(phase_rows_are_unique());

/// next_cell looks up where `input` leads in `phase`: kIllegal or a Phase.
constexpr Cell next_cell(Phase phase, Input input) {
  return kPhaseTable[static_cast<size_t>(phase)][static_cast<size_t>(input)];
}

/// kInputNames are the messages as PostgreSQL's documentation calls them, in the order of Input.
inline constexpr const char* kInputNames[] = {
    "AuthenticationOk",
    "AuthenticationCleartextPassword or AuthenticationMD5Password",
    "AuthenticationSASL",
    "AuthenticationSASLContinue",
    "AuthenticationSASLFinal",
    "a request for another way to authenticate",
    "NegotiateProtocolVersion",
    "BackendKeyData",
    "ParameterStatus",
    "NoticeResponse",
    "NotificationResponse",
    "ErrorResponse",
    "ErrorResponse (FATAL)",
    "ReadyForQuery",
    "RowDescription",
    "DataRow",
    "CommandComplete",
    "CommandComplete (before we ended the COPY)",
    "EmptyQueryResponse",
    "CopyInResponse",
    "CopyInResponse (not announced)",
    "CopyInResponse or CopyBothResponse (not announced)",
    "CopyOutResponse",
    "CopyBothResponse",
    "CopyData",
    "CopyDone",
    "ParseComplete",
    "BindComplete",
    "CloseComplete",
    "NoData",
    "PortalSuspended",
    "ParameterDescription",
    "FunctionCallResponse",
};
static_assert(std::size(kInputNames) == kInputCount);

/// name_of is the name of a message.
constexpr const char* name_of(Input input) { return kInputNames[static_cast<size_t>(input)]; }

/// place_of says how far the session has come, to follow "the server sent X ".
constexpr const char* place_of(Phase phase) {
  using enum Phase;
  if (phase < kAuthenticated) return "during the authentication";
  if (phase == kAuthenticated) return "before the startup was complete";
  if (phase == kIdle) return "while no request awaited an answer";
  if (phase == kFatal) return "after a fatal error";
  if (phase == kQueryFailed || phase == kSyncFailed) return "between an error and ReadyForQuery";
  if (phase == kQueryCopyIn || phase == kExecuteCopyIn) return "during COPY FROM STDIN";
  if (phase >= kQueryCopyOut && phase <= kQueryCopyBothDone) return "during COPY";
  if (phase == kExecuteCopyOut || phase == kExecuteCopyOutDone) return "during COPY TO STDOUT";
  if (phase == kQueryRows || phase == kExecuteRows) return "among the rows of a result";
  if (phase <= kQueryNext) return "as the answer to Query";
  if (phase == kParse) return "as the answer to Parse";
  if (phase == kBind) return "as the answer to Bind";
  if (phase == kDescribeStatement || phase == kDescribePortal) return "as the answer to Describe";
  if (phase == kExecute) return "as the answer to Execute";
  if (phase == kClose) return "as the answer to Close";
  return "as the answer to Sync";
}

// ---- what the client may send -------------------------------------------------------------------

/// SendState says what the owner of the session may do next.
enum class SendState : uint8_t {
  kNew,
  kTlsRequested,
  kTlsAnswered,
  kStarting,    ///< StartupMessage sent; the session answers by itself.
  kOpen,        ///< Requests may be sent.
  kCopyOpen,    ///< A COPY was announced: CopyData, until CopyDone or CopyFail.
  kTerminated,  ///< Terminate was sent.
};
inline constexpr size_t kSendStateCount = 7;

/// Command is a request of the owner, or one of two events that open a state.
enum class Command : uint8_t {
  kRequestTls,
  kTlsAnswer,
  kStartup,
  kStartupDone,
  kRequest,
  kRequestWithCopy,
  kFlush,
  kCopyData,
  kCopyEnd,
  kTerminate,
};
inline constexpr size_t kCommandCount = 10;

/// A row of the second table.
struct SendTransition {
  SendState from;
  Command command;
  SendState to;
};

namespace rows {
inline constexpr SendTransition kSendTransitions[] = {
    {SendState::kNew, Command::kRequestTls, SendState::kTlsRequested},
    {SendState::kTlsRequested, Command::kTlsAnswer, SendState::kTlsAnswered},
    {SendState::kNew, Command::kStartup, SendState::kStarting},
    {SendState::kTlsAnswered, Command::kStartup, SendState::kStarting},
    {SendState::kStarting, Command::kStartupDone, SendState::kOpen},
    {SendState::kStarting, Command::kTerminate, SendState::kTerminated},
    {SendState::kOpen, Command::kRequest, SendState::kOpen},
    {SendState::kOpen, Command::kRequestWithCopy, SendState::kCopyOpen},
    {SendState::kOpen, Command::kFlush, SendState::kOpen},
    {SendState::kOpen, Command::kTerminate, SendState::kTerminated},
    // No request inside a COPY: the server would take a Sync or Query as part of it and never
    // answer. Flush is ignored there.
    {SendState::kCopyOpen, Command::kCopyData, SendState::kCopyOpen},
    {SendState::kCopyOpen, Command::kFlush, SendState::kCopyOpen},
    {SendState::kCopyOpen, Command::kCopyEnd, SendState::kOpen},
    {SendState::kCopyOpen, Command::kTerminate, SendState::kTerminated},
};
}  // namespace rows

using SendTable = std::array<std::array<Cell, kCommandCount>, kSendStateCount>;

/// build_send_table fills the table from its rows.
consteval SendTable build_send_table() {
  SendTable table{};
  for (auto& row : table) row.fill(kIllegal);
  for (const SendTransition& transition : rows::kSendTransitions) {
    table[static_cast<size_t>(transition.from)][static_cast<size_t>(transition.command)] =
        static_cast<Cell>(transition.to);
  }
  return table;
}
inline constexpr SendTable kSendTable = build_send_table();

/// next_send_cell looks up where `command` leads in `state`: kIllegal or a SendState.
constexpr Cell next_send_cell(SendState state, Command command) {
  return kSendTable[static_cast<size_t>(state)][static_cast<size_t>(command)];
}

}  // namespace pgproto::session_table
