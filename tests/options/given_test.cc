// Options that are written out, and the variables of the environment that libpq reads.

#include <cstdlib>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/client/env.h"
#include "pgsink/options/server.h"

namespace pgsink {
namespace {

class Variable {
 public:
  Variable(std::string name, const std::string& value) : name_(std::move(name)) {
    ::setenv(name_.c_str(), value.c_str(), 1);
  }
  ~Variable() { ::unsetenv(name_.c_str()); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const std::string name_;
};

ConnectOptions connect_options(std::vector<std::string> given, const std::string& url = {}) {
  OsEnv os;
  SinkOptions options;
  options.host = "127.0.0.1";
  options.port = "5432";
  options.table = "t";
  options.url = url;
  options.given = std::move(given);
  const auto connect = to_connect_options(options, os.env().files);
  EXPECT_TRUE(connect) << connect.error().message;
  return connect.value_or(ConnectOptions{});
}

TEST(GivenOptions, BeatTheEnvironmentEvenIfTheyEqualTheDefault) {
  const Variable mode("PGSSLMODE", "disable");
  const Variable target("PGTARGETSESSIONATTRS", "primary");
  const Variable binding("PGCHANNELBINDING", "require");
  const Variable tls("PGSSLMINPROTOCOLVERSION", "TLSv1.3");
  const Variable timeout("PGCONNECT_TIMEOUT", "77");
  const Variable balance("PGLOADBALANCEHOSTS", "random");
  const Variable login("PGREQUIREAUTH", "scram-sha-256");
  const ConnectOptions defaults;
  const ConnectOptions given =
      connect_options({"channel_binding", "connection_timeout_ms", "load_balance_hosts",
                       "require_auth", "ssl_min_version", "ssl_mode", "target_session_attrs"});
  EXPECT_EQ(given.ssl_mode, defaults.ssl_mode);
  EXPECT_EQ(given.channel_binding, defaults.channel_binding);
  EXPECT_EQ(given.ssl_min_version, defaults.ssl_min_version);
  EXPECT_EQ(given.connect_timeout, defaults.connect_timeout);
  EXPECT_EQ(given.load_balance_hosts, defaults.load_balance_hosts);
  EXPECT_EQ(given.require_auth, defaults.require_auth);
  EXPECT_NE(given.target_session_attrs, TargetSessionAttrs::kPrimary);

  const ConnectOptions left_out = connect_options({});
  EXPECT_EQ(left_out.ssl_mode, SslMode::kDisable);
  EXPECT_EQ(left_out.channel_binding, pgproto::ChannelBinding::kRequire);
  EXPECT_EQ(left_out.ssl_min_version, "TLSv1.3");
  EXPECT_EQ(left_out.connect_timeout, std::chrono::seconds(77));
  EXPECT_TRUE(left_out.load_balance_hosts);
  EXPECT_NE(left_out.require_auth, defaults.require_auth);
}

TEST(GivenOptions, OfThoseBesideAUrlToo) {
  const Variable timeout("PGCONNECT_TIMEOUT", "77");
  const std::string url = "postgresql://h/d";
  EXPECT_EQ(connect_options({"connection_timeout_ms"}, url).connect_timeout,
            ConnectOptions{}.connect_timeout);
  EXPECT_EQ(connect_options({}, url).connect_timeout, std::chrono::seconds(77));
  EXPECT_EQ(connect_options({"connection_timeout_ms"}, url + "?connect_timeout=9").connect_timeout,
            std::chrono::seconds(9));
}

}  // namespace
}  // namespace pgsink
