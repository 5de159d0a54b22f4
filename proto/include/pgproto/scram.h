#pragma once
// SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the client's side, without I/O: the nonce is an input,
// texts are the output. Source: RFC 5802, RFC 7677; PostgreSQL documentation, "SASL
// Authentication".

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <pgproto/bytes.h>
#include <pgproto/error.h>

namespace pgproto {

/// A SHA-256 digest or an HMAC with it.
using Sha256 = std::array<std::byte, 32>;

/// ScramKeys are derived from password, salt and iterations, which is the only expensive step.
struct ScramKeys {
  Sha256 client_key{};
  Sha256 server_key{};
};

/// SaltedKeyCache keeps derived keys, so that the connections of a pool derive them once. It is an
/// interface because pgproto has no locks: an implementation that is shared between threads must be
/// thread-safe. The keys are as secret as the password.
class SaltedKeyCache {
 public:
  virtual ~SaltedKeyCache() = default;
  /// find returns the keys stored for that fingerprint of (password, salt, iterations).
  virtual std::optional<ScramKeys> find(const Sha256& fingerprint) = 0;
  /// store keeps keys that a server has accepted; it may drop older ones.
  virtual void store(const Sha256& fingerprint, const ScramKeys& keys) = 0;
};

/// Gs2Flag is the first letter of the GS2 header: what the client says about channel binding.
enum class Gs2Flag : char {
  kNotSupported = 'n',  ///< The client does not want it, or the connection has no TLS.
  kNotOffered = 'y',    ///< The client could, but the server did not offer it: the server will
                        ///< notice a downgrade.
  kUsed = 'p',          ///< SCRAM-SHA-256-PLUS with tls-server-end-point.
};

/// Scram runs one authentication through its three steps, to be called in this order.
class Scram {
 public:
  struct Config {
    /// Empty with PostgreSQL, which takes the user of the StartupMessage. REQUIRES: no ',' or '='.
    std::string user;
    std::string password;
    /// Printable ASCII without ',', fresh for each authentication.
    std::string nonce;
    Gs2Flag gs2_flag = Gs2Flag::kNotSupported;
    /// The tls-server-end-point hash; only used with Gs2Flag::kUsed.
    std::vector<std::byte> channel_binding;
    uint32_t iterations_max = 100'000;
    SaltedKeyCache* salted_keys = nullptr;
  };

  explicit Scram(Config config);
  ~Scram();
  Scram(const Scram&) = delete;
  Scram& operator=(const Scram&) = delete;

  /// client_first returns the client-first-message. Fails with kUsage on a nonce that is empty or
  /// has a character outside of printable ASCII without ','.
  Result<std::string> client_first();
  /// client_final answers the server-first-message. Fails with kAuthentication if it is malformed,
  /// its nonce does not extend the client's, or its iterations exceed the limit.
  Result<std::string> client_final(std::string_view server_first);
  /// verify checks the server-final-message: only a server that knows the password's verifier
  /// passes. Fails with kAuthentication.
  Status verify(std::string_view server_final);

 private:
  Config config_;
  std::string client_first_bare_;
  Sha256 fingerprint_{};
  ScramKeys keys_;
  Sha256 server_signature_{};
};

/// derive_scram_keys runs PBKDF2 over the SASLprep of the password. Fails with kAuthentication if
/// OpenSSL does.
Result<ScramKeys> derive_scram_keys(std::string_view password, Bytes salt, uint32_t iterations);
/// hmac_sha256 returns the HMAC-SHA-256 of `text`. Fails with kAuthentication if OpenSSL does.
Result<Sha256> hmac_sha256(Bytes key, std::string_view text);
/// sha256 returns the digest. Fails with kAuthentication if OpenSSL does.
Result<Sha256> sha256(Bytes bytes);

}  // namespace pgproto
