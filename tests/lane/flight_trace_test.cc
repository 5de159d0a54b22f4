// What a sink tells of its transactions and connections while it runs, on a real server.

#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/patience.h"
#include "support/postgres_server.h"
#include "support/wire_proxy.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;
using Kind = FlightEvent::Kind;

constexpr int64_t kRows = 50;

RecordBatch rows(int64_t first) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < kRows; ++i) ids.push_back(first + i);
  return batch_of_columns(column("id", std::move(ids))).value();
}

/// What the callbacks have heard, from any thread.
struct Heard {
  std::mutex mutex;
  std::vector<FlightEvent> flights;  ///< Without their texts, which are gone.
  std::vector<std::string> errors, lines;
  std::vector<LogEvent::Kind> kinds;

  void listen(SinkOptions& options) {
    options.on_flight = [this](const FlightEvent& event) {
      EXPECT_EQ(event.connection, "test");
      EXPECT_EQ(event.table, "public.t");
      EXPECT_LE(event.queued_wall_us, event.sent_wall_us + 1000);
      EXPECT_LE(event.sent_wall_us, event.wall_us);
      const std::lock_guard lock(mutex);
      errors.push_back(event.error == nullptr ? "" : event.error->to_string());
      flights.push_back(event);
    };
    options.on_log = [this](const LogEvent& event) {
      const std::lock_guard lock(mutex);
      lines.emplace_back(event.message);
      kinds.push_back(event.kind);
    };
  }
};

class FlightTraceTest : public testing::Test {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("trace");
    sql("CREATE TABLE t (id bigint CHECK (id <> 77))");
    options_.connection_name = "test";
    options_.host = "127.0.0.1";
    options_.port = std::to_string(proxy_.port());
    options_.ssl_mode = "disable";
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.batch_size = kRows;
    options_.transaction_size = kRows;
    options_.retry_backoff_ms = 10;
    options_.use_copy = true;
    heard_.listen(options_);
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  void open() {
    auto sink = Sink::open(options_, rows(0).schema());
    ASSERT_TRUE(sink) << sink.error().to_string();
    sink_ = std::move(*sink);
  }
  void write(int64_t first) {
    ASSERT_TRUE(sink_->write(rows(first)));
    const Status flushed = sink_->flush();
    ASSERT_TRUE(flushed) << flushed.error().to_string();
  }
  std::vector<Kind> kinds() const {
    std::vector<Kind> kinds;
    for (const FlightEvent& event : heard_.flights) kinds.push_back(event.kind);
    return kinds;
  }

  std::string database_;
  WireProxy proxy_{shared_server().socket_dir(), shared_server().port()};
  Heard heard_;
  SinkOptions options_;
  std::unique_ptr<Sink> sink_;
};

TEST_F(FlightTraceTest, EachTransactionIsSentAndCommitted) {
  open();
  write(1000);
  write(2000);
  ASSERT_TRUE(sink_->close());
  EXPECT_THAT(kinds(), ElementsAre(Kind::kSent, Kind::kCommitted, Kind::kSent, Kind::kCommitted));
  EXPECT_EQ(heard_.flights[1].flight, 1U);
  EXPECT_EQ(heard_.flights[3].flight, 2U);
  EXPECT_EQ(heard_.flights[3].rows, static_cast<uint64_t>(kRows));
  EXPECT_EQ(heard_.flights[3].attempt, 1U);
  EXPECT_GT(heard_.flights[3].bytes, static_cast<uint64_t>(kRows) * 8);
  EXPECT_THAT(heard_.kinds, ElementsAre(LogEvent::Kind::kConnected));
  EXPECT_THAT(
      heard_.lines[0],
      AllOf(StartsWith("connection \"test\", table public.t, lane 1: connected to 127.0.0.1:"),
            HasSubstr(", server process ")));
}

TEST_F(FlightTraceTest, ALostConnectionIsToldOnceWithWhatFollows) {
  open();
  write(1000);
  // The tag of COMMIT: it is asked for, and was committed.
  proxy_.set_rule({.side = WireProxy::Side::kBackend, .type = 'C', .nth = 4});
  write(2000);
  ASSERT_TRUE(sink_->close());
  EXPECT_THAT(kinds(), ElementsAre(Kind::kSent, Kind::kCommitted, Kind::kSent, Kind::kLost,
                                   Kind::kCommitted));
  EXPECT_THAT(heard_.errors[3], HasSubstr("PGS-"));
  EXPECT_EQ(heard_.flights[4].attempt, 1U) << "of the same attempt";
  using Line = LogEvent::Kind;
  EXPECT_THAT(heard_.kinds,
              ElementsAre(Line::kConnected, Line::kLost, Line::kReconnected, Line::kFenced));
  EXPECT_THAT(heard_.lines[1], HasSubstr("with 1 transaction on it: "));
  EXPECT_THAT(heard_.lines[2], HasSubstr("lane 1: connected again to 127.0.0.1:"));
  EXPECT_THAT(heard_.lines[3], HasSubstr("of the lost connection has ended"));
}

TEST_F(FlightTraceTest, AnotherServerIsAFailover) {
  // A second address of the same server.
  WireProxy other(shared_server().socket_dir(), shared_server().port());
  options_.host = "127.0.0.1,127.0.0.1";
  options_.port = std::to_string(proxy_.port()) + "," + std::to_string(other.port());
  open();
  proxy_.set_rule({.side = WireProxy::Side::kFrontend, .type = 'Q', .nth = 1, .then_refuse = true});
  write(1000);
  ASSERT_TRUE(sink_->close());
  using Line = LogEvent::Kind;
  ASSERT_GE(heard_.kinds.size(), 3U);
  EXPECT_EQ(heard_.kinds[1], Line::kLost);
  EXPECT_EQ(heard_.kinds[2], Line::kFailover);
  EXPECT_THAT(
      heard_.lines[2],
      AllOf(HasSubstr("continues on another server, 127.0.0.1:" + std::to_string(other.port())),
            HasSubstr("instead of 127.0.0.1:" + std::to_string(proxy_.port()))));
}

TEST_F(FlightTraceTest, RowsThatAreLeftOutFailAnAttempt) {
  options_.dead_letter_table = "rejected";
  open();
  write(50);
  ASSERT_TRUE(sink_->close());
  EXPECT_THAT(kinds(), ElementsAre(Kind::kSent, Kind::kFailed, Kind::kSent, Kind::kCommitted));
  EXPECT_THAT(heard_.errors[1], HasSubstr("23514"));
  EXPECT_EQ(heard_.flights[3].attempt, 2U);
  EXPECT_EQ(heard_.flights[3].rows, static_cast<uint64_t>(kRows - 1));
  using Line = LogEvent::Kind;
  EXPECT_THAT(heard_.kinds, ElementsAre(Line::kConnected, Line::kLeftOut));
  EXPECT_THAT(heard_.lines[1],
              HasSubstr("committed a transaction of 50 rows without 1 that were rejected"));
}

TEST_F(FlightTraceTest, WhatACallbackThrowsIsIgnored) {
  options_.on_flight = [](const FlightEvent&) { throw std::runtime_error("no"); };
  options_.on_log = [](const LogEvent&) { throw std::runtime_error("no"); };
  open();
  write(1000);
  EXPECT_TRUE(sink_->close());
}

}  // namespace
}  // namespace pgsink::test
