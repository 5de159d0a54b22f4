#pragma once
// What a Session and its owner exchange besides bytes: numbers of requests, limits for what the
// peer sends, and the input of the startup.

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pgproto {

class SaltedKeyCache;

/// RequestId numbers the requests of a session from 1 (0: the startup). Each message of the
/// extended protocol (Parse, Bind, Describe, Execute, Close, Sync) is a separate request.
using RequestId = uint64_t;

/// SessionLimits bound what a peer can make the session store or compute.
struct SessionLimits {
  /// Largest backend message accepted. The server never sends more than 1 GiB - 1.
  size_t message_bytes_max = (size_t{1} << 30) - 1;
  /// Largest message before authentication is done: legitimate ones are small, and the peer is not
  /// trusted yet.
  size_t startup_message_bytes_max = 30'000;
  /// SCRAM iterations accepted: the server chooses them, and a million costs some 0.4 s of CPU time
  /// here. PostgreSQL's default is 4096.
  uint32_t scram_iterations_max = 10'000'000;
  /// ParameterStatus names that are kept, and the bytes of their names and values. PostgreSQL
  /// reports about fifteen short ones.
  size_t parameters_max = 256;
  size_t parameters_bytes_max = size_t{1} << 20;
  /// Requests that may await answers, about 40 bytes each. A Sync is always accepted.
  size_t requests_max = size_t{1} << 18;
};

/// AuthMethod is how a server may authenticate the client; bits of StartupConfig::require_auth
/// (libpq: require_auth).
enum class AuthMethod : uint8_t {
  kNone = 1,      ///< AuthenticationOk without any authentication
  kPassword = 2,  ///< cleartext
  kMd5 = 4,
  kScramSha256 = 8,  ///< with or without channel binding
  kAny = 0xff,
};

/// libpq: channel_binding.
enum class ChannelBinding : uint8_t { kDisable, kPrefer, kRequire };

inline constexpr int32_t kProtocol30 = 3 << 16;
inline constexpr int32_t kProtocol32 = (3 << 16) | 2;

/// StartupConfig is the input of the startup. Texts must not contain NUL.
struct StartupConfig {
  int32_t protocol_version = kProtocol30;  ///< The version to ask for; the server may negotiate a
                                           ///< lower one.
  std::string user;
  std::string password;  ///< May be empty: then a server that asks for one is an error.
  /// Further parameters: database, application_name, client_encoding, options, replication, ….
  std::vector<std::pair<std::string, std::string>> parameters;
  uint8_t require_auth = static_cast<uint8_t>(AuthMethod::kAny);
  ChannelBinding channel_binding = ChannelBinding::kPrefer;
  /// The "tls-server-end-point" hash of the server's certificate; empty on a plain connection. On a
  /// TLS connection whose certificate has no usable hash: empty, and `over_tls` true.
  std::vector<std::byte> tls_server_end_point;
  bool over_tls = false;
  /// Client nonce: printable ASCII without ',', newly drawn by the owner for each session.
  std::string scram_nonce;
  /// Shared by a pool so that the salted key is derived once; may be null. See SaltedKeyCache about
  /// threads. Must live until the startup is done.
  SaltedKeyCache* salted_keys = nullptr;
};

}  // namespace pgproto
