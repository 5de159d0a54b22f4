// Which hosts a certificate covers, and the channel binding of a login.
// Source: RFC 6125, RFC 5929; PostgreSQL documentation, "SSL Support", for the rules of
// verify-full.

#include <arpa/inet.h>
#include <array>
#include <optional>

#include <pgproto/ascii.h>

#include <openssl/evp.h>

#include "pgsink/client/tls_state.h"

namespace pgsink {

namespace {

using GeneralNames = std::unique_ptr<GENERAL_NAMES, OpenSslDeleter<GENERAL_NAMES_free>>;

std::string_view text_of(const ASN1_STRING* string) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
          static_cast<size_t>(ASN1_STRING_length(string))};
}

// The address in network order, 4 or 16 bytes; empty if the host is a name.
std::string numeric_address(const std::string& host) {
  std::array<char, 16> bytes{};
  in_addr v4{};
  if (::inet_aton(host.c_str(), &v4) != 0) {
    return std::string(reinterpret_cast<const char*>(&v4), sizeof v4);
  }
  if (::inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1) {
    return std::string(bytes.data(), bytes.size());
  }
  return {};
}

// The names in a certificate, collected for the error.
struct Names {
  bool matched = false;
  bool forged = false;  // A name contains NUL: an attempt to make us read only the part before it.
  std::vector<std::string> seen;

  void match_name(std::string_view name, const std::string& host) {
    if (name.find('\0') != std::string_view::npos) {
      forged = true;
      return;
    }
    matched = matched || certificate_name_matches(name, host);
    seen.emplace_back(name);
  }
};

// True if there is an alternative name of the host's kind: then the common name does not count.
bool match_alternative_names(X509* certificate, const std::string& host, Names& names) {
  const GeneralNames alternatives(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (!alternatives) return false;
  const std::string address = numeric_address(host);
  const int host_kind = address.empty() ? GEN_DNS : GEN_IPADD;
  bool same_kind = false;
  for (int i = 0; i < sk_GENERAL_NAME_num(alternatives.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(alternatives.get(), i);
    same_kind = same_kind || name->type == host_kind;
    if (name->type == GEN_DNS) names.match_name(text_of(name->d.dNSName), host);
    if (name->type == GEN_IPADD) {
      const std::string_view bytes = text_of(name->d.iPAddress);
      names.matched = names.matched || (!address.empty() && bytes == address);
      char text[INET6_ADDRSTRLEN] = "?";
      if (bytes.size() == 4) ::inet_ntop(AF_INET, bytes.data(), text, sizeof text);
      if (bytes.size() == 16) ::inet_ntop(AF_INET6, bytes.data(), text, sizeof text);
      names.seen.emplace_back(text);
    }
  }
  return same_kind;
}

void match_common_name(X509* certificate, const std::string& host, Names& names) {
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (index < 0) return;
  const ASN1_STRING* name = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index));
  if (name != nullptr) names.match_name(text_of(name), host);
}

}  // namespace

bool certificate_name_matches(std::string_view pattern, std::string_view host) {
  if (pattern.empty()) return false;
  if (pgproto::ascii::equal_folded(pattern, host)) return true;
  if (!pattern.starts_with("*.") || pattern.size() < 3) return false;
  const size_t dot = host.find('.');
  if (dot == std::string_view::npos || dot == 0) return false;
  return pgproto::ascii::equal_folded(pattern.substr(1), host.substr(dot));
}

bool is_ip_address(const std::string& host) { return !numeric_address(host).empty(); }

Status check_certificate_host(X509* certificate, const std::string& host) {
  if (host.empty()) {
    return fail(Errc::kTls,
                "ssl_mode verify-full needs a host name, not only a numeric address, "
                "to compare with the server's certificate");
  }
  Names names;
  const bool decided = match_alternative_names(certificate, host, names);
  if (!names.matched && !decided) match_common_name(certificate, host, names);
  if (names.forged) {
    return fail(Errc::kTls, "the server's certificate has a name with a zero byte in it");
  }
  if (names.matched) return {};
  if (names.seen.empty()) {
    return fail(Errc::kTls, "the server's certificate names no host, so it cannot be \"" + host +
                                "\"; is this the right server?");
  }
  std::string message = "the server's certificate is for \"" + names.seen.front() + "\"";
  if (names.seen.size() > 1) {
    message += " and " + std::to_string(names.seen.size() - 1) + " other names";
  }
  return fail(Errc::kTls, message + ", not for the host \"" + host + "\"");
}

std::vector<std::byte> certificate_end_point(X509* certificate) {
  int digest_nid = NID_undef;
  if (X509_get_signature_info(certificate, &digest_nid, nullptr, nullptr, nullptr) != 1) return {};
  // RFC 5929: if the signature uses a broken hash, SHA-256 is used instead.
  if (digest_nid == NID_md5 || digest_nid == NID_sha1) digest_nid = NID_sha256;
  const EVP_MD* digest = digest_nid == NID_undef ? nullptr : EVP_get_digestbynid(digest_nid);
  if (digest == nullptr) return {};
  std::array<std::byte, EVP_MAX_MD_SIZE> hash{};
  unsigned int size = 0;
  if (X509_digest(certificate, digest, reinterpret_cast<unsigned char*>(hash.data()), &size) != 1) {
    return {};
  }
  return {hash.begin(), hash.begin() + size};
}

}  // namespace pgsink
