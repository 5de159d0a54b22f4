#include "pgsink/client/connect_options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include <pgproto/ascii.h>

#include "pgsink/client/conninfo.h"
#include "pgsink/client/keywords.h"

namespace pgsink {

namespace {

std::unexpected<Error> bad_value(std::string_view keyword, const std::string& allowed) {
  return fail(Errc::kOptionValue, std::string(keyword) + " must be " + allowed);
}

std::unexpected<Error> unsupported(std::string_view keyword, std::string_view why) {
  return fail(Errc::kOptionUnsupported, "the libpq option " + std::string(keyword) +
                                            " is not supported: " + std::string(why));
}

// Like libpq's integers: blanks around are allowed, anything else is not.
Result<int> parse_integer(std::string_view keyword, std::string_view text) {
  text = pgproto::ascii::trim(text);
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  int value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop != text.data() + text.size()) {
    return bad_value(keyword, "an integer");
  }
  return value;
}

template <typename Value>
struct Choice {
  std::string_view name;
  Value value;
};

template <typename Value, size_t kCount>
Status choose(std::string_view keyword, std::string_view text,
              const std::array<Choice<Value>, kCount>& choices, Value& to) {
  std::string allowed;
  for (const Choice<Value>& choice : choices) {
    if (choice.name == text) {
      to = choice.value;
      return {};
    }
    allowed += (allowed.empty() ? "" : ", ") + std::string(choice.name);
  }
  return bad_value(keyword, "one of " + allowed);
}

// ---- one function per kind of option ------------------------------------------------------------

template <std::string ConnectOptions::* kMember>
Status set_text(const KeywordInfo&, const std::string& value, ConnectOptions& options) {
  options.*kMember = value;
  return {};
}

template <int SocketOptions::* kMember>
Status set_socket_integer(const KeywordInfo& info, const std::string& value,
                          ConnectOptions& options) {
  const auto number = parse_integer(info.keyword, value);
  if (!number) return fail(number.error());
  options.socket.*kMember = std::max(*number, 0);
  return {};
}

// libpq's integers that mean booleans.
template <bool ConnectOptions::* kMember>
Status set_flag(const KeywordInfo& info, const std::string& value, ConnectOptions& options) {
  if (value != "0" && value != "1") return bad_value(info.keyword, "0 or 1");
  options.*kMember = value == "1";
  return {};
}

Status set_keepalives(const KeywordInfo& info, const std::string& value, ConnectOptions& options) {
  const auto number = parse_integer(info.keyword, value);
  if (!number) return fail(number.error());
  options.socket.keepalives = *number != 0;
  return {};
}

Status set_connect_timeout(const KeywordInfo& info, const std::string& value,
                           ConnectOptions& options) {
  const auto number = parse_integer(info.keyword, value);
  if (!number) return fail(number.error());
  options.connect_timeout = std::chrono::seconds(std::max(*number, 0));
  return {};
}

Status set_ssl_mode(const KeywordInfo& info, const std::string& value, ConnectOptions& options) {
  static constexpr std::array<Choice<SslMode>, 6> kModes = {
      {{"disable", SslMode::kDisable},
       {"allow", SslMode::kAllow},
       {"prefer", SslMode::kPrefer},
       {"require", SslMode::kRequire},
       {"verify-ca", SslMode::kVerifyCa},
       {"verify-full", SslMode::kVerifyFull}}};
  return choose(info.keyword, value, kModes, options.ssl_mode);
}

// From old versions of libpq: 1 means require.
Status set_require_ssl(const KeywordInfo&, const std::string& value, ConnectOptions& options) {
  return set_connect_option(options, "sslmode", value.starts_with('1') ? "require" : "prefer");
}

Status set_negotiation(const KeywordInfo& info, const std::string& value, ConnectOptions& options) {
  static constexpr std::array<Choice<bool>, 2> kWays = {{{"postgres", false}, {"direct", true}}};
  return choose(info.keyword, value, kWays, options.ssl_direct);
}

Status set_certificate_mode(const KeywordInfo& info, const std::string& value,
                            ConnectOptions& options) {
  if (value == "require") return unsupported("sslcertmode=require", "use allow or disable");
  static constexpr std::array<Choice<bool>, 2> kModes = {{{"allow", true}, {"disable", false}}};
  return choose(info.keyword, value, kModes, options.ssl_client_certificate);
}

template <std::string ConnectOptions::* kMember>
Status set_tls_version(const KeywordInfo& info, const std::string& value, ConnectOptions& options) {
  for (const char* name : {"", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}) {
    const std::string_view known = name;
    if (pgproto::ascii::equal_folded(known, value)) {
      options.*kMember = known;
      return {};
    }
  }
  return bad_value(info.keyword, "TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3");
}

Status set_channel_binding(const KeywordInfo& info, const std::string& value,
                           ConnectOptions& options) {
  using pgproto::ChannelBinding;
  static constexpr std::array<Choice<ChannelBinding>, 3> kChoices = {
      {{"disable", ChannelBinding::kDisable},
       {"prefer", ChannelBinding::kPrefer},
       {"require", ChannelBinding::kRequire}}};
  return choose(info.keyword, value, kChoices, options.channel_binding);
}

template <int32_t ConnectOptions::* kMember>
Status set_protocol_version(const KeywordInfo& info, const std::string& value,
                            ConnectOptions& options) {
  static constexpr std::array<Choice<int32_t>, 3> kVersions = {{{"3.0", pgproto::kProtocol30},
                                                                {"3.2", pgproto::kProtocol32},
                                                                {"latest", pgproto::kProtocol32}}};
  return choose(info.keyword, value, kVersions, options.*kMember);
}

Status set_target(const KeywordInfo& info, const std::string& value, ConnectOptions& options) {
  using enum TargetSessionAttrs;
  static constexpr std::array<Choice<TargetSessionAttrs>, 6> kTargets = {
      {{"any", kAny},
       {"read-write", kReadWrite},
       {"read-only", kReadOnly},
       {"primary", kPrimary},
       {"standby", kStandby},
       {"prefer-standby", kPreferStandby}}};
  return choose(info.keyword, value, kTargets, options.target_session_attrs);
}

Status set_load_balance(const KeywordInfo& info, const std::string& value,
                        ConnectOptions& options) {
  static constexpr std::array<Choice<bool>, 2> kWays = {{{"disable", false}, {"random", true}}};
  return choose(info.keyword, value, kWays, options.load_balance_hosts);
}

// A method with '!' is forbidden, one without is allowed; the two cannot be mixed. Methods that
// this library does not support are recognized but allow nothing.
Status set_require_auth(const KeywordInfo& info, const std::string& value,
                        ConnectOptions& options) {
  using pgproto::AuthMethod;
  static constexpr std::array<Choice<int>, 7> kMethods = {
      {{"password", static_cast<int>(AuthMethod::kPassword)},
       {"md5", static_cast<int>(AuthMethod::kMd5)},
       {"scram-sha-256", static_cast<int>(AuthMethod::kScramSha256)},
       {"none", static_cast<int>(AuthMethod::kNone)},
       {"gss", 0x100},
       {"sspi", 0x200},
       {"oauth", 0x400}}};
  if (value.empty()) {
    options.require_auth = static_cast<uint8_t>(AuthMethod::kAny);
    return {};
  }
  int seen = 0;
  const bool forbids = value.front() == '!';
  for (size_t begin = 0; begin <= value.size();) {
    const size_t end = std::min(value.find(',', begin), value.size());
    std::string_view name = std::string_view(value).substr(begin, end - begin);
    if (name.starts_with('!') != forbids) {
      return bad_value(info.keyword, "either all methods with \"!\" or all without");
    }
    if (forbids) name.remove_prefix(1);
    int method = 0;
    if (auto status = choose(info.keyword, name, kMethods, method); !status) return status;
    if ((seen & method) != 0) return bad_value(info.keyword, "a list that names no method twice");
    seen |= method;
    begin = end + 1;
  }
  constexpr int kSpoken = 0x0f;
  const int allowed = (forbids ? ~seen : seen) & kSpoken;
  if (allowed == 0) {
    return unsupported(
        info.keyword,
        "it allows none of the supported methods: password, md5, scram-sha-256, none");
  }
  // kAny is all bits; anything less keeps only the named methods.
  options.require_auth =
      allowed == kSpoken ? static_cast<uint8_t>(AuthMethod::kAny) : static_cast<uint8_t>(allowed);
  return {};
}

Status set_client_encoding(const KeywordInfo& info, const std::string& value, ConnectOptions&) {
  std::string plain;
  for (const char c : value) {
    if (c != '-' && c != '_') plain += pgproto::ascii::lower(c);
  }
  if (plain.empty() || plain == "auto" || plain == "utf8" || plain == "unicode") return {};
  return unsupported(info.keyword, "texts are always sent as UTF8");
}

Status set_replication(const KeywordInfo&, const std::string& value, ConnectOptions& options) {
  if (!value.empty()) options.parameters.emplace_back("replication", value);
  return {};
}

Status set_gss_mode(const KeywordInfo& info, const std::string& value, ConnectOptions&) {
  if (value == "require") return unsupported("gssencmode=require", "GSSAPI is not supported");
  static constexpr std::array<Choice<bool>, 2> kModes = {{{"disable", false}, {"prefer", false}}};
  bool ignored = false;
  return choose(info.keyword, value, kModes, ignored);
}

// Hosts, ports and addresses are parallel lists: they are combined once all are known.
Status keep_only(const KeywordInfo&, const std::string&, ConnectOptions&) { return {}; }

// Options that have no effect as long as there is no GSSAPI and no compression.
Status ignore(const KeywordInfo&, const std::string&, ConnectOptions&) { return {}; }

Status refuse(const KeywordInfo& info, const std::string& value, ConnectOptions&) {
  if (value.empty()) return {};
  return unsupported(info.keyword, info.refused);
}

using O = ConnectOptions;
using S = SocketOptions;
constexpr const char* kNoOauth = "OAuth is not supported";
constexpr const char* kNoKeys = "give the password instead";

// Whether a member still has its default, so that it was not set explicitly.
template <auto kMember>
bool untouched(const ConnectOptions& options) {
  return options.*kMember == ConnectOptions{}.*kMember;
}

template <std::string ConnectOptions::* kMember>
constexpr KeywordInfo text_option(std::string_view keyword, std::string_view environment) {
  return {keyword, environment, &set_text<kMember>, &untouched<kMember>, false, {}};
}
template <auto kMember>
constexpr KeywordInfo option(std::string_view keyword, std::string_view environment,
                             KeywordInfo::Set set) {
  return {keyword, environment, set, &untouched<kMember>, false, {}};
}
constexpr KeywordInfo other(std::string_view keyword, std::string_view environment,
                            KeywordInfo::Set set) {
  return {keyword, environment, set, nullptr, false, {}};
}
constexpr KeywordInfo refused(std::string_view keyword, std::string_view environment,
                              std::string_view why) {
  return {keyword, environment, &refuse, nullptr, false, why};
}
constexpr KeywordInfo secret(KeywordInfo info) {
  info.secret = true;
  return info;
}

// Every keyword of libpq up to 19. PGCLIENTENCODING is ignored: it is meant for other programs.
constexpr KeywordInfo kKeywords[] = {
    other("service", "PGSERVICE", &keep_only),
    other("servicefile", "PGSERVICEFILE", &keep_only),
    text_option<&O::user>("user", "PGUSER"),
    secret(text_option<&O::password>("password", "PGPASSWORD")),
    text_option<&O::passfile>("passfile", "PGPASSFILE"),
    option<&O::channel_binding>("channel_binding", "PGCHANNELBINDING", &set_channel_binding),
    option<&O::connect_timeout>("connect_timeout", "PGCONNECT_TIMEOUT", &set_connect_timeout),
    text_option<&O::database>("dbname", "PGDATABASE"),
    other("host", "PGHOST", &keep_only),
    other("hostaddr", "PGHOSTADDR", &keep_only),
    other("port", "PGPORT", &keep_only),
    other("client_encoding", "", &set_client_encoding),
    text_option<&O::options>("options", "PGOPTIONS"),
    text_option<&O::application_name>("application_name", "PGAPPNAME"),
    other("fallback_application_name", "", &keep_only),
    other("keepalives", "", &set_keepalives),
    other("keepalives_idle", "", &set_socket_integer<&S::keepalives_idle_s>),
    other("keepalives_interval", "", &set_socket_integer<&S::keepalives_interval_s>),
    other("keepalives_count", "", &set_socket_integer<&S::keepalives_count>),
    other("tcp_user_timeout", "", &set_socket_integer<&S::tcp_user_timeout_ms>),
    option<&O::ssl_mode>("sslmode", "PGSSLMODE", &set_ssl_mode),
    other("requiressl", "", &set_require_ssl),
    option<&O::ssl_direct>("sslnegotiation", "PGSSLNEGOTIATION", &set_negotiation),
    other("sslcompression", "PGSSLCOMPRESSION", &ignore),
    text_option<&O::ssl_cert>("sslcert", "PGSSLCERT"),
    text_option<&O::ssl_key>("sslkey", "PGSSLKEY"),
    option<&O::ssl_client_certificate>("sslcertmode", "PGSSLCERTMODE", &set_certificate_mode),
    secret(text_option<&O::ssl_key_password>("sslpassword", "")),
    text_option<&O::ssl_root_cert>("sslrootcert", "PGSSLROOTCERT"),
    text_option<&O::ssl_crl>("sslcrl", "PGSSLCRL"),
    refused("sslcrldir", "PGSSLCRLDIR", "name one file in sslcrl"),
    option<&O::ssl_sni>("sslsni", "PGSSLSNI", &set_flag<&O::ssl_sni>),
    refused("requirepeer", "PGREQUIREPEER",
            "the peer of a Unix socket is not checked; use TCP with sslmode=verify-full"),
    option<&O::require_auth>("require_auth", "PGREQUIREAUTH", &set_require_auth),
    option<&O::protocol_version_min>("min_protocol_version", "PGMINPROTOCOLVERSION",
                                     &set_protocol_version<&O::protocol_version_min>),
    option<&O::protocol_version>("max_protocol_version", "PGMAXPROTOCOLVERSION",
                                 &set_protocol_version<&O::protocol_version>),
    option<&O::ssl_min_version>("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION",
                                &set_tls_version<&O::ssl_min_version>),
    option<&O::ssl_max_version>("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION",
                                &set_tls_version<&O::ssl_max_version>),
    refused("sslkeylogfile", "", "session keys are never written to a file"),
    other("gssencmode", "PGGSSENCMODE", &set_gss_mode),
    other("krbsrvname", "PGKRBSRVNAME", &ignore),
    other("gsslib", "PGGSSLIB", &ignore),
    other("gssdelegation", "PGGSSDELEGATION", &ignore),
    other("replication", "", &set_replication),
    option<&O::target_session_attrs>("target_session_attrs", "PGTARGETSESSIONATTRS", &set_target),
    option<&O::load_balance_hosts>("load_balance_hosts", "PGLOADBALANCEHOSTS", &set_load_balance),
    secret(refused("scram_client_key", "", kNoKeys)),
    secret(refused("scram_server_key", "", kNoKeys)),
    refused("oauth_issuer", "", kNoOauth),
    refused("oauth_client_id", "", kNoOauth),
    secret(refused("oauth_client_secret", "", kNoOauth)),
    refused("oauth_scope", "", kNoOauth),
    refused("oauth_ca_file", "PGOAUTHCAFILE", kNoOauth),
};

// A text that could be a misplaced piece of a password is not repeated.
bool looks_like_keyword(std::string_view text) {
  return !text.empty() && text.size() <= 40 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || c == '_';
  });
}

