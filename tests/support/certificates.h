#pragma once
// Certificates made at run time for tests of TLS: nothing that could expire lies in the tree.

#include <cstdint>
#include <string>
#include <vector>

namespace pgsink::test {

/// Paths of a certificate and its private key, both PEM.
struct KeyPair {
  std::string certificate;
  std::string key;
};

enum class KeyKind : uint8_t { kRsa, kRsaPss, kEcdsa, kEd25519 };

/// CertificateSpec says what a certificate claims.
struct CertificateSpec {
  std::string file = {};  ///< Base name of the files; must be unique.
  std::string common_name = {};
  std::vector<std::string> dns_names = {};
  std::vector<std::string> ip_addresses = {};
  KeyKind key = KeyKind::kRsa;
  std::string digest = "SHA256";                ///< Of the signature; ignored for Ed25519.
  int valid_from_days = -1, valid_to_days = 2;  ///< Counted from today.
  bool by_other_authority = false;
  std::string key_password = {};  ///< Encrypts the key file.
};

/// Certificates is a directory with two authorities and what they signed.
class Certificates {
 public:
  /// Makes `directory` and in it the two authorities, the server's and a client's certificate.
  /// Files belong to `owner_uid` (the server insists on it) and keys have mode 0600.
  Certificates(std::string directory, unsigned owner_uid, unsigned owner_gid);

  std::string root;        ///< The authority that clients should trust.
  std::string other_root;  ///< One that signed nothing but what by_other_authority asked for.
  KeyPair server;          ///< For localhost, 127.0.0.1 and ::1.

  /// Makes a certificate. Throws std::runtime_error if OpenSSL refuses.
  KeyPair issue(const CertificateSpec& spec);
  /// As issue(), but the key belongs to the user of this process, as a client's must.
  KeyPair issue_for_client(const CertificateSpec& spec);
  /// Writes a list of the revoked certificates given, signed by the authority; returns its path.
  std::string revocation_list(const std::string& file, const std::vector<KeyPair>& revoked);
  const std::string& directory() const { return directory_; }

 private:
  void make_authority(const std::string& name);

  std::string directory_;
  unsigned owner_uid_, owner_gid_;
  long next_serial_ = 1000;
};

}  // namespace pgsink::test
