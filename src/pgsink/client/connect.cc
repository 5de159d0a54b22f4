#include "pgsink/client/connect.h"

#include <algorithm>
#include <array>
#include <utility>

#include <pgproto/base64.h>

#include "pgsink/client/identity.h"
#include "pgsink/client/passfile.h"
#include "pgsink/client/tcp.h"

namespace pgsink {

namespace {

constexpr size_t kNonceBytes = 18;  // as libpq's; 24 characters of base64

std::string seconds_text(Duration duration) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  std::string text = std::to_string(ms / 1000);
  if (ms % 1000 != 0) text += "." + std::to_string(1000 + ms % 1000).substr(1);
  return text + " s";
}

// The server is starting up, shutting down or in recovery: another host may be ready.
bool cannot_connect_now(const Error& error) { return error.sqlstate == "57P03"; }

bool is_transport_failure(const Error& error) {
  return error.code == Errc::kConnect || error.code == Errc::kConnectionLost ||
         error.code == Errc::kTimeout;
}

// What to do about the error, if the server does not say so itself; "" if nothing needs to be said.
std::string_view advice(const Error& error) {
  if (error.code == Errc::kConnect &&
      error.message.find("cannot connect to") != std::string::npos) {
    return "is the server running, and does it listen at that address and port?";
  }
  if (error.sqlstate == "28P01") {
    return "check user name and password; if no password is given, PGPASSWORD or the password file "
           "has it";
  }
  // The file's name occurs in every language. A role that may not log in has the same SQLSTATE.
  if (error.sqlstate == "28000" && error.message.find("pg_hba.conf") != std::string::npos) {
    return "check the server's pg_hba.conf";
  }
  if (error.sqlstate == "3D000") return "check the name of the database, or create it";
  return {};
}

// Sends and receives what is pending once, before a Connection exists.
Status exchange_once(Transport& transport, pgproto::Session& session, ConversationTrace* trace,
                     Deadline deadline) {
  const Bytes out = session.output();
  const MutableBytes in = session.receive_space();
  const auto moved = transport.exchange(out, in, deadline);
  if (!moved) return fail(moved.error());
  if (trace != nullptr) trace->moved(out.first(moved->sent), Bytes(in.data(), moved->received));
  session.output_sent(moved->sent);
  session.received(moved->received);
  if (moved->eof) return session.received_eof();
  return {};
}

std::unexpected<Error> no_tls() {
  return fail(Errc::kTls,
              "the server does not offer TLS, which ssl_mode requires (sslmode in a URL): switch "
              "it on there (ssl = on), or allow plain text by ssl_mode = 'prefer'");
}

pgproto::SessionLimits session_limits(const ConnectOptions& options) {
  pgproto::SessionLimits limits;
  limits.scram_iterations_max = options.scram_iterations_max;
  return limits;
}

}  // namespace

std::string describe_address(const Address& address) {
  if (is_unix_socket(address)) return unix_socket_path(address);
  const std::string& literal = address.host_address.empty() ? address.host : address.host_address;
  const bool v6 = literal.find(':') != std::string::npos;
  std::string endpoint = (v6 ? "[" + literal + "]" : literal) + ":" + std::to_string(address.port);
  if (address.host.empty() || address.host == literal) return endpoint;
  return address.host + " (" + endpoint + ")";
}

Deadline Connector::deadline_from_now() const {
  if (options_.connect_timeout <= Duration::zero()) return kNoDeadline;
  return env_.clock.now() + options_.connect_timeout;
}

void Connector::shuffle(std::vector<Address>& addresses) {
  for (size_t i = addresses.size(); i > 1; --i) {
    std::swap(addresses[i - 1], addresses[env_.random.next_u64() % i]);
  }
}

// Tries the addresses of one host. True if no other host is to be tried.
bool Connector::try_host(const Address& host, bool any_role,
                         std::unique_ptr<Connection>& connection, std::vector<Error>& errors) {
  auto addresses = env_.network.resolve(host, deadline_from_now());
  if (!addresses) {
    errors.push_back(std::move(addresses.error()));
    return false;
  }
  if (options_.load_balance_hosts) shuffle(*addresses);
  for (const Address& address : *addresses) {
    Attempt attempt = try_address(address, any_role);
    connection = std::move(attempt.connection);
    if (connection) return true;
    errors.push_back(std::move(attempt.error));
    if (attempt.next == Attempt::Next::kStop) return true;
  }
  return false;
}

