#pragma once
// What the tests of silent connections share: a sink behind a proxy that swallows what it is told.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"
#include "support/wire_proxy.h"

namespace pgsink::test {

inline constexpr int64_t kRows = 300;
inline constexpr int64_t kSilenceMs = 200;

enum class Way : uint8_t { kAtLeastOnce, kExactlyOnce, kTwoPhase };

inline std::string name_of_way(Way way) {
  return way == Way::kAtLeastOnce   ? "AtLeastOnce"
         : way == Way::kExactlyOnce ? "ExactlyOnce"
                                    : "TwoPhase";
}

inline RecordBatch rows(uint64_t position) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < kRows; ++i) ids.push_back(static_cast<int64_t>(position) * kRows + i);
  RecordBatch batch = batch_of_columns(column("id", std::move(ids))).value();
  batch.position = position;
  return batch;
}

class SilenceBase : public testing::Test {
 protected:
  void SetUp() override { use(shared_server()); }
  void use(PostgresServer& server) {
    used_ = &server;
    database_ = server.create_database("silence");
    server.sql("CREATE TABLE t (id bigint)", database_);
    proxy_ = std::make_unique<WireProxy>(server.socket_dir(), server.port());
    options_.connection_name = "test";
    options_.host = "127.0.0.1";
    options_.port = std::to_string(proxy_->port());
    options_.ssl_mode = "disable";
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.retry_backoff_ms = 20;
    options_.max_retries = 1000;
    options_.silence_timeout_ms = kSilenceMs;
    options_.use_copy = true;  // The steps are its messages.
  }
  void deliver(Way way) {
    if (way == Way::kExactlyOnce) options_.delivery = Delivery::kExactlyOnce;
    options_.use_2pc = way == Way::kTwoPhase;
    options_.sink_id = way == Way::kAtLeastOnce ? "" : "s";
  }
  void open() {
    auto sink = Sink::open(options_, rows(1).schema());
    ASSERT_TRUE(sink) << sink.error().to_string();
    sink_ = std::move(*sink);
  }
  std::string scalar(const std::string& text) { return used_->scalar(text, database_); }
  void expect_once(uint64_t batches) {
    EXPECT_EQ(scalar("SELECT count(*) || ' ' || count(DISTINCT id) FROM t"),
              std::to_string(batches * kRows) + " " + std::to_string(batches * kRows));
  }

  PostgresServer* used_ = nullptr;
  std::string database_;
  std::unique_ptr<WireProxy> proxy_;
  SinkOptions options_;
  std::unique_ptr<Sink> sink_;
};

}  // namespace pgsink::test
