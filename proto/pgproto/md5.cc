#include <array>

#include <pgproto/md5.h>

#include <openssl/evp.h>

namespace pgproto {
namespace {

Result<std::string> md5_hex(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  if (EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_md5(), nullptr) != 1 ||
      size != 16) {
    return fail(
        Errc::kAuthentication,
        "the server asks for an MD5 password, but OpenSSL refuses MD5 (FIPS mode?); let the "
        "server use scram-sha-256");
  }
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(32);
  for (unsigned int i = 0; i < size; ++i) {
    hex += kDigits[digest[i] >> 4];
    hex += kDigits[digest[i] & 15];
  }
  return hex;
}

}  // namespace

Result<std::string> md5_password(std::string_view user, std::string_view password, Bytes salt) {
  auto inner = md5_hex(std::string(password).append(user));
  if (!inner) return inner;
  auto outer = md5_hex(inner->append(as_text(salt)));
  if (!outer) return outer;
  return "md5" + *outer;
}

}  // namespace pgproto