// ---- lists of hosts -----------------------------------------------------------------------------

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

Result<uint16_t> parse_port(const std::string& text) {
  if (text.empty()) return kDefaultPort;
  const auto number = parse_integer("port", text);
  if (!number || *number < 1 || *number > std::numeric_limits<uint16_t>::max()) {
    return bad_value("port", "an integer from 1 to 65535, or a comma list of them");
  }
  return static_cast<uint16_t>(*number);
}

}  // namespace

std::span<const KeywordInfo> keyword_table() { return kKeywords; }

const KeywordInfo* find_keyword(std::string_view keyword) {
  for (const KeywordInfo& info : kKeywords) {
    if (info.keyword == keyword) return &info;
  }
  return nullptr;
}

Result<std::vector<Address>> combine_hosts(const std::string& hosts, const std::string& addresses,
                                           const std::string& ports) {
  const std::vector<std::string> host_list = split_list(hosts);
  const std::vector<std::string> address_list = split_list(addresses);
  const std::vector<std::string> port_list = split_list(ports);
  const size_t count = addresses.empty() ? host_list.size() : address_list.size();
  if (!hosts.empty() && host_list.size() != count) {
    return fail(Errc::kOptionValue, "host names " + std::to_string(host_list.size()) +
                                        " hosts, hostaddr " + std::to_string(count));
  }
  if (port_list.size() != 1 && port_list.size() != count) {
    return fail(Errc::kOptionValue, "port names " + std::to_string(port_list.size()) +
                                        " ports for " + std::to_string(count) +
                                        " hosts; name one for all, or one for each");
  }
  std::vector<Address> combined;
  for (size_t i = 0; i < count; ++i) {
    const auto port = parse_port(port_list[port_list.size() == 1 ? 0 : i]);
    if (!port) return fail(port.error());
    combined.push_back({hosts.empty() ? std::string() : host_list[i], *port,
                        addresses.empty() ? std::string() : address_list[i]});
  }
  return combined;
}

