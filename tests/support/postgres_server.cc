#include "support/postgres_server.h"

#include <algorithm>
#include <arpa/inet.h>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <dirent.h>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <netinet/in.h>
#include <sstream>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>
#include <libpq-fe.h>

namespace pgsink::test {

namespace fs = std::filesystem;

namespace {

constexpr int kWaitSteps = 3000;  // of 10 ms: a loaded machine under a sanitizer is slow
void pause_step() { std::this_thread::sleep_for(std::chrono::milliseconds(10)); }

[[noreturn]] void raise(const std::string& what) { throw std::runtime_error(what); }

bool has_server(const std::string& directory) {
  return ::access((directory + "/postgres").c_str(), X_OK) == 0 &&
         ::access((directory + "/initdb").c_str(), X_OK) == 0;
}

std::string find_bin_dir() {
  if (const char* set = std::getenv("PGSINK_PG_BINDIR"); set != nullptr && *set != '\0') {
    if (!has_server(set)) raise(std::string("PGSINK_PG_BINDIR: no postgres and initdb in ") + set);
    return set;
  }
  int newest = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", ignored)) {
    const int version = std::atoi(entry.path().filename().c_str());
    if (version > newest && has_server(entry.path() / "bin")) newest = version;
  }
  if (newest > 0) return "/usr/lib/postgresql/" + std::to_string(newest) + "/bin";
  std::string text;
  if (std::FILE* pipe = ::popen("pg_config --bindir 2>/dev/null", "r")) {
    char line[512];
    if (std::fgets(line, sizeof line, pipe) != nullptr) text = line;
    ::pclose(pipe);
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (!has_server(text))
    raise("no PostgreSQL server found: set PGSINK_PG_BINDIR to its bin directory");
  return text;
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::trunc);
  file << text;
  file.close();
  if (!file) raise("cannot write " + path);
}

std::string read_file(const std::string& path) {
  const std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void give_to(const std::string& path, RunAs user) {
  if (::geteuid() == 0 && ::chown(path.c_str(), user.uid, user.gid) != 0) raise("chown " + path);
}

std::string quote_setting(const std::string& value) {
  std::string quoted = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') quoted += c;
    quoted += c;
  }
  return quoted + "'";
}

std::string quote_name(std::string_view name) {
  std::string quoted = "\"";
  for (const char c : name) {
    if (c == '"') quoted += c;
    quoted += c;
  }
  return quoted + "\"";
}

struct ConnectionCloser {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
struct ResultCloser {
  void operator()(PGresult* result) const { PQclear(result); }
};

bool try_query(const std::string& conninfo, const std::string& text, SqlRows* rows,
               std::string* error) {
  const std::unique_ptr<PGconn, ConnectionCloser> connection(PQconnectdb(conninfo.c_str()));
  if (PQstatus(connection.get()) != CONNECTION_OK) {
    *error = PQerrorMessage(connection.get());
    return false;
  }
  PQsetNoticeProcessor(connection.get(), [](void*, const char*) {}, nullptr);
  const std::unique_ptr<PGresult, ResultCloser> result(PQexec(connection.get(), text.c_str()));
  const ExecStatusType status = PQresultStatus(result.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY) {
    *error = PQerrorMessage(connection.get());
    return false;
  }
  for (int row = 0; row < PQntuples(result.get()); ++row) {
    SqlRow values;
    for (int column = 0; column < PQnfields(result.get()); ++column) {
      if (PQgetisnull(result.get(), row, column)) {
        values.emplace_back();
      } else {
        values.emplace_back(
            std::string(PQgetvalue(result.get(), row, column),
                        static_cast<size_t>(PQgetlength(result.get(), row, column))));
      }
    }
    rows->push_back(std::move(values));
  }
  return true;
}

// initdb takes a second or two: the first cluster of a program pays, the others copy it. It lies in
// a directory of its own with its own janitor, for as long as the program runs.
class Template {
 public:
  const std::string& data_dir(const std::string& bin_dir) {
    const std::lock_guard lock(mutex_);
    for (const Made& made : made_) {
      if (made.bin_dir == bin_dir) return made.data_dir;
    }
    Made made;
    made.bin_dir = bin_dir;
    made.root = make_server_directory();
    made.janitor = std::make_unique<Janitor>(made.root);
    made.data_dir = made.root + "/data";
    run_initdb(bin_dir, made.root);
    made_.push_back(std::move(made));
    return made_.back().data_dir;
  }

