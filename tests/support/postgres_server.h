#pragma once
// PostgresServer is a private PostgreSQL cluster for tests and benchmarks: in a directory of its
// own, on a free port of 127.0.0.1 and a Unix socket, with everything a test may want to break. It
// needs no GoogleTest. Root cannot run the server: then it runs as `postgres`, else `nobody`.
//
//   auto& server = shared_server();  // one per test program, made on first use
//   std::string database = server.create_database();  // fresh, one per suite or test
//   server.sql("CREATE TABLE t (a int)", database);
//
// Nothing is left running: the destructor stops the server, and if the test program dies without
// it, a janitor process does the same and removes the directory. Harness failures (a server that
// does not start, SQL that fails) throw std::runtime_error, which GoogleTest reports as the failure
// of the one test.

#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "support/certificates.h"
#include "support/child_process.h"

namespace pgsink::test {

using SqlRow = std::vector<std::optional<std::string>>;
using SqlRows = std::vector<SqlRow>;
using Settings = std::vector<std::pair<std::string, std::string>>;

/// ServerConfig is how a cluster starts.
struct ServerConfig {
  /// More lines of postgresql.conf, after the harness's own.
  Settings settings{};
  /// With TLS on, using certificates().server.
  bool tls = true;
  /// An initdb of its own. Otherwise the files are copied from the first cluster of this program,
  /// and the system identifier with them.
  bool own_initdb = false;
  /// The port of 127.0.0.1; 0 takes a free one.
  uint16_t port = 0;
  /// "" finds one: PGSINK_PG_BINDIR, the newest /usr/lib/postgresql/*/bin, `pg_config --bindir`.
  std::string bin_dir{};
};

enum class StopMode : uint8_t { kSmart, kFast, kImmediate };
enum class Via : uint8_t { kUnix, kTcp };

class PostgresServer {
 public:
  static std::unique_ptr<PostgresServer> start(ServerConfig config = {});
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  // ---- where it is ----------------------------------------------------------------------------
  uint16_t port() const { return port_; }
  const std::string& socket_dir() const { return socket_dir_; }
  const std::string& data_dir() const { return data_dir_; }
  const std::string& log_file() const { return log_file_; }
  const std::string& bin_dir() const { return config_.bin_dir; }
  /// For example 150020.
  int version();
  /// A directory of this server's that goes away with it; every user may read it.
  const std::string& directory() const { return root_; }
  /// keyword=value text for libpq and for pgsink, superuser "postgres".
  std::string conninfo(std::string_view database = "postgres", Via via = Via::kUnix,
                       std::string_view user = "postgres") const;
  Certificates& certificates() { return *certificates_; }
  /// Everything the server has logged so far.
  std::string log() const;

  // ---- SQL as the superuser, over libpq and the Unix socket -------------------------------------
  /// Runs one or several statements; the rows of the last one, as text.
  SqlRows sql(const std::string& text, std::string_view database = "postgres");
  /// The one value of the one row of sql(); "" for NULL.
  std::string scalar(const std::string& text, std::string_view database = "postgres");
  /// A database of its own: prefix and a number. Returns its name. It goes when a later test
  /// creates one, unless it is for all tests: hundreds of them would fill a disk.
  std::string create_database(std::string_view prefix = "db", bool for_all_tests = false);
  /// CREATE ROLE name LOGIN attributes, dropping one of that name that owns nothing before.
  void create_role(std::string_view name, std::string_view attributes = "");

  // ---- settings -------------------------------------------------------------------------------
  /// Sets settings on top of the former ones and reloads; a restart is needed for some.
  void configure(const Settings& settings);
  /// Replaces pg_hba.conf and reloads, and waits until new connections see it. The first line,
  /// which lets "postgres" in over the Unix socket, always stays.
  void set_hba(const std::vector<std::string>& lines);
  /// Everybody in from everywhere: as at the start.
  void trust_all();
  /// Makes the server present another certificate of certificates().
  void use_certificate(const KeyPair& pair);

  // ---- life and death ---------------------------------------------------------------------------
  void stop(StopMode mode = StopMode::kFast);
  /// Starts again after stop(), on the same port.
  void start_again();
  void restart(StopMode mode = StopMode::kFast);
  bool running() const { return postmaster_ > 0; }
  pid_t postmaster_pid() const { return postmaster_; }
  /// Pids of the client backends of one database, or of all.
  std::vector<pid_t> backend_pids(std::string_view database = "");
  /// Sends a signal to a backend. SIGKILL makes the server re-initialise: see wait_until_ready().
  void kill_backend(pid_t pid, int signal_number = SIGKILL);
  /// Waits until the server takes connections, after a crash of a backend for example.
  void wait_until_ready();
  /// A hot standby that streams from this server, in sync with it when this returns.
  std::unique_ptr<PostgresServer> start_standby();
  /// Makes a standby a primary and waits until it is one.
  void promote();
  /// A stopped server becomes a hot standby of another one, at its former address and in sync with
  /// that one when this returns. Its own files are lost.
  void follow(PostgresServer& primary);
  /// Commits of this server wait for its standby from now on; that standby has all earlier ones.
  void make_synchronous();

 private:
  PostgresServer() = default;
  void make_directories();
  void write_settings();
  void launch();
  void clone_from(PostgresServer& primary);
  void launch_as_standby(PostgresServer& primary);
  void reload_and_wait();
  void drop_databases();
  std::optional<std::string> try_scalar(const std::string& text, std::string_view database,
                                        std::string* error);

  std::unique_ptr<Janitor> janitor_;  // first, so that it is the last to go
  ServerConfig config_;
  Settings later_settings_;
  std::string root_, data_dir_, socket_dir_, log_file_;
  std::shared_ptr<Certificates> certificates_;
  uint16_t port_ = 0;
  pid_t postmaster_ = -1;
  int version_ = 0;
  std::vector<std::string> databases_;  ///< Of the test …
  const void* databases_of_ = nullptr;  ///< … that gtest ran then.
};

/// The cluster that a test program shares, started on first use and stopped when the program ends.
PostgresServer& shared_server();

/// A port of 127.0.0.1 on which nothing listened a moment ago.
uint16_t free_port();

/// Makes a directory that belongs to the servers' user, with a name that leaves a socket's path
/// room.
std::string make_server_directory();

/// Runs a query with libpq on any conninfo; throws on failure.
SqlRows query_libpq(const std::string& conninfo, const std::string& text);

}  // namespace pgsink::test
