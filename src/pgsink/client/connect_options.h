#pragma once
// What is needed to reach a server, and where it comes from: a libpq URI or keyword/value string,
// PG* variables, service and password files.
// Source: PostgreSQL documentation, "Database Connection Control Functions".

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pgproto/session.h>

#include "pgsink/client/conversation_trace.h"
#include "pgsink/client/env.h"

namespace pgsink {

enum class SslMode : uint8_t { kDisable, kAllow, kPrefer, kRequire, kVerifyCa, kVerifyFull };
enum class TargetSessionAttrs : uint8_t {
  kAny,
  kReadWrite,
  kReadOnly,
  kPrimary,
  kStandby,
  kPreferStandby
};

/// PasswordSource gives the password of each login. Called by any thread.
struct PasswordSource {
  std::function<Result<std::string>()> ask;
};

/// ConnectOptions holds libpq's connection options, with libpq's meanings.
struct ConnectOptions {
  std::vector<Address> hosts;  ///< Tried in order, or in random order; empty: libpq's default
                               ///< socket.
  std::string database;        ///< Empty: the user's name.
  std::string user;            ///< Empty: the operating system's.
  std::string password;        ///< Empty: from the password file, or none.
  std::string passfile;
  std::shared_ptr<const PasswordSource>
      password_source{};                      ///< Instead of `password`, if it is set.
  std::shared_ptr<const TraceTaker> trace{};  ///< Takes the lines of every connection, if set.
  std::string application_name = "pgsink";
  std::string options;  ///< Command-line options for the server.
  std::vector<std::pair<std::string, std::string>> parameters;  ///< Additional startup parameters.

  SslMode ssl_mode = SslMode::kPrefer;
  bool ssl_direct = false;  ///< sslnegotiation=direct: TLS from the first byte, with ALPN.
  std::string ssl_cert, ssl_key, ssl_root_cert, ssl_crl;
  std::string ssl_key_password;
  bool ssl_client_certificate = true;  ///< libpq: sslcertmode; false: never send one.
  std::string ssl_min_version = "TLSv1.2", ssl_max_version;
  bool ssl_sni = true;
  pgproto::ChannelBinding channel_binding = pgproto::ChannelBinding::kPrefer;
  uint8_t require_auth = static_cast<uint8_t>(pgproto::AuthMethod::kAny);
  uint32_t scram_iterations_max = pgproto::SessionLimits{}.scram_iterations_max;
  int32_t protocol_version = pgproto::kProtocol30;  ///< libpq: max_protocol_version.
  int32_t protocol_version_min = pgproto::kProtocol30;

  TargetSessionAttrs target_session_attrs = TargetSessionAttrs::kAny;
  bool load_balance_hosts = false;
  Duration connect_timeout = std::chrono::seconds(5);  ///< For each host; covers TLS and login too.
  SocketOptions socket;

  /// libpq's keywords that were set explicitly, with their texts (empty for secrets): the
  /// environment and the service file do not change these. Set by parse_conninfo() and
  /// set_connect_option().
  std::map<std::string, std::string, std::less<>> given;

  friend bool operator==(const ConnectOptions&, const ConnectOptions&) = default;
};

/// set_connect_option sets one option by libpq's keyword, as parse_conninfo() would, and records
/// that it was set explicitly. Fails with kUnknownOption, kOptionUnsupported, kOptionValue; the
/// error never contains the value of a secret.
Status set_connect_option(ConnectOptions& options, std::string_view keyword, std::string value);

/// parse_conninfo reads a libpq URI ("postgresql://…") or keyword/value string into options; keys
/// it does not mention keep the values of `base`. Unknown keys, and keys of libpq that are not
/// supported, are refused by name. The error never contains the password.
Result<ConnectOptions> parse_conninfo(std::string_view text, ConnectOptions base = {});

/// apply_environment fills empty options from PG* variables, service file, password file and
/// libpq's defaults, in libpq's order of precedence.
Result<ConnectOptions> apply_environment(ConnectOptions options, Files& files);

}  // namespace pgsink
