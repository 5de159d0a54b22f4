// Connection strings against libpq's own parser, which is linked here as the oracle.

#include "pgsink/client/conninfo.h"

#include <map>
#include <random>

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include "pgsink/client/connect_options.h"
#include "pgsink/client/keywords.h"
#include "support/conninfo_oracle.h"

namespace pgsink::test {
namespace {

std::string show(const std::optional<ConninfoMap>& map) {
  if (!map) return "refused";
  std::string text;
  for (const auto& [keyword, value] : *map) text += keyword + "=<" + value + "> ";
  return text;
}

void expect_equal(const std::string& text) {
  EXPECT_EQ(show(we_parse(text)), show(libpq_parses(text))) << "in: " << text;
}

TEST(Conninfo, ReadsKeywordsAndValuesAsLibpq) {
  for (const char* text : {"",
                           "  ",
                           "host=a",
                           "host = a",
                           "host= a port =1",
                           "host='a b' user=c",
                           "host='a''b'",
                           "host='a\\'b'",
                           "host='a\\\\b'",
                           "host=a\\ b",
                           "host=a\\'b",
                           "host=a\\",
                           "host='a",
                           "host='",
                           "host",
                           "host a",
                           "host=",
                           "host= port=1",
                           "host=''",
                           "host='a'port=1",
                           "=a",
                           "host==a",
                           "host=a host=b",
                           "host=a=b",
                           "host=\"a\"",
                           "user='x\\",
                           "\thost\n=\va\fport\r=1",
                           "bogus=1",
                           "HOST=a",
                           "dbname='a=b'",
                           "requiressl=1",
                           "requiressl=0",
                           "requiressl=1 sslmode=disable",
                           "password='\\\\\\'' user=\\\\"}) {
    expect_equal(text);
  }
}

TEST(Conninfo, ReadsUrisAsLibpq) {
  for (const char* text : {"postgresql://",
                           "postgres://",
                           "postgresql:/",
                           "postgresql:",
                           "postgresql://host",
                           "postgresql://host/",
                           "postgresql://host:1",
                           "postgresql://host:1/db",
                           "postgresql://user@host",
                           "postgresql://user:pw@host:1/db?sslmode=require",
                           "postgresql://user:@host",
                           "postgresql://:pw@host",
                           "postgresql://@host",
                           "postgresql://:@host",
                           "postgresql://user@",
                           "postgresql:///db",
                           "postgresql:///",
                           "postgresql://?user=a",
                           "postgresql:///?user=a",
                           "postgresql://host?user=a",
                           "postgresql://host/?user=a",
                           "postgresql://h1,h2",
                           "postgresql://h1:1,h2:2/db",
                           "postgresql://h1,h2:2",
                           "postgresql://h1:1,h2",
                           "postgresql://,",
                           "postgresql://h1,",
                           "postgresql://:1,:2",
                           "postgresql://[::1]",
                           "postgresql://[::1]:1/db",
                           "postgresql://[::1],[::2]:2",
                           "postgresql://[::1",
                           "postgresql://[]",
                           "postgresql://[]:1",
                           "postgresql://[::1]x",
                           "postgresql://[::1]?user=a",
                           "postgresql://u@[::1]/",
                           "postgresql://%2Fvar%2Frun/db",
                           "postgresql://ho%73t",
                           "postgresql://h%zz",
                           "postgresql://h%",
                           "postgresql://h%1",
                           "postgresql://h%00",
                           "postgresql://h/d%00",
                           "postgresql://u+v@h+w/d+e?application_name=a+b",
                           "postgresql://h/a@b",
                           "postgresql://u@v@h/db",
                           "postgresql://u:p:q@h",
                           "postgresql://u/x@h",
                           "postgresql://h/a/b",
                           "postgresql://h/?a",
                           "postgresql://h/?user",
                           "postgresql://h/?user=",
                           "postgresql://h/?=a",
                           "postgresql://h/?user=a&",
                           "postgresql://h/?user=a&&dbname=b",
                           "postgresql://h/?&user=a",
                           "postgresql://h/?user=a=b",
                           "postgresql://h/?user=a%3Db",
                           "postgresql://h/?ssl=true",
                           "postgresql://h/?ssl=false",
                           "postgresql://h/?sslmode=disable&ssl=true",
                           "postgresql://h/?us%65r=a",
                           "postgresql://h/?bogus=1",
                           "postgresql://h/d?user=a?b",
                           "postgresql://h/?host=/tmp&port=1",
                           "postgresql://h:1/?host=g",
                           "postgresql://h/?user=a&user=b",
                           "postgresql://h:1:2/db",
                           "postgresql://h#x/db",
                           "postgresql://h/?password=%26%3d",
                           "POSTGRESQL://h",
                           "postgresql://h/%e4%F6",
                           "postgresql://host:port"}) {
    expect_equal(text);
  }
}

// Seeds cut, joined and salted with what the grammar cares about. libpq 15 takes blanks inside a
// URI for themselves, newer ones refuse them, as we do: those are left out here.
TEST(Conninfo, AgreesWithLibpqOnRandomTexts) {
  const std::vector<std::string> pieces = {"postgresql://",
                                           "postgres://",
                                           "host",
                                           "user",
                                           "password",
                                           "dbname",
                                           "port",
                                           "sslmode",
                                           "ssl",
                                           "true",
                                           "=",
                                           "==",
                                           "'",
                                           "\\",
                                           "\\'",
                                           " ",
                                           "  ",
                                           "\t",
                                           ":",
                                           "@",
                                           "/",
                                           "//",
                                           "?",
                                           "&",
                                           ",",
                                           "[",
                                           "]",
                                           "[::1]",
                                           "%",
                                           "%41",
                                           "%2F",
                                           "%00",
                                           "%4",
                                           "+",
                                           "a",
                                           "b1",
                                           "5432",
                                           "5433",
                                           "h.example",
                                           "options",
                                           "-c x=1",
                                           "requiressl",
                                           "1",
                                           "0",
                                           "",
                                           "application_name",
                                           "connect_timeout",
                                           "ä"};
  std::mt19937 random(20260101);
  int accepted = 0;
  for (int round = 0; round < 200000; ++round) {
    std::string text;
    if (random() % 2 == 0) text = "postgresql://";
    const size_t count = random() % 14;
    for (size_t i = 0; i < count; ++i) {
      text += pieces[random() % pieces.size()];
    }
    if (text.starts_with("postgres")) {
      std::erase_if(text, [](char c) { return c == ' ' || c == '\t'; });
    }
    const auto theirs = libpq_parses(text);
    accepted += theirs.has_value();
    ASSERT_EQ(show(we_parse(text)), show(theirs)) << "in: " << text;
  }
  EXPECT_GT(accepted, 10000);  // or the texts would prove nothing
}

// PostgreSQL 17: blanks around a part of a URI are dropped, blanks inside must be %20.
TEST(Conninfo, RefusesBlanksInsideUris) {
  EXPECT_FALSE(split_conninfo("postgresql://ho st/db").has_value());
  EXPECT_FALSE(split_conninfo("postgresql://host/db?application_name=a b").has_value());
  const auto trimmed = split_conninfo("postgresql://host/ db ?user= a");
  ASSERT_TRUE(trimmed.has_value());
  EXPECT_EQ((*trimmed)[1].second, "db");
  EXPECT_EQ((*trimmed)[2].second, "a");
  const auto encoded = split_conninfo("postgresql://host/d%20b");
  ASSERT_TRUE(encoded.has_value());
  EXPECT_EQ((*encoded)[1].second, "d b");
}

TEST(Conninfo, RefusesZeroBytes) {
  EXPECT_FALSE(split_conninfo(std::string_view("host=a\0b", 8)).has_value());
  EXPECT_FALSE(split_conninfo(std::string_view("postgresql://a\0b", 16)).has_value());
}

// Trap 33: whatever is wrong around it, a password is in no error.
TEST(Conninfo, NeverEchoesAPassword) {
  const std::string secret = "Hunter2x";
  for (const std::string& text : {"password=" + secret + " port=99999",
                                  "password=" + secret + " bogus=1",
                                  "password=" + secret + " sslmode=bogus",
                                  "password='" + secret,
                                  "password=a " + secret,
                                  "password=a " + secret + "=b",
                                  "host=a " + secret + " =b",
                                  "postgresql://u:" + secret + "@h:port/db",
                                  "postgresql://u:" + secret + "%zz@h/db",
                                  "postgresql://u:" + secret + "%00@h/db",
                                  "postgresql://u:" + secret + "/x@h/db",
                                  "postgresql://u:" + secret + "@[::1/db",
                                  "postgresql://u:" + secret + "@h/?bogus=1",
                                  "postgresql://h/?password=" + secret + "&port=x",
                                  "postgresql://h/?password=a=" + secret,
                                  "postgresql://h/?" + secret + "=1",
                                  "postgresql://h/?password=a&" + secret,
                                  "postgresql://u:pa@" + secret + ":x@h/db",
                                  "port='" + secret + "'",
                                  "sslpassword=" + secret + " sslmode=x",
                                  "scram_client_key=" + secret,
                                  "oauth_client_secret=" + secret}) {
    const auto options = parse_conninfo(text);
    ASSERT_FALSE(options.has_value()) << text;
    EXPECT_EQ(options.error().to_string().find(secret), std::string::npos)
        << options.error().to_string();
  }
}

TEST(Conninfo, NamesThePlaceOfAMistake) {
  EXPECT_EQ(
      split_conninfo("host=a user").error().message,
      "connection string, character 12: \"=\" is missing after a keyword; a value with blanks "
      "must be in single quotes");
  EXPECT_EQ(split_conninfo("postgresql://h/%zz").error().message,
            "connection string, character 16: \"%\" must be followed by two hexadecimal digits");
}

// All of libpq's keywords, also those of newer versions, are known; those not honoured are refused
// by their names.
TEST(ConnectOptions, KnowsEveryKeywordOfLibpq) {
  PQconninfoOption* options = PQconndefaults();
  for (const PQconninfoOption* option = options; option->keyword != nullptr; ++option) {
    EXPECT_NE(find_keyword(option->keyword), nullptr) << option->keyword;
    const std::string variable = option->envvar == nullptr ? "" : option->envvar;
    if (variable.empty() || variable == "PGCLIENTENCODING") continue;
    EXPECT_EQ(find_keyword(option->keyword)->environment, variable);
  }
  PQconninfoFree(options);
  for (const char* newer :
       {"sslcertmode", "sslnegotiation", "require_auth", "load_balance_hosts", "gssdelegation",
        "min_protocol_version", "max_protocol_version", "scram_client_key", "scram_server_key",
        "oauth_issuer", "oauth_client_id", "oauth_client_secret", "oauth_scope", "sslkeylogfile",
        "servicefile", "oauth_ca_file"}) {
    EXPECT_NE(find_keyword(newer), nullptr) << newer;
  }
}

TEST(ConnectOptions, RefusesByNameWhatIsNotHonoured) {
  for (const char* text :
       {"sslcrldir=/x", "requirepeer=postgres", "sslkeylogfile=/x", "scram_client_key=x",
        "oauth_issuer=x", "gssencmode=require", "sslcertmode=require", "client_encoding=latin1",
        "require_auth=gss,sspi"}) {
    const auto options = parse_conninfo(text);
    ASSERT_FALSE(options.has_value()) << text;
    EXPECT_EQ(options.error().code, Errc::kOptionUnsupported) << text;
    const std::string keyword = std::string(text).substr(0, std::string(text).find('='));
    EXPECT_NE(options.error().message.find(keyword), std::string::npos) << options.error().message;
  }
  const auto unknown = parse_conninfo("hots=a");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code, Errc::kUnknownOption);
  EXPECT_NE(unknown.error().message.find("hots"), std::string::npos);
}

TEST(ConnectOptions, JudgesValues) {
  for (const char* text :
       {"port=0",
        "port=65536",
        "port=-1",
        "port=1x",
        "port=x",
        "host=a,b port=1,2,3",
        "host=a port=1,2",
        "host=a,b hostaddr=1.1.1.1",
        "sslmode=bogus",
        "sslmode=Require",
        "connect_timeout=x",
        "connect_timeout=99999999999",
        "keepalives=x",
        "sslsni=2",
        "channel_binding=x",
        "target_session_attrs=x",
        "load_balance_hosts=x",
        "require_auth=x",
        "require_auth=md5,md5",
        "require_auth=md5,!password",
        "require_auth=,",
        "require_auth=!md5,password",
        "ssl_min_protocol_version=TLSv1.4",
        "sslmode=prefer sslnegotiation=direct",
        "sslmode=require sslrootcert=system",
        "sslmode=require ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2",
        "max_protocol_version=3.1",
        "gssencmode=x",
        "sslmode=require min_protocol_version=3.2 max_protocol_version=3.0"}) {
    EXPECT_FALSE(parse_conninfo(text).has_value()) << text;
  }
  for (const char* text : {"port=1",
                           "port=65535",
                           "port=' 5433 '",
                           "host=a,b port=1,2",
                           "host=a,b port=1",
                           "host=a,b,c port=,,7",
                           "hostaddr=1.1.1.1,::1",
                           "connect_timeout=-1",
                           "sslmode=verify-full",
                           "sslmode=verify-full sslrootcert=system",
                           "sslmode=require sslnegotiation=direct",
                           "require_auth=!none",
                           "require_auth=scram-sha-256,gss",
                           "ssl_min_protocol_version=tlsv1.3",
                           "client_encoding=UTF-8",
                           "client_encoding=auto",
                           "gssencmode=prefer",
                           "sslcertmode=allow",
                           "sslcompression=1",
                           "krbsrvname=postgres",
                           "max_protocol_version=latest"}) {
    const auto options = parse_conninfo(text);
    EXPECT_TRUE(options.has_value()) << text << ": " << options.error().message;
  }
}

TEST(ConnectOptions, AlignsPortsWithHosts) {
  const auto options = parse_conninfo("port=1,,3 host=a,/tmp,");
  ASSERT_TRUE(options.has_value());
  ASSERT_EQ(options->hosts.size(), 3U);
  EXPECT_EQ(options->hosts[0].host, "a");
  EXPECT_EQ(options->hosts[0].port, 1);
  EXPECT_EQ(options->hosts[1].host, "/tmp");
  EXPECT_EQ(options->hosts[1].port, 5432);
  EXPECT_EQ(options->hosts[2].host, "");
  EXPECT_EQ(options->hosts[2].port, 3);
  const auto one_port = parse_conninfo("postgresql://a,b,c/?port=7");
  ASSERT_TRUE(one_port.has_value());
  for (const Address& address : one_port->hosts) EXPECT_EQ(address.port, 7);
}

TEST(ConnectOptions, ReadsRequiredMethods) {
  const auto bits = [](const char* text) {
    return parse_conninfo(std::string("require_auth='") + text + "'")->require_auth;
  };
  EXPECT_EQ(bits(""), 0xff);
  EXPECT_EQ(bits("scram-sha-256"), 8);
  EXPECT_EQ(bits("md5,password"), 6);
  EXPECT_EQ(bits("none"), 1);
  EXPECT_EQ(bits("!none"), 14);
  EXPECT_EQ(bits("!password,!md5,!none"), 8);
  EXPECT_EQ(bits("!gss"), 0xff);
}

}  // namespace
}  // namespace pgsink::test
