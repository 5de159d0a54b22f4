#pragma once
// PgBouncer is a private pooler in transaction mode in front of one server, for tests: on a Unix
// socket in a directory of its own, so that nobody else's is in its way. It needs no GoogleTest,
// and runs as the user of the tests' PostgreSQL, because it refuses root too.
//
//   PgBouncer pooler(*primary);
//   options.host = pooler.socket_dir();
//   options.port = std::to_string(pooler.port());
//   pooler.point_to(*standby);            // for transactions from now on
//
// Nothing is left running: the destructor ends it, and a janitor if the test program dies before.

#include <csignal>
#include <cstdint>
#include <memory>
#include <string>
#include <sys/types.h>

#include "support/child_process.h"
#include "support/postgres_server.h"

namespace pgsink::test {

class PgBouncer {
 public:
  /// Lends at most `sessions_max` sessions of the server to all clients together.
  explicit PgBouncer(const PostgresServer& server, int sessions_max = 20);
  ~PgBouncer();
  PgBouncer(const PgBouncer&) = delete;
  PgBouncer& operator=(const PgBouncer&) = delete;

  const std::string& socket_dir() const { return root_; }
  uint16_t port() const { return kPort; }
  /// For libpq and for pgsink; every user becomes the superuser "postgres" of the server.
  std::string conninfo(const std::string& database = "postgres") const;

  /// Sends to another server, or to a port beside this one's socket: sessions that serve nobody are
  /// closed at once, others after their transactions.
  void point_to(const PostgresServer& server);
  void point_to(const std::string& host, uint16_t port);
  /// A command of its console: PAUSE, RESUME, KILL, RECONNECT, SHOW …
  SqlRows console(const std::string& command);
  /// Ends it at once; its clients and its server's sessions are left to themselves.
  void kill();
  /// Starts it again after kill().
  void start();

 private:
  static constexpr uint16_t kPort = 6432;  ///< Of the socket's name only.

  void write_settings() const;
  std::string log() const;

  std::string root_;
  std::unique_ptr<Janitor> janitor_;
  std::string host_;
  uint16_t server_port_ = 0;
  int sessions_max_;
  pid_t pid_ = -1;
};

}  // namespace pgsink::test
