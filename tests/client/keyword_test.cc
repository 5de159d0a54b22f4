// Every keyword of libpq 18 is taken, or refused by name with a reason.

#include <algorithm>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/client/connect_options.h"
#include "pgsink/client/keywords.h"

namespace pgsink::test {
namespace {

/// A row of the documentation, "Parameter Key Words" and "Environment Variables".
struct Keyword {
  std::string_view name;
  std::string_view environment;
  std::string_view value;   ///< One that libpq takes.
  std::string_view reason;  ///< Part of the error; "": it is supported.
};

// The 50 of PQconndefaults() of libpq 18, and the two that only its parsers know.
constexpr Keyword kLibpq18[] = {
    {"service", "PGSERVICE", "s", ""},
    {"user", "PGUSER", "u", ""},
    {"password", "PGPASSWORD", "p", ""},
    {"passfile", "PGPASSFILE", "/f", ""},
    {"channel_binding", "PGCHANNELBINDING", "require", ""},
    {"connect_timeout", "PGCONNECT_TIMEOUT", "7", ""},
    {"dbname", "PGDATABASE", "d", ""},
    {"host", "PGHOST", "h", ""},
    {"hostaddr", "PGHOSTADDR", "127.0.0.1", ""},
    {"port", "PGPORT", "5433", ""},
    // PGCLIENTENCODING is not for pgsink: whatever it says, all texts are sent in UTF-8.
    {"client_encoding", "", "UTF8", ""},
    {"options", "PGOPTIONS", "-c geqo=off", ""},
    {"application_name", "PGAPPNAME", "a", ""},
    {"fallback_application_name", "", "a", ""},
    {"keepalives", "", "0", ""},
    {"keepalives_idle", "", "9", ""},
    {"keepalives_interval", "", "9", ""},
    {"keepalives_count", "", "9", ""},
    {"tcp_user_timeout", "", "9", ""},
    {"sslmode", "PGSSLMODE", "verify-full", ""},
    {"sslnegotiation", "PGSSLNEGOTIATION", "direct", ""},
    {"sslcompression", "PGSSLCOMPRESSION", "0", ""},
    {"sslcert", "PGSSLCERT", "/f", ""},
    {"sslkey", "PGSSLKEY", "/f", ""},
    {"sslcertmode", "PGSSLCERTMODE", "disable", ""},
    {"sslcertmode", "PGSSLCERTMODE", "require", "sslcertmode"},
    {"sslpassword", "", "p", ""},
    {"sslrootcert", "PGSSLROOTCERT", "/f", ""},
    {"sslcrl", "PGSSLCRL", "/f", ""},
    {"sslcrldir", "PGSSLCRLDIR", "/d", "name one file in sslcrl"},
    {"sslsni", "PGSSLSNI", "0", ""},
    {"requirepeer", "PGREQUIREPEER", "postgres", "the peer of a Unix socket is not checked"},
    {"require_auth", "PGREQUIREAUTH", "scram-sha-256", ""},
    {"min_protocol_version", "PGMINPROTOCOLVERSION", "3.2", ""},
    {"max_protocol_version", "PGMAXPROTOCOLVERSION", "latest", ""},
    {"ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", "TLSv1.3", ""},
    {"ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", "TLSv1.3", ""},
    {"gssencmode", "PGGSSENCMODE", "disable", ""},
    {"gssencmode", "PGGSSENCMODE", "require", "gssencmode"},
    {"krbsrvname", "PGKRBSRVNAME", "postgres", ""},
    {"gsslib", "PGGSSLIB", "gssapi", ""},
    {"gssdelegation", "PGGSSDELEGATION", "0", ""},
    {"replication", "", "database", ""},
    {"target_session_attrs", "PGTARGETSESSIONATTRS", "primary", ""},
    {"load_balance_hosts", "PGLOADBALANCEHOSTS", "random", ""},
    {"scram_client_key", "", "k", "scram_client_key"},
    {"scram_server_key", "", "k", "scram_server_key"},
    {"oauth_issuer", "", "i", "oauth_issuer"},
    {"oauth_client_id", "", "i", "oauth_client_id"},
    {"oauth_client_secret", "", "s", "oauth_client_secret"},
    {"oauth_scope", "", "s", "oauth_scope"},
    {"sslkeylogfile", "", "/f", "session keys are never written to a file"},
    {"requiressl", "", "1", ""},
};

TEST(Keywords, EachOfLibpq18IsTakenOrRefusedWithAReason) {
  for (const Keyword& keyword : kLibpq18) {
    SCOPED_TRACE(keyword.name);
    const KeywordInfo* const info = find_keyword(keyword.name);
    ASSERT_NE(info, nullptr);
    EXPECT_EQ(info->environment, keyword.environment);
    ConnectOptions options;
    const Status set = set_connect_option(options, keyword.name, std::string(keyword.value));
    EXPECT_EQ(set.has_value(), keyword.reason.empty()) << (set ? "taken" : set.error().to_string());
    if (set) continue;
    EXPECT_EQ(set.error().code, Errc::kOptionUnsupported);
    EXPECT_THAT(set.error().message, testing::AllOf(testing::HasSubstr(keyword.name),
                                                    testing::HasSubstr(keyword.reason)));
  }
}

TEST(Keywords, ThereIsNoOtherButThoseOfLaterVersions) {
  for (const KeywordInfo& info : keyword_table()) {
    if (info.keyword == "oauth_ca_file" || info.keyword == "servicefile") continue;  // 19
    EXPECT_TRUE(std::ranges::any_of(kLibpq18, [&](const Keyword& keyword) {
      return keyword.name == info.keyword;
    })) << info.keyword;
  }
}

// ssl=true of JDBC is for URIs only.
TEST(Keywords, SslOfJdbcIsSslmodeRequireInAUri) {
  const auto uri = parse_conninfo("postgresql://h?ssl=true");
  ASSERT_TRUE(uri);
  EXPECT_EQ(uri->ssl_mode, SslMode::kRequire);
  EXPECT_FALSE(parse_conninfo("host=h ssl=true"));
}

}  // namespace
}  // namespace pgsink::test
