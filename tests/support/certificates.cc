#include "support/certificates.h"

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

namespace pgsink::test {

namespace {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;
using Crl = std::unique_ptr<X509_CRL, Deleter<X509_CRL_free>>;

[[noreturn]] void raise(const std::string& what) {
  char text[256] = "";
  ERR_error_string_n(ERR_get_error(), text, sizeof text);
  throw std::runtime_error("certificates: " + what + ": " + text);
}

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, FileCloser>;

File open_file(const std::string& path, const char* mode) {
  File file(std::fopen(path.c_str(), mode));
  if (!file) throw std::runtime_error("certificates: cannot open " + path);
  return file;
}

Key make_key(KeyKind kind) {
  EVP_PKEY* key = nullptr;
  if (kind == KeyKind::kRsa) key = EVP_RSA_gen(2048);
  if (kind == KeyKind::kEcdsa) key = EVP_EC_gen("P-256");
  if (kind == KeyKind::kEd25519) key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  if (kind == KeyKind::kRsaPss) {
    std::unique_ptr<EVP_PKEY_CTX, Deleter<EVP_PKEY_CTX_free>> context(
        EVP_PKEY_CTX_new_from_name(nullptr, "RSA-PSS", nullptr));
    if (!context || EVP_PKEY_keygen_init(context.get()) <= 0 ||
        EVP_PKEY_CTX_set_rsa_keygen_bits(context.get(), 2048) <= 0 ||
        EVP_PKEY_generate(context.get(), &key) <= 0) {
      raise("RSA-PSS key");
    }
  }
  if (key == nullptr) raise("key");
  return Key(key);
}

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1)
    raise("extension " + value);
}

void add_name(X509_NAME* name, const std::string& common_name) {
  if (common_name.empty()) return;
  if (X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(common_name.data()),
                                 static_cast<int>(common_name.size()), -1, 0) != 1) {
    raise("name");
  }
}

Certificate new_certificate(EVP_PKEY* key, long serial, const std::string& common_name,
                            int from_days, int to_days) {
  Certificate certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), from_days * 86400L);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), to_days * 86400L);
  X509_set_pubkey(certificate.get(), key);
  add_name(X509_get_subject_name(certificate.get()), common_name);
  return certificate;
}

void write_key(const std::string& path, EVP_PKEY* key, const std::string& password) {
  const File file = open_file(path, "w");
  ::chmod(path.c_str(), 0600);
  const EVP_CIPHER* cipher = password.empty() ? nullptr : EVP_aes_256_cbc();
  if (PEM_write_PKCS8PrivateKey(file.get(), key, cipher,
                                password.empty() ? nullptr : password.data(),
                                static_cast<int>(password.size()), nullptr, nullptr) != 1) {
    raise("writing " + path);
  }
}

void write_certificate(const std::string& path, X509* certificate) {
  const File file = open_file(path, "w");
  if (PEM_write_X509(file.get(), certificate) != 1) raise("writing " + path);
}

Certificate read_certificate(const std::string& path) {
  const File file = open_file(path, "r");
  Certificate certificate(PEM_read_X509(file.get(), nullptr, nullptr, nullptr));
  if (!certificate) raise("reading " + path);
  return certificate;
}

Key read_key(const std::string& path) {
  const File file = open_file(path, "r");
  Key key(PEM_read_PrivateKey(file.get(), nullptr, nullptr, nullptr));
  if (!key) raise("reading " + path);
  return key;
}

}  // namespace

Certificates::Certificates(std::string directory, unsigned owner_uid, unsigned owner_gid)
    : directory_(std::move(directory)), owner_uid_(owner_uid), owner_gid_(owner_gid) {
  ::mkdir(directory_.c_str(), 0755);
  make_authority("root");
  make_authority("other_root");
  root = directory_ + "/root.crt";
  other_root = directory_ + "/other_root.crt";
  CertificateSpec spec;
  spec.file = "server";
  spec.common_name = "localhost";
  spec.dns_names = {"localhost"};
  spec.ip_addresses = {"127.0.0.1", "::1"};
  server = issue(spec);
}

