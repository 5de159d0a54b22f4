// The server that the tests of the command share, and that it is what they think it is.

#include <gtest/gtest.h>

#include "shell/shell_support.h"

namespace pgsink::test {

PostgresServer& analytics_server() {
  static const std::unique_ptr<PostgresServer> kServer = [] {
    ServerConfig config;
    config.port = 5432;
    auto server = PostgresServer::start(config);
    server->sql("CREATE DATABASE analytics");
    server->sql(
        "SET password_encryption = 'scram-sha-256';"
        "CREATE ROLE laminar LOGIN PASSWORD 's3cret''pw';"
        "CREATE ROLE \"user\" LOGIN PASSWORD 's3cret''pw'");
    server->sql("GRANT CREATE ON SCHEMA public TO \"user\"", "analytics");
    server->set_hba({"host all all all scram-sha-256"});
    return server;
  }();
  return *kServer;
}

void create_table(const std::string& name, const std::string& definition) {
  analytics_server().sql("DROP TABLE IF EXISTS " + name + ";" + "CREATE TABLE " + name + " " +
                             definition + ";" + "ALTER TABLE " + name + " OWNER TO \"user\";" +
                             "GRANT ALL ON " + name + " TO laminar",
                         "analytics");
}

std::string connection(const std::string& name, const std::string& table, const std::string& more) {
  return "CREATE CONNECTION " + name +
         " TO postgresql (host = 'localhost', database = 'analytics', username = 'user', "
         "password = '${secret:password}', table = '" +
         table + "', type = 'sink'" + (more.empty() ? "" : ", " + more) + ");\n";
}

namespace {

TEST(ShellServer, AsksForThePassword) {
  create_table("door", "(a int)");
  const std::string script =
      connection("door_sink", "door") + "INSERT INTO door_sink SELECT 1 AS a";
  const auto right = pgsink({"-c", script});
  EXPECT_EQ(right.exit_code, 0) << right.err;
  RunOptions wrong_password;
  wrong_password.environment.emplace_back("PGSINK_SECRET_PASSWORD", "wrong");
  const auto wrong = run_command({PGSINK_COMMAND, "-c", script}, wrong_password);
  RunOptions with_newline;
  with_newline.environment.emplace_back("PGSINK_SECRET_PASSWORD", "s3cret'pw\n");
  EXPECT_EQ(run_command({PGSINK_COMMAND, "-c", script}, with_newline).exit_code, 0);
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_NE(wrong.err.find("PGS-2004"), std::string::npos) << wrong.err;
  EXPECT_EQ(wrong.err.find("wrong"), std::string::npos) << "a password in an error: " << wrong.err;
  EXPECT_EQ(analytics_server().scalar("SELECT count(*) FROM door", "analytics"), "2");
}

TEST(ShellServer, SecretsAreTheFilesOfAFolder) {
  create_table("safe", "(a int)");
  const TemporaryFolder outer;
  std::filesystem::create_directory(outer.path() + "/secrets");
  const auto run = [&](const std::string& secret) {
    std::string script = connection("safe_sink", "safe") + "INSERT INTO safe_sink SELECT 1 AS a";
    const std::string usual = "${secret:password}";
    script.replace(script.find(usual), usual.size(), "${secret:" + secret + "}");
    RunOptions options;
    options.environment.emplace_back("PGSINK_SECRET_PASSWORD", "not this one");
    return run_command({PGSINK_COMMAND, "--secret-dir", outer.path() + "/secrets", "-c", script},
                       options);
  };
  // A line end, as editors and `echo` leave it, is no part of the secret.
  for (const char* const ending : {"", "\n", "\r\n"}) {
    outer.write("secrets/password", std::string("s3cret'pw") + ending);
    const auto right = run("password");
    EXPECT_EQ(right.exit_code, 0) << right.err;
  }
  outer.write("secrets/password", "s3cret'pw\n\n");
  EXPECT_EQ(run("password").exit_code, 1) << "only one line end";
  outer.write("outside", "s3cret'pw");
  const auto outside = run("../outside");
  EXPECT_EQ(outside.exit_code, 1) << "a secret is no path out of its folder";
  EXPECT_EQ(analytics_server().scalar("SELECT count(*) FROM safe", "analytics"), "3");
}

}  // namespace
}  // namespace pgsink::test
