#include <algorithm>

#include <pgproto/backend.h>
#include <pgproto/trace.h>

namespace pgproto {
namespace {

// How a message is written, one letter per field:
//   b character   h 16-bit integer   i 32-bit integer   s text
//   H, I          a 16-bit count, then as many h or i
//   V             a 16-bit count, then as many values: a length (-1: NULL) and bytes
//   v             one such value
//   T             a 16-bit count, then as many fields of a RowDescription
//   D             fields of an ErrorResponse: characters and texts up to a NUL
//   M, P, S       texts: up to an empty one that is written too; pairs up to an empty one; all
//   X             a secret text   K a secret key up to the end   B secret bytes up to the end
//   L             a length and as many secret bytes   - the rest is left out
struct Format {
  Sender sender;
  char type;
  const char* name;
  const char* fields;
};

constexpr Format kFormats[] = {
    {Sender::kFrontend, 'B', "Bind", "ssHVH"},
    {Sender::kFrontend, 'C', "Close", "bs"},
    {Sender::kFrontend, 'D', "Describe", "bs"},
    {Sender::kFrontend, 'E', "Execute", "si"},
    {Sender::kFrontend, 'F', "FunctionCall", "iHVh"},
    {Sender::kFrontend, 'H', "Flush", ""},
    {Sender::kFrontend, 'P', "Parse", "ssI"},
    {Sender::kFrontend, 'Q', "Query", "s"},
    {Sender::kFrontend, 'S', "Sync", ""},
    {Sender::kFrontend, 'X', "Terminate", ""},
    {Sender::kFrontend, 'c', "CopyDone", ""},
    {Sender::kFrontend, 'd', "CopyData", "-"},
    {Sender::kFrontend, 'f', "CopyFail", "s"},
    {Sender::kBackend, '1', "ParseComplete", ""},
    {Sender::kBackend, '2', "BindComplete", ""},
    {Sender::kBackend, '3', "CloseComplete", ""},
    {Sender::kBackend, 'A', "NotificationResponse", "iss"},
    {Sender::kBackend, 'C', "CommandComplete", "s"},
    {Sender::kBackend, 'D', "DataRow", "V"},
    {Sender::kBackend, 'E', "ErrorResponse", "D"},
    {Sender::kBackend, 'G', "CopyInResponse", "bH"},
    {Sender::kBackend, 'H', "CopyOutResponse", "bH"},
    {Sender::kBackend, 'I', "EmptyQueryResponse", ""},
    {Sender::kBackend, 'K', "BackendKeyData", "iK"},
    {Sender::kBackend, 'N', "NoticeResponse", "D"},
    {Sender::kBackend, 'S', "ParameterStatus", "ss"},
    {Sender::kBackend, 'T', "RowDescription", "T"},
    {Sender::kBackend, 'V', "FunctionCallResponse", "v"},
    {Sender::kBackend, 'W', "CopyBothResponse", "bH"},
    {Sender::kBackend, 'Z', "ReadyForQuery", "b"},
    {Sender::kBackend, 'c', "CopyDone", ""},
    {Sender::kBackend, 'd', "CopyData", "-"},
    {Sender::kBackend, 'n', "NoData", ""},
    {Sender::kBackend, 's', "PortalSuspended", ""},
    {Sender::kBackend, 't', "ParameterDescription", "I"},
    {Sender::kBackend, 'v', "NegotiateProtocolVersion", "iiS"},
};

struct AuthenticationFormat {
  Authentication::Code code;
  const char* name;
  const char* fields;
};

constexpr AuthenticationFormat kAuthenticationFormats[] = {
    {Authentication::Code::kOk, "AuthenticationOk", ""},
    {Authentication::Code::kCleartextPassword, "AuthenticationCleartextPassword", ""},
    {Authentication::Code::kMd5Password, "AuthenticationMD5Password", "-"},
    {Authentication::Code::kGss, "AuthenticationGSS", ""},
    {Authentication::Code::kGssContinue, "AuthenticationGSSContinue", "B"},
    {Authentication::Code::kSspi, "AuthenticationSSPI", ""},
    {Authentication::Code::kSasl, "AuthenticationSASL", "M"},
    {Authentication::Code::kSaslContinue, "AuthenticationSASLContinue", "B"},
    {Authentication::Code::kSaslFinal, "AuthenticationSASLFinal", "B"},
};

// Reads fields from a body and appends each to the line, after a blank.
class FieldPrinter {
 public:
  FieldPrinter(std::string& text, Bytes body) : text_(text), reader_(body) {}

