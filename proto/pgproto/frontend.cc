#include <cstring>
#include <string>

#include <pgproto/frontend.h>

namespace pgproto {
namespace {

constexpr char kNoType = 0;

// Writes one message of exactly the announced size. The size is computed first, in size_t, and
// checked against the limit, so that no length wraps and nothing is copied for a message that is
// too large.
class MessageWriter {
 public:
  explicit MessageWriter(OutputBuffer& out) : out_(out) {}

  Status begin(const char* name, char type, size_t body_bytes, size_t length_max) {
    if (body_bytes > length_max - 4) {
      return fail(Errc::kLimit, std::string(name) + " of " + std::to_string(body_bytes) +
                                    " bytes: the server accepts at most " +
                                    std::to_string(length_max - 4));
    }
    size_ = (type == kNoType ? 0 : 1) + 4 + body_bytes;
    at_ = out_.reserve(size_);
    if (at_ == nullptr) return fail(Errc::kOutOfMemory, "out of memory");
    end_ = at_ + size_;
    if (type != kNoType) put(type);
    put(static_cast<uint32_t>(body_bytes + 4));
    return {};
  }
  template <std::integral T>
  void put(T value) {
    PGPROTO_ASSERT(sizeof(T) <= static_cast<size_t>(end_ - at_));
    store_be(at_, value);
    at_ += sizeof(T);
  }
  void put_bytes(Bytes bytes) {
    PGPROTO_ASSERT(bytes.size() <= static_cast<size_t>(end_ - at_));
    if (!bytes.empty()) std::memcpy(at_, bytes.data(), bytes.size());
    at_ += bytes.size();
  }
  void put_cstring(std::string_view text) {
    put_bytes(as_bytes(text));
    put('\0');
  }
  Status finish() {
    PGPROTO_ASSERT(at_ == end_);
    out_.append(size_);
    return {};
  }

