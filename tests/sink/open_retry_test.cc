// open() waits for a server that is not ready, as the options say, and a check does not.

#include "pgsink/options/open_retry.h"

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "pgsink/source.h"
#include "support/postgres_server.h"
#include "support/scripted_server.h"

namespace pgsink::test {
namespace {

using testing::HasSubstr;
using testing::Not;

RecordBatch one_row() { return batch_of_columns(column("id", std::vector<int64_t>{1})).value(); }

/// A server that answers the first connections with an error, and then is the real one.
ScriptedServer::Play ready_after(int refused, std::string sqlstate, std::atomic<int>& tried) {
  return [refused, sqlstate = std::move(sqlstate), &tried](Peer& peer) {
    ++tried;
    if (peer.number >= refused) return peer.forward_to(shared_server().port());
    peer.next();
    peer.send(encode(error_response("FATAL", sqlstate, "not now")));
  };
}

class OpenRetryTest : public testing::Test {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("open_retry");
    shared_server().sql("CREATE TABLE t (id bigint PRIMARY KEY)", database_);
    options_.connection_name = "test";
    options_.host = "127.0.0.1";
    options_.database = database_;
    options_.username = "postgres";
    options_.ssl_mode = "disable";
    options_.table = "t";
    options_.retry_backoff_ms = 1;
    options_.on_server_wait = [this](const ServerWait& wait) {
      if (wait.begins) waits_.push_back(wait.error.message);
      return goes_on_;
    };
  }
  std::string error_of_open() {
    auto sink = Sink::open(options_, one_row().schema());
    return sink ? "" : sink.error().to_string();
  }