  static void run_initdb(const std::string& bin_dir, const std::string& root) {
    const std::string log = root + "/initdb.log";
    const int status =
        run_process({bin_dir + "/initdb", "--pgdata", root + "/data", "--username", "postgres",
                     "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"},
                    server_user(), log);
    if (status != 0) {
      raise(
          "initdb of " + bin_dir + " failed with status " + std::to_string(status) +
          (status == 126 || status == 127 ? " (may the server's user read that directory?)" : "") +
          "\n" + read_file(log));
    }
  }

 private:
  struct Made {
    std::string bin_dir, root, data_dir;
    std::unique_ptr<Janitor> janitor;
  };
  std::mutex mutex_;
  std::vector<Made> made_;
};

Template& cluster_template() {
  static Template made;
  return made;
}

// `cp -a` keeps owner and mode, and knows reflinks.
void copy_cluster(const std::string& from, const std::string& to, const std::string& log) {
  if (run_process({"/bin/cp", "-a", from, to}, {::geteuid(), ::getegid()}, log) != 0) {
    raise("cannot copy " + from + "\n" + read_file(log));
  }
}

}  // namespace

std::string make_server_directory() {
  const char* base = std::getenv("TMPDIR");
  std::string root = base != nullptr && *base != '\0' ? base : "/tmp";
  root += "/pgsinkXXXXXX";
  if (root.size() > 60) root = "/tmp/pgsinkXXXXXX";  // a socket's path must stay below 108 bytes
  if (::mkdtemp(root.data()) == nullptr) raise("cannot make a directory like " + root);
  ::chmod(root.c_str(), 0755);
  give_to(root, server_user());
  return root;
}

SqlRows query_libpq(const std::string& conninfo, const std::string& text) {
  SqlRows rows;
  std::string error;
  if (!try_query(conninfo, text, &rows, &error)) raise(error + "in: " + text);
  return rows;
}

uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool bound = ::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  ::close(fd);
  if (!bound) raise("no free port on 127.0.0.1");
  return ntohs(address.sin_port);
}

void PostgresServer::make_directories() {
  root_ = make_server_directory();
  janitor_ = std::make_unique<Janitor>(root_);
  data_dir_ = root_ + "/data";
  socket_dir_ = root_ + "/s";
  log_file_ = root_ + "/server.log";
  const RunAs user = server_user();
  fs::create_directory(socket_dir_);
  ::chmod(socket_dir_.c_str(), 0777);
  give_to(socket_dir_, user);
  write_file(log_file_, "");
  give_to(log_file_, user);
}

std::unique_ptr<PostgresServer> PostgresServer::start(ServerConfig config) {
  std::unique_ptr<PostgresServer> server(new PostgresServer);
  if (config.bin_dir.empty()) config.bin_dir = find_bin_dir();
  server->config_ = std::move(config);
  server->make_directories();
  if (server->config_.own_initdb) {
    Template::run_initdb(server->config_.bin_dir, server->root_);
  } else {
    copy_cluster(cluster_template().data_dir(server->config_.bin_dir), server->data_dir_,
                 server->log_file_);
  }
  const RunAs user = server_user();
  server->certificates_ =
      std::make_shared<Certificates>(server->root_ + "/certificates", user.uid, user.gid);
  server->port_ = server->config_.port != 0 ? server->config_.port : free_port();
  server->write_settings();
  write_file(server->data_dir_ + "/pg_hba.conf",
             "local all all trust\nhost all all all trust\n"
             "local replication all trust\nhost replication all all trust\n");
  server->launch();
  return server;
}

void PostgresServer::write_settings() {
  Settings settings = {{"listen_addresses", "127.0.0.1"},
                       {"port", std::to_string(port_)},
                       {"unix_socket_directories", socket_dir_},
                       {"fsync", "off"},
                       {"full_page_writes", "off"},
                       {"wal_level", "logical"},
                       {"max_wal_senders", "8"},
                       {"max_replication_slots", "16"},
                       {"max_prepared_transactions", "64"},
                       {"max_connections", "100"},
                       {"shared_buffers", "64MB"},
                       {"autovacuum", "off"},
                       {"log_min_messages", "warning"},
                       {"log_line_prefix", "%m [%p] %u@%d "},
                       {"timezone", "UTC"},
                       {"ssl", config_.tls ? "on" : "off"},
                       {"ssl_ca_file", certificates_->root},
                       {"ssl_cert_file", certificates_->server.certificate},
                       {"ssl_key_file", certificates_->server.key}};
  settings.insert(settings.end(), config_.settings.begin(), config_.settings.end());
  settings.insert(settings.end(), later_settings_.begin(), later_settings_.end());
  std::string text;
  for (const auto& [name, value] : settings) text += name + " = " + quote_setting(value) + "\n";
  write_file(data_dir_ + "/postgresql.conf", text);  // of repeated settings the last one counts
}

