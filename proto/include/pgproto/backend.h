#pragma once
// What the server sends. Every message is a view into the session's receive buffer: strings and
// bytes in it are valid until the next Session::receive_space(). Names are PostgreSQL's. Source:
// PostgreSQL documentation, "Message Formats".

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include <pgproto/bytes.h>
#include <pgproto/error.h>
#include <pgproto/oid.h>

namespace pgproto {

/// The AuthenticationRequest family; `data` is what follows the code (salt, mechanisms, SASL data).
struct Authentication {
  enum class Code : int32_t {
    kOk = 0,
    kKerberosV5 = 2,
    kCleartextPassword = 3,
    kMd5Password = 5,
    kGss = 7,
    kGssContinue = 8,
    kSspi = 9,
    kSasl = 10,
    kSaslContinue = 11,
    kSaslFinal = 12,
  };
  Code code{};
  Bytes data;
};
/// BackendKeyData identifies the backend for a CancelRequest.
struct BackendKeyData {
  int32_t process_id = 0;
  Bytes secret_key;  ///< 4 bytes under protocol 3.0, up to 256 under 3.2.
};
/// NegotiateProtocolVersion answers a startup with an unknown version or unknown options.
struct NegotiateProtocolVersion {
  int32_t newest_minor = 0;  ///< The newest minor version that the server supports for major 3.
  std::vector<std::string_view> unrecognized_options;
};
/// ParameterStatus reports the value of a setting.
struct ParameterStatus {
  std::string_view name;
  std::string_view value;
};
/// ReadyForQuery ends the answer of a request, with the state of the transaction.
struct ReadyForQuery {
  enum class Status : char { kIdle = 'I', kInTransaction = 'T', kFailed = 'E' };
  Status status = Status::kIdle;
};
/// The fields of an ErrorResponse or NoticeResponse; absent ones are empty.
struct DiagnosticFields {
  std::string_view severity;        ///< S, localised
  std::string_view severity_plain;  ///< V, never localised (9.6+)
  Sqlstate sqlstate;                ///< C
  std::string_view message;         ///< M
  std::string_view detail;          ///< D
  std::string_view hint;            ///< H
  std::string_view where;           ///< W
  std::string_view schema;          ///< s
  std::string_view table;           ///< t
  std::string_view column;          ///< c
  std::string_view data_type;       ///< d
  std::string_view constraint;      ///< n
  std::string_view routine;         ///< R

  /// An Error of code kServer that owns copies of the texts.
  Error to_error() const;
};
/// ErrorResponse reports that a request failed.
struct ErrorResponse : DiagnosticFields {};
/// NoticeResponse is a warning or a piece of information.
struct NoticeResponse : DiagnosticFields {};
/// NotificationResponse is the message of a NOTIFY.
struct NotificationResponse {
  int32_t process_id = 0;
  std::string_view channel;
  std::string_view payload;
};
/// FieldDescription describes one column of a result.
struct FieldDescription {
  std::string_view name;
  Oid table_oid = 0;
  int16_t column_number = 0;
  Oid type_oid = 0;
  int16_t type_size = 0;
  int32_t type_modifier = -1;
  int16_t format = 0;  ///< 0 text, 1 binary
};
/// RowDescription describes the columns of the rows that follow.
struct RowDescription {
  std::vector<FieldDescription> fields;
};
/// DataRow is a row: one entry of `values` per column, nullopt for NULL.
struct DataRow {
  std::vector<std::optional<Bytes>> values;
};
/// CommandComplete ends the result of a statement.
struct CommandComplete {
  std::string_view tag;  ///< For example "COPY 1000", "COMMIT", "ROLLBACK".
};
/// CopyInResponse starts a COPY FROM STDIN; format 0 is text, 1 binary.
struct CopyInResponse {
  int8_t format = 0;
  std::vector<int16_t> column_formats;
};
/// CopyOutResponse starts a COPY TO STDOUT.
struct CopyOutResponse : CopyInResponse {};
/// CopyBothResponse starts a replication stream.
struct CopyBothResponse : CopyInResponse {};
/// CopyData is a piece of a COPY's data.
struct CopyData {
  Bytes data;
};
/// CopyDone ends the data of a COPY.
struct CopyDone {};
/// EmptyQueryResponse is the result of an empty SQL text.
struct EmptyQueryResponse {};
/// The answers to Parse, Bind and Close, and to a Describe of a statement without result.
struct ParseComplete {};
struct BindComplete {};
struct CloseComplete {};
struct NoData {};
/// PortalSuspended says that an Execute reached its limit of rows.
struct PortalSuspended {};
/// ParameterDescription lists the types of a statement's parameters.
struct ParameterDescription {
  std::vector<Oid> types;
};
/// FunctionCallResponse is the result of a FunctionCall; nullopt is NULL.
struct FunctionCallResponse {
  std::optional<Bytes> value;
};

using BackendMessage =
    std::variant<Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus,
                 ReadyForQuery, ErrorResponse, NoticeResponse, NotificationResponse, RowDescription,
                 DataRow, CommandComplete, CopyInResponse, CopyOutResponse, CopyBothResponse,
                 CopyData, CopyDone, EmptyQueryResponse, ParseComplete, BindComplete, CloseComplete,
                 NoData, PortalSuspended, ParameterDescription, FunctionCallResponse>;

/// decode_backend decodes the body of one message, without type byte and length. Fails with
/// kProtocol on an unknown type, a count that cannot fit the body, or bytes left over; with
/// kOutOfMemory.
Result<BackendMessage> decode_backend(char type, Bytes body);

}  // namespace pgproto
