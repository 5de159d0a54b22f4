#pragma once
// TLS over a plain Transport, through OpenSSL 3. Only the tls files use OpenSSL's SSL.
//
// OpenSSL never uses a socket here: it reads from and writes to two buffers of the TlsTransport,
// which moves them through the plain transport below. So OpenSSL never has to retry a write (the
// "bad length" error), several records leave in one system call, SIGPIPE cannot happen, and any
// Transport will do, also a simulated one.

#include <memory>
#include <string>
#include <vector>

#include "pgsink/client/connect_options.h"
#include "pgsink/client/env.h"

namespace pgsink {

/// TlsContext holds the certificates, keys and versions of one connection attempt. Immutable.
class TlsContext {
 public:
  /// make reads the files that `options` name, or libpq's default ones in ~/.postgresql. Fails with
  /// kTls, naming the file and its problem.
  static Result<std::unique_ptr<TlsContext>> make(const ConnectOptions& options, Files& files);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  struct State;  ///< Defined in tls_state.h, for the tls files only.

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
  /// its signature algorithm names no hash, such as Ed25519.
  virtual const std::vector<std::byte>& server_end_point() const = 0;
  /// For messages: "TLSv1.3, TLS_AES_256_GCM_SHA384".
  virtual std::string description() const = 0;
};

/// certificate_name_matches says whether a name in a certificate, which may begin with "*.", covers
/// a host. Case is ignored; the star matches exactly one label.
bool certificate_name_matches(std::string_view pattern, std::string_view host);

}  // namespace pgsink
