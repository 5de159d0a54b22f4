#pragma once
// What the tests of jobs share: the rows of parts, a task, and a server with a proxy before it.

#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>

#include "pgsink/job.h"
#include "support/postgres_server.h"
#include "support/wire_proxy.h"

namespace pgsink::test {

inline constexpr uint32_t kParts = 3;
inline constexpr int64_t kRows = 500;  // Of a part.

struct JobInput {
  int64_t id = 0;
  int64_t value = 0;
};

inline RecordBatch rows_of(uint32_t partition, int64_t value) {
  std::vector<JobInput> rows;
  for (int64_t i = 0; i < kRows; ++i) rows.push_back({partition * kRows + i, value});
  return batch_of(std::move(rows), column("id", &JobInput::id), column("value", &JobInput::value));
}
inline std::shared_ptr<const Schema> schema() { return rows_of(0, 0).schema(); }

/// A task: one part from begin to end.
inline Result<std::string> write_part(const SinkOptions& options, const std::string& ticket,
                                      uint32_t partition, int64_t value) {
  auto part = open_part(options, ticket, partition, schema());
  if (!part) return fail(part.error());
  if (auto written = (*part)->write(rows_of(partition, value)); !written) {
    return fail(written.error());
  }
  return finish_part(**part);
}

/// How often each death is tried: tests/soak tries more.
inline int rounds() {
  const char* const given = std::getenv("PGSINK_JOB_ROUNDS");
  return given == nullptr ? 1 : std::atoi(given);
}

/// The statements before which somebody dies, by texts that only they hold.
struct Point {
  const char* name;
  bool of_task;
  std::string_view text;
};
inline constexpr std::string_view kCommit{
    "Q\0\0\0\x0b"
    "COMMIT\0",
    12};  // The whole message.
/// A server with a table "t", reached straight and through a proxy.
class JobFixture : public ::testing::TestWithParam<Point> {
 protected:
  void SetUp() override {
    server_ = PostgresServer::start();
    sql("CREATE TABLE t (id bigint PRIMARY KEY, value bigint)");
    proxy_ = std::make_unique<WireProxy>(server_->socket_dir(), server_->port());
    direct_.connection_name = "test";
    direct_.host = server_->socket_dir();
    direct_.port = std::to_string(server_->port());
    direct_.database = "postgres";
    direct_.username = "postgres";
    direct_.table = "t";
    direct_.retry_backoff_ms = 20;
    direct_.max_retries = 1000;
    direct_.connection_timeout_ms = 60'000;
    proxied_ = direct_;
    proxied_.host = "127.0.0.1";
    proxied_.port = std::to_string(proxy_->port());
    proxied_.ssl_mode = "disable";
  }
  void sql(const std::string& text) { server_->sql(text); }
  std::string scalar(const std::string& text) { return server_->scalar(text); }

  std::unique_ptr<PostgresServer> server_;
  std::unique_ptr<WireProxy> proxy_;
  SinkOptions direct_, proxied_;
};

/// Runs `life` in a process that is killed before the proxy passes on `text`. False if that was not
/// met.
template <typename F>
bool kill_before(WireProxy& proxy, std::string_view text, F&& life) {
  const pid_t child = fork();
  if (child == 0) {
    raise(SIGSTOP);  // Until the proxy is told what to do.
    _exit(std::forward<F>(life)() ? 0 : 1);
  }
  int status = 0;
  if (waitpid(child, &status, WUNTRACED) != child) return false;
  proxy.call_before(std::string(text), [child] { kill(child, SIGKILL); });
  kill(child, SIGCONT);
  return waitpid(child, &status, 0) == child && WIFSIGNALED(status);
}

}  // namespace pgsink::test
