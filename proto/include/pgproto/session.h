#pragma once
// Session is the only sans-I/O boundary: bytes in → events out, commands → bytes out. It touches no
// socket, clock, random source or thread; whoever owns it moves the bytes.
//
// Sending and receiving are independent: any number of requests may be sent before the first answer
// arrives. The session keeps the queue of requests that await answers and attributes every event to
// its request. It enforces, from one constexpr table (session_table.h), what may come when.
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
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pgproto/backend.h>
#include <pgproto/bytes.h>
#include <pgproto/error.h>
#include <pgproto/frontend.h>

namespace pgproto {

class SaltedKeyCache;

/// RequestId numbers the requests of a session from 1 (0: the startup). An extended-protocol
/// message (Parse, Bind, Describe, Execute, Close, Sync) is a request of its own.
using RequestId = uint64_t;

/// Limits on what a peer can make us hold or do.
struct SessionLimits {
  /// Largest backend message accepted. The server never sends more than 1 GiB - 1.
  size_t message_bytes_max = (size_t{1} << 30) - 1;
  /// Largest message before authentication is done: what comes there is small, and from anybody.
  size_t startup_message_bytes_max = 30'000;
  /// SCRAM iterations accepted: each costs us CPU, the server chooses. PostgreSQL's default is
  /// 4096.
  uint32_t scram_iterations_max = 100'000;
  /// ParameterStatus names held, and the bytes of their names and values. PostgreSQL reports about
  /// fifteen short ones.
  size_t parameters_max = 256;
  size_t parameters_bytes_max = size_t{1} << 20;
  /// Requests that may await answers: each costs us some 40 bytes. A Sync is always accepted.
  size_t requests_max = size_t{1} << 18;
};

/// How a server may make us authenticate; bits of StartupConfig::require_auth (libpq:
/// require_auth).
enum class AuthMethod : uint8_t {
  kNone = 1,      ///< AuthenticationOk without any proof asked for.
  kPassword = 2,  ///< cleartext
  kMd5 = 4,
  kScramSha256 = 8,  ///< with or without channel binding
  kAny = 0xff,
};

/// libpq: channel_binding.
enum class ChannelBinding : uint8_t { kDisable, kPrefer, kRequire };

inline constexpr int32_t kProtocol30 = 3 << 16;
inline constexpr int32_t kProtocol32 = (3 << 16) | 2;

/// What the startup needs to know. Texts must hold no NUL.
struct StartupConfig {
  int32_t protocol_version = kProtocol30;  ///< What to ask for; the server may negotiate down.
  std::string user;
  std::string password;  ///< May be empty: then a server that asks for one is an error.
  /// Further parameters: database, application_name, client_encoding, options, replication, ….
  std::vector<std::pair<std::string, std::string>> parameters;
  uint8_t require_auth = static_cast<uint8_t>(AuthMethod::kAny);
  ChannelBinding channel_binding = ChannelBinding::kPrefer;
  /// The "tls-server-end-point" hash of the server's certificate; empty on a plain connection. On a
  /// TLS connection whose certificate has no usable hash: empty, and `over_tls` true.
  std::vector<std::byte> tls_server_end_point;
  bool over_tls = false;
  /// Client nonce: printable ASCII without ',', drawn fresh for each session by the owner.
  std::string scram_nonce;
  /// Shared by a pool so that the salted key is derived once; may be null. An interface (scram.h):
  /// who shares it between threads gives it its lock. Must live until the startup is done.
  SaltedKeyCache* salted_keys = nullptr;
};

/// One thing that the server said, with the request that it answers (0 for startup and for messages
/// that answer none: NoticeResponse, ParameterStatus and NotificationResponse carry the request
/// under way but may come at any time). Valid until the next receive_space().
struct Event {
  RequestId request = 0;
  BackendMessage message;
  char type =
      0;  ///< The message's type byte and body, to keep it beyond that: see decode_backend().
  Bytes body;
};

class Session {
 public:
  /// The constructor alone may throw, std::bad_alloc; of all other functions none does: memory that
  /// is not there breaks the session with kOutOfMemory.
  explicit Session(SessionLimits limits = {});
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // ---- startup ----------------------------------------------------------------------------
  /// Sends SSLRequest. The answer is tls_answer(), not an event.
  void request_tls();
  enum class TlsAnswer : uint8_t { kPending, kAccepted, kRefused };
  /// After request_tls(): what the server said. Fails with kProtocol on any other byte, on an
  /// ErrorResponse (its text is untrusted and not shown), and if a byte follows the answer.
  Result<TlsAnswer> tls_answer();
  /// Sends the StartupMessage. Authentication is answered by the session itself; ReadyForQuery of
  /// request 0 ends the startup. Fails with kUsage on a NUL in a parameter.
  /// client_encoding is always UTF8; a server that reports another one fails next_event().
  Status startup(StartupConfig config);