void Certificates::make_authority(const std::string& name) {
  const Key key = make_key(KeyKind::kRsa);
  Certificate certificate =
      new_certificate(key.get(), next_serial_++, "pgsink test " + name, -10, 10);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get()));
  add_extension(certificate.get(), certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
  add_extension(certificate.get(), certificate.get(), NID_key_usage,
                "critical,keyCertSign,cRLSign");
  if (X509_sign(certificate.get(), key.get(), EVP_sha256()) == 0) raise("signing " + name);
  write_certificate(directory_ + "/" + name + ".crt", certificate.get());
  write_key(directory_ + "/" + name + ".key", key.get(), "");
}

KeyPair Certificates::issue(const CertificateSpec& spec) {
  const KeyPair pair = issue_for_client(spec);
  if (::geteuid() == 0 && ::chown(pair.key.c_str(), owner_uid_, owner_gid_) != 0) {
    throw std::runtime_error("certificates: cannot give " + pair.key + " to the server");
  }
  return pair;
}

KeyPair Certificates::issue_for_client(const CertificateSpec& spec) {
  const std::string authority = directory_ + (spec.by_other_authority ? "/other_root" : "/root");
  const Certificate issuer = read_certificate(authority + ".crt");
  const Key issuer_key = read_key(authority + ".key");
  const Key key = make_key(spec.key);
  Certificate certificate = new_certificate(key.get(), next_serial_++, spec.common_name,
                                            spec.valid_from_days, spec.valid_to_days);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer.get()));
  std::string names;
  for (const std::string& name : spec.dns_names) names += ",DNS:" + name;
  for (const std::string& address : spec.ip_addresses) names += ",IP:" + address;
  if (!names.empty()) {
    add_extension(certificate.get(), issuer.get(), NID_subject_alt_name, names.substr(1));
  }
  const EVP_MD* digest = EVP_get_digestbyname(spec.digest.c_str());
  // What tls-server-end-point depends on is the algorithm that signs, and the authority signs with
  // RSA: certificates of these kinds sign themselves, and clients trust them as their own root.
  const bool self_signed = spec.key == KeyKind::kEd25519 || spec.key == KeyKind::kRsaPss;
  if (self_signed) {
    X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get()));
  }
  EVP_PKEY* signer = self_signed ? key.get() : issuer_key.get();
  if (X509_sign(certificate.get(), signer, spec.key == KeyKind::kEd25519 ? nullptr : digest) == 0) {
    raise("signing " + spec.file);
  }
  KeyPair pair{directory_ + "/" + spec.file + ".crt", directory_ + "/" + spec.file + ".key"};
  write_certificate(pair.certificate, certificate.get());
  write_key(pair.key, key.get(), spec.key_password);
  return pair;
}

std::string Certificates::revocation_list(const std::string& file,
                                          const std::vector<KeyPair>& revoked) {
  const Certificate issuer = read_certificate(directory_ + "/root.crt");
  const Key key = read_key(directory_ + "/root.key");
  const Crl list(X509_CRL_new());
  X509_CRL_set_version(list.get(), X509_CRL_VERSION_2);
  X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(issuer.get()));
  std::unique_ptr<ASN1_TIME, Deleter<ASN1_TIME_free>> time(X509_gmtime_adj(nullptr, -3600));
  X509_CRL_set1_lastUpdate(list.get(), time.get());
  for (const KeyPair& pair : revoked) {
    const Certificate certificate = read_certificate(pair.certificate);
    X509_REVOKED* entry = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(certificate.get()));
    X509_REVOKED_set_revocationDate(entry, time.get());
    X509_CRL_add0_revoked(list.get(), entry);
  }
  time.reset(X509_gmtime_adj(nullptr, 86400));
  X509_CRL_set1_nextUpdate(list.get(), time.get());
  if (X509_CRL_sign(list.get(), key.get(), EVP_sha256()) == 0) raise("signing a revocation list");
  const std::string path = directory_ + "/" + file;
  const File out = open_file(path, "w");
  if (PEM_write_X509_CRL(out.get(), list.get()) != 1) raise("writing " + path);
  return path;
}

}  // namespace pgsink::test