  void print(const char* name, const char* fields) {
    text_ += name;
    if (*fields != '\0' && *fields != '-') text_ += '\t';
    for (; *fields != '\0' && reader_.ok(); ++fields) print_field(*fields);
  }
  ByteReader& reader() { return reader_; }

 private:
  void print_field(char field) {
    switch (field) {
      case 'b':
        print_char();
        break;
      case 'h':
        print_int(reader_.read<uint16_t>());
        break;
      case 'i':
        print_int(reader_.read<int32_t>());
        break;
      case 's':
        print_text();
        break;
      case 'H':
        print_list('h');
        break;
      case 'I':
        print_list('i');
        break;
      case 'V':
        print_list('v');
        break;
      case 'v':
        print_value();
        break;
      case 'T':
        print_list('t');
        break;
      case 't':
        print_row_field();
        break;
      case 'D':
        print_diagnostics();
        break;
      case 'M':
        print_mechanisms();
        break;
      case 'P':
        print_pairs();
        break;
      case 'S':
        print_texts();
        break;
      case 'X':
        skip_text("\"SSSS\"");
        break;
      case 'K':
        skip_rest("NNNN");
        break;
      case 'B':
        skip_rest("'BBBB'");
        break;
      case 'L':
        print_secret_value();
        break;
      default:
        reader_.read_bytes(reader_.remaining());
        break;
    }
  }

  void print_int(int64_t value) {
    if (reader_.ok()) text_ += " " + std::to_string(value);
  }
  void print_char() {
    const char c = reader_.read<char>();
    if (!reader_.ok()) return;
    text_ += ' ';
    append_visible(c);
  }
  void print_text() {
    const std::string_view value = reader_.read_cstring();
    if (reader_.ok()) text_.append(" \"").append(value).append("\"");
  }
  void print_list(char field) {
    const size_t count = reader_.read<uint16_t>();
    print_int(static_cast<int64_t>(count));
    for (size_t i = 0; i < count && reader_.ok(); ++i) print_field(field);
  }
  void print_value() {
    const auto size = reader_.read<int32_t>();
    print_int(size);
    if (size == -1) return;
    if (size < 0) return reader_.fail();
    const Bytes value = reader_.read_bytes(static_cast<size_t>(size));
    if (!reader_.ok()) return;
    text_ += " '";
    for (const char c : as_text(value)) append_visible(c);
    text_ += '\'';
  }
  void print_secret_value() {
    const auto size = reader_.read<int32_t>();
    print_int(size);
    if (size < 0) return;
    reader_.read_bytes(static_cast<size_t>(size));
    text_ += " 'BBBB'";
  }
  void print_row_field() {
    for (const char field : std::string_view("sihihih")) print_field(field);
  }
  void print_diagnostics() {
    while (reader_.ok()) {
      const bool last = reader_.remaining() > 0 && reader_.rest()[0] == std::byte{0};
      print_char();
      if (last) return;
      print_text();
    }
  }
  // Names of SASL mechanisms; the empty one that ends them is written too.
  void print_mechanisms() {
    while (reader_.ok()) {
      const bool last = reader_.remaining() > 0 && reader_.rest()[0] == std::byte{0};
      print_text();
      if (last) return;
    }
  }
  void print_pairs() {
    while (reader_.ok() && reader_.remaining() > 0 && reader_.rest()[0] != std::byte{0}) {
      print_text();
      print_text();
    }
    reader_.read<char>();
  }
  void print_texts() {
    while (reader_.ok() && reader_.remaining() > 0) print_text();
  }
  void skip_text(const char* placeholder) {
    reader_.read_cstring();
    text_.append(" ").append(placeholder);
  }
  void skip_rest(const char* placeholder) {
    reader_.read_bytes(reader_.remaining());
    text_.append(" ").append(placeholder);
  }

