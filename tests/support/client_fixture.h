#pragma once
// What the tests of client share: the operating system's Env, a database on the shared server, and
// the ways to reach it.

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "pgsink/client/connection.h"
#include "support/patience.h"
#include "support/postgres_server.h"

namespace pgsink::test {

class ClientTest : public ::testing::Test {
 protected:
  ClientTest() : database_(shared_server().create_database()) {}

  Env& env() { return os_.env(); }
  PostgresServer& server() { return shared_server(); }
  const std::string& database() const { return database_; }

  /// A deadline that only a hang passes.
  Deadline soon() { return env().clock.now() + kPatience; }
  Deadline in_ms(int64_t ms) { return env().clock.now() + std::chrono::milliseconds(ms); }

  std::string unix_way() const { return way("host=" + shared_server().socket_dir()); }
  std::string tcp_way() const { return way("host=127.0.0.1 sslmode=disable"); }
  std::string tls_way() const {
    return way("host=localhost hostaddr=127.0.0.1 sslmode=verify-full sslrootcert=" +
               shared_server().certificates().root);
  }
  std::vector<std::string> all_ways() const { return {unix_way(), tcp_way(), tls_way()}; }

  /// Options of a connection string, completed as a program would.
  Result<ConnectOptions> options(const std::string& conninfo) {
    auto parsed = parse_conninfo(conninfo);
    if (!parsed) return parsed;
    return apply_environment(*std::move(parsed), env().files);
  }
  Result<std::unique_ptr<Connection>> try_connect(const std::string& conninfo,
                                                  pgproto::SaltedKeyCache* keys = nullptr) {
    const auto complete = options(conninfo);
    if (!complete) return fail(complete.error());
    return Connection::open(env(), *complete, keys);
  }
  /// A connection, or the failure of the test.
  std::unique_ptr<Connection> connect(const std::string& conninfo) {
    auto connection = try_connect(conninfo);
    if (!connection) throw std::runtime_error(connection.error().to_string());
    return *std::move(connection);
  }
  /// Waits until the backend of `connection` waits for `event` (pg_stat_activity.wait_event). What
  /// it sent may arrive before that, so an answer alone does not say what a signal would meet.
  bool backend_waits_for(const Connection& connection, const std::string& event) {
    const std::string pid = std::to_string(connection.server().backend.pid);
    return eventually([&] {
      return server().scalar("SELECT count(*) FROM pg_stat_activity WHERE pid = " + pid +
                             " AND wait_event = '" + event + "'") == "1";
    });
  }

 private:
  std::string way(const std::string& host) const {
    return host + " port=" + std::to_string(shared_server().port()) +
           " user=postgres dbname=" + database_;
  }

  OsEnv os_;
  std::string database_;
};

}  // namespace pgsink::test