Status check_connect_options(const ConnectOptions& options) {
  const bool weak = options.ssl_mode < SslMode::kRequire;
  if (options.ssl_direct && weak) {
    return fail(Errc::kOptionConflict,
                "ssl_negotiation = 'direct' needs ssl_mode = 'require', 'verify-ca' or "
                "'verify-full' (in a url: sslnegotiation and sslmode)");
  }
  if (options.ssl_root_cert == "system" && options.ssl_mode != SslMode::kVerifyFull) {
    return fail(Errc::kOptionConflict,
                "ssl_root_cert = 'system' needs ssl_mode = 'verify-full' (in a url: sslrootcert "
                "and sslmode): anybody can get a certificate from those authorities");
  }
  if (!options.ssl_max_version.empty() && options.ssl_max_version < options.ssl_min_version) {
    return fail(Errc::kOptionConflict,
                "ssl_max_protocol_version is lower than ssl_min_protocol_version");
  }
  if (options.protocol_version < options.protocol_version_min) {
    return fail(Errc::kOptionConflict, "max_protocol_version is lower than min_protocol_version");
  }
  return {};
}

std::string given_text(const ConnectOptions& options, std::string_view keyword) {
  const auto found = options.given.find(keyword);
  return found == options.given.end() ? std::string() : found->second;
}