  void append_visible(char c) {
    static constexpr char kDigits[] = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      text_ += c;
    } else {
      text_ += "\\x";
      text_ += kDigits[byte >> 4];
      text_ += kDigits[byte & 15];
    }
  }

  std::string& text_;
  ByteReader reader_;
};

void begin_line(std::string& text, Sender sender, size_t length) {
  text += static_cast<char>(sender);
  text.append("\t").append(std::to_string(length)).append("\t");
}

/// What was appended since `begin` becomes one line: texts may hold line breaks, and whatever else
/// a terminal would act on.
void make_one_line(std::string& text, size_t begin) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string line;
  for (const char c : std::string_view(text).substr(begin, text.size() - begin - 1)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      line += "\\n";
    } else if (c == '\t' || (byte >= 0x20 && byte != 0x7f)) {
      line += c;
    } else {
      line.append("\\x").append({kDigits[byte >> 4], kDigits[byte & 15]});
    }
  }
  text.replace(begin, std::string::npos, line + '\n');
}

void end_line(std::string& text, const ByteReader& reader, size_t length) {
  text += '\n';
  if (reader.done()) return;
  text.append("mismatched message length: ");
  text.append(reader.ok() ? std::to_string(reader.remaining()) + " bytes left over"
                          : std::string("too short"));
  text.append(" of ").append(std::to_string(length)).append("\n");
}

void print_authentication(FieldPrinter& printer, std::string& text) {
  const auto code = printer.reader().read<int32_t>();
  const auto* format = std::find_if(
      std::begin(kAuthenticationFormats), std::end(kAuthenticationFormats),
      [&](const AuthenticationFormat& f) { return static_cast<int32_t>(f.code) == code; });
  if (format == std::end(kAuthenticationFormats)) {
    text += "Unknown authentication message " + std::to_string(code);
    return printer.print("", "-");
  }
  printer.print(format->name, format->fields);
}

void print_auth_response(FieldPrinter& printer, AuthResponse auth) {
  switch (auth) {
    case AuthResponse::kPassword:
      return printer.print("PasswordMessage", "X");
    case AuthResponse::kSaslInitial:
      return printer.print("SASLInitialResponse", "sL");
    case AuthResponse::kSasl:
      return printer.print("SASLResponse", "B");
  }
}

void print_message(FieldPrinter& printer, std::string& text, Sender sender, char type) {
  const auto* format = std::find_if(std::begin(kFormats), std::end(kFormats), [&](const Format& f) {
    return f.sender == sender && f.type == type;
  });
  if (format != std::end(kFormats)) return printer.print(format->name, format->fields);
  static constexpr char kDigits[] = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(type);
  text += "Unknown message: ";
  text += kDigits[byte >> 4];
  text += kDigits[byte & 15];
  printer.print("", "-");
}

}  // namespace

void trace_message(std::string& text, Sender sender, char type, Bytes body, AuthResponse auth) {
  const size_t length = body.size() + 4;
  begin_line(text, sender, length);
  FieldPrinter printer(text, body);
  if (sender == Sender::kBackend && type == 'R') {
    print_authentication(printer, text);
  } else if (sender == Sender::kFrontend && type == 'p') {
    print_auth_response(printer, auth);
  } else {
    print_message(printer, text, sender, type);
  }
  end_line(text, printer.reader(), length);
}