Result<std::unique_ptr<Connection>> Connector::open() {
  std::vector<Address> hosts = options_.hosts;
  if (options_.load_balance_hosts) shuffle(hosts);
  std::vector<Error> errors;
  std::unique_ptr<Connection> connection;
  bool done = false;
  // prefer-standby looks for a standby first and accepts any server in a second round.
  const bool two_rounds = options_.target_session_attrs == TargetSessionAttrs::kPreferStandby;
  for (int round = 0; round < (two_rounds ? 2 : 1) && !done; ++round) {
    for (size_t i = 0; i < hosts.size() && !done; ++i) {
      done = try_host(hosts[i], round == 1, connection, errors);
    }
  }
  if (connection) return connection;
  if (errors.empty()) return fail(Errc::kConnect, "there is no host to connect to");
  // The last error decides what the caller may do, unless an earlier host will be ready soon; the
  // message contains all of them.
  Error error = errors.back();
  const auto ready_soon = std::ranges::find_if(errors, cannot_connect_now);
  if (is_transport_failure(error) && ready_soon != errors.end()) error = *ready_soon;
  error.message.clear();
  for (const Error& one : errors) {
    if (error.message.find(one.message) != std::string::npos) continue;
    error.message += (error.message.empty() ? "" : "; ") + one.message;
  }
  error.sent = false;
  if (error.hint.empty()) error.hint = advice(error);
  return fail(std::move(error));
}

Connector::Attempt Connector::try_address(const Address& address, bool any_role) {
  const Deadline deadline = deadline_from_now();
  const SslMode mode = options_.ssl_mode;
  const bool first_tls = !is_unix_socket(address) && mode >= SslMode::kPrefer;
  const bool has_second =
      !is_unix_socket(address) && (mode == SslMode::kAllow || mode == SslMode::kPrefer);
  Attempt attempt = try_encryption(address, first_tls, has_second && first_tls, deadline);
  if (!attempt.connection && has_second && attempt.next == Attempt::Next::kOtherEncryption) {
    const std::string first_message = attempt.error.message;
    attempt = try_encryption(address, !first_tls, false, deadline);
    if (attempt.error.message != first_message) {
      attempt.error.message = first_message + "; " + attempt.error.message;
    }
  }
  if (!attempt.connection) {
    if (attempt.next == Attempt::Next::kOtherEncryption) attempt.next = Attempt::Next::kStop;
    return attempt;
  }
  if (any_role) return attempt;
  if (auto status = check_role(*attempt.connection); !status) {
    attempt.connection.reset();
    attempt.error = std::move(status.error());
    attempt.next = Attempt::Next::kNextHost;
  }
  return attempt;
}

// One transport, one session. All of its state is destroyed with the Connection.
Connector::Attempt Connector::try_encryption(const Address& address, bool tls, bool may_fall_back,
                                             Deadline deadline) {
  Attempt attempt;
  std::unique_ptr<Connection> connection(new Connection(env_, options_));
  connection->address_ = address;
  connection->endpoint_ = describe_address(address);
  connection->session_ = std::make_unique<pgproto::Session>(session_limits(options_));
  std::vector<std::byte> end_point;
  std::string note;
  Status status = open_transport(*connection, address, tls, may_fall_back, deadline, end_point);
  if (!status && status.error().code == Errc::kTls) attempt.next = Attempt::Next::kOtherEncryption;
  if (status) {
    auto config = startup_config(address, note);
    if (config) {
      config->over_tls = !connection->tls_.empty();
      config->tls_server_end_point = std::move(end_point);
      status = connection->session_->startup(*std::move(config));
    } else {
      status = fail(std::move(config.error()));
    }
    if (!status) attempt.next = Attempt::Next::kStop;
  }
  if (status) status = log_in(*connection, attempt, deadline);
  if (status) {
    attempt.connection = std::move(connection);
    return attempt;
  }
  attempt.error = std::move(status.error());
  Error& error = attempt.error;
  // A server without TLS was already tried without encryption, on the same connection.
  const bool both_tried = tls && connection->transport_ && connection->tls_.empty();
  if (attempt.next == Attempt::Next::kOtherEncryption && both_tried) {
    attempt.next = Attempt::Next::kStop;
  }
  if (error.code == Errc::kTls && attempt.next == Attempt::Next::kNextHost) {
    attempt.next = Attempt::Next::kStop;
  }
  if (is_transport_failure(error) && attempt.next != Attempt::Next::kOtherEncryption) {
    attempt.next = Attempt::Next::kNextHost;
  }
  if (!error.message.starts_with(connection->endpoint_)) {
    error.message = connection->endpoint_ + ": " + error.message;
  }
  if (error.code == Errc::kTimeout) {
    error.message += " (the limit is " + seconds_text(options_.connect_timeout) +
                     ": raise connection_timeout_ms, or connect_timeout in a url, if the server is "
                     "that slow to reach)";
  }
  if (error.code == Errc::kAuthentication && !note.empty()) error.message += "; " + note;
  return attempt;
}