namespace {

// Sets one option. Hosts and ports are combined later.
Status store_option(ConnectOptions& options, std::string_view keyword, std::string value) {
  const KeywordInfo* info = find_keyword(keyword);
  if (info == nullptr) {
    return fail(
        Errc::kUnknownOption,
        looks_like_keyword(keyword)
            ? "there is no connection option \"" + std::string(keyword) + "\""
            : "unknown connection option; its name is not shown because it may be a secret");
  }
  if (value.find('\0') != std::string::npos) return bad_value(keyword, "without zero bytes");
  if (auto status = info->set(*info, value, options); !status) return status;
  options.given.insert_or_assign(std::string(keyword),
                                 info->secret ? std::string() : std::move(value));
  return {};
}

// Combines host, hostaddr and port. Without the first two, the ports apply to the existing hosts,
// if any; the environment may still name some.
Status place_hosts(ConnectOptions& options) {
  const std::string ports = given_text(options, "port");
  if (options.given.contains("host") || options.given.contains("hostaddr")) {
    auto hosts = combine_hosts(given_text(options, "host"), given_text(options, "hostaddr"), ports);
    if (!hosts) return fail(hosts.error());
    options.hosts = *std::move(hosts);
  } else if (!ports.empty()) {
    const size_t count = options.hosts.empty() ? split_list(ports).size() : options.hosts.size();
    const auto placed = combine_hosts(std::string(count - 1, ','), "", ports);
    if (!placed) return fail(placed.error());
    for (size_t i = 0; i < options.hosts.size(); ++i) options.hosts[i].port = (*placed)[i].port;
  }
  return {};
}

}  // namespace

Status set_connect_option(ConnectOptions& options, std::string_view keyword, std::string value) {
  if (auto status = store_option(options, keyword, std::move(value)); !status) return status;
  const bool is_place = keyword == "host" || keyword == "hostaddr" || keyword == "port";
  return is_place ? place_hosts(options) : Status();
}

Result<ConnectOptions> parse_conninfo(std::string_view text, ConnectOptions base) {
  auto pairs = split_conninfo(text);
  if (!pairs) return fail(pairs.error());
  for (auto& [keyword, value] : *pairs) {
    if (auto status = store_option(base, keyword, std::move(value)); !status) {
      return fail(status.error());
    }
  }
  if (auto status = place_hosts(base); !status) return fail(status.error());
  // Options that the environment may still complete are checked after it was read.
  if (base.given.contains("sslmode")) {
    if (auto status = check_connect_options(base); !status) return fail(status.error());
  }
  return base;
}

}  // namespace pgsink