  // ---- requests: append to output(), never block, may be called while others await answers -----
  enum class Copy : uint8_t { kNone, kIn, kBoth };
  /// A simple Query. `copy` says that its last statement starts a COPY FROM STDIN (kIn) or a
  /// replication stream (kBoth): then the copy_… calls must follow, ended by copy_done() or
  /// copy_fail(), before any other request. COPY TO STDOUT needs no announcement.
  /// Fails with kUsage on a NUL, kLimit at 1 GiB.
  Result<RequestId> query(std::string_view sql, Copy copy = Copy::kNone);

  /// Parse. `name` "" is the unnamed statement; a type oid of 0 leaves the type to the server.
  Result<RequestId> parse(std::string_view name, std::string_view sql, std::span<const Oid> types);
  /// Bind with all parameters in one format each; nullopt is NULL. Results come in `result_format`.
  using Parameter = BindParameter;
  Result<RequestId> bind(std::string_view portal, std::string_view statement,
                         std::span<const Parameter> parameters, int16_t result_format = 0);
  Result<RequestId> describe_statement(std::string_view name);
  Result<RequestId> describe_portal(std::string_view name);
  /// Execute. `copy` as for query().
  Result<RequestId> execute(std::string_view portal, int32_t rows_max = 0, Copy copy = Copy::kNone);
  Result<RequestId> close_statement(std::string_view name);
  Result<RequestId> close_portal(std::string_view name);
  /// Sync: exactly one ReadyForQuery answers it. Inside an open COPY the server would swallow it:
  /// then nothing is sent, the result is 0 and next_event() fails with kUsage.
  RequestId sync();
  /// Flush: makes the server send what it has. No answer.
  void flush();
  /// Terminate. Nothing may follow.
  void terminate();

  // ---- COPY IN / BOTH, after a request announced with Copy --------------------------------------
  /// Room for at least `size` bytes of one CopyData body, directly in the output buffer behind a
  /// reserved header. Valid until the next call of a request or copy_… function. Nothing is sent
  /// unless copy_commit() follows. REQUIRES: a COPY is open for sending; otherwise, at 1 GiB, and
  /// without memory it returns no room and next_event() fails.
  MutableBytes copy_space(size_t size);
  /// Ends the CopyData begun by copy_space(): its body is the first `size` bytes written there; 0
  /// sends nothing. REQUIRES: `size` is at most what copy_space() was asked for.
  void copy_commit(size_t size);
  void copy_done();
  void copy_fail(std::string_view reason);
  /// Whether the server already refused the COPY that is open for sending (its ErrorResponse was
  /// received): stop encoding, call copy_done(), drain to ReadyForQuery.
  bool copy_refused() const;

  // ---- bytes out --------------------------------------------------------------------------------
  /// What waits to be sent, contiguous; valid until any other call of the session.
  Bytes output() const;
  /// The first `size` bytes of output() were handed to the transport.
  void output_sent(size_t size);
  /// Position in the stream of bytes ever appended to the output. A request is completely handed to
  /// the transport once sent_position() reaches the appended_position() taken right after it.
  uint64_t appended_position() const;
  uint64_t sent_position() const;

  // ---- bytes in ---------------------------------------------------------------------------------
  /// Room to receive into, at least 1 byte; invalidates all views of events. Grows with the bytes
  /// received of a large message, never by its declared length.
  MutableBytes receive_space();
  void received(size_t size);
  /// The next complete event, nullopt if more bytes are needed. Fails with kProtocol, kLimit or
  /// kAuthentication when the connection must be closed; the failure sticks.
  Result<std::optional<Event>> next_event();
  /// The peer closed its side. Says whether that was legal here (after terminate(), or never).
  Status received_eof();

  // ---- state ------------------------------------------------------------------------------------
  bool startup_done() const;
  /// The status of the last ReadyForQuery.
  ReadyForQuery::Status transaction_status() const;
  /// Requests sent whose last answer has not come yet.
  size_t pending_requests() const;
  /// "" if the server never reported that parameter.
  std::string_view parameter(std::string_view name) const;
  int32_t protocol_version() const;  ///< As negotiated.
  int32_t backend_process_id() const;
  Bytes cancel_key() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pgproto