void trace_startup_packet(std::string& text, Bytes body) {
  const size_t length = body.size() + 4;
  begin_line(text, Sender::kFrontend, length);
  FieldPrinter printer(text, body);
  switch (ByteReader(body).read<int32_t>()) {
    case kCancelRequestCode:
      printer.print("CancelRequest", "hhiK");
      break;
    case kSslRequestCode:
      printer.print("SSLRequest", "hh");
      break;
    case kGssEncRequestCode:
      printer.print("GSSENCRequest", "hh");
      break;
    default:
      printer.print("StartupMessage", "hhP");
      break;
  }
  end_line(text, printer.reader(), length);
}

// The header is complete: how many bytes follow, and how many of them are kept.
void Tracer::read_header(Stream& stream) {
  const Bytes header = as_bytes(stream.kept);
  const size_t length = load_be<uint32_t>(header.data() + header.size() - 4);
  stream.missing = length < 4 ? 0 : length - 4;
  stream.in_body = true;
}

void Tracer::feed(Stream& stream, Sender sender, Bytes bytes, std::string& text) {
  while (!bytes.empty()) {
    if (sender == Sender::kBackend && answer_due_ != nullptr) {
      begin_line(text, sender, 1);
      text.append(answer_due_).append("\t ") += as_text(bytes)[0];
      text += '\n';
      answer_due_ = nullptr;
      bytes = bytes.subspan(1);
      continue;
    }
    const size_t header_bytes = stream.typed ? 5 : 4;
    if (!stream.in_body) {
      const size_t count = std::min(header_bytes - stream.kept.size(), bytes.size());
      stream.kept.append(as_text(bytes.first(count)));
      bytes = bytes.subspan(count);
      if (stream.kept.size() < header_bytes) return;
      read_header(stream);
    } else {
      const size_t count = std::min(stream.missing, bytes.size());
      const bool keep =
          stream.kept.size() < message_bytes_max_ && !(stream.typed && stream.kept[0] == 'd');
      if (keep) {
        const size_t room = message_bytes_max_ - stream.kept.size();
        stream.kept.append(as_text(bytes.first(std::min(count, room))));
      }
      stream.missing -= count;
      bytes = bytes.subspan(count);
    }
    if (stream.missing == 0) finish(stream, sender, text);
  }
}

void Tracer::finish(Stream& stream, Sender sender, std::string& text) {
  const size_t header_bytes = stream.typed ? 5 : 4;
  const Bytes message = as_bytes(stream.kept);
  const char type = stream.typed ? stream.kept[0] : '\0';
  const size_t length = load_be<uint32_t>(message.data() + header_bytes - 4);
  const Bytes body = message.subspan(header_bytes);
  const size_t line_begin = text.size();
  if (body.size() + 4 < length) {
    begin_line(text, sender, length);
    if (type == 'd') {
      text += "CopyData\n";
    } else {
      text.append("Message of type ") += type == '\0' ? '-' : type;
      text += ", too large to be kept\n";
    }
  } else if (stream.typed) {
    trace_message(text, sender, type, body, auth_);
  } else {
    trace_startup_packet(text, body);
  }
  make_one_line(text, line_begin);
  if (sender == Sender::kBackend && type == 'R' && body.size() >= 4) {
    const auto code = static_cast<Authentication::Code>(load_be<int32_t>(body.data()));
    if (code == Authentication::Code::kSasl) auth_ = AuthResponse::kSaslInitial;
    if (code == Authentication::Code::kSaslContinue) auth_ = AuthResponse::kSasl;
  }
  if (!stream.typed && body.size() >= 4) {
    const auto code = load_be<int32_t>(body.data());
    if (code == kSslRequestCode) {
      answer_due_ = "SSLResponse";
    } else if (code == kGssEncRequestCode) {
      answer_due_ = "GSSENCResponse";
    } else if (code != kCancelRequestCode) {
      stream.typed = true;
    }
  }
  stream.kept.clear();
  stream.in_body = false;
}

}  // namespace pgproto
