// The options hostaddr, passfile and service, and what libpq makes of the same: each case connects
// to a real server with both.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>

#include "pgsink/client/connection.h"
#include "pgsink/client/env.h"
#include "pgsink/options/rules.h"
#include "pgsink/options/server.h"
#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink::test {
namespace {

using testing::HasSubstr;

class ServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    database_ = server().create_database("service");
    server().create_role("service_user", "PASSWORD 'in-the-file'");
    server().sql("CREATE TABLE t (id bigint); GRANT ALL ON t TO service_user", database_);
    server().set_hba({"host all service_user 127.0.0.1/32 scram-sha-256",
                      "host all postgres 127.0.0.1/32 trust"});
    port_ = std::to_string(server().port());
    directory_ = std::filesystem::temp_directory_path() / ("pgsink-service-" + port_);
    std::filesystem::create_directories(directory_);
    ::setenv("PGSERVICEFILE", file("services").c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("PGSERVICEFILE");
    server().trust_all();
    server().sql("DROP OWNED BY service_user", database_);
    std::filesystem::remove_all(directory_);
  }
  static PostgresServer& server() { return shared_server(); }
  std::string file(const std::string& name) const { return (directory_ / name).string(); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(file(name)) << text;
    std::filesystem::permissions(
        file(name), std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    return file(name);
  }

  static constexpr const char* kWho =
      "SELECT current_user || ' ' || current_database() || ' ' || inet_server_port() || ' ' || "
      "current_setting('application_name')";
  static std::string by_libpq(const std::string& conninfo) {
    const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(conninfo.c_str()),
                                                                  &PQfinish);
    if (PQstatus(connection.get()) != CONNECTION_OK) return "refused";
    const std::unique_ptr<PGresult, decltype(&PQclear)> rows(PQexec(connection.get(), kWho),
                                                             &PQclear);
    return PQgetvalue(rows.get(), 0, 0);
  }
  static std::string by_pgsink(const SinkOptions& options) {
    OsEnv os;
    const auto connect = to_connect_options(options, os.env().files);
    if (!connect) return "refused";
    const auto connection = Connection::open(os.env(), *connect);
    if (!connection) return "refused";
    const auto row = (*connection)->query(kWho, kNoDeadline);
    return row ? row->scalar() : row.error().to_string();
  }

  std::string database_, port_;
  std::filesystem::path directory_;
};

TEST_F(ServiceTest, ConnectsWhereLibpqConnects) {
  const std::string passfile =
      write("pgpass", "localhost:" + port_ + ":*:service_user:in-the-file\n" +
                          "db.example:" + port_ + ":*:service_user:in-the-file\n");
  const std::string wrong = write("wrong", "*:*:*:*:other\n");
  write("services", "[all]\nhost=127.0.0.1\nport=" + port_ + "\ndbname=" + database_ +
                        "\nuser=postgres\n" +
                        "[login]\nhost=localhost\nhostaddr=127.0.0.1\nport=" + port_ +
                        "\ndbname=" + database_ + "\nuser=service_user\npassfile=" + passfile +
                        "\n" + "[password]\nhostaddr=127.0.0.1\nport=" + port_ +
                        "\ndbname=" + database_ + "\nuser=service_user\npassword=in-the-file\n" +
                        "[elsewhere]\nhost=203.0.113.1\nport=1\ndbname=none\nuser=postgres\n");
  struct Case {
    std::string conninfo;
    std::function<void(SinkOptions&)> set;
  };
  const std::string place = " port=" + port_ + " dbname=" + database_ + " user=service_user";
  const auto place_here = [&](SinkOptions& o) {
    o.port = port_;
    o.database = database_;
    o.username = "service_user";
  };
  const std::vector<Case> cases{
      {"service=all", [](SinkOptions& o) { o.service = "all"; }},
      {"service=login", [](SinkOptions& o) { o.service = "login"; }},
      {"service=password", [](SinkOptions& o) { o.service = "password"; }},
      {"service=absent", [](SinkOptions& o) { o.service = "absent"; }},
      {"service=login passfile=" + wrong,
       [&](SinkOptions& o) {
         o.service = "login";
         o.passfile = wrong;
       }},
      {"service=password password=other",
       [](SinkOptions& o) {
         o.service = "password";
         o.password = "other";
       }},
      {"service=elsewhere host=127.0.0.1 port=" + port_ + " dbname=" + database_,
       [&](SinkOptions& o) {
         o.service = "elsewhere";
         o.host = "127.0.0.1";
         o.port = port_;
         o.database = database_;
       }},
      {"service=elsewhere hostaddr=127.0.0.1 port=" + port_ + " dbname=" + database_,
       [&](SinkOptions& o) {
         o.service = "elsewhere";
         o.hostaddr = "127.0.0.1";
         o.port = port_;
         o.database = database_;
       }},
      {"service=all user=service_user",
       [](SinkOptions& o) {
         o.service = "all";
         o.username = "service_user";
       }},
      {"host=db.example hostaddr=127.0.0.1" + place + " passfile=" + passfile,
       [&](SinkOptions& o) {
         place_here(o);
         o.host = "db.example";
         o.hostaddr = "127.0.0.1";
         o.passfile = passfile;
       }},
      {"hostaddr=127.0.0.1" + place + " passfile=" + passfile,
       [&](SinkOptions& o) {
         place_here(o);
         o.hostaddr = "127.0.0.1";
         o.passfile = passfile;
       }},
      {"host=other.example hostaddr=127.0.0.1" + place + " passfile=" + passfile,
       [&](SinkOptions& o) {
         place_here(o);
         o.host = "other.example";
         o.hostaddr = "127.0.0.1";
         o.passfile = passfile;
       }},
      {"host=localhost" + place + " passfile=" + file("missing"),
       [&](SinkOptions& o) {
         place_here(o);
         o.host = "localhost";
         o.passfile = file("missing");
       }},
  };
  int connected = 0;
  for (const Case& one : cases) {
    SinkOptions options;
    options.connection_name = "test";
    options.table = "t";
    options.target_session_attrs = "any";
    one.set(options);
    EXPECT_EQ(check_options(options).size(), 0U) << one.conninfo;
    const std::string expected = by_libpq(one.conninfo + " application_name=pgsink/test");
    EXPECT_EQ(by_pgsink(options), expected) << one.conninfo;
    connected += expected == "refused" ? 0 : 1;
  }
  EXPECT_EQ(connected, 6);
}