  std::string database_;
  SinkOptions options_;
  std::vector<std::string> waits_;
  std::atomic<int> tried_ = 0;
  bool goes_on_ = true;
};

TEST_F(OpenRetryTest, WaitsForAServerThatIsStartingUpOrFull) {
  for (const char* sqlstate : {"57P03", "53300"}) {
    ScriptedServer server(ready_after(3, sqlstate, tried_));
    options_.port = std::to_string(server.port());
    waits_.clear();
    EXPECT_EQ(error_of_open(), "") << sqlstate;
    EXPECT_EQ(waits_.size(), 3U) << sqlstate;
    EXPECT_TRUE(describe_target(options_)) << sqlstate;
  }
}

TEST_F(OpenRetryTest, AsksForEveryLaneAgain) {
  // The first lane's connection is there; those after it find no place at first.
  ScriptedServer server([this](Peer& peer) {
    ++tried_;
    if (peer.number == 0 || peer.number > 4) return peer.forward_to(shared_server().port());
    peer.next();
    peer.send(encode(error_response("FATAL", "53300", "too many")));
  });
  options_.port = std::to_string(server.port());
  options_.parallelism = 3;
  options_.max_retries = 20;
  EXPECT_EQ(error_of_open(), "");
  EXPECT_GE(waits_.size(), 2U);
}

TEST_F(OpenRetryTest, GivesUpAfterMaxRetriesAndSaysSo) {
  ScriptedServer server(ready_after(100, "57P03", tried_));
  options_.port = std::to_string(server.port());
  options_.max_retries = 2;
  const std::string error = error_of_open();
  EXPECT_THAT(error, HasSubstr("not now"));
  EXPECT_THAT(error, HasSubstr("tried 3 times"));
  EXPECT_EQ(tried_, 3);
  options_.max_retries = 0;
  tried_ = 0;
  error_of_open();
  EXPECT_EQ(tried_, 1);
}

TEST_F(OpenRetryTest, ReachesNobodyOnceUnlessRetriesAreAskedFor) {
  options_.port = std::to_string(free_port());
  EXPECT_NE(error_of_open(), "");
  EXPECT_EQ(waits_.size(), 0U);
  options_.given = {"max_retries"};
  options_.max_retries = 3;
  EXPECT_NE(error_of_open(), "");
  EXPECT_EQ(waits_.size(), 3U);
  waits_.clear();
  options_.retry_on_errors = {"deadlock"};
  EXPECT_NE(error_of_open(), "");
  EXPECT_EQ(waits_.size(), 0U);
}

TEST_F(OpenRetryTest, FindsAServerThatComesUpWhileItWaits) {
  const std::string folder = shared_server().directory() + "/comes_up";
  std::filesystem::create_directory(folder);
  const std::string name = "/.s.PGSQL." + std::to_string(shared_server().port());
  options_.host = folder;
  options_.port = std::to_string(shared_server().port());
  options_.max_retries = 1000;
  options_.on_server_wait = [&](const ServerWait& wait) {
    if (wait.failures == 3 && wait.begins) {
      std::filesystem::create_symlink(shared_server().socket_dir() + name, folder + name);
    }
    return true;
  };
  EXPECT_EQ(error_of_open(), "");
  std::filesystem::remove_all(folder);
}

/// The first connection ends after that many bytes of the server's.
TEST_F(OpenRetryTest, AConnectionThatBreaksWhileItOpensIsReplaced) {
  options_.max_retries = 5;
  options_.given = {"max_retries"};
  size_t broken = 0;
  for (const Delivery delivery : {Delivery::kAtLeastOnce, Delivery::kExactlyOnce}) {
    options_.delivery = delivery;
    for (size_t bytes = 0;; bytes += 97) {
      ScriptedServer server([bytes](Peer& peer) {
        peer.forward_to(shared_server().port(), peer.number == 0 ? bytes : SIZE_MAX);
      });
      options_.port = std::to_string(server.port());
      waits_.clear();
      EXPECT_EQ(error_of_open(), "") << "after " << bytes << " bytes";
      if (waits_.empty()) break;  // It was open before.
      ++broken;
    }
  }
  EXPECT_GT(broken, 20U);
  options_.given.clear();
  options_.max_retries = SinkOptions().max_retries;
  ScriptedServer server([](Peer& peer) { peer.forward_to(shared_server().port(), 1000); });
  options_.port = std::to_string(server.port());
  waits_.clear();
  EXPECT_THAT(error_of_open(), HasSubstr("closed the connection"));
  EXPECT_EQ(waits_.size(), 0U) << "not asked for";
}

TEST_F(OpenRetryTest, EndsWhenTheHostSaysSo) {
  options_.port = std::to_string(free_port());
  options_.max_retries = 1'000'000;
  options_.retry_backoff_ms = 3'600'000;
  goes_on_ = false;
  EXPECT_THAT(error_of_open(), HasSubstr("interrupted while it waited for the server"));
  const auto described = describe_target(options_);
  ASSERT_FALSE(described);
  EXPECT_EQ(described.error().code, Errc::kInterrupted);
  options_.type = ConnectionType::kSource;
  options_.publication = "p";
  options_.replication_slot = "s";
  const auto source = Source::open(options_);
  ASSERT_FALSE(source);
  EXPECT_EQ(source.error().code, Errc::kInterrupted) << source.error().to_string();
}

TEST_F(OpenRetryTest, ACheckTriesOnceAndSaysSo) {
  ScriptedServer server(ready_after(1000, "57P03", tried_));
  options_.port = std::to_string(server.port());
  const Status tested = test_connection(options_);
  ASSERT_FALSE(tested);
  EXPECT_THAT(tested.error().message, HasSubstr("a check tries once, a run tries again"));
  EXPECT_EQ(tried_, 1);
  EXPECT_EQ(waits_.size(), 0U);
  options_.port = std::to_string(free_port());
  const Status refused = test_connection(options_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, Not(HasSubstr("tries once")));
}

TEST_F(OpenRetryTest, AHostThatIsStartingUpCountsBesideOneThatIsNotThere) {
  ScriptedServer server(ready_after(2, "57P03", tried_));
  options_.host = "127.0.0.1,127.0.0.1";
  options_.port = std::to_string(server.port()) + "," + std::to_string(free_port());
  EXPECT_EQ(error_of_open(), "");
  EXPECT_EQ(waits_.size(), 2U);
}

}  // namespace
}  // namespace pgsink::test