void PostgresServer::launch() {
  postmaster_ =
      start_process({config_.bin_dir + "/postgres", "-D", data_dir_}, server_user(), log_file_);
  wait_until_ready();
}

void PostgresServer::wait_until_ready() {
  std::string error;
  for (int step = 0; step < kWaitSteps; ++step) {
    if (try_scalar("SELECT 1", "postgres", &error)) return;
    int status = 0;
    if (::waitpid(postmaster_, &status, WNOHANG) == postmaster_) {
      postmaster_ = -1;
      raise("the server ended while starting:\n" + log());
    }
    pause_step();
  }
  raise("the server does not become ready: " + error + "\n" + log());
}

PostgresServer::~PostgresServer() {
  try {
    stop(StopMode::kImmediate);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
}

void PostgresServer::stop(StopMode mode) {
  if (!running()) return;
  const int signals[] = {SIGTERM, SIGINT, SIGQUIT};
  ::kill(postmaster_, SIGCONT);
  ::kill(postmaster_, signals[static_cast<int>(mode)]);
  wait_process(postmaster_);
  postmaster_ = -1;
}

void PostgresServer::start_again() {
  if (running()) raise("start_again(): the server runs");
  launch();
}

void PostgresServer::restart(StopMode mode) {
  stop(mode);
  launch();
}

std::string PostgresServer::conninfo(std::string_view database, Via via,
                                     std::string_view user) const {
  std::string text = via == Via::kUnix ? "host=" + socket_dir_ : "host=127.0.0.1 sslmode=disable";
  text += " port=" + std::to_string(port_) + " connect_timeout=30";
  text.append(" user='").append(user).append("' dbname='").append(database).append("'");
  return text;
}

std::string PostgresServer::log() const { return read_file(log_file_); }

int PostgresServer::version() {
  if (version_ == 0) version_ = std::stoi(scalar("SHOW server_version_num"));
  return version_;
}

SqlRows PostgresServer::sql(const std::string& text, std::string_view database) {
  return query_libpq(conninfo(database), text);
}

std::string PostgresServer::scalar(const std::string& text, std::string_view database) {
  const SqlRows rows = sql(text, database);
  if (rows.size() != 1 || rows[0].size() != 1) raise("not one row of one column: " + text);
  return rows[0][0].value_or("");
}

std::optional<std::string> PostgresServer::try_scalar(const std::string& text,
                                                      std::string_view database,
                                                      std::string* error) {
  SqlRows rows;
  if (!try_query(conninfo(database), text, &rows, error)) return std::nullopt;
  return rows.empty() || rows[0].empty() ? std::nullopt : rows[0][0];
}

void PostgresServer::drop_databases() {
  for (const std::string& name : std::exchange(databases_, {})) {
    // One that something still holds, a slot for example, stays.
    std::string ignored;
    try_scalar("DROP DATABASE IF EXISTS " + quote_name(name) + " WITH (FORCE)", "postgres",
               &ignored);
  }
}

std::string PostgresServer::create_database(std::string_view prefix, bool for_all_tests) {
  const void* const test = ::testing::UnitTest::GetInstance()->current_test_info();
  if (test != nullptr && test != std::exchange(databases_of_, test)) drop_databases();
  static std::atomic<int> number = 0;
  const std::string name = std::string(prefix) + "_" + std::to_string(++number);
  // In memory and without fsync, copying the files takes half as long as writing them as WAL, which
  // PostgreSQL does by default since 15; before, it always copied.
  const std::string strategy = version() >= 150000 ? " STRATEGY file_copy" : "";
  sql("CREATE DATABASE " + quote_name(name) + strategy);
  if (test != nullptr && !for_all_tests) databases_.push_back(name);
  return name;
}

void PostgresServer::create_role(std::string_view name, std::string_view attributes) {
  sql("DROP ROLE IF EXISTS " + quote_name(name));
  sql("CREATE ROLE " + quote_name(name) + " LOGIN " + std::string(attributes));
}

void PostgresServer::reload_and_wait() {
  if (!running()) return;
  const std::string before = scalar("SELECT pg_conf_load_time()");
  ::kill(postmaster_, SIGHUP);
  for (int step = 0; step < kWaitSteps; ++step) {
    // A new backend inherits the postmaster's settings: once it sees them, every new one does.
    if (scalar("SELECT pg_conf_load_time()") != before) return;
    pause_step();
  }
  raise("the server does not reload its settings");
}

void PostgresServer::configure(const Settings& settings) {
  later_settings_.insert(later_settings_.end(), settings.begin(), settings.end());
  write_settings();
  reload_and_wait();
}

void PostgresServer::set_hba(const std::vector<std::string>& lines) {
  std::string text = "local all postgres trust\n";
  for (const std::string& line : lines) text += line + "\n";
  write_file(data_dir_ + "/pg_hba.conf", text);
  reload_and_wait();
}

void PostgresServer::trust_all() {
  set_hba({"local all all trust", "host all all all trust", "local replication all trust",
           "host replication all all trust"});
}

void PostgresServer::use_certificate(const KeyPair& pair) {
  configure({{"ssl_cert_file", pair.certificate}, {"ssl_key_file", pair.key}});
}

std::vector<pid_t> PostgresServer::backend_pids(std::string_view database) {
  std::vector<pid_t> pids;
  const std::string filter =
      database.empty() ? "" : " AND datname = '" + std::string(database) + "'";
  for (const SqlRow& row : sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client "
                               "backend' AND pid <> pg_backend_pid()" +
                               filter)) {
    pids.push_back(std::stoi(row[0].value()));
  }
  return pids;
}