TEST_F(ServiceTest, ASinkWritesThroughAService) {
  write("services",
        "[all]\nhost=127.0.0.1\nport=" + port_ + "\ndbname=" + database_ + "\nuser=postgres\n");
  SinkOptions options;
  options.connection_name = "test";
  options.service = "all";
  options.table = "t";
  const Status tested = test_connection(options);
  EXPECT_TRUE(tested) << tested.error().to_string();
}

TEST_F(ServiceTest, ALooseFileOfPasswordsIsNotRead) {
  const std::string passfile = write("pgpass", "*:*:*:service_user:in-the-file\n");
  std::filesystem::permissions(passfile, std::filesystem::perms::group_read,
                               std::filesystem::perm_options::add);
  SinkOptions options;
  options.connection_name = "test";
  options.host = "127.0.0.1";
  options.port = port_;
  options.database = database_;
  options.username = "service_user";
  options.passfile = passfile;
  options.table = "t";
  const Status tested = test_connection(options);
  ASSERT_FALSE(tested);
  EXPECT_EQ(tested.error().code, Errc::kAuthentication);
}

std::string first_fault(const SinkOptions& options) {
  const auto errors = check_options(options);
  return errors.empty() ? "" : errors.front().message;
}

TEST(ServiceOptions, ContradictionsAreNamed) {
  SinkOptions options;
  options.connection_name = "test";
  options.table = "t";
  EXPECT_THAT(first_fault(options), HasSubstr("the option host is missing"));
  options.service = "s";
  EXPECT_EQ(first_fault(options), "");
  options.url = "postgresql://h/d";
  EXPECT_THAT(first_fault(options), HasSubstr("service and url exclude each other"));
  options.url.clear();
  options.host = "a,b";
  options.hostaddr = "192.0.2.1";
  EXPECT_THAT(first_fault(options), HasSubstr("as many addresses as host has names (2), not 1"));
  options.host.clear();
  options.hostaddr = "192.0.2.1,192.0.2.2";
  options.port = "1,2,3";
  EXPECT_THAT(first_fault(options), HasSubstr("as many as host has names (2), not 3"));
}

TEST(TraceOptions, TheTraceIsTheApplicationName) {
  const std::string trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  SinkOptions options;
  options.connection_name = "test";
  options.host = shared_server().socket_dir();
  options.port = std::to_string(shared_server().port());
  options.database = "postgres";
  options.username = "postgres";
  options.table = "t";
  options.traceparent = trace;
  OsEnv os;
  const auto connect = to_connect_options(options, os.env().files);
  ASSERT_TRUE(connect) << connect.error().message;
  const auto connection = Connection::open(os.env(), *connect);
  ASSERT_TRUE(connection) << connection.error().message;
  // All of it: the server cuts names after 63 bytes.
  EXPECT_EQ((*connection)->query("SHOW application_name", kNoDeadline)->scalar(),
            "pgsink/" + trace);
  options.application_name = "mine";
  EXPECT_THAT(first_fault(options), HasSubstr("traceparent and application_name exclude"));
}

TEST(TraceOptions, OnlyTheFormOfW3cIsTaken) {
  const std::string trace(32, 'a'), parent(16, 'b');
  EXPECT_TRUE(is_traceparent("00-" + trace + "-" + parent + "-01"));
  for (const std::string& wrong :
       {std::string(), "ff-" + trace + "-" + parent + "-01",
        "00-" + std::string(32, '0') + "-" + parent + "-01",
        "00-" + trace + "-" + std::string(16, '0') + "-01", "00-" + trace + "-" + parent,
        "00-" + trace + "-" + parent + "-01-", "00-" + trace + "-" + parent + "-1",
        "00-" + std::string(32, 'A') + "-" + parent + "-01",
        "00_" + trace + "-" + parent + "-01"}) {
    EXPECT_FALSE(is_traceparent(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace pgsink::test
