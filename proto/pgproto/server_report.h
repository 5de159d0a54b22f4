#pragma once
// ServerReport is what the server says about itself: its parameters, the version of the protocol
// and the key that cancels a request. Each report is checked before it is kept.

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pgproto/backend.h>
#include <pgproto/bytes.h>
#include <pgproto/error.h>
#include <pgproto/session_config.h>

namespace pgproto {

/// is_utf8_name says whether the name of an encoding means UTF-8; case, '-' and '_' are ignored.
bool is_utf8_name(std::string_view encoding);

class ServerReport {
 public:
  /// StartupParameters are names and values as the StartupMessage carried them.
  using StartupParameters = std::span<const std::pair<std::string, std::string>>;

  /// `limits` must live as long as the report.
  explicit ServerReport(const SessionLimits& limits) : limits_(limits) {}

  /// The version that the StartupMessage asks for.
  void request_version(int32_t version) { protocol_version_ = version; }

  /// Keeps a parameter. Fails with kProtocol on an encoding other than UTF8, and with kLimit above
  /// parameters_max or parameters_bytes_max.
  Status keep(const ParameterStatus& status);
  /// Keeps the key that cancels. Fails with kProtocol on a length that the version does not have.
  Status keep(const BackendKeyData& key);
  /// Takes the older version that the server offers. Fails with kProtocol on an answer that does
  /// not fit the version and the parameters that were `sent`.
  Status keep(const NegotiateProtocolVersion& answer, StartupParameters sent);

  /// The value of a parameter, "" if the server never reported it. Valid until the next keep().
  std::string_view parameter(std::string_view name) const;
  int32_t protocol_version() const { return protocol_version_; }
  int32_t backend_process_id() const { return backend_process_id_; }
  Bytes cancel_key() const { return cancel_key_; }

 private:
  const SessionLimits& limits_;
  std::map<std::string, std::string, std::less<>> parameters_;
  size_t parameters_bytes_ = 0;
  int32_t protocol_version_ = 0;
  int32_t backend_process_id_ = 0;
  std::vector<std::byte> cancel_key_;
};

}  // namespace pgproto
