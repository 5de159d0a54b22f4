#include "support/backend_encoder.h"

#include <algorithm>
#include <memory>

namespace pgsink::test {

using namespace pgproto;

namespace {

// Big-endian, byte by byte: not the functions that the decoders use.
void put(std::string& out, uint64_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    out += static_cast<char>(value >> shift & 0xff);
  }
}
void put16(std::string& out, size_t value) { put(out, value, 2); }
void put32(std::string& out, uint64_t value) { put(out, value & 0xffffffff, 4); }
void put_text(std::string& out, std::string_view text) { out.append(text).push_back('\0'); }
void put_bytes(std::string& out, Bytes bytes) { out.append(as_text(bytes)); }

void put_value(std::string& out, const std::optional<Bytes>& value) {
  put32(out, value ? value->size() : 0xffffffff);
  if (value) put_bytes(out, *value);
}

std::string diagnostics(char type, const DiagnosticFields& fields) {
  std::string body;
  const auto field = [&](char code, std::string_view text) {
    if (text.empty()) return;
    body += code;
    put_text(body, text);
  };
  field('S', fields.severity);
  field('V', fields.severity_plain);
  if (fields.sqlstate.is_set()) field('C', fields.sqlstate.view());
  field('M', fields.message);
  field('D', fields.detail);
  field('H', fields.hint);
  field('W', fields.where);
  field('s', fields.schema);
  field('t', fields.table);
  field('c', fields.column);
  field('d', fields.data_type);
  field('n', fields.constraint);
  field('R', fields.routine);
  body += '\0';
  return raw_message(type, body);
}

std::string copy_response(char type, const CopyInResponse& message) {
  std::string body(1, static_cast<char>(message.format));
  put16(body, message.column_formats.size());
  for (const int16_t format : message.column_formats) put16(body, static_cast<uint16_t>(format));
  return raw_message(type, body);
}

struct Encoder {
  std::string operator()(const Authentication& m) const {
    return authentication(m.code, as_text(m.data));
  }
  std::string operator()(const BackendKeyData& m) const {
    std::string body;
    put32(body, static_cast<uint32_t>(m.process_id));
    put_bytes(body, m.secret_key);
    return raw_message('K', body);
  }
  std::string operator()(const NegotiateProtocolVersion& m) const {
    std::string body;
    put32(body, 0x30000U | static_cast<uint32_t>(m.newest_minor));
    put32(body, m.unrecognized_options.size());
    for (const std::string_view option : m.unrecognized_options) put_text(body, option);
    return raw_message('v', body);
  }
  std::string operator()(const ParameterStatus& m) const {
    std::string body;
    put_text(body, m.name);
    put_text(body, m.value);
    return raw_message('S', body);
  }
  std::string operator()(const ReadyForQuery& m) const {
    return raw_message('Z', std::string(1, static_cast<char>(m.status)));
  }
  std::string operator()(const ErrorResponse& m) const { return diagnostics('E', m); }
  std::string operator()(const NoticeResponse& m) const { return diagnostics('N', m); }
  std::string operator()(const NotificationResponse& m) const {
    std::string body;
    put32(body, static_cast<uint32_t>(m.process_id));
    put_text(body, m.channel);
    put_text(body, m.payload);
    return raw_message('A', body);
  }
  std::string operator()(const RowDescription& m) const {
    std::string body;
    put16(body, m.fields.size());
    for (const FieldDescription& field : m.fields) {
      put_text(body, field.name);
      put32(body, field.table_oid);
      put16(body, static_cast<uint16_t>(field.column_number));
      put32(body, field.type_oid);
      put16(body, static_cast<uint16_t>(field.type_size));
      put32(body, static_cast<uint32_t>(field.type_modifier));
      put16(body, static_cast<uint16_t>(field.format));
    }
    return raw_message('T', body);
  }
  std::string operator()(const DataRow& m) const {
    std::string body;
    put16(body, m.values.size());
    for (const auto& value : m.values) put_value(body, value);
    return raw_message('D', body);
  }
  std::string operator()(const CommandComplete& m) const {
    std::string body;
    put_text(body, m.tag);
    return raw_message('C', body);
  }
  std::string operator()(const CopyInResponse& m) const { return copy_response('G', m); }
  std::string operator()(const CopyOutResponse& m) const { return copy_response('H', m); }
  std::string operator()(const CopyBothResponse& m) const { return copy_response('W', m); }
  std::string operator()(const CopyData& m) const { return raw_message('d', as_text(m.data)); }
  std::string operator()(const CopyDone&) const { return raw_message('c', ""); }
  std::string operator()(const EmptyQueryResponse&) const { return raw_message('I', ""); }
  std::string operator()(const ParseComplete&) const { return raw_message('1', ""); }
  std::string operator()(const BindComplete&) const { return raw_message('2', ""); }
  std::string operator()(const CloseComplete&) const { return raw_message('3', ""); }
  std::string operator()(const NoData&) const { return raw_message('n', ""); }
  std::string operator()(const PortalSuspended&) const { return raw_message('s', ""); }
  std::string operator()(const ParameterDescription& m) const {
    std::string body;
    put16(body, m.types.size());
    for (const Oid type : m.types) put32(body, type);
    return raw_message('t', body);
  }
  std::string operator()(const FunctionCallResponse& m) const {
    std::string body;
    put_value(body, m.value);
    return raw_message('V', body);
  }
};

}  // namespace

