// Makes an SSL_CTX from files and options.

#include <algorithm>
#include <cstring>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#include "pgsink/client/tls_state.h"

namespace pgsink {

namespace {

// Bundles of root certificates have some 200 KiB; a larger file is not a certificate file.
constexpr size_t kPemFileBytesMax = size_t{16} << 20;

using KeyPtr = std::unique_ptr<EVP_PKEY, OpenSslDeleter<EVP_PKEY_free>>;
struct InfoStackFreer {
  void operator()(STACK_OF(X509_INFO) * stack) const {
    sk_X509_INFO_pop_free(stack, X509_INFO_free);
  }
};
using InfoStack = std::unique_ptr<STACK_OF(X509_INFO), InfoStackFreer>;

std::unexpected<Error> tls_failure(const std::string& what) {
  const std::string reason = take_tls_error();
  return fail(Errc::kTls, reason.empty() ? what : what + ": " + reason);
}

BioPtr memory_bio(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

bool exists(Files& files, const std::string& path) { return files.info(path).has_value(); }

std::string default_file(Files& files, const char* name) {
  const std::string home = files.home_directory();
  return home.empty() ? std::string() : home + "/.postgresql/" + name;
}

int version_number(std::string_view name) {
  if (name == "TLSv1") return TLS1_VERSION;
  if (name == "TLSv1.1") return TLS1_1_VERSION;
  if (name == "TLSv1.2") return TLS1_2_VERSION;
  if (name == "TLSv1.3") return TLS1_3_VERSION;
  return 0;
}

Status set_versions(SSL_CTX* context, const ConnectOptions& options) {
  // TLS 1.2 is the minimum also if no version is given.
  const std::string_view min =
      options.ssl_min_version.empty() ? std::string_view("TLSv1.2") : options.ssl_min_version;
  if (SSL_CTX_set_min_proto_version(context, version_number(min)) != 1) {
    return tls_failure("ssl_min_version = " + std::string(min) +
                       " is not supported by the OpenSSL of this system: use TLSv1.2 or TLSv1.3");
  }
  if (!options.ssl_max_version.empty() &&
      SSL_CTX_set_max_proto_version(context, version_number(options.ssl_max_version)) != 1) {
    return tls_failure("ssl_max_protocol_version = " + options.ssl_max_version +
                       " is not supported by the OpenSSL of this system: use TLSv1.2 or TLSv1.3");
  }
  return {};
}

// Adds the certificates and revocation lists of a PEM file to the trusted ones.
Status load_trusted(SSL_CTX* context, Files& files, const std::string& path, const char* what) {
  const auto text = files.read(path, kPemFileBytesMax);
  if (!text) return fail(Errc::kTls, std::string(what) + ": " + text.error().message);
  const BioPtr bio = memory_bio(*text);
  const InfoStack items(PEM_X509_INFO_read_bio(bio.get(), nullptr, nullptr, nullptr));
  const int count = items ? sk_X509_INFO_num(items.get()) : 0;
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  int added = 0;
  for (int i = 0; i < count; ++i) {
    const X509_INFO* item = sk_X509_INFO_value(items.get(), i);
    if (item->x509 != nullptr) added += X509_STORE_add_cert(store, item->x509);
    if (item->crl != nullptr) added += X509_STORE_add_crl(store, item->crl);
  }
  if (added == 0) {
    return tls_failure(std::string(what) + " " + path +
                       " has no certificate or revocation list that can be used");
  }
  ERR_clear_error();
  return {};
}

struct Password {
  const std::string& text;
};

// Without a callback OpenSSL would ask on the terminal.
int give_password(char* buffer, int size, int /*writing*/, void* user) {
  const std::string& text = static_cast<Password*>(user)->text;
  if (text.size() > static_cast<size_t>(size)) return 0;
  std::copy(text.begin(), text.end(), buffer);
  return static_cast<int>(text.size());
}

Result<KeyPtr> read_key(Files& files, const std::string& path, const std::string& password) {
  const auto info = files.info(path);
  if (!info) {
    return fail(Errc::kTls, "there is a client certificate, but its private key is missing: " +
                                info.error().message);
  }
  if (!info->regular) return fail(Errc::kTls, "the private key " + path + " is not a regular file");
  // A group may read root's files, so that several services can share a certificate.
  const uint32_t forbidden = info->owner == 0 ? 0037U : 0077U;
  if ((info->mode & forbidden) != 0) {
    return fail(Errc::kTls, "the private key " + path +
                                " may be read by others; give it the mode 0600, or 0640 if it "
                                "belongs to root");
  }
  const auto text = files.read(path, kPemFileBytesMax);
  if (!text) return fail(Errc::kTls, "the private key: " + text.error().message);
  Password asked{password};
  BioPtr bio = memory_bio(*text);
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, &give_password, &asked));
  std::string reason;
  if (!key) {
    reason = take_tls_error();
    bio = memory_bio(*text);  // DER, encrypted or not
    key.reset(d2i_PrivateKey_bio(bio.get(), nullptr));
  }
  if (!key) {
    bio = memory_bio(*text);
    key.reset(d2i_PKCS8PrivateKey_bio(bio.get(), nullptr, &give_password, &asked));
  }
  ERR_clear_error();
  if (key) return key;
  return fail(Errc::kTls, "the private key " + path + " cannot be read" +
                              (password.empty() ? "" : " with the sslpassword given") + ": " +
                              reason);
}

Status load_certificate_chain(SSL_CTX* context, const std::string& text, const std::string& path) {
  const BioPtr bio = memory_bio(text);
  const std::string no_password;
  Password none{no_password};
  const X509Ptr leaf(PEM_read_bio_X509_AUX(bio.get(), nullptr, &give_password, &none));
  if (!leaf || SSL_CTX_use_certificate(context, leaf.get()) != 1) {
    return tls_failure("the client certificate " + path + " cannot be used");
  }
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, &give_password, &none)) {
    if (SSL_CTX_add0_chain_cert(context, next) != 1) {
      X509_free(next);
      return tls_failure("the chain in the client certificate " + path + " cannot be used");
    }
  }
  ERR_clear_error();  // The last error only says that the file ended.
  return {};
}

