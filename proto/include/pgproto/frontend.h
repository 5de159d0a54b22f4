#pragma once
// What the client sends. Each message has an encoder, which appends one whole message to an
// OutputBuffer or nothing at all, and a struct that decode_frontend() fills, so that tests and
// traces can read what was sent. Names are PostgreSQL's.
// Source: PostgreSQL documentation, "Message Formats".
//
// All encoders fail with kUsage on a NUL inside a text (the server would read the rest as the next
// field), with kLimit if a field or the message is larger than the server accepts, and with
// kOutOfMemory. They check before they write.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <pgproto/bytes.h>
#include <pgproto/error.h>
#include <pgproto/oid.h>
#include <pgproto/output_buffer.h>

namespace pgproto {

/// The largest length field (it counts itself) of Query, Parse, Bind, FunctionCall and CopyData.
/// Server: PQ_LARGE_MESSAGE_LIMIT, which is MaxAllocSize - 1.
inline constexpr size_t kLargeMessageBytesMax = 0x3ffffffe;
/// The largest length field of the other messages. Server: PQ_SMALL_MESSAGE_LIMIT.
inline constexpr size_t kSmallMessageBytesMax = 10'000;
/// The largest length field of a StartupMessage. Server: MAX_STARTUP_PACKET_LENGTH.
inline constexpr size_t kStartupMessageBytesMax = 10'000;
/// The largest length field of an authentication answer. Server: PG_MAX_AUTH_TOKEN_LENGTH.
inline constexpr size_t kAuthMessageBytesMax = 65'535;
/// The most parameters of Parse and Bind: the count is an unsigned 16-bit integer.
inline constexpr size_t kParametersMax = 65'535;
/// CancelRequest keys: 4 bytes under protocol 3.0, up to 256 under 3.2.
inline constexpr size_t kCancelKeyBytesMin = 4;
inline constexpr size_t kCancelKeyBytesMax = 256;
/// Bytes before the body of a message: the type byte and the length.
inline constexpr size_t kMessageHeaderBytes = 5;

/// The codes in the place of the protocol version of a StartupMessage.
inline constexpr int32_t kCancelRequestCode = (1234 << 16) | 5678;
inline constexpr int32_t kSslRequestCode = (1234 << 16) | 5679;
inline constexpr int32_t kGssEncRequestCode = (1234 << 16) | 5680;

/// Target is the kind of object that Describe and Close name.
enum class Target : char { kStatement = 'S', kPortal = 'P' };

/// BindParameter is one parameter of a Bind: nullopt is NULL; format 0 is text, 1 binary.
struct BindParameter {
  std::optional<Bytes> value;
  int16_t format = 0;
};

// ---- messages without a type byte, only legal as the first of a connection ----------------------
struct StartupMessage {
  int32_t protocol_version = 0;  ///< Major version in the upper 16 bits.
  std::vector<std::pair<std::string_view, std::string_view>> parameters;
};
/// SSLRequest asks for TLS before the startup.
struct SSLRequest {};
/// GSSENCRequest asks for GSSAPI encryption before the startup.
struct GSSENCRequest {};
/// CancelRequest asks the server to cancel what a backend executes.
struct CancelRequest {
  int32_t process_id = 0;
  Bytes secret_key;
};

// ---- messages with a type byte ------------------------------------------------------------------
struct PasswordMessage {
  std::string_view password;
};
/// SASLInitialResponse chooses a mechanism and starts it.
struct SASLInitialResponse {
  std::string_view mechanism;
  std::optional<Bytes> data;
};
/// SASLResponse continues a SASL exchange.
struct SASLResponse {
  Bytes data;
};
/// Query runs SQL text of one or more statements.
struct Query {
  std::string_view sql;
};
/// Parse prepares a statement; "" is the unnamed one.
struct Parse {
  std::string_view name;
  std::string_view sql;
  std::vector<Oid> types;
};
/// Bind makes a portal of a prepared statement and parameters.
struct Bind {
  std::string_view portal;
  std::string_view statement;
  std::vector<BindParameter> parameters;
  std::vector<int16_t> result_formats;
};
/// Describe asks for the columns of a statement or portal.
struct Describe {
  Target target = Target::kStatement;
  std::string_view name;
};
/// Execute runs a portal; `rows_max` 0 means all rows.
struct Execute {
  std::string_view portal;
  int32_t rows_max = 0;
};
/// Close drops a statement or portal.
struct Close {
  Target target = Target::kStatement;
  std::string_view name;
};
/// Sync ends a series of the extended protocol.
struct Sync {};
/// Flush asks the server to send what it has.
struct Flush {};
/// FunctionCall calls a function by OID.
struct FunctionCall {
  Oid function = 0;
  std::vector<BindParameter> arguments;
  int16_t result_format = 0;
};
/// FrontendCopyData is a piece of a COPY's data.
struct FrontendCopyData {
  Bytes data;
};
/// FrontendCopyDone ends the data of a COPY.
struct FrontendCopyDone {};
/// CopyFail aborts a COPY.
struct CopyFail {
  std::string_view reason;
};
/// Terminate ends the session.
struct Terminate {};

using StartupPacket = std::variant<StartupMessage, SSLRequest, GSSENCRequest, CancelRequest>;
using FrontendMessage =
    std::variant<PasswordMessage, SASLInitialResponse, SASLResponse, Query, Parse, Bind, Describe,
                 Execute, Close, Sync, Flush, FunctionCall, FrontendCopyData, FrontendCopyDone,
                 CopyFail, Terminate>;

/// encode_startup appends a StartupMessage; the user goes in as the parameter "user".
Status encode_startup(OutputBuffer& out, int32_t protocol_version,
                      std::span<const std::pair<std::string, std::string>> parameters);
/// encode_ssl_request appends an SSLRequest.
Status encode_ssl_request(OutputBuffer& out);
/// encode_gssenc_request appends a GSSENCRequest.
Status encode_gssenc_request(OutputBuffer& out);
/// encode_cancel_request appends a CancelRequest. Fails with kUsage unless the key has
/// kCancelKeyBytesMin to kCancelKeyBytesMax bytes.
Status encode_cancel_request(OutputBuffer& out, int32_t process_id, Bytes secret_key);

/// encode_password appends a PasswordMessage, cleartext or hashed.
Status encode_password(OutputBuffer& out, std::string_view password);
/// encode_sasl_initial_response appends a SASLInitialResponse.
Status encode_sasl_initial_response(OutputBuffer& out, std::string_view mechanism,
                                    std::optional<Bytes> data);
/// encode_sasl_response appends a SASLResponse.
Status encode_sasl_response(OutputBuffer& out, Bytes data);
/// encode_query appends a Query.
Status encode_query(OutputBuffer& out, std::string_view sql);
/// encode_parse appends a Parse.
Status encode_parse(OutputBuffer& out, std::string_view name, std::string_view sql,
                    std::span<const Oid> types);
/// encode_bind appends a Bind whose results all come in `result_format`.
Status encode_bind(OutputBuffer& out, std::string_view portal, std::string_view statement,
                   std::span<const BindParameter> parameters, int16_t result_format);
/// encode_describe appends a Describe.
Status encode_describe(OutputBuffer& out, Target target, std::string_view name);
/// encode_execute appends an Execute; `rows_max` 0 means all rows.
Status encode_execute(OutputBuffer& out, std::string_view portal, int32_t rows_max);
/// encode_close appends a Close.
Status encode_close(OutputBuffer& out, Target target, std::string_view name);
/// encode_sync appends a Sync.
Status encode_sync(OutputBuffer& out);
/// encode_flush appends a Flush.
Status encode_flush(OutputBuffer& out);
/// encode_function_call appends a FunctionCall.
Status encode_function_call(OutputBuffer& out, Oid function,
                            std::span<const BindParameter> arguments, int16_t result_format);
/// encode_copy_data appends a CopyData with a copy of `data`. The hot path writes the body in place
/// instead: OutputBuffer::reserve(), store_copy_data_header(), OutputBuffer::append().
Status encode_copy_data(OutputBuffer& out, Bytes data);
/// store_copy_data_header writes the kMessageHeaderBytes bytes before a CopyData body of
/// `body_bytes`. REQUIRES: body_bytes + 4 <= kLargeMessageBytesMax.
void store_copy_data_header(std::byte* to, size_t body_bytes);
/// encode_copy_done appends a CopyDone.
Status encode_copy_done(OutputBuffer& out);
/// encode_copy_fail appends a CopyFail.
Status encode_copy_fail(OutputBuffer& out, std::string_view reason);
/// encode_terminate appends a Terminate.
Status encode_terminate(OutputBuffer& out);

/// AuthResponse says how to read a message of type 'p', which depends on the server's last request.
enum class AuthResponse : uint8_t { kPassword, kSaslInitial, kSasl };

/// decode_startup_packet decodes what follows the length of a message without type byte. Views into
/// `body`. Fails with kProtocol.
Result<StartupPacket> decode_startup_packet(Bytes body);
/// decode_frontend decodes the body of one message with a type byte. Views into `body`. Fails with
/// kProtocol on an unknown type, a count that cannot fit the body, or bytes left over.
Result<FrontendMessage> decode_frontend(char type, Bytes body,
                                        AuthResponse auth = AuthResponse::kPassword);

}  // namespace pgproto