std::string raw_message(char type, std::string_view body) {
  std::string out(1, type);
  put32(out, body.size() + 4);
  return out.append(body);
}

std::string encode(const BackendMessage& message) { return std::visit(Encoder{}, message); }

std::string encode_all(std::initializer_list<BackendMessage> messages) {
  std::string out;
  for (const BackendMessage& message : messages) out += encode(message);
  return out;
}

ErrorResponse error_response(std::string_view severity, std::string_view sqlstate,
                             std::string_view message) {
  ErrorResponse error;
  error.severity = severity;
  error.severity_plain = severity;
  error.sqlstate = Sqlstate(sqlstate);
  error.message = message;
  return error;
}

std::string authentication(Authentication::Code code, std::string_view data) {
  std::string body;
  put32(body, static_cast<uint32_t>(code));
  return raw_message('R', body.append(data));
}

std::string authentication_sasl(std::initializer_list<std::string_view> mechanisms) {
  std::string list;
  for (const std::string_view mechanism : mechanisms) put_text(list, mechanism);
  list += '\0';
  return authentication(Authentication::Code::kSasl, list);
}

ReadyForQuery ready(char status) { return {static_cast<ReadyForQuery::Status>(status)}; }

Result<std::optional<ClientSaid>> FrontendDecoder::next() {
  const size_t header = typed_ ? 5 : 4;
  if (buffer_.size() < header) return std::nullopt;
  size_t length = 0;
  for (size_t i = header - 4; i < header; ++i) {
    length = length << 8 | static_cast<unsigned char>(buffer_[i]);
  }
  if (length < 4) return fail(Errc::kProtocol, "length below 4");
  const size_t size = header - 4 + length;
  if (buffer_.size() < size) return std::nullopt;
  ClientSaid said;
  said.bytes = std::make_shared<const std::string>(buffer_.substr(0, size));
  buffer_.erase(0, size);
  const Bytes body = as_bytes(std::string_view(*said.bytes).substr(header));
  if (typed_) {
    auto message = decode_frontend((*said.bytes)[0], body, auth_);
    if (!message) return fail(message.error());
    said.message = *std::move(message);
  } else {
    auto packet = decode_startup_packet(body);
    if (!packet) return fail(packet.error());
    typed_ = std::holds_alternative<StartupMessage>(*packet);
    said.message = *std::move(packet);
  }
  return said;
}

std::vector<std::string> frontend_messages(std::string_view bytes) {
  FrontendDecoder decoder;
  decoder.skip_startup();
  decoder.feed(bytes);
  std::vector<std::string> lines;
  while (true) {
    auto said = decoder.next();
    if (!said) {
      lines.push_back("error: " + said.error().message);
      return lines;
    }
    if (!*said) break;
    lines.push_back(describe(std::get<FrontendMessage>((*said)->message)));
  }
  if (decoder.buffered() > 0) lines.push_back("…");
  return lines;
}

}  // namespace pgsink::test