// The client's certificate, if there is one: as in libpq, a missing file means none.
Status load_client_certificate(SSL_CTX* context, const ConnectOptions& options, Files& files) {
  if (!options.ssl_client_certificate) return {};
  const std::string path =
      options.ssl_cert.empty() ? default_file(files, "postgresql.crt") : options.ssl_cert;
  if (path.empty() || !exists(files, path)) return {};
  const auto text = files.read(path, kPemFileBytesMax);
  if (!text) return fail(Errc::kTls, "the client certificate: " + text.error().message);
  if (auto status = load_certificate_chain(context, *text, path); !status) return status;
  const std::string key_path =
      options.ssl_key.empty() ? default_file(files, "postgresql.key") : options.ssl_key;
  const auto key = read_key(files, key_path, options.ssl_key_password);
  if (!key) return fail(key.error());
  if (SSL_CTX_use_PrivateKey(context, key->get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return tls_failure("the private key " + key_path + " does not belong to the certificate " +
                       path);
  }
  return {};
}

// The roots to verify against, and the list of revoked certificates.
Status load_roots(TlsContext::State& state, const ConnectOptions& options, Files& files) {
  SSL_CTX* context = state.context.get();
  const bool must_verify = options.ssl_mode >= SslMode::kVerifyCa;
  if (options.ssl_root_cert == "system") {
    if (SSL_CTX_set_default_verify_paths(context) != 1) {
      return tls_failure("the system's root certificates cannot be loaded");
    }
    state.verify_certificate = true;
    return {};
  }
  const std::string path =
      options.ssl_root_cert.empty() ? default_file(files, "root.crt") : options.ssl_root_cert;
  if (path.empty() || !exists(files, path)) {
    if (!must_verify) return {};
    return fail(
        Errc::kTls,
        "ssl_mode = '" +
            std::string(options.ssl_mode == SslMode::kVerifyFull ? "verify-full" : "verify-ca") +
            "' needs root certificates, and there is no file " +
            (path.empty() ? "~/.postgresql/root.crt" : path) +
            ": name a file in ssl_root_cert, or " +
            (options.ssl_mode == SslMode::kVerifyFull
                 ? "set ssl_root_cert = 'system' to use the system's"
                 : "set ssl_mode = 'verify-full' and ssl_root_cert = 'system' to use the "
                   "system's"));
  }
  if (auto status = load_trusted(context, files, path, "the root certificate file"); !status) {
    return status;
  }
  state.verify_certificate = true;
  // A list that is named must exist: to continue without it would accept revoked certificates.
  const std::string crl =
      options.ssl_crl.empty() ? default_file(files, "root.crl") : options.ssl_crl;
  if (crl.empty() || (options.ssl_crl.empty() && !exists(files, crl))) return {};
  if (auto status = load_trusted(context, files, crl, "the revocation list"); !status) {
    return status;
  }
  X509_STORE_set_flags(SSL_CTX_get_cert_store(context),
                       X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
  return {};
}

// Direct TLS needs the answer; otherwise servers from 17 on expect the question, and older ones
// ignore it.
constexpr unsigned char kAlpn[] = "\x0apostgresql";

}  // namespace

std::string take_tls_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return {};
  if (const char* reason = ERR_reason_error_string(code)) return reason;
  return "OpenSSL error " + std::to_string(code);
}

TlsContext::TlsContext(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsContext::~TlsContext() = default;

Result<std::unique_ptr<TlsContext>> TlsContext::make(const ConnectOptions& options, Files& files) {
  ERR_clear_error();
  auto state = std::make_unique<State>();
  state->context.reset(SSL_CTX_new(TLS_client_method()));
  if (!state->context) return tls_failure("OpenSSL cannot be used");
  SSL_CTX* context = state->context.get();
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  if (SSL_CTX_set_alpn_protos(context, kAlpn, sizeof kAlpn - 1) != 0) return tls_failure("ALPN");
  if (auto status = set_versions(context, options); !status) return fail(status.error());
  if (auto status = load_roots(*state, options, files); !status) return fail(status.error());
  if (auto status = load_client_certificate(context, options, files); !status) {
    return fail(status.error());
  }
  // An existing root certificate is used, also by the modes that do not require one.
  SSL_CTX_set_verify(context, state->verify_certificate ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                     nullptr);
  state->verify_host = options.ssl_mode == SslMode::kVerifyFull;
  state->direct = options.ssl_direct;
  state->sni = options.ssl_sni;
  return std::unique_ptr<TlsContext>(new TlsContext(std::move(state)));
}

}  // namespace pgsink
