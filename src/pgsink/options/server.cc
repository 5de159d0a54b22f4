#include "pgsink/options/server.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <memory>
#include <utility>

namespace pgsink {
namespace {

template <typename T>
struct Word {
  std::string_view word;
  T value;
};

constexpr std::array<Word<SslMode>, 6> kSslModes{{{"disable", SslMode::kDisable},
                                                  {"allow", SslMode::kAllow},
                                                  {"prefer", SslMode::kPrefer},
                                                  {"require", SslMode::kRequire},
                                                  {"verify-ca", SslMode::kVerifyCa},
                                                  {"verify-full", SslMode::kVerifyFull}}};
constexpr std::array<Word<TargetSessionAttrs>, 6> kTargets{
    {{"any", TargetSessionAttrs::kAny},
     {"read-write", TargetSessionAttrs::kReadWrite},
     {"read-only", TargetSessionAttrs::kReadOnly},
     {"primary", TargetSessionAttrs::kPrimary},
     {"standby", TargetSessionAttrs::kStandby},
     {"prefer-standby", TargetSessionAttrs::kPreferStandby}}};
constexpr std::array<Word<pgproto::ChannelBinding>, 3> kBindings{
    {{"disable", pgproto::ChannelBinding::kDisable},
     {"prefer", pgproto::ChannelBinding::kPrefer},
     {"require", pgproto::ChannelBinding::kRequire}}};

// The option table has checked the words; an unknown one here is a bug.
template <typename T, size_t N>
T value_of(const std::array<Word<T>, N>& words, std::string_view word) {
  const auto found = std::ranges::find(words, word, &Word<T>::word);
  PGPROTO_ASSERT(found != words.end());
  return found->value;
}

std::vector<std::string> split_list(std::string_view list) {
  std::vector<std::string> parts;
  for (;;) {
    const size_t comma = list.find(',');
    std::string_view part = list.substr(0, comma);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    parts.emplace_back(part);
    if (comma == std::string_view::npos) return parts;
    list.remove_prefix(comma + 1);
  }
}

Result<std::vector<Address>> to_addresses(const SinkOptions& options) {
  std::vector<std::string> addresses_given = split_list(options.hostaddr);
  std::vector<std::string> hosts = split_list(options.host);
  if (options.host.empty()) hosts.resize(addresses_given.size());
  addresses_given.resize(hosts.size());
  const std::vector<std::string> ports = split_list(options.port);
  if (ports.size() != 1 && ports.size() != hosts.size()) {
    return fail(Errc::kOptionConflict, "option port: " + std::to_string(ports.size()) +
                                           " ports for " + std::to_string(hosts.size()) +
                                           " hosts: give one port, or one for each host");
  }
  std::vector<Address> addresses;
  for (size_t i = 0; i < hosts.size(); ++i) {
    const std::string& text = ports.size() == 1 ? ports[0] : ports[i];
    Address address{.host = hosts[i], .port = 0, .host_address = addresses_given[i]};
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), address.port);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || address.port == 0) {
      return fail(Errc::kOptionValue, "option port: '" + text + "' is not a port from 1 to 65535");
    }
    addresses.push_back(std::move(address));
  }
  return addresses;
}

uint8_t to_auth_methods(const std::string& list) {
  // libpq: a list of methods, all of them negated or none.
  static constexpr std::array<Word<pgproto::AuthMethod>, 4> kMethods{
      {{"none", pgproto::AuthMethod::kNone},
       {"password", pgproto::AuthMethod::kPassword},
       {"md5", pgproto::AuthMethod::kMd5},
       {"scram-sha-256", pgproto::AuthMethod::kScramSha256}}};
  if (list.empty()) return static_cast<uint8_t>(pgproto::AuthMethod::kAny);
  unsigned allowed = 0;
  bool negated = false;
  for (const std::string& method : split_list(list)) {
    negated = method.starts_with('!');
    allowed |=
        static_cast<unsigned>(value_of(kMethods, std::string_view(method).substr(negated ? 1 : 0)));
  }
  return static_cast<uint8_t>(negated ? ~allowed & 0xffU : allowed);
}

/// libpq's keywords of options whose variables in the environment stand back if they are given.
struct Keyword {
  std::string_view option, keyword;
};
constexpr std::array kKeywords{Keyword{"application_name", "application_name"},
                               Keyword{"channel_binding", "channel_binding"},
                               Keyword{"connection_timeout_ms", "connect_timeout"},
                               Keyword{"load_balance_hosts", "load_balance_hosts"},
                               Keyword{"traceparent", "application_name"},
                               Keyword{"require_auth", "require_auth"},
                               Keyword{"ssl_cert", "sslcert"},
                               Keyword{"ssl_crl", "sslcrl"},
                               Keyword{"ssl_key", "sslkey"},
                               Keyword{"ssl_min_version", "ssl_min_protocol_version"},
                               Keyword{"ssl_mode", "sslmode"},
                               Keyword{"ssl_negotiation", "sslnegotiation"},
                               Keyword{"ssl_root_cert", "sslrootcert"},
                               Keyword{"target_session_attrs", "target_session_attrs"}};

}  // namespace

