#pragma once
// TLS over a plain Transport, through OpenSSL 3. Nothing else of the library knows OpenSSL's SSL.
//
// OpenSSL never touches a socket here: it reads from and writes to two buffers of the TlsTransport,
// which moves them through the plain transport below. So a write never has to be retried by OpenSSL
// (its "bad length" trap), a batch of records leaves in one system call, SIGPIPE cannot happen, and
// any Transport will do, a simulated one too.

#include <memory>
#include <string>
#include <vector>

#include "pgsink/client/connect_options.h"
#include "pgsink/client/env.h"

namespace pgsink {

/// TlsContext is what one connection attempt needs of certificates, keys and versions. Immutable.
class TlsContext {
 public:
  /// make reads the files that `options` name, or libpq's default ones in ~/.postgresql. Fails with
  /// kTls naming the file and what is wrong with it.
  static Result<std::unique_ptr<TlsContext>> make(const ConnectOptions& options, Files& files);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  struct State;  ///< In tls_state.h, for the files of TLS only.

 private:
  friend class TlsTransport;
  explicit TlsContext(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// TlsTransport is an encrypted Transport. Truncation (an end without close_notify) is an error.
class TlsTransport : public Transport {
 public:
  /// handshake runs the TLS handshake over `plain`, checks the certificate and, with verify-full,
  /// `host`. Fails with kTls, kTimeout, kConnectionLost.
  static Result<std::unique_ptr<TlsTransport>> handshake(std::unique_ptr<Transport> plain,
                                                         const TlsContext& context,
                                                         const std::string& host,
                                                         Deadline deadline);

  /// The "tls-server-end-point" channel binding of the server's certificate (RFC 5929); empty if
  /// its signature algorithm names no hash, as Ed25519's.
  virtual const std::vector<std::byte>& server_end_point() const = 0;
  /// For messages: "TLSv1.3, TLS_AES_256_GCM_SHA384".
  virtual std::string description() const = 0;
};

/// certificate_name_matches says whether a name in a certificate, which may begin with "*.", covers
/// a host. Case does not count; the star stands for exactly one label.
bool certificate_name_matches(std::string_view pattern, std::string_view host);

}  // namespace pgsink
