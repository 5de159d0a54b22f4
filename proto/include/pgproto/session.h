#pragma once
// Session is the protocol without I/O: received bytes become events, requests become bytes to send.
// It uses no socket, clock, random source or thread; its owner moves the bytes.
//
// Sending and receiving are independent: any number of requests may be sent before the first answer
// arrives. The session keeps the queue of requests that await answers and attributes every event to
// its request. One constexpr table (session_table.h) says what may be sent and received when.
//
//   session.query("BEGIN; COPY t FROM STDIN (FORMAT binary)", Session::Copy::kIn);   // request 1
//   auto space = session.copy_space(65536); …encode…; session.copy_commit(n);        // CopyData
//   session.copy_done();
//   session.query("COMMIT");                                                         // request 2
//   … send session.output(), receive …
//   while (auto event = session.next_event()) …       // CommandComplete{1}, CopyInResponse{1}, …

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include <pgproto/backend.h>
#include <pgproto/bytes.h>
#include <pgproto/error.h>
#include <pgproto/frontend.h>
#include <pgproto/session_config.h>

namespace pgproto {

/// Event is one message of the server, with the request that it answers: 0 for the startup.
/// NoticeResponse, ParameterStatus and NotificationResponse may come at any time and carry the
/// request in progress. Valid until the next receive_space().
struct Event {
  RequestId request = 0;
  BackendMessage message;
  char type =
      0;  ///< The message's type byte and body, to keep the message longer: see decode_backend().
  Bytes body;
};

class Session {
 public:
  /// Only the constructor may throw, std::bad_alloc. In all other functions a failed allocation
  /// breaks the session with kOutOfMemory.
  explicit Session(SessionLimits limits = {});
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // ---- startup ----------------------------------------------------------------------------------
  /// request_tls sends SSLRequest. The answer is tls_answer(), not an event.
  void request_tls();
  /// TlsAnswer is what became of request_tls().
  enum class TlsAnswer : uint8_t { kPending, kAccepted, kRefused };
  /// tls_answer is the server's answer to request_tls(). Fails with kProtocol on any other byte, on
  /// an ErrorResponse (its text is untrusted and not shown), and if a byte follows the answer.
  Result<TlsAnswer> tls_answer();
  /// startup sends the StartupMessage. The session answers the authentication requests itself;
  /// ReadyForQuery of request 0 ends the startup. Fails with kUsage on a NUL in a parameter.
  /// client_encoding is always UTF8; if a server reports another one, next_event() fails.
  Status startup(StartupConfig config);

  // ---- requests: append to output(), never block, may be called while others await answers ------
  /// Copy announces which COPY a request starts.
  enum class Copy : uint8_t { kNone, kIn, kBoth };
  /// query sends a simple Query. `copy` announces that its last statement starts a COPY FROM STDIN
  /// (kIn) or a replication stream (kBoth): then the copy_… calls must follow, ended by copy_done()
  /// or copy_fail(), before any other request. COPY TO STDOUT needs no announcement. Fails with
  /// kUsage on a NUL, kLimit at 1 GiB.
  Result<RequestId> query(std::string_view sql, Copy copy = Copy::kNone);

  /// parse sends Parse. `name` "" is the unnamed statement; a type oid of 0 leaves the type to the
  /// server.
  Result<RequestId> parse(std::string_view name, std::string_view sql, std::span<const Oid> types);
  /// bind sends Bind. Each parameter has its own format; nullopt is NULL. Results come in
  /// `result_format`.
  using Parameter = BindParameter;
  Result<RequestId> bind(std::string_view portal, std::string_view statement,
                         std::span<const Parameter> parameters, int16_t result_format = 0);
  /// describe_statement and describe_portal send Describe.
  Result<RequestId> describe_statement(std::string_view name);
  Result<RequestId> describe_portal(std::string_view name);
  /// execute sends Execute. `copy` as for query().
  Result<RequestId> execute(std::string_view portal, int32_t rows_max = 0, Copy copy = Copy::kNone);
  /// close_statement and close_portal send Close.
  Result<RequestId> close_statement(std::string_view name);
  Result<RequestId> close_portal(std::string_view name);
  /// sync sends Sync: exactly one ReadyForQuery answers it. Inside an open COPY the server would
  /// swallow it: then nothing is sent, the result is 0 and next_event() fails with kUsage.
  RequestId sync();
  /// flush sends Flush: the server sends what it has. It has no answer.
  void flush();
  /// terminate sends Terminate. Nothing may follow.
  void terminate();

