#include <charconv>
#include <utility>

#include <pgproto/base64.h>
#include <pgproto/saslprep.h>
#include <pgproto/scram.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace pgproto {
namespace {

std::unexpected<Error> refuse_scram(std::string message) {
  return fail(Errc::kAuthentication, std::move(message));
}

const unsigned char* as_unsigned(Bytes bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

// SCRAM texts are lists "a=value,b=value". Removes the next element from the front.
std::string_view take_element(std::string_view& text) {
  const size_t comma = text.find(',');
  const std::string_view element = text.substr(0, comma);
  text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
  return element;
}

// The value of an element if it has that name.
std::optional<std::string_view> attribute(std::string_view element, char name) {
  if (element.size() < 2 || element[0] != name || element[1] != '=') return std::nullopt;
  return element.substr(2);
}

bool is_nonce(std::string_view text) {
  for (const char c : text) {
    if (c < 0x21 || c > 0x7e || c == ',') return false;
  }
  return !text.empty();
}

std::string gs2_header(Gs2Flag flag) {
  if (flag == Gs2Flag::kUsed) return "p=tls-server-end-point,,";
  return std::string(1, static_cast<char>(flag)) + ",,";
}

// A cache key. Hashing the parts with their lengths keeps ("ab","c") and ("a","bc") apart.
Result<Sha256> key_fingerprint(std::string_view password, Bytes salt, uint32_t iterations) {
  std::string text = std::to_string(iterations) + "," + std::to_string(salt.size()) + ",";
  text.append(as_text(salt)).append(password);
  auto digest = sha256(as_bytes(text));
  OPENSSL_cleanse(text.data(), text.size());
  return digest;
}

struct ServerFirst {
  std::string_view nonce;
  std::vector<std::byte> salt;
  uint32_t iterations = 0;
};

// Source: RFC 5802, server-first-message = [reserved-mext ","] nonce "," salt "," iteration-count
// ["," extensions]. A mandatory extension (m=) is unknown here and refused.
Result<ServerFirst> parse_server_first(std::string_view text) {
  ServerFirst parsed;
  const auto nonce = attribute(take_element(text), 'r');
  if (!nonce || !is_nonce(*nonce))
    return refuse_scram("SCRAM: the server's first message has no nonce");
  parsed.nonce = *nonce;
  const auto salt = attribute(take_element(text), 's');
  auto decoded = salt ? base64_decode(*salt) : std::nullopt;
  if (!decoded || decoded->empty()) {
    return refuse_scram("SCRAM: the server's first message has no valid salt");
  }
  parsed.salt = *std::move(decoded);
  const auto count = attribute(take_element(text), 'i');
  if (!count || count->empty()) return refuse_scram("SCRAM: the server sent no iteration count");
  const char* end = count->data() + count->size();
  const auto [rest, error] =
      std::from_chars(count->data(), count->data() + count->size(), parsed.iterations);
  if (error == std::errc::result_out_of_range && rest == end) {
    parsed.iterations = UINT32_MAX;  // A number that does not fit exceeds the limit as well.
  } else if (error != std::errc() || rest != end || parsed.iterations == 0) {
    return refuse_scram("SCRAM: the server's iteration count is not a positive number");
  }
  return parsed;
}

}  // namespace

Result<Sha256> hmac_sha256(Bytes key, std::string_view text) {
  Sha256 digest;
  unsigned int size = 0;
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), as_unsigned(as_bytes(text)),
           text.size(), reinterpret_cast<unsigned char*>(digest.data()), &size) == nullptr ||
      size != digest.size()) {
    return refuse_scram("OpenSSL could not compute an HMAC-SHA-256");
  }
  return digest;
}

Result<Sha256> sha256(Bytes bytes) {
  Sha256 digest;
  unsigned int size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()), &size,
                 EVP_sha256(), nullptr) != 1) {
    return refuse_scram("OpenSSL could not compute a SHA-256");
  }
  return digest;
}