namespace {

/// Null: the password stands in the options, or somewhere that libpq knows.
std::shared_ptr<const PasswordSource> password_source(const SinkOptions& options, Files& files) {
  if (options.on_password) {
    return std::make_shared<const PasswordSource>(PasswordSource{options.on_password});
  }
  if (options.password_command.empty()) return nullptr;
  const auto timeout = std::chrono::milliseconds(options.connection_timeout_ms);
  return std::make_shared<const PasswordSource>(PasswordSource{
      [&files, timeout, command = options.password_command]() -> Result<std::string> {
        auto line = files.line_of(command, timeout);
        if (line) return line;
        Error error = std::move(line.error());
        error.code = Errc::kAuthentication;
        error.message = "password_command: " + error.message;
        return fail(std::move(error));
      }});
}

}  // namespace

namespace {

/// What the service may not change, by libpq's keywords; it says the rest.
Status place_beside_service(const SinkOptions& options, ConnectOptions& connect) {
  const bool port_given =
      options.port != SinkOptions{}.port ||
      std::ranges::find(options.given, std::string_view("port")) != options.given.end();
  const std::pair<std::string_view, std::string> given[] = {
      {"service", options.service},   {"host", options.host},
      {"hostaddr", options.hostaddr}, {"port", port_given ? options.port : std::string()},
      {"dbname", options.database},   {"user", options.username},
      {"password", options.password}};
  for (const auto& [keyword, text] : given) {
    if (text.empty()) continue;
    if (auto set = set_connect_option(connect, keyword, text); !set) return set;
  }
  return {};
}

std::string application_name(const SinkOptions& options) {
  if (!options.application_name.empty()) return options.application_name;
  if (!options.traceparent.empty()) return "pgsink/" + options.traceparent;
  return "pgsink/" + options.connection_name;
}

}  // namespace

Result<ConnectOptions> to_connect_options(const SinkOptions& options, Files& files) {
  ConnectOptions connect;
  connect.password_source = password_source(options, files);
  if (options.on_trace) {
    connect.trace = std::make_shared<const TraceTaker>(TraceTaker{options.on_trace});
  }
  for (const Keyword& row : kKeywords) {
    if (std::ranges::find(options.given, row.option) != options.given.end()) {
      connect.given.emplace(row.keyword, std::string());
    }
  }
  connect.target_session_attrs = value_of(kTargets, options.target_session_attrs);
  connect.application_name = application_name(options);
  connect.connect_timeout = std::chrono::milliseconds(options.connection_timeout_ms);
  connect.scram_iterations_max = static_cast<uint32_t>(options.scram_iterations_max);
  connect.socket.keepalives_idle_s = static_cast<int>(options.keepalives_idle_s);
  connect.socket.keepalives_interval_s = static_cast<int>(options.keepalives_interval_s);
  connect.socket.keepalives_count = static_cast<int>(options.keepalives_count);
  connect.socket.tcp_user_timeout_ms = static_cast<int>(options.tcp_user_timeout_ms);
  if (!options.url.empty()) {
    auto parsed = parse_conninfo(options.url, std::move(connect));
    if (!parsed) return fail(parsed.error());
    return apply_environment(std::move(*parsed), files);
  }
  if (options.service.empty()) {
    auto addresses = to_addresses(options);
    if (!addresses) return fail(addresses.error());
    connect.hosts = std::move(*addresses);
    connect.database = options.database;
    connect.user = options.username;
    connect.password = options.password;
  } else if (auto placed = place_beside_service(options, connect); !placed) {
    return fail(placed.error());
  }
  connect.passfile = options.passfile;
  connect.ssl_mode = value_of(kSslModes, options.ssl_mode);
  connect.ssl_direct = options.ssl_negotiation == "direct";
  connect.ssl_cert = options.ssl_cert;
  connect.ssl_key = options.ssl_key;
  connect.ssl_root_cert = options.ssl_root_cert;
  connect.ssl_crl = options.ssl_crl;
  connect.ssl_min_version = options.ssl_min_version;
  connect.channel_binding = value_of(kBindings, options.channel_binding);
  connect.require_auth = to_auth_methods(options.require_auth);
  connect.load_balance_hosts = options.load_balance_hosts == "random";
  return apply_environment(std::move(connect), files);
}

Result<std::string> password_of(const SinkOptions& options) {
  if (options.url.empty()) return options.password;
  auto parsed = parse_conninfo(options.url);
  if (!parsed) return fail(parsed.error());
  return std::move(parsed->password);
}

std::unexpected<Error> fail_at(const SinkOptions& options, Error error) {
  error.message = "connection \"" + options.connection_name + "\": " + error.message;
  return fail(std::move(error));
}

}  // namespace pgsink
