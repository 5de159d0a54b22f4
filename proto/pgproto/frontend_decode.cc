// The other half of frontend.h: reading what a client sent.

#include <new>
#include <string>

#include <pgproto/frontend.h>

namespace pgproto {
namespace {

// The formats before values: none (all text), one for all, or one for each.
void read_parameters(ByteReader& reader, std::vector<BindParameter>& parameters) {
  const size_t format_count = reader.read_count_u16(2);
  std::vector<int16_t> formats(format_count);
  for (int16_t& format : formats) format = reader.read<int16_t>();
  const size_t count = reader.read_count_u16(4);
  if (format_count > 1 && format_count != count) return reader.fail();
  parameters.resize(count);
  for (size_t i = 0; i < count; ++i) {
    if (format_count > 0) parameters[i].format = formats[format_count == 1 ? 0 : i];
    const auto size = reader.read<int32_t>();
    if (size < -1) return reader.fail();
    if (size >= 0) parameters[i].value = reader.read_bytes(static_cast<size_t>(size));
  }
}

Parse read_parse(ByteReader& reader) {
  Parse message;
  message.name = reader.read_cstring();
  message.sql = reader.read_cstring();
  message.types.resize(reader.read_count_u16(4));
  for (Oid& type : message.types) type = reader.read<Oid>();
  return message;
}

Bind read_bind(ByteReader& reader) {
  Bind message;
  message.portal = reader.read_cstring();
  message.statement = reader.read_cstring();
  read_parameters(reader, message.parameters);
  message.result_formats.resize(reader.read_count_u16(2));
  for (int16_t& format : message.result_formats) format = reader.read<int16_t>();
  return message;
}

template <typename Message>
Message read_target(ByteReader& reader) {
  Message message;
  const char target = reader.read<char>();
  if (target != 'S' && target != 'P') reader.fail();
  message.target = static_cast<Target>(target);
  message.name = reader.read_cstring();
  return message;
}

FunctionCall read_function_call(ByteReader& reader) {
  FunctionCall message;
  message.function = reader.read<Oid>();
  read_parameters(reader, message.arguments);
  message.result_format = reader.read<int16_t>();
  return message;
}

FrontendMessage read_auth(ByteReader& reader, AuthResponse auth) {
  if (auth == AuthResponse::kPassword) return PasswordMessage{reader.read_cstring()};
  if (auth == AuthResponse::kSasl) return SASLResponse{reader.read_bytes(reader.remaining())};
  SASLInitialResponse message;
  message.mechanism = reader.read_cstring();
  const auto size = reader.read<int32_t>();
  if (size < -1) reader.fail();
  if (size >= 0) message.data = reader.read_bytes(static_cast<size_t>(size));
  return message;
}

std::optional<FrontendMessage> read_message(char type, ByteReader& reader, AuthResponse auth) {
  switch (type) {
    case 'B':
      return read_bind(reader);
    case 'C':
      return read_target<Close>(reader);
    case 'c':
      return FrontendCopyDone{};
    case 'D':
      return read_target<Describe>(reader);
    case 'd':
      return FrontendCopyData{reader.read_bytes(reader.remaining())};
    case 'E': {
      Execute message;
      message.portal = reader.read_cstring();
      message.rows_max = reader.read<int32_t>();
      return message;
    }
    case 'F':
      return read_function_call(reader);
    case 'f':
      return CopyFail{reader.read_cstring()};
    case 'H':
      return Flush{};
    case 'P':
      return read_parse(reader);
    case 'p':
      return read_auth(reader, auth);
    case 'Q':
      return Query{reader.read_cstring()};
    case 'S':
      return Sync{};
    case 'X':
      return Terminate{};
    default:
      return std::nullopt;
  }
}

StartupMessage read_startup(int32_t version, ByteReader& reader) {
  StartupMessage message;
  message.protocol_version = version;
  while (reader.ok()) {
    const std::string_view name = reader.read_cstring();
    if (name.empty()) break;
    message.parameters.emplace_back(name, reader.read_cstring());
  }
  return message;
}

}  // namespace

Result<StartupPacket> decode_startup_packet(Bytes body) try {
  ByteReader reader(body);
  const auto code = reader.read<int32_t>();
  StartupPacket packet;
  if (code == kSslRequestCode) {
    packet = SSLRequest{};
  } else if (code == kGssEncRequestCode) {
    packet = GSSENCRequest{};
  } else if (code == kCancelRequestCode) {
    CancelRequest request;
    request.process_id = reader.read<int32_t>();
    request.secret_key = reader.read_bytes(reader.remaining());
    if (request.secret_key.size() < kCancelKeyBytesMin ||
        request.secret_key.size() > kCancelKeyBytesMax) {
      reader.fail();
    }
    packet = request;
  } else {
    packet = read_startup(code, reader);
  }
  if (!reader.done()) return fail(Errc::kProtocol, "malformed startup packet");
  return packet;
} catch (const std::bad_alloc&) {
  return fail(Errc::kOutOfMemory, "out of memory");
}

Result<FrontendMessage> decode_frontend(char type, Bytes body, AuthResponse auth) try {
  ByteReader reader(body);
  std::optional<FrontendMessage> message = read_message(type, reader, auth);
  if (!message) {
    return fail(Errc::kProtocol, "unknown frontend message type " +
                                     std::to_string(static_cast<unsigned char>(type)));
  }
  if (!reader.done()) {
    return fail(Errc::kProtocol, std::string("malformed frontend message of type '") + type + "'");
  }
  return *std::move(message);
} catch (const std::bad_alloc&) {
  return fail(Errc::kOutOfMemory, "out of memory");
}

}  // namespace pgproto
