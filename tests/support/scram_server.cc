// The server's side of authentication. RFC 5802, RFC 7677; the arithmetic is OpenSSL's, not the
// client's code.

#include <array>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "support/backend_encoder.h"

namespace pgsink::test {
namespace {

using Digest = std::array<unsigned char, 32>;

Digest hmac(std::string_view key, std::string_view text) {
  Digest out;
  unsigned int size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data(), &size);
  return out;
}

std::string_view view(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string base64(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  out.resize(static_cast<size_t>(size));
  return out;
}

std::string hex_digest(const EVP_MD* algorithm, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, algorithm, nullptr);
  std::string out;
  for (unsigned int i = 0; i < size; ++i) {
    out += "0123456789abcdef"[digest[i] >> 4];
    out += "0123456789abcdef"[digest[i] & 15];
  }
  return out;
}

}  // namespace

bool md5_accepts(std::string_view user, std::string_view password, std::string_view salt,
                 std::string_view response) {
  const std::string inner = hex_digest(EVP_md5(), std::string(password).append(user));
  return response == "md5" + hex_digest(EVP_md5(), inner + std::string(salt));
}

std::optional<std::string> ScramServer::first(std::string_view mechanism,
                                              std::string_view client_first) {
  const size_t end = client_first.find(",,");
  if (end == std::string_view::npos) return std::nullopt;
  gs2_header_ = client_first.substr(0, end + 2);
  bound_ = mechanism == "SCRAM-SHA-256-PLUS";
  if (bound_ != (gs2_header_ == "p=tls-server-end-point,,")) return std::nullopt;
  if (!bound_ && gs2_header_ != "n,," && gs2_header_ != "y,,") return std::nullopt;
  if (gs2_header_ == "y,," && !config_.channel_binding.empty()) return std::nullopt;
  client_first_bare_ = client_first.substr(end + 2);
  if (!client_first_bare_.starts_with("n=,r=")) return std::nullopt;
  whole_nonce_ = client_first_bare_.substr(5) + config_.nonce;
  server_first_ = "r=" + whole_nonce_ + ",s=" + base64(config_.salt) +
                  ",i=" + std::to_string(config_.iterations) + config_.extension;
  return server_first_;
}

std::optional<std::string> ScramServer::final(std::string_view client_final) {
  const size_t proof_at = client_final.rfind(",p=");
  if (proof_at == std::string_view::npos) return std::nullopt;
  const std::string without_proof(client_final.substr(0, proof_at));
  const std::string binding = gs2_header_ + (bound_ ? config_.channel_binding : "");
  if (without_proof != "c=" + base64(binding) + ",r=" + whole_nonce_) return std::nullopt;

  Digest salted;
  PKCS5_PBKDF2_HMAC(config_.password.data(), static_cast<int>(config_.password.size()),
                    reinterpret_cast<const unsigned char*>(config_.salt.data()),
                    static_cast<int>(config_.salt.size()), static_cast<int>(config_.iterations),
                    EVP_sha256(), static_cast<int>(salted.size()), salted.data());
  const std::string auth_message = client_first_bare_ + "," + server_first_ + "," + without_proof;
  const Digest client_key = hmac(view(salted), "Client Key");
  Digest stored_key;
  EVP_Digest(client_key.data(), client_key.size(), stored_key.data(), nullptr, EVP_sha256(),
             nullptr);
  Digest proof = hmac(view(stored_key), auth_message);
  for (size_t i = 0; i < proof.size(); ++i) proof[i] ^= client_key[i];
  if (client_final.substr(proof_at + 3) != base64(view(proof))) return std::nullopt;
  const Digest server_key = hmac(view(salted), "Server Key");
  return "v=" + base64(view(hmac(view(server_key), auth_message))) + config_.extension;
}

}  // namespace pgsink::test
