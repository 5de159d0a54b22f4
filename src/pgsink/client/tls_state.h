#pragma once
// What the tls files share; OpenSSL's objects with their owners.

#include <memory>
#include <string>
#include <vector>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "pgsink/client/tls.h"

namespace pgsink {

template <auto Free>
struct OpenSslDeleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using SslContextPtr = std::unique_ptr<SSL_CTX, OpenSslDeleter<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, OpenSslDeleter<SSL_free>>;
using BioPtr = std::unique_ptr<BIO, OpenSslDeleter<BIO_free_all>>;
using BioMethodPtr = std::unique_ptr<BIO_METHOD, OpenSslDeleter<BIO_meth_free>>;
using X509Ptr = std::unique_ptr<X509, OpenSslDeleter<X509_free>>;

struct TlsContext::State {
  SslContextPtr context;
  bool verify_certificate = false;  ///< There are roots to verify against.
  bool verify_host = false;         ///< sslmode=verify-full
  bool direct = false;              ///< Then ALPN must be answered.
  bool sni = true;
};

/// The oldest of OpenSSL's queued errors as text. It empties the queue: remaining errors would be
/// taken for those of the next call.
std::string take_tls_error();

/// check_certificate_host fails with kTls unless the certificate covers the host, as verify-full
/// requires.
Status check_certificate_host(X509* certificate, const std::string& host);
/// certificate_end_point is TlsTransport::server_end_point().
std::vector<std::byte> certificate_end_point(X509* certificate);
/// is_ip_address says whether a host is a numeric address.
bool is_ip_address(const std::string& host);

}  // namespace pgsink