Status Connector::open_transport(Connection& connection, const Address& address, bool tls,
                                 bool may_fall_back, Deadline deadline,
                                 std::vector<std::byte>& end_point) {
  auto plain = env_.network.dial(address, options_.socket, deadline);
  if (!plain) return fail(std::move(plain.error()));
  connection.transport_ = *std::move(plain);
  const auto trace = open_trace(options_.trace.get(), connection.endpoint_);
  // Inside of TLS: a line is a message of the protocol.
  const auto traced = [&] {
    if (!trace) return;
    connection.transport_ =
        std::make_unique<TracedTransport>(std::move(connection.transport_), trace);
  };
  if (!tls) {
    traced();
    return {};
  }
  auto context = TlsContext::make(options_, env_.files);
  if (!context) return fail(std::move(context.error()));
  if (!options_.ssl_direct) {
    bool accepted = false;
    auto status =
        ask_for_tls(*connection.transport_, *connection.session_, trace.get(), accepted, deadline);
    if (!status) return status;
    if (!accepted && !may_fall_back) return no_tls();
    if (!accepted) {
      traced();
      return {};
    }
  }
  auto encrypted =
      TlsTransport::handshake(std::move(connection.transport_), **context, address.host, deadline);
  if (!encrypted) return fail(std::move(encrypted.error()));
  end_point = (*encrypted)->server_end_point();
  connection.tls_ = (*encrypted)->description();
  connection.transport_ = *std::move(encrypted);
  traced();
  return {};
}

// SSLRequest and the one byte of its answer.
Status Connector::ask_for_tls(Transport& transport, pgproto::Session& session,
                              ConversationTrace* trace, bool& accepted, Deadline deadline) {
  using Answer = pgproto::Session::TlsAnswer;
  session.request_tls();
  for (;;) {
    if (auto status = exchange_once(transport, session, trace, deadline); !status) return status;
    const auto answer = session.tls_answer();
    if (!answer) return fail(answer.error());
    if (*answer == Answer::kPending) continue;
    accepted = *answer == Answer::kAccepted;
    return {};
  }
}

Result<pgproto::StartupConfig> Connector::startup_config(const Address& address,
                                                         std::string& note) {
  pgproto::StartupConfig config;
  config.protocol_version = options_.protocol_version;
  config.user = options_.user;
  config.password = options_.password;
  if (options_.password_source) {
    auto asked = options_.password_source->ask();
    if (!asked) return fail(std::move(asked.error()));
    config.password = *std::move(asked);
  }
  if (config.password.empty()) {
    PassfileAnswer answer = find_password(options_, address, env_.files);
    config.password = answer.password.value_or("");
    note = std::move(answer.ignored);
  }
  config.require_auth = options_.require_auth;
  config.channel_binding = options_.channel_binding;
  config.salted_keys = salted_keys_;
  std::array<std::byte, kNonceBytes> nonce{};
  env_.random.fill(nonce);
  config.scram_nonce = pgproto::base64_encode(nonce);
  // Poolers accept these and refuse most others; the other settings are made after the login.
  config.parameters = {{"database", options_.database},
                       {"application_name", options_.application_name},
                       {"DateStyle", "ISO, MDY"},
                       {"TimeZone", "UTC"}};
  if (!options_.options.empty()) config.parameters.emplace_back("options", options_.options);
  for (const auto& [name, value] : options_.parameters) {
    const auto same = std::find_if(config.parameters.begin(), config.parameters.end(),
                                   [&](const auto& pair) { return pair.first == name; });
    if (same == config.parameters.end()) {
      config.parameters.emplace_back(name, value);
    } else {
      same->second = value;
    }
  }
  return config;
}