void PostgresServer::kill_backend(pid_t pid, int signal_number) {
  if (::kill(pid, signal_number) != 0) raise("cannot signal backend " + std::to_string(pid));
  if (signal_number != SIGKILL) return;
  // Until the postmaster has seen it, the server goes on as if nothing had happened.
  for (int i = 0; i < 1000 && ::kill(pid, 0) == 0; ++i) ::usleep(10'000);
}

void PostgresServer::clone_from(PostgresServer& primary) {
  const bool renamed = primary.version() >= 150000;
  const std::unique_ptr<PGconn, ConnectionCloser> connection(
      PQconnectdb(primary.conninfo().c_str()));
  const auto run = [&](const std::string& text) {
    const std::unique_ptr<PGresult, ResultCloser> result(PQexec(connection.get(), text.c_str()));
    if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) raise(PQerrorMessage(connection.get()));
    return std::string(PQgetvalue(result.get(), 0, 0));
  };
  run(renamed ? "SELECT pg_backup_start('standby', true)"
              : "SELECT pg_start_backup('standby', true, false)");
  copy_cluster(primary.data_dir_, data_dir_, log_file_);
  const std::string label = run(renamed ? "SELECT labelfile FROM pg_backup_stop(false)"
                                        : "SELECT labelfile FROM pg_stop_backup(false, false)");
  fs::remove(data_dir_ + "/postmaster.pid");
  write_file(data_dir_ + "/backup_label", label);
  write_file(data_dir_ + "/standby.signal", "");
  give_to(data_dir_ + "/backup_label", server_user());
  give_to(data_dir_ + "/standby.signal", server_user());
}

std::unique_ptr<PostgresServer> PostgresServer::start_standby() {
  std::unique_ptr<PostgresServer> standby(new PostgresServer);
  standby->config_ = config_;
  standby->later_settings_ = later_settings_;
  standby->certificates_ = certificates_;
  standby->make_directories();
  standby->port_ = free_port();
  standby->launch_as_standby(*this);
  return standby;
}

void PostgresServer::follow(PostgresServer& primary) {
  fs::remove_all(data_dir_);
  launch_as_standby(primary);
}

void PostgresServer::launch_as_standby(PostgresServer& primary) {
  clone_from(primary);
  config_.settings.emplace_back("hot_standby", "on");
  config_.settings.emplace_back("primary_conninfo", primary.conninfo());
  // When it is promoted, it has no standby that its commits could wait for.
  later_settings_.emplace_back("synchronous_standby_names", "");
  write_settings();
  launch();
  const std::string written = primary.scalar("SELECT pg_current_wal_lsn()");
  for (int step = 0; step < kWaitSteps; ++step) {
    if (scalar("SELECT pg_last_wal_replay_lsn() >= '" + written + "'") == "t") return;
    pause_step();
  }
  raise("the standby does not catch up:\n" + log());
}

void PostgresServer::make_synchronous() {
  configure({{"synchronous_standby_names", "*"}});
  for (int step = 0; step < kWaitSteps; ++step) {
    const std::string in_sync =
        scalar("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'");
    if (in_sync == "1") {
      sql("SELECT txid_current()");  // Its commit waits, also for what was written before it.
      return;
    }
    pause_step();
  }
  raise("the standby does not become synchronous:\n" + log());
}

void PostgresServer::promote() { sql("SELECT pg_promote(true)"); }

PostgresServer& shared_server() {
  static const std::unique_ptr<PostgresServer> server = PostgresServer::start();
  return *server;
}

}  // namespace pgsink::test
