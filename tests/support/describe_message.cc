// Messages of both sides as lines that tests compare and people read.

#include <type_traits>

#include "support/backend_encoder.h"

namespace pgsink::test {

using namespace pgproto;

namespace {

std::string printable(std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '\\') {
      out += c;
    } else {
      out.append("\\x") += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}
std::string printable(Bytes bytes) { return printable(as_text(bytes)); }
std::string value(const std::optional<Bytes>& bytes) { return bytes ? printable(*bytes) : "NULL"; }

template <typename Integers>
std::string list(const Integers& integers) {
  std::string out;
  for (const auto integer : integers) out += " " + std::to_string(integer);
  return out;
}

std::string fields(const DiagnosticFields& d) {
  std::string out =
      std::string(d.severity) + " " + std::string(d.sqlstate.view()) + " " + printable(d.message);
  const auto add = [&](const char* name, std::string_view text) {
    if (!text.empty()) out.append(" ").append(name).append("=").append(printable(text));
  };
  add("V", d.severity_plain);
  add("D", d.detail);
  add("H", d.hint);
  add("W", d.where);
  add("s", d.schema);
  add("t", d.table);
  add("c", d.column);
  add("d", d.data_type);
  add("n", d.constraint);
  add("R", d.routine);
  return out;
}

std::string copy_response(const CopyInResponse& m) {
  return std::to_string(m.format) + list(m.column_formats);
}

std::string parameters(const std::vector<BindParameter>& values) {
  std::string out;
  for (const BindParameter& p : values)
    out += " " + std::to_string(p.format) + ":" + value(p.value);
  return out;
}

struct BackendLine {
  std::string operator()(const Authentication& m) const {
    return "Authentication " + std::to_string(static_cast<int>(m.code)) + " " + printable(m.data);
  }
  std::string operator()(const BackendKeyData& m) const {
    return "BackendKeyData " + std::to_string(m.process_id) + " " + printable(m.secret_key);
  }
  std::string operator()(const NegotiateProtocolVersion& m) const {
    std::string out = "NegotiateProtocolVersion 3." + std::to_string(m.newest_minor);
    for (const auto option : m.unrecognized_options) out += " " + printable(option);
    return out;
  }
  std::string operator()(const ParameterStatus& m) const {
    return "ParameterStatus " + printable(m.name) + "=" + printable(m.value);
  }
  std::string operator()(const ReadyForQuery& m) const {
    return std::string("ReadyForQuery ") + static_cast<char>(m.status);
  }
  std::string operator()(const ErrorResponse& m) const { return "ErrorResponse " + fields(m); }
  std::string operator()(const NoticeResponse& m) const { return "NoticeResponse " + fields(m); }
  std::string operator()(const NotificationResponse& m) const {
    return "NotificationResponse " + std::to_string(m.process_id) + " " + printable(m.channel) +
           " " + printable(m.payload);
  }
  std::string operator()(const RowDescription& m) const {
    std::string out = "RowDescription";
    for (const FieldDescription& f : m.fields) {
      out += " " + printable(f.name) + "(" + std::to_string(f.table_oid) + "," +
             std::to_string(f.column_number) + "," + std::to_string(f.type_oid) + "," +
             std::to_string(f.type_size) + "," + std::to_string(f.type_modifier) + "," +
             std::to_string(f.format) + ")";
    }
    return out;
  }
  std::string operator()(const DataRow& m) const {
    std::string out = "DataRow";
    for (const auto& v : m.values) out += " " + value(v);
    return out;
  }
  std::string operator()(const CommandComplete& m) const {
    return "CommandComplete " + printable(m.tag);
  }
  std::string operator()(const CopyInResponse& m) const {
    return "CopyInResponse " + copy_response(m);
  }
  std::string operator()(const CopyOutResponse& m) const {
    return "CopyOutResponse " + copy_response(m);
  }
  std::string operator()(const CopyBothResponse& m) const {
    return "CopyBothResponse " + copy_response(m);
  }
  std::string operator()(const CopyData& m) const { return "CopyData " + printable(m.data); }
  std::string operator()(const CopyDone&) const { return "CopyDone"; }
  std::string operator()(const EmptyQueryResponse&) const { return "EmptyQueryResponse"; }
  std::string operator()(const ParseComplete&) const { return "ParseComplete"; }
  std::string operator()(const BindComplete&) const { return "BindComplete"; }
  std::string operator()(const CloseComplete&) const { return "CloseComplete"; }
  std::string operator()(const NoData&) const { return "NoData"; }
  std::string operator()(const PortalSuspended&) const { return "PortalSuspended"; }
  std::string operator()(const ParameterDescription& m) const {
    return "ParameterDescription" + list(m.types);
  }
  std::string operator()(const FunctionCallResponse& m) const {
    return "FunctionCallResponse " + value(m.value);
  }
};

struct FrontendLine {
  std::string operator()(const StartupMessage& m) const {
    std::string out = "StartupMessage " + std::to_string(m.protocol_version >> 16) + "." +
                      std::to_string(m.protocol_version & 0xffff);
    for (const auto& [name, text] : m.parameters)
      out += " " + printable(name) + "=" + printable(text);
    return out;
  }
  std::string operator()(const SSLRequest&) const { return "SSLRequest"; }
  std::string operator()(const GSSENCRequest&) const { return "GSSENCRequest"; }
  std::string operator()(const CancelRequest& m) const {
    return "CancelRequest " + std::to_string(m.process_id) + " " + printable(m.secret_key);
  }
  std::string operator()(const PasswordMessage& m) const {
    return "PasswordMessage " + printable(m.password);
  }
  std::string operator()(const SASLInitialResponse& m) const {
    return "SASLInitialResponse " + printable(m.mechanism) + " " + value(m.data);
  }
  std::string operator()(const SASLResponse& m) const {
    return "SASLResponse " + printable(m.data);
  }
  std::string operator()(const Query& m) const { return "Query " + printable(m.sql); }
  std::string operator()(const Parse& m) const {
    return "Parse \"" + printable(m.name) + "\" " + printable(m.sql) + list(m.types);
  }
  std::string operator()(const Bind& m) const {
    return "Bind \"" + printable(m.portal) + "\" \"" + printable(m.statement) + "\"" +
           parameters(m.parameters) + " ->" + list(m.result_formats);
  }
  std::string operator()(const Describe& m) const {
    return std::string("Describe ") + static_cast<char>(m.target) + " \"" + printable(m.name) +
           "\"";
  }
  std::string operator()(const Execute& m) const {
    return "Execute \"" + printable(m.portal) + "\" " + std::to_string(m.rows_max);
  }
  std::string operator()(const Close& m) const {
    return std::string("Close ") + static_cast<char>(m.target) + " \"" + printable(m.name) + "\"";
  }
  std::string operator()(const Sync&) const { return "Sync"; }
  std::string operator()(const Flush&) const { return "Flush"; }
  std::string operator()(const FunctionCall& m) const {
    return "FunctionCall " + std::to_string(m.function) + parameters(m.arguments) + " -> " +
           std::to_string(m.result_format);
  }
  std::string operator()(const FrontendCopyData& m) const {
    return "CopyData " + printable(m.data);
  }
  std::string operator()(const FrontendCopyDone&) const { return "CopyDone"; }
  std::string operator()(const CopyFail& m) const { return "CopyFail " + printable(m.reason); }
  std::string operator()(const Terminate&) const { return "Terminate"; }
};

}  // namespace

std::string describe(const BackendMessage& message) { return std::visit(BackendLine{}, message); }
std::string describe(const FrontendMessage& message) { return std::visit(FrontendLine{}, message); }
std::string describe(const StartupPacket& packet) { return std::visit(FrontendLine{}, packet); }

}  // namespace pgsink::test
