#pragma once
// Authenticator answers the server's authentication requests and refuses those that the
// configuration forbids. session_table.h checks the order of the messages. Source: PostgreSQL
// documentation, "Message Flow" and libpq's connection parameters require_auth and channel_binding,
// whose meaning this follows.

#include <memory>

#include <pgproto/backend.h>
#include <pgproto/bytes.h>
#include <pgproto/error.h>
#include <pgproto/output_buffer.h>
#include <pgproto/scram.h>
#include <pgproto/session_config.h>

namespace pgproto {

/// Authenticator handles one startup from the first request to AuthenticationOk.
class Authenticator {
 public:
  Authenticator(StartupConfig config, const SessionLimits& limits);
  ~Authenticator();
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;

  /// answer appends the answer to a request. Fails with kAuthentication, and appends nothing, if
  /// the configuration forbids the method, the server cannot be trusted, or there is no password.
  Status answer(const Authentication& request, OutputBuffer& out);

  const StartupConfig& config() const { return config_; }

 private:
  bool allows(AuthMethod method) const;
  Status allow_password_method(AuthMethod method, const char* name) const;
  Status answer_cleartext(OutputBuffer& out);
  Status answer_md5(Bytes salt, OutputBuffer& out);
  Status start_sasl(Bytes mechanisms, OutputBuffer& out);
  Status choose_mechanism(Bytes mechanisms, bool& plus) const;
  Status accept() const;

  StartupConfig config_;
  uint32_t scram_iterations_max_;
  std::unique_ptr<Scram> scram_;
  bool asked_ = false;          ///< The server asked for a proof.
  bool channel_bound_ = false;  ///< The current exchange binds the TLS channel.
};

}  // namespace pgproto
