// pgpool-II between the sink and the server: it is refused, because rows get lost in it.

#include <csignal>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <sys/types.h>
#include <unistd.h>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/child_process.h"
#include "support/patience.h"
#include "support/postgres_server.h"

namespace pgsink::test {
namespace {

using testing::HasSubstr;

constexpr const char* kProgram = "/usr/sbin/pgpool";

class PgpoolTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::access(kProgram, X_OK), 0) << "tests/run installs Debian's package pgpool2";
    database_ = server().create_database("pgpool");
    server().sql("CREATE TABLE t (id bigint)", database_);
    root_ = make_server_directory();
    janitor_ = std::make_unique<Janitor>(root_);
    port_ = free_port();
    std::ofstream file(root_ + "/pgpool.conf");
    file << "backend_clustering_mode = 'streaming_replication'\n"
         << "listen_addresses = '127.0.0.1'\n"
         << "port = " << port_ << "\n"
         << "pcp_port = " << free_port() << "\n"
         << "backend_hostname0 = '127.0.0.1'\n"
         << "backend_port0 = " << server().port() << "\n"
         << "backend_flag0 = 'ALWAYS_PRIMARY'\n"
         << "enable_pool_hba = off\n"
         << "sr_check_period = 0\n"
         << "health_check_period = 0\n"
         << "memory_cache_enabled = off\n"
         << "num_init_children = 4\n"
         << "pid_file_name = '" << root_ << "/pgpool.pid'\n"
         << "logdir = '" << root_ << "'\n";
    for (const char* socket :
         {"unix_socket_directories", "socket_dir", "pcp_socket_dir", "wd_ipc_socket_dir"}) {
      file << socket << " = '" << root_ << "'\n";
    }
    file.close();
    std::ofstream(root_ + "/none").close();
    pid_ = start_process({kProgram, "-n", "-f", root_ + "/pgpool.conf", "-F", root_ + "/none", "-a",
                          root_ + "/none"},
                         server_user(), root_ + "/log");
    ASSERT_TRUE(eventually([&] {
      try {
        return !query_libpq(conninfo(), "SELECT 1").empty();
      } catch (const std::runtime_error&) {
        return false;
      }
    })) << "see "
        << root_ << "/log";
    options_.connection_name = "test";
    options_.host = "127.0.0.1";
    options_.port = std::to_string(port_);
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
  }
  void TearDown() override {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGINT);
    wait_process(pid_);
  }
  static PostgresServer& server() { return shared_server(); }
  std::string conninfo() const {
    return "host=127.0.0.1 sslmode=disable user=postgres port=" + std::to_string(port_) +
           " dbname=" + database_;
  }

  std::string database_, root_;
  std::unique_ptr<Janitor> janitor_;
  uint16_t port_ = 0;
  pid_t pid_ = -1;
  SinkOptions options_;
};

TEST_F(PgpoolTest, IsRefusedBeforeARowIsSent) {
  const auto batch = batch_of_columns(column("id", std::vector<int64_t>{1})).value();
  for (const bool two_phase : {false, true}) {
    options_.use_2pc = two_phase;
    options_.sink_id = two_phase ? "s" : "";
    const auto sink = Sink::open(options_, batch.schema());
    ASSERT_FALSE(sink);
    EXPECT_EQ(sink.error().code, Errc::kOptionConflict) << sink.error().to_string();
    EXPECT_THAT(sink.error().message, HasSubstr("goes through pgpool-II"));
  }
  const Status tested = test_connection(options_);
  ASSERT_FALSE(tested);
  EXPECT_THAT(tested.error().message, HasSubstr("goes through pgpool-II"));
  // The server behind it is taken.
  options_.port = std::to_string(server().port());
  options_.use_2pc = false;
  options_.sink_id.clear();
  EXPECT_TRUE(Sink::open(options_, batch.schema()));
}

}  // namespace
}  // namespace pgsink::test