// From the StartupMessage to the ServerIdentity.
Status Connector::log_in(Connection& connection, Attempt& attempt, Deadline deadline) {
  bool authenticated = false;
  while (!connection.session_->startup_done()) {
    const auto event = connection.next_event(deadline);
    if (!event) {
      if (event.error().code == Errc::kAuthentication) attempt.next = Attempt::Next::kStop;
      return fail(event.error());
    }
    if (!*event) return fail(Errc::kInterrupted, "the login was interrupted");
    const pgproto::BackendMessage& message = (*event)->message;
    if (std::holds_alternative<pgproto::Authentication>(message)) authenticated = true;
    if (const auto* refusal = std::get_if<pgproto::ErrorResponse>(&message)) {
      Error error = refusal->to_error();
      if (error.sqlstate.class_code() == "28") error.code = Errc::kAuthentication;
      // With another encryption another line of pg_hba.conf may apply, but only before the login
      // has succeeded.
      attempt.next = !authenticated ? Attempt::Next::kOtherEncryption : Attempt::Next::kStop;
      if (cannot_connect_now(error)) attempt.next = Attempt::Next::kNextHost;
      return fail(std::move(error));
    }
  }
  const pgproto::Session& session = *connection.session_;
  attempt.next = Attempt::Next::kStop;
  if (session.protocol_version() < options_.protocol_version_min) {
    return fail(Errc::kProtocol, "the server speaks an older protocol than min_protocol_version");
  }
  const auto replication = std::find_if(
      options_.parameters.begin(), options_.parameters.end(),
      [](const auto& pair) { return pair.first == "replication" && pair.second != "database"; });
  // A physical replication connection has no SQL.
  if (replication != options_.parameters.end()) return {};
  bool read_only = false;
  auto identity = read_identity(connection, env_.random, read_only, deadline);
  if (!identity) return fail(std::move(identity.error()));
  connection.server_ = *std::move(identity);
  connection.read_only_ = read_only;
  return {};
}

Status Connector::check_role(const Connection& connection) const {
  const bool standby = connection.server_.in_recovery;
  const bool read_only = standby || connection.read_only_;
  bool good = true;
  const char* wanted = "";
  switch (options_.target_session_attrs) {
    case TargetSessionAttrs::kAny:
      break;
    case TargetSessionAttrs::kReadWrite:
      good = !read_only;
      wanted = "read-write";
      break;
    case TargetSessionAttrs::kReadOnly:
      good = read_only;
      wanted = "read-only";
      break;
    case TargetSessionAttrs::kPrimary:
      good = !standby;
      wanted = "primary";
      break;
    case TargetSessionAttrs::kStandby:
    case TargetSessionAttrs::kPreferStandby:
      good = standby;
      wanted = "standby";
      break;
  }
  if (good) return {};
  return fail(Errc::kSessionAttributes, connection.endpoint_ + ": the server is " +
                                            (standby     ? "a standby"
                                             : read_only ? "read-only "
                                                           "(default_transaction_read_only is on)"
                                                         : "a primary") +
                                            ", and target_session_attrs asks for " + wanted);
}

Status Connector::cancel(const Address& address, bool tls, const pgproto::Session& session,
                         Deadline deadline) {
  Connection connection(env_, options_);
  connection.endpoint_ = describe_address(address);
  connection.session_ = std::make_unique<pgproto::Session>(session_limits(options_));
  std::vector<std::byte> end_point;
  if (auto status = open_transport(connection, address, tls, false, deadline, end_point); !status) {
    return status;
  }
  connection.broken_ = true;  // Not a session: it must not send Terminate when it is closed.
  pgproto::OutputBuffer out;
  if (auto status =
          pgproto::encode_cancel_request(out, session.backend_process_id(), session.cancel_key());
      !status) {
    return status;
  }
  // The server closes the connection after it has sent the signal: only then can the signal no
  // longer hit a later query.
  std::array<std::byte, 256> ignored{};
  for (size_t received = 0; received < ignored.size();) {
    const auto moved = connection.transport_->exchange(out.unsent(), ignored, deadline);
    if (!moved) {
      const bool ended = moved.error().code == Errc::kConnectionLost && out.unsent().empty();
      return ended ? Status() : fail(moved.error());
    }
    out.mark_sent(moved->sent);
    received += moved->received;
    if (moved->eof && out.unsent().empty()) return {};
    if (moved->eof) break;
  }
  return fail(Errc::kProtocol, connection.endpoint_ + ": the request to cancel was not accepted");
}

}  // namespace pgsink
