#pragma once
// Connector opens connections: it chooses the host, negotiates TLS, logs in, and reads the server's
// identity.

#include <memory>
#include <string>
#include <vector>

#include "pgsink/client/connection.h"
#include "pgsink/client/tls.h"

namespace pgsink {

/// Connector tries the hosts of its options. No state of one attempt (passwords, certificates, the
/// server's messages) reaches the next: each has its own transport, session and TLS context.
class Connector {
 public:
  /// `options` must have been through apply_environment(), and outlive the Connector.
  Connector(Env& env, const ConnectOptions& options, pgproto::SaltedKeyCache* salted_keys)
      : env_(env), options_(options), salted_keys_(salted_keys) {}

  /// open implements Connection::open().
  Result<std::unique_ptr<Connection>> open();
  /// cancel implements Connection::cancel(): asks the server at `address` to cancel what `session`
  /// executes.
  Status cancel(const Address& address, bool tls, const pgproto::Session& session,
                Deadline deadline);

 private:
  /// The result of one attempt, and what may be tried next.
  struct Attempt {
    std::unique_ptr<Connection> connection;
    Error error;
    enum class Next : uint8_t { kStop, kNextHost, kOtherEncryption } next = Next::kNextHost;
  };

  bool try_host(const Address& host, bool any_role, std::unique_ptr<Connection>& connection,
                std::vector<Error>& errors);
  void shuffle(std::vector<Address>& addresses);
  Attempt try_address(const Address& address, bool any_role);
  Attempt try_encryption(const Address& address, bool tls, bool may_fall_back, Deadline deadline);
  Status open_transport(Connection& connection, const Address& address, bool tls,
                        bool may_fall_back, Deadline deadline, std::vector<std::byte>& end_point);
  static Status ask_for_tls(Transport& transport, pgproto::Session& session,
                            ConversationTrace* trace, bool& accepted, Deadline deadline);
  Result<pgproto::StartupConfig> startup_config(const Address& address, std::string& note);
  Status log_in(Connection& connection, Attempt& attempt, Deadline deadline);
  Status check_role(const Connection& connection) const;
  Deadline deadline_from_now() const;

  Env& env_;
  const ConnectOptions& options_;
  pgproto::SaltedKeyCache* salted_keys_;
};

/// describe_address is an endpoint for messages: "127.0.0.1:5432", "db.example (10.0.0.7):5432" or
/// "/run/postgresql/.s.PGSQL.5432".
std::string describe_address(const Address& address);

}  // namespace pgsink
