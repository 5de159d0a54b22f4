#include "support/pgbouncer.h"

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace pgsink::test {

namespace {

constexpr int kWaitSteps = 3000;  // of 10 ms: a loaded machine under a sanitizer is slow

std::string find_program() {
  const char* path = std::getenv("PATH");
  // Debian's folder for it is not in every user's path.
  std::istringstream folders(std::string(path != nullptr ? path : "") + ":/usr/sbin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string program = folder + "/pgbouncer";
    if (!folder.empty() && ::access(program.c_str(), X_OK) == 0) return program;
  }
  throw std::runtime_error(
      "no pgbouncer found in PATH or /usr/sbin: tests/run installs Debian's package pgbouncer");
}

}  // namespace

PgBouncer::PgBouncer(const PostgresServer& server, int sessions_max)
    : root_(make_server_directory()),
      janitor_(std::make_unique<Janitor>(root_)),
      host_(server.socket_dir()),
      server_port_(server.port()),
      sessions_max_(sessions_max) {
  start();
}

PgBouncer::~PgBouncer() { kill(); }

void PgBouncer::write_settings() const {
  std::ofstream file(root_ + "/pgbouncer.ini", std::ios::trunc);
  file << "[databases]\n"
       << "* = host=" << host_ << " port=" << server_port_ << " user=postgres\n"
       << "[pgbouncer]\n"
       << "listen_port = " << kPort << "\n"
       << "unix_socket_dir = " << root_ << "\n"
       << "pidfile = " << root_ << "/data/postmaster.pid\n"  // Where the janitor looks.
       << "auth_type = any\n"
       << "admin_users = postgres\n"
       << "pool_mode = transaction\n"
       << "default_pool_size = " << sessions_max_ << "\n"
       << "max_client_conn = 200\n"
       // A server that is away is looked for again at once, as the tests have no time to lose.
       << "server_login_retry = 0.05\n"
       << "server_check_delay = 0\n"
       // A proxy between it and the server reads the messages.
       << "server_tls_sslmode = disable\n"
       << "ignore_startup_parameters = extra_float_digits\n";
  file.close();
  if (!file) throw std::runtime_error("cannot write the settings of pgbouncer in " + root_);
}

void PgBouncer::start() {
  const std::string program = find_program();
  ::mkdir((root_ + "/data").c_str(), 0777);
  ::chmod((root_ + "/data").c_str(), 0777);
  write_settings();
  pid_ = start_process({program, root_ + "/pgbouncer.ini"}, server_user(), root_ + "/log");
  std::string error;
  for (int step = 0; step < kWaitSteps; ++step) {
    try {
      console("SHOW VERSION");
      return;
    } catch (const std::runtime_error& failed) {
      error = failed.what();
    }
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = -1;
      throw std::runtime_error("pgbouncer ended while starting:\n" + log());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  kill();
  throw std::runtime_error("pgbouncer does not become ready: " + error + "\n" + log());
}

void PgBouncer::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  wait_process(pid_);
  pid_ = -1;
}

std::string PgBouncer::conninfo(const std::string& database) const {
  return "host=" + root_ + " port=" + std::to_string(kPort) +
         " connect_timeout=30 user=postgres dbname='" + database + "'";
}

SqlRows PgBouncer::console(const std::string& command) {
  return query_libpq(conninfo("pgbouncer"), command);
}

void PgBouncer::point_to(const PostgresServer& server) {
  point_to(server.socket_dir(), server.port());
}

void PgBouncer::point_to(const std::string& host, uint16_t port) {
  host_ = host;
  server_port_ = port;
  write_settings();
  console("RELOAD");
}

std::string PgBouncer::log() const {
  const std::ifstream file(root_ + "/log");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace pgsink::test
