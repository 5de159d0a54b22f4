#pragma once
// The server that the benchmarks load into: private, without fsync, with room for a whole load.

#include <memory>
#include <string>
#include <utility>

#include "support/postgres_server.h"

namespace pgsink::bench {

inline std::unique_ptr<test::PostgresServer> start_bench_server(
    std::string shared_buffers = "2GB") {
  return test::PostgresServer::start({.settings = {{"shared_buffers", std::move(shared_buffers)},
                                                   {"wal_level", "replica"},
                                                   {"max_wal_size", "8GB"},
                                                   {"checkpoint_timeout", "1h"},
                                                   {"jit", "off"},
                                                   {"log_min_messages", "error"}},
                                      .tls = true,
                                      .own_initdb = true,
                                      .bin_dir = ""});
}

}  // namespace pgsink::bench
