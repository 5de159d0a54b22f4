#include <algorithm>

#include <pgproto/frontend.h>
#include <pgproto/server_report.h>

namespace pgproto {

bool is_utf8_name(std::string_view encoding) {
  std::string plain;
  for (const char c : encoding.substr(0, 16)) {
    if (c == '-' || c == '_') continue;
    plain += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return plain == "UTF8" || plain == "UNICODE";
}

Status ServerReport::keep(const ParameterStatus& status) {
  if (status.name == "client_encoding" && !is_utf8_name(status.value)) {
    return fail(Errc::kProtocol, "client_encoding was changed to " +
                                     std::string(status.value.substr(0, 64)) +
                                     "; it must stay UTF8, because texts are sent unconverted");
  }
  auto found = parameters_.find(status.name);
  const size_t freed = found == parameters_.end() ? 0 : found->first.size() + found->second.size();
  const size_t bytes = parameters_bytes_ - freed + status.name.size() + status.value.size();
  if (bytes > limits_.parameters_bytes_max ||
      (found == parameters_.end() && parameters_.size() >= limits_.parameters_max)) {
    return fail(Errc::kLimit, "the server reports more parameters than parameters_max (" +
                                  std::to_string(limits_.parameters_max) +
                                  ") or larger ones than " + "parameters_bytes_max (" +
                                  std::to_string(limits_.parameters_bytes_max) + ")");
  }
  parameters_.insert_or_assign(std::string(status.name), std::string(status.value));
  parameters_bytes_ = bytes;
  return {};
}

Status ServerReport::keep(const BackendKeyData& key) {
  if (protocol_version_ == kProtocol30 && key.secret_key.size() != kCancelKeyBytesMin) {
    return fail(Errc::kProtocol, "the server sent a cancel key of " +
                                     std::to_string(key.secret_key.size()) +
                                     " bytes; protocol 3.0 has 4");
  }
  backend_process_id_ = key.process_id;
  cancel_key_.assign(key.secret_key.begin(), key.secret_key.end());
  return {};
}

Status ServerReport::keep(const NegotiateProtocolVersion& answer, StartupParameters sent) {
  const int32_t asked_minor = protocol_version_ & 0xffff;
  if (answer.newest_minor == 1) {
    return fail(Errc::kProtocol, "the server wants protocol 3.1, which does not exist");
  }
  if (answer.newest_minor > asked_minor) {
    return fail(Errc::kProtocol, "the server wants a newer protocol than the 3." +
                                     std::to_string(asked_minor) + " that was requested");
  }
  if (answer.newest_minor == asked_minor && answer.unrecognized_options.empty()) {
    return fail(Errc::kProtocol, "the server negotiates the protocol but changes nothing");
  }
  for (const std::string_view option : answer.unrecognized_options) {
    const bool asked = std::any_of(
        sent.begin(), sent.end(), [&](const auto& parameter) { return parameter.first == option; });
    if (!asked || !option.starts_with("_pq_.")) {
      return fail(Errc::kProtocol, "the server refuses a protocol option that was not requested");
    }
  }
  protocol_version_ = kProtocol30 + answer.newest_minor;
  return {};
}

std::string_view ServerReport::parameter(std::string_view name) const {
  const auto found = parameters_.find(name);
  return found == parameters_.end() ? std::string_view{} : std::string_view(found->second);
}

}  // namespace pgproto