  // ---- COPY IN / BOTH, after a request announced with Copy --------------------------------------
  /// copy_space returns room for at least `size` bytes of one CopyData body, directly in the output
  /// buffer after a reserved header. Valid until the next call of a request or copy_… function.
  /// Nothing is sent unless copy_commit() follows. REQUIRES: a COPY is open for sending; otherwise,
  /// at 1 GiB, and without memory it returns no room and next_event() fails.
  MutableBytes copy_space(size_t size);
  /// copy_commit ends the CopyData begun by copy_space(): its body is the first `size` bytes
  /// written there; 0 sends nothing. REQUIRES: `size` is at most the size given to copy_space().
  void copy_commit(size_t size);
  /// copy_done sends CopyDone: the data of the COPY is complete.
  void copy_done();
  /// copy_fail sends CopyFail: the server aborts the COPY with `reason` in its error.
  void copy_fail(std::string_view reason);
  /// copy_refused says whether the server already refused the COPY that is open for sending (its
  /// ErrorResponse was received): stop encoding, call copy_done(), and read to ReadyForQuery.
  bool copy_refused() const;

  // ---- bytes out --------------------------------------------------------------------------------
  /// output is what waits to be sent, contiguous; valid until any other call of the session.
  Bytes output() const;
  /// output_sent says that the first `size` bytes of output() were handed to the transport.
  void output_sent(size_t size);
  /// appended_position counts all bytes ever appended to the output. A request is completely handed
  /// to the transport once sent_position() reaches the appended_position() taken right after it.
  uint64_t appended_position() const;
  /// sent_position counts all bytes ever given to output_sent().
  uint64_t sent_position() const;

  // ---- bytes in ---------------------------------------------------------------------------------
  /// receive_space returns room to receive into, at least 1 byte; it invalidates all views of
  /// events. The buffer of a large message grows with the bytes received, never by the declared
  /// length.
  MutableBytes receive_space();
  /// received says that the first `size` bytes of receive_space() were filled.
  void received(size_t size);
  /// next_event returns the next complete event, nullopt if more bytes are needed. Fails with
  /// kProtocol, kLimit or kAuthentication when the connection must be closed; then it always fails.
  Result<std::optional<Event>> next_event();
  /// received_eof says that the peer closed its side. Fails unless that was legal (after
  /// terminate()).
  Status received_eof();

  // ---- state ------------------------------------------------------------------------------------
  /// startup_done says whether ReadyForQuery has ended the startup.
  bool startup_done() const;
  /// The status of the last ReadyForQuery.
  ReadyForQuery::Status transaction_status() const;
  /// Number of requests that have been sent and not completely answered.
  size_t pending_requests() const;
  /// answers_due says whether the server has to say something next. It has not while it takes the
  /// data of a COPY that is open for sending, or streams in both directions.
  bool answers_due() const;
  /// parameter is the value of a ParameterStatus, "" if the server never reported it.
  std::string_view parameter(std::string_view name) const;
  int32_t protocol_version() const;  ///< The negotiated version.
  /// backend_process_id is the pid of BackendKeyData, 0 before.
  int32_t backend_process_id() const;
  /// cancel_key is the key of BackendKeyData, valid as long as the session.
  Bytes cancel_key() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pgproto
