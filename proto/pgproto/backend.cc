#include <new>
#include <string>

#include <pgproto/backend.h>
#include <pgproto/frontend.h>

namespace pgproto {
namespace {

BackendKeyData read_backend_key_data(ByteReader& reader) {
  BackendKeyData message;
  message.process_id = reader.read<int32_t>();
  message.secret_key = reader.read_bytes(reader.remaining());
  const size_t size = message.secret_key.size();
  if (size < kCancelKeyBytesMin || size > kCancelKeyBytesMax) reader.fail();
  return message;
}

NegotiateProtocolVersion read_negotiate(ByteReader& reader) {
  NegotiateProtocolVersion message;
  // The documentation says "minor version"; PostgreSQL sends the whole version, 3 in the upper
  // half.
  const auto version = reader.read<uint32_t>();
  if (version >> 16 != 0 && version >> 16 != 3) reader.fail();
  message.newest_minor = static_cast<int32_t>(version & 0xffff);
  const size_t count = reader.read<uint32_t>();
  if (count > reader.remaining()) reader.fail();  // A name takes at least its NUL.
  for (size_t i = 0; i < count && reader.ok(); ++i) {
    message.unrecognized_options.push_back(reader.read_cstring());
  }
  return message;
}

template <typename Message>
Message read_diagnostics(ByteReader& reader) {
  Message message;
  while (reader.ok()) {
    const char field = reader.read<char>();
    if (field == 0) break;
    const std::string_view text = reader.read_cstring();
    switch (field) {
      case 'S':
        message.severity = text;
        break;
      case 'V':
        message.severity_plain = text;
        break;
      case 'C':
        message.sqlstate = Sqlstate(text);
        break;
      case 'M':
        message.message = text;
        break;
      case 'D':
        message.detail = text;
        break;
      case 'H':
        message.hint = text;
        break;
      case 'W':
        message.where = text;
        break;
      case 's':
        message.schema = text;
        break;
      case 't':
        message.table = text;
        break;
      case 'c':
        message.column = text;
        break;
      case 'd':
        message.data_type = text;
        break;
      case 'n':
        message.constraint = text;
        break;
      case 'R':
        message.routine = text;
        break;
      default:
        break;  // The protocol says that unknown fields are ignored.
    }
  }
  return message;
}

// An ErrorResponse without SQLSTATE would read as success ("00000"): poolers have sent that.
ErrorResponse read_error(ByteReader& reader) {
  auto message = read_diagnostics<ErrorResponse>(reader);
  if (!message.sqlstate.is_set()) message.sqlstate = Sqlstate("XX000");
  return message;
}

NotificationResponse read_notification(ByteReader& reader) {
  NotificationResponse message;
  message.process_id = reader.read<int32_t>();
  message.channel = reader.read_cstring();
  message.payload = reader.read_cstring();
  return message;
}

RowDescription read_row_description(ByteReader& reader) {
  RowDescription message;
  message.fields.resize(reader.read_count_u16(1 + 18));
  for (FieldDescription& field : message.fields) {
    field.name = reader.read_cstring();
    field.table_oid = reader.read<Oid>();
    field.column_number = reader.read<int16_t>();
    field.type_oid = reader.read<Oid>();
    field.type_size = reader.read<int16_t>();
    field.type_modifier = reader.read<int32_t>();
    field.format = reader.read<int16_t>();
  }
  return message;
}

std::optional<Bytes> read_value(ByteReader& reader) {
  const auto size = reader.read<int32_t>();
  if (size == -1) return std::nullopt;
  if (size < -1) {
    reader.fail();
    return std::nullopt;
  }
  return reader.read_bytes(static_cast<size_t>(size));
}

DataRow read_data_row(ByteReader& reader) {
  DataRow message;
  message.values.resize(reader.read_count_u16(4));
  for (auto& value : message.values) value = read_value(reader);
  return message;
}

template <typename Message>
Message read_copy_response(ByteReader& reader) {
  Message message;
  message.format = reader.read<int8_t>();
  if (message.format != 0 && message.format != 1) reader.fail();
  message.column_formats.resize(reader.read_count_u16(2));
  for (int16_t& format : message.column_formats) format = reader.read<int16_t>();
  return message;
}

ReadyForQuery read_ready_for_query(ByteReader& reader) {
  const char status = reader.read<char>();
  if (status != 'I' && status != 'T' && status != 'E') reader.fail();
  return {static_cast<ReadyForQuery::Status>(status)};
}

ParameterStatus read_parameter_status(ByteReader& reader) {
  ParameterStatus message;
  message.name = reader.read_cstring();
  message.value = reader.read_cstring();
  return message;
}

ParameterDescription read_parameter_description(ByteReader& reader) {
  ParameterDescription message;
  message.types.resize(reader.read_count_u16(4));
  for (Oid& type : message.types) type = reader.read<Oid>();
  return message;
}

Authentication read_authentication(ByteReader& reader) {
  Authentication message;
  message.code = static_cast<Authentication::Code>(reader.read<int32_t>());
  message.data = reader.read_bytes(reader.remaining());
  return message;
}

// One row per message type: its decoder.
// clang-format off
std::optional<BackendMessage> read_message(char type, ByteReader& reader) {
  switch (type) {
    case '1': return ParseComplete{};
    case '2': return BindComplete{};
    case '3': return CloseComplete{};
    case 'A': return read_notification(reader);
    case 'C': return CommandComplete{reader.read_cstring()};
    case 'D': return read_data_row(reader);
    case 'E': return read_error(reader);
    case 'G': return read_copy_response<CopyInResponse>(reader);
    case 'H': return read_copy_response<CopyOutResponse>(reader);
    case 'I': return EmptyQueryResponse{};
    case 'K': return read_backend_key_data(reader);
    case 'N': return read_diagnostics<NoticeResponse>(reader);
    case 'R': return read_authentication(reader);
    case 'S': return read_parameter_status(reader);
    case 'T': return read_row_description(reader);
    case 'V': return FunctionCallResponse{read_value(reader)};
    case 'W': return read_copy_response<CopyBothResponse>(reader);
    case 'Z': return read_ready_for_query(reader);
    case 'c': return CopyDone{};
    case 'd': return CopyData{reader.read_bytes(reader.remaining())};
    case 'n': return NoData{};
    case 's': return PortalSuspended{};
    case 't': return read_parameter_description(reader);
    case 'v': return read_negotiate(reader);
    default: return std::nullopt;
  }
}

}  // namespace

Result<BackendMessage> decode_backend(char type, Bytes body) try {
  ByteReader reader(body);
  std::optional<BackendMessage> message = read_message(type, reader);
  if (!message) {
    return fail(Errc::kProtocol, "the server sent a message of the unknown type " +
                                     std::to_string(static_cast<unsigned char>(type)));
  }
  if (!reader.done()) {
    return fail(Errc::kProtocol, std::string("the server sent a malformed message of type '") +
                                     type + "' (" + std::to_string(body.size()) + " bytes)");
  }
  return *std::move(message);
} catch (const std::bad_alloc&) {
  return fail(Errc::kOutOfMemory, "out of memory");
}

Error DiagnosticFields::to_error() const {
  Error error;
  error.code = Errc::kServer;
  error.message = message;
  error.sqlstate = sqlstate;
  error.severity = severity_plain.empty() ? severity : severity_plain;
  error.detail = detail;
  error.hint = hint;
  error.where = where;
  error.schema = schema;
  error.table = table;
  error.column = column;
  error.constraint = constraint;
  error.sent = true;
  return error;
}

}  // namespace pgproto
