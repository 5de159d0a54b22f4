#pragma once
// Two servers, one of which is kept equal to the other. All tests of a program share them: each has
// databases of its own, and its slots go when it ends.

#include <atomic>
#include <functional>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "replication/source_support.h"
#include "support/patience.h"
#include "support/postgres_server.h"

namespace pgsink::test {

/// The server that changes, with room for many slots, and the one that follows it.
inline PostgresServer& changing_server() {
  static const auto kServer = PostgresServer::start({.settings = {{"wal_level", "logical"},
                                                                  {"max_connections", "300"},
                                                                  {"max_replication_slots", "80"},
                                                                  {"max_wal_senders", "80"}}});
  return *kServer;
}
inline PostgresServer& following_server() {
  static const auto kServer =
      PostgresServer::start({.settings = {{"max_connections", "300"}}, .own_initdb = true});
  return *kServer;
}

class PairTest : public testing::Test {
 protected:
  void SetUp() override {
    from_ = &changing_server();
    to_ = &following_server();
    source_database_ = from_->create_database("origin");
    target_database_ = to_->create_database("copy");
    source_ = source_options(*from_, source_database_);
    target_.connection_name = "copy";
    target_.host = to_->socket_dir();
    target_.port = std::to_string(to_->port());
    target_.database = target_database_;
    target_.username = "postgres";
    target_.table = "t";
    target_.write_mode = WriteMode::kChangelog;
    target_.batch_timeout_ms = 20;
    target_.retry_backoff_ms = source_.retry_backoff_ms = 20;
    target_.max_retries = source_.max_retries = 10'000;
  }
  void TearDown() override {
    const std::string slots =
        " FROM pg_replication_slots WHERE database = '" + source_database_ + "'";
    EXPECT_TRUE(eventually([&] {
      from_->sql("SELECT pg_terminate_backend(active_pid)" + slots + " AND active");
      return from_->scalar("SELECT count(*)" + slots + " AND active") == "0";
    }));
    from_->sql("SELECT pg_drop_replication_slot(slot_name)" + slots);
  }

  void change(const std::string& sql) { from_->sql(sql, source_database_); }
  void wait_for_slot() {
    EXPECT_TRUE(eventually([&] {
      return from_->scalar(
                 "SELECT count(*) FROM pg_replication_slots WHERE active AND slot_name = '" +
                 source_.replication_slot + "'") == "1";
    }));
  }

  Status replicate_once(const std::function<bool()>& goes_on) const {
    auto source = Source::open(source_);
    return source ? replicate(**source, target_, goes_on) : fail(source.error());
  }
  /// Replicates in this process while `body` runs.
  template <typename Body>
  Status replicate_while(Body body) {
    std::atomic<bool> ends = false;
    Status outcome;
    returned_ = false;
    std::thread thread([&] {
      outcome = replicate_once([&] { return !ends; });
      returned_ = true;
    });
    body();
    ends = true;
    thread.join();
    return outcome;
  }

  PostgresServer* from_ = nullptr;
  PostgresServer* to_ = nullptr;
  std::string source_database_, target_database_;
  SinkOptions source_, target_;
  std::atomic<bool> returned_ = false;  ///< The last replicate().
};

}  // namespace pgsink::test