 private:
  OutputBuffer& out_;
  size_t size_ = 0;
  std::byte* at_ = nullptr;
  std::byte* end_ = nullptr;
};

// `what` names the field, never its content: it may be a password.
Status check_text(const char* what, std::string_view text, size_t length_max) {
  if (text.size() > length_max) {
    return fail(Errc::kLimit, std::string(what) + " of " + std::to_string(text.size()) +
                                  " bytes: the server accepts at most " +
                                  std::to_string(length_max) + " for the whole message");
  }
  if (!text.empty() && std::memchr(text.data(), 0, text.size()) != nullptr) {
    return fail(Errc::kUsage,
                std::string(what) + " contains a NUL byte, which PostgreSQL texts cannot hold");
  }
  return {};
}

Status encode_empty(OutputBuffer& out, const char* name, char type) {
  MessageWriter writer(out);
  if (auto status = writer.begin(name, type, 0, kSmallMessageBytesMax); !status) return status;
  return writer.finish();
}

Status encode_text(OutputBuffer& out, const char* name, char type, const char* what,
                   std::string_view text, size_t length_max) {
  if (auto status = check_text(what, text, length_max); !status) return status;
  MessageWriter writer(out);
  if (auto status = writer.begin(name, type, text.size() + 1, length_max); !status) return status;
  writer.put_cstring(text);
  return writer.finish();
}

Status encode_target(OutputBuffer& out, const char* name, char type, Target target,
                     std::string_view object) {
  const char* what = target == Target::kStatement ? "the statement name" : "the portal name";
  if (auto status = check_text(what, object, kSmallMessageBytesMax); !status) return status;
  MessageWriter writer(out);
  const size_t size = 1 + object.size() + 1;
  if (auto status = writer.begin(name, type, size, kSmallMessageBytesMax); !status) return status;
  writer.put(static_cast<char>(target));
  writer.put_cstring(object);
  return writer.finish();
}

// A message that is only a code, in place of the startup.
Status encode_request(OutputBuffer& out, const char* name, int32_t code) {
  MessageWriter writer(out);
  if (auto s = writer.begin(name, kNoType, 4, kStartupMessageBytesMax); !s) return s;
  writer.put(code);
  return writer.finish();
}

// The part that Bind and FunctionCall share: formats, then values.
size_t parameters_bytes(std::span<const BindParameter> parameters) {
  size_t size = 2 + 2 * parameters.size() + 2 + 4 * parameters.size();
  for (const BindParameter& parameter : parameters) {
    // Stops before the sum could wrap; the caller's limit refuses it.
    if (size > kLargeMessageBytesMax) return size;
    if (parameter.value) {
      if (parameter.value->size() > kLargeMessageBytesMax) return parameter.value->size();
      size += parameter.value->size();
    }
  }
  return size;
}

void put_parameters(MessageWriter& writer, std::span<const BindParameter> parameters) {
  writer.put(static_cast<uint16_t>(parameters.size()));
  for (const BindParameter& parameter : parameters) writer.put(parameter.format);
  writer.put(static_cast<uint16_t>(parameters.size()));
  for (const BindParameter& parameter : parameters) {
    if (!parameter.value) {
      writer.put(int32_t{-1});
      continue;
    }
    writer.put(static_cast<int32_t>(parameter.value->size()));
    writer.put_bytes(*parameter.value);
  }
}

Status check_count(const char* name, size_t count) {
  if (count <= kParametersMax) return {};
  return fail(Errc::kLimit, std::string(name) + " with " + std::to_string(count) +
                                " parameters: the protocol allows at most " +
                                std::to_string(kParametersMax));
}

}  // namespace

Status encode_startup(OutputBuffer& out, int32_t protocol_version,
                      std::span<const std::pair<std::string, std::string>> parameters) {
  size_t size = 4 + 1;
  for (const auto& [name, value] : parameters) {
    if (name.empty()) return fail(Errc::kUsage, "a startup parameter has an empty name");
    if (auto s = check_text("a startup parameter's name", name, kStartupMessageBytesMax); !s) {
      return s;
    }
    const std::string what = "the startup parameter \"" + name + "\"";
    if (auto s = check_text(what.c_str(), value, kStartupMessageBytesMax); !s) return s;
    size += name.size() + 1 + value.size() + 1;
  }
  MessageWriter writer(out);
  if (auto s = writer.begin("StartupMessage", kNoType, size, kStartupMessageBytesMax); !s) return s;
  writer.put(protocol_version);
  for (const auto& [name, value] : parameters) {
    writer.put_cstring(name);
    writer.put_cstring(value);
  }
  writer.put('\0');
  return writer.finish();
}

Status encode_ssl_request(OutputBuffer& out) {
  return encode_request(out, "SSLRequest", kSslRequestCode);
}

Status encode_gssenc_request(OutputBuffer& out) {
  return encode_request(out, "GSSENCRequest", kGssEncRequestCode);
}

Status encode_cancel_request(OutputBuffer& out, int32_t process_id, Bytes secret_key) {
  if (secret_key.size() < kCancelKeyBytesMin || secret_key.size() > kCancelKeyBytesMax) {
    return fail(Errc::kUsage,
                "a cancel key has 4 to 256 bytes, not " + std::to_string(secret_key.size()));
  }
  MessageWriter writer(out);
  const size_t size = 4 + 4 + secret_key.size();
  if (auto s = writer.begin("CancelRequest", kNoType, size, kStartupMessageBytesMax); !s) return s;
  writer.put(kCancelRequestCode);
  writer.put(process_id);
  writer.put_bytes(secret_key);
  return writer.finish();
}

Status encode_password(OutputBuffer& out, std::string_view password) {
  return encode_text(out, "PasswordMessage", 'p', "the password", password, kAuthMessageBytesMax);
}

Status encode_sasl_initial_response(OutputBuffer& out, std::string_view mechanism,
                                    std::optional<Bytes> data) {
  if (auto s = check_text("the SASL mechanism", mechanism, kAuthMessageBytesMax); !s) return s;
  const size_t data_bytes = data ? data->size() : 0;
  MessageWriter writer(out);
  const size_t size = mechanism.size() + 1 + 4 + data_bytes;
  if (auto s = writer.begin("SASLInitialResponse", 'p', size, kAuthMessageBytesMax); !s) return s;
  writer.put_cstring(mechanism);
  writer.put(data ? static_cast<int32_t>(data_bytes) : int32_t{-1});
  if (data) writer.put_bytes(*data);
  return writer.finish();
}

Status encode_sasl_response(OutputBuffer& out, Bytes data) {
  MessageWriter writer(out);
  if (auto s = writer.begin("SASLResponse", 'p', data.size(), kAuthMessageBytesMax); !s) return s;
  writer.put_bytes(data);
  return writer.finish();
}

Status encode_query(OutputBuffer& out, std::string_view sql) {
  return encode_text(out, "Query", 'Q', "the SQL text", sql, kLargeMessageBytesMax);
}

Status encode_parse(OutputBuffer& out, std::string_view name, std::string_view sql,
                    std::span<const Oid> types) {
  if (auto s = check_text("the statement name", name, kLargeMessageBytesMax); !s) return s;
  if (auto s = check_text("the SQL text", sql, kLargeMessageBytesMax); !s) return s;
  if (auto s = check_count("Parse", types.size()); !s) return s;
  MessageWriter writer(out);
  const size_t size = name.size() + 1 + sql.size() + 1 + 2 + 4 * types.size();
  if (auto s = writer.begin("Parse", 'P', size, kLargeMessageBytesMax); !s) return s;
  writer.put_cstring(name);
  writer.put_cstring(sql);
  writer.put(static_cast<uint16_t>(types.size()));
  for (const Oid type : types) writer.put(type);
  return writer.finish();
}

Status encode_bind(OutputBuffer& out, std::string_view portal, std::string_view statement,
                   std::span<const BindParameter> parameters, int16_t result_format) {
  if (auto s = check_text("the portal name", portal, kLargeMessageBytesMax); !s) return s;
  if (auto s = check_text("the statement name", statement, kLargeMessageBytesMax); !s) return s;
  if (auto s = check_count("Bind", parameters.size()); !s) return s;
  MessageWriter writer(out);
  const size_t size =
      portal.size() + 1 + statement.size() + 1 + parameters_bytes(parameters) + 2 + 2;
  if (auto s = writer.begin("Bind", 'B', size, kLargeMessageBytesMax); !s) return s;
  writer.put_cstring(portal);
  writer.put_cstring(statement);
  put_parameters(writer, parameters);
  writer.put(uint16_t{1});  // One format for all result columns.
  writer.put(result_format);
  return writer.finish();
}

Status encode_describe(OutputBuffer& out, Target target, std::string_view name) {
  return encode_target(out, "Describe", 'D', target, name);
}

Status encode_execute(OutputBuffer& out, std::string_view portal, int32_t rows_max) {
  if (auto s = check_text("the portal name", portal, kSmallMessageBytesMax); !s) return s;
  MessageWriter writer(out);
  const size_t size = portal.size() + 1 + 4;
  if (auto s = writer.begin("Execute", 'E', size, kSmallMessageBytesMax); !s) return s;
  writer.put_cstring(portal);
  writer.put(rows_max);
  return writer.finish();
}

Status encode_close(OutputBuffer& out, Target target, std::string_view name) {
  return encode_target(out, "Close", 'C', target, name);
}

Status encode_sync(OutputBuffer& out) { return encode_empty(out, "Sync", 'S'); }

Status encode_flush(OutputBuffer& out) { return encode_empty(out, "Flush", 'H'); }

Status encode_function_call(OutputBuffer& out, Oid function,
                            std::span<const BindParameter> arguments, int16_t result_format) {
  if (auto s = check_count("FunctionCall", arguments.size()); !s) return s;
  MessageWriter writer(out);
  const size_t size = 4 + parameters_bytes(arguments) + 2;
  if (auto s = writer.begin("FunctionCall", 'F', size, kLargeMessageBytesMax); !s) return s;
  writer.put(function);
  put_parameters(writer, arguments);
  writer.put(result_format);
  return writer.finish();
}

Status encode_copy_data(OutputBuffer& out, Bytes data) {
  MessageWriter writer(out);
  if (auto s = writer.begin("CopyData", 'd', data.size(), kLargeMessageBytesMax); !s) return s;
  writer.put_bytes(data);
  return writer.finish();
}

void store_copy_data_header(std::byte* to, size_t body_bytes) {
  PGPROTO_ASSERT(body_bytes <= kLargeMessageBytesMax - 4);
  store_be(to, 'd');
  store_be(to + 1, static_cast<uint32_t>(body_bytes + 4));
}

Status encode_copy_done(OutputBuffer& out) { return encode_empty(out, "CopyDone", 'c'); }

Status encode_copy_fail(OutputBuffer& out, std::string_view reason) {
  return encode_text(out, "CopyFail", 'f', "the reason", reason, kSmallMessageBytesMax);
}

Status encode_terminate(OutputBuffer& out) { return encode_empty(out, "Terminate", 'X'); }

}  // namespace pgproto
