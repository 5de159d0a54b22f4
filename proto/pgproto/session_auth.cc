#include <utility>

#include <pgproto/md5.h>
#include <pgproto/session_auth.h>

#include <openssl/crypto.h>

namespace pgproto {
namespace {

constexpr std::string_view kScramSha256 = "SCRAM-SHA-256";
constexpr std::string_view kScramSha256Plus = "SCRAM-SHA-256-PLUS";

std::unexpected<Error> refuse_login(std::string message) {
  return fail(Errc::kAuthentication, std::move(message));
}

}  // namespace

Authenticator::Authenticator(StartupConfig config, const SessionLimits& limits)
    : config_(std::move(config)), scram_iterations_max_(limits.scram_iterations_max) {}

Authenticator::~Authenticator() {
  OPENSSL_cleanse(config_.password.data(), config_.password.size());
}

Status Authenticator::answer(const Authentication& request, OutputBuffer& out) {
  switch (request.code) {
    case Authentication::Code::kOk:
      return accept();
    case Authentication::Code::kCleartextPassword:
      return answer_cleartext(out);
    case Authentication::Code::kMd5Password:
      return answer_md5(request.data, out);
    case Authentication::Code::kSasl:
      return start_sasl(request.data, out);
    case Authentication::Code::kSaslContinue: {
      const auto message = scram_->client_final(as_text(request.data));
      if (!message) return fail(message.error());
      return encode_sasl_response(out, as_bytes(*message));
    }
    case Authentication::Code::kSaslFinal:
      return scram_->verify(as_text(request.data));
    default:
      return refuse_login("the server asks for an authentication method that is not supported");
  }
}

bool Authenticator::allows(AuthMethod method) const {
  return (config_.require_auth & static_cast<uint8_t>(method)) != 0;
}

// Rules for a password proof that cannot bind the channel.
Status Authenticator::allow_password_method(AuthMethod method, const char* name) const {
  if (config_.channel_binding == ChannelBinding::kRequire) {
    return refuse_login(std::string("channel_binding=require, but the server asks for ") + name +
                        ", which cannot bind the TLS channel");
  }
  if (!allows(method)) {
    return refuse_login(std::string("the server asks for ") + name +
                        ", which require_auth forbids");
  }
  if (config_.password.empty()) {
    return refuse_login(std::string("the server asks for ") + name + ", but no password is set");
  }
  return {};
}

Status Authenticator::answer_cleartext(OutputBuffer& out) {
  const char* name = "a cleartext password";
  if (auto s = allow_password_method(AuthMethod::kPassword, name); !s) return s;
  asked_ = true;
  return encode_password(out, config_.password);
}

Status Authenticator::answer_md5(Bytes salt, OutputBuffer& out) {
  if (auto s = allow_password_method(AuthMethod::kMd5, "an MD5 password"); !s) return s;
  if (salt.size() != 4) return refuse_login("the server sent an MD5 salt that has not 4 bytes");
  asked_ = true;
  const auto hashed = md5_password(config_.user, config_.password, salt);
  if (!hashed) return fail(hashed.error());
  return encode_password(out, *hashed);
}

// Reads the list of mechanisms: each ends with NUL, and so does the list.
Status Authenticator::choose_mechanism(Bytes mechanisms, bool& plus) const {
  ByteReader reader(mechanisms);
  bool plain_offered = false;
  bool plus_offered = false;
  while (reader.ok()) {
    const std::string_view name = reader.read_cstring();
    if (name.empty()) break;
    if (name == kScramSha256) plain_offered = true;
    if (name == kScramSha256Plus) plus_offered = true;
  }
  if (!reader.done()) return refuse_login("the server sent a malformed list of SASL mechanisms");
  if (plus_offered && !config_.over_tls) {
    return refuse_login(
        "the server offers SCRAM-SHA-256-PLUS on a connection without TLS: an attacker may have "
        "removed the encryption");
  }
  plus = plus_offered && config_.channel_binding != ChannelBinding::kDisable;
  if (plus && config_.tls_server_end_point.empty()) {
    return refuse_login(
        "the server offers channel binding, but the signature algorithm of its certificate "
        "has no hash for it; use another certificate or channel_binding=disable");
  }
  if (!plus && config_.channel_binding == ChannelBinding::kRequire) {
    return refuse_login(
        "channel_binding=require, but the server does not offer SCRAM-SHA-256-PLUS");
  }
  if (!plus && !plain_offered) {
    return refuse_login("the server offers no SASL mechanism that is supported (SCRAM-SHA-256)");
  }
  return {};
}

Status Authenticator::start_sasl(Bytes mechanisms, OutputBuffer& out) {
  if (config_.channel_binding == ChannelBinding::kRequire && !config_.over_tls) {
    return refuse_login("channel_binding=require, but the connection has no TLS");
  }
  if (!allows(AuthMethod::kScramSha256)) {
    return refuse_login("the server asks for SCRAM-SHA-256, which require_auth forbids");
  }
  bool plus = false;
  if (auto s = choose_mechanism(mechanisms, plus); !s) return s;
  if (config_.password.empty()) {
    return refuse_login("the server asks for SCRAM-SHA-256, but no password is set");
  }
  Scram::Config scram;
  scram.password = config_.password;
  scram.nonce = config_.scram_nonce;
  scram.iterations_max = scram_iterations_max_;
  scram.salted_keys = config_.salted_keys;
  if (plus) {
    scram.gs2_flag = Gs2Flag::kUsed;
    scram.channel_binding = config_.tls_server_end_point;
  } else if (config_.over_tls && config_.channel_binding != ChannelBinding::kDisable) {
    scram.gs2_flag = Gs2Flag::kNotOffered;
  }
  scram_ = std::make_unique<Scram>(std::move(scram));
  asked_ = true;
  channel_bound_ = plus;
  const auto message = scram_->client_first();
  if (!message) return fail(message.error());
  return encode_sasl_initial_response(out, plus ? kScramSha256Plus : kScramSha256,
                                      as_bytes(*message));
}

// Handles AuthenticationOk. The table has already checked that a SASL exchange is complete.
Status Authenticator::accept() const {
  if (config_.channel_binding == ChannelBinding::kRequire && !channel_bound_) {
    return refuse_login(
        "channel_binding=require, but the server accepted the login without channel binding");
  }
  if (!asked_ && !allows(AuthMethod::kNone)) {
    return refuse_login(
        "the server accepted the login without authentication, which require_auth forbids");
  }
  return {};
}

}  // namespace pgproto