Result<ScramKeys> derive_scram_keys(std::string_view password, Bytes salt, uint32_t iterations) {
  std::string prepared = saslprep(password);
  Sha256 salted;
  const int ok = PKCS5_PBKDF2_HMAC(
      prepared.data(), static_cast<int>(prepared.size()), as_unsigned(salt),
      static_cast<int>(salt.size()), static_cast<int>(iterations), EVP_sha256(),
      static_cast<int>(salted.size()), reinterpret_cast<unsigned char*>(salted.data()));
  OPENSSL_cleanse(prepared.data(), prepared.size());
  if (ok != 1) return refuse_scram("OpenSSL could not derive the SCRAM key (PBKDF2)");
  const auto client_key = hmac_sha256(salted, "Client Key");
  const auto server_key = hmac_sha256(salted, "Server Key");
  OPENSSL_cleanse(salted.data(), salted.size());
  if (!client_key) return fail(client_key.error());
  if (!server_key) return fail(server_key.error());
  return ScramKeys{*client_key, *server_key};
}

Scram::Scram(Config config) : config_(std::move(config)) {}

Scram::~Scram() {
  OPENSSL_cleanse(config_.password.data(), config_.password.size());
  OPENSSL_cleanse(&keys_, sizeof keys_);
}

Result<std::string> Scram::client_first() {
  if (!is_nonce(config_.nonce)) {
    return fail(Errc::kUsage, "the SCRAM nonce must be printable ASCII without ','");
  }
  client_first_bare_ = "n=" + config_.user + ",r=" + config_.nonce;
  return gs2_header(config_.gs2_flag) + client_first_bare_;
}

Result<std::string> Scram::client_final(std::string_view server_first) {
  auto parsed = parse_server_first(server_first);
  if (!parsed) return fail(parsed.error());
  if (!parsed->nonce.starts_with(config_.nonce) || parsed->nonce.size() == config_.nonce.size()) {
    return refuse_scram("SCRAM: the server's nonce does not extend ours");
  }
  if (parsed->iterations > config_.iterations_max) {
    return refuse_scram("SCRAM: the server asks for " +
                        (parsed->iterations == UINT32_MAX ? "more than 4 billion"
                                                          : std::to_string(parsed->iterations)) +
                        " iterations; scram_iterations_max allows " +
                        std::to_string(config_.iterations_max));
  }
  const auto fingerprint = key_fingerprint(config_.password, parsed->salt, parsed->iterations);
  if (!fingerprint) return fail(fingerprint.error());
  fingerprint_ = *fingerprint;
  std::optional<ScramKeys> known;
  if (config_.salted_keys != nullptr) known = config_.salted_keys->find(fingerprint_);
  if (!known) {
    auto derived = derive_scram_keys(config_.password, parsed->salt, parsed->iterations);
    if (!derived) return fail(derived.error());
    known = *derived;
  }
  keys_ = *known;

  std::string binding = gs2_header(config_.gs2_flag);
  if (config_.gs2_flag == Gs2Flag::kUsed) binding.append(as_text(config_.channel_binding));
  const std::string message =
      "c=" + base64_encode(as_bytes(binding)) + ",r=" + std::string(parsed->nonce);
  // The server's text is used as received: rebuilt from its parts it would lose extensions.
  const std::string auth_message =
      client_first_bare_ + "," + std::string(server_first) + "," + message;

  const auto stored_key = sha256(keys_.client_key);
  if (!stored_key) return fail(stored_key.error());
  auto proof = hmac_sha256(*stored_key, auth_message);
  if (!proof) return fail(proof.error());
  for (size_t i = 0; i < proof->size(); ++i) (*proof)[i] ^= keys_.client_key[i];
  const auto signature = hmac_sha256(keys_.server_key, auth_message);
  if (!signature) return fail(signature.error());
  server_signature_ = *signature;
  return message + ",p=" + base64_encode(*proof);
}

Status Scram::verify(std::string_view server_final) {
  const std::string_view element = take_element(server_final);
  if (attribute(element, 'e')) {
    // The text of the error is not shown: the server has not proven its identity yet.
    return refuse_scram("SCRAM: the server refused the proof; is the password right?");
  }
  const auto text = attribute(element, 'v');
  const auto signature = text ? base64_decode(*text) : std::nullopt;
  if (!signature || signature->size() != server_signature_.size()) {
    return refuse_scram("SCRAM: the server's final message has no valid signature");
  }
  if (CRYPTO_memcmp(signature->data(), server_signature_.data(), server_signature_.size()) != 0) {
    return refuse_scram("SCRAM: the server's signature is wrong; it does not know the password");
  }
  if (config_.salted_keys != nullptr) config_.salted_keys->store(fingerprint_, keys_);
  return {};
}

}  // namespace pgproto
