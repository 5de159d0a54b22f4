#pragma once
// What the tests of two-phase commit through the sink share: a table, rows whose sum is known, and
// a proxy before the server.

#include <memory>
#include <stdexcept>
#include <string>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/patience.h"
#include "support/postgres_server.h"
#include "support/wire_proxy.h"

namespace pgsink::test {

inline constexpr int64_t kBatchRows = 10;

struct NotedRow {
  int64_t id = 0;
  std::string note = "n";
};

/// Batch n holds rows 10(n-1)+1 … 10n, and its position is n. Batch 0 has a schema only.
inline RecordBatch batch(uint64_t n) {
  std::vector<NotedRow> rows;
  for (int64_t i = 1; n > 0 && i <= kBatchRows; ++i) {
    rows.push_back({static_cast<int64_t>(n - 1) * kBatchRows + i, "n"});
  }
  RecordBatch made =
      batch_of(std::move(rows), column("id", &NotedRow::id), column("note", &NotedRow::note));
  made.position = n;
  return made;
}

class TwoPhaseSinkFixture : public ::testing::Test {
 protected:
  void SetUp() override { use(shared_server()); }

  void use(PostgresServer& server) {
    server_ = &server;
    database_ = server.create_database("twopc");
    sql("CREATE TABLE t (id bigint PRIMARY KEY, note text)");
    proxy_ = std::make_unique<WireProxy>(server.socket_dir(), server.port());
    options_.connection_name = "test";
    options_.host = "127.0.0.1";
    options_.port = std::to_string(proxy_->port());
    options_.ssl_mode = "disable";
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.use_2pc = true;
    options_.sink_id = "orders";
    options_.batch_size = kBatchRows;
    options_.retry_backoff_ms = 5;
    options_.connection_timeout_ms = 60'000;  // open() does not try again.
    options_.max_retries = 1000;
  }
  /// Before a server of the test's own goes.
  void stop_using() { proxy_.reset(); }

  void sql(const std::string& text) { server_->sql(text, database_); }
  std::string scalar(const std::string& text) { return server_->scalar(text, database_); }
  std::string prepared() {
    return scalar("SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()");
  }
  std::unique_ptr<Sink> open() {
    auto sink = Sink::open(options_, batch(0).schema());
    if (!sink) throw std::runtime_error(sink.error().to_string());
    return std::move(*sink);
  }
  static void must(const Status& status) {
    if (!status) throw std::runtime_error(status.error().to_string());
  }
  /// Batches 1 to `batches` are there, each row once: count and checksum.
  void expect_once(uint64_t batches) {
    const uint64_t rows = batches * static_cast<uint64_t>(kBatchRows);
    EXPECT_EQ(scalar("SELECT count(*) || ' ' || coalesce(sum(id), 0) || ' ' || "
                     "coalesce(max(id), 0) FROM t"),
              std::to_string(rows) + " " + std::to_string(rows * (rows + 1) / 2) + " " +
                  std::to_string(rows));
  }

  PostgresServer* server_ = nullptr;
  std::string database_;
  std::unique_ptr<WireProxy> proxy_;
  SinkOptions options_;
};

}  // namespace pgsink::test
