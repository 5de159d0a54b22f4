// Connections that are dead without a word: a proxy swallows everything at a chosen message. The
// sink notices, fences and goes on, and nothing is lost or doubled. A server that works on a
// statement for long is left alone.

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>

#include "pgsink/sink.h"
#include "support/patience.h"
#include "support/postgres_server.h"
#include "support/wire_proxy.h"

namespace pgsink::test {
namespace {

using Effect = WireProxy::Effect;
using Side = WireProxy::Side;

constexpr int64_t kRows = 300;
constexpr int64_t kSilenceMs = 200;

enum class Way : uint8_t { kAtLeastOnce, kExactlyOnce, kTwoPhase };

RecordBatch rows(uint64_t position) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < kRows; ++i) ids.push_back(static_cast<int64_t>(position) * kRows + i);
  RecordBatch batch = batch_of_columns(column("id", std::move(ids))).value();
  batch.position = position;
  return batch;
}

class SilenceBase : public testing::Test {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("silence");
    shared_server().sql("CREATE TABLE t (id bigint)", database_);
    proxy_ = std::make_unique<WireProxy>(shared_server().socket_dir(), shared_server().port());
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
  void open() {
    auto sink = Sink::open(options_, rows(1).schema());
    ASSERT_TRUE(sink) << sink.error().to_string();
    sink_ = std::move(*sink);
  }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  void expect_once(uint64_t batches) {
    EXPECT_EQ(scalar("SELECT count(*) || ' ' || count(DISTINCT id) FROM t"),
              std::to_string(batches * kRows) + " " + std::to_string(batches * kRows));
  }

  std::string database_;
  std::unique_ptr<WireProxy> proxy_;
  SinkOptions options_;
  std::unique_ptr<Sink> sink_;
};

struct Step {
  const char* name;
  Side side;
  char type;
  int nth;
};

const Step kSteps[] = {
    {"BeginIsSwallowed", Side::kFrontend, 'Q', 1},
    {"RowsAreSwallowed", Side::kFrontend, 'd', 1},
    {"CommitIsSwallowed", Side::kFrontend, 'Q', 2},
    {"FirstTagIsSwallowed", Side::kBackend, 'C', 1},
    {"CopyIsSwallowed", Side::kBackend, 'G', 1},
    {"LastAnswerIsSwallowed", Side::kBackend, 'Z', 2},
};

class SilenceTest : public SilenceBase,
                    public testing::WithParamInterface<std::tuple<Step, Way>> {};

TEST_P(SilenceTest, IsNoticedAndEverythingIsThereOnce) {
  const auto& [step, way] = GetParam();
  if (way == Way::kExactlyOnce) options_.delivery = Delivery::kExactlyOnce;
  options_.use_2pc = way == Way::kTwoPhase;
  options_.sink_id = way == Way::kAtLeastOnce ? "" : "s";
  open();
  ASSERT_TRUE(sink_->write(rows(1)));
  ASSERT_TRUE(sink_->flush());
  proxy_->set_rule(
      {.side = step.side, .type = step.type, .nth = step.nth, .effect = Effect::kSwallow});
  ASSERT_TRUE(sink_->write(rows(2)));
  const Status flushed = sink_->flush();
  ASSERT_TRUE(flushed) << flushed.error().to_string();
  EXPECT_TRUE(proxy_->fired());
  EXPECT_THAT(sink_->metrics().last_error, testing::HasSubstr("silence_timeout_ms"));
  // Without its transaction's id, a flight that was committed is written twice, and counted so. One
  // whose COMMIT was swallowed counts too if its last statement was one without the number of its
  // attempt: the proof of the table's shape.
  const auto counted = static_cast<int64_t>(sink_->metrics().possible_duplicates);
  const int64_t doubled = std::stoll(scalar("SELECT count(*) FROM t")) - 2 * kRows;
  EXPECT_GE(counted, doubled);
  EXPECT_LE(counted, doubled + kRows);
  EXPECT_EQ(scalar("SELECT count(DISTINCT id) FROM t"), std::to_string(2 * kRows));
  if (way != Way::kAtLeastOnce) {
    EXPECT_EQ(counted, 0);
    EXPECT_EQ(doubled, 0);
  }
  const Status closed = sink_->close();
  EXPECT_TRUE(closed) << closed.error().to_string();
}

std::string name_of(const testing::TestParamInfo<std::tuple<Step, Way>>& test) {
  const Way way = std::get<1>(test.param);
  return std::string(std::get<0>(test.param).name) + (way == Way::kAtLeastOnce   ? "AtLeastOnce"
                                                      : way == Way::kExactlyOnce ? "ExactlyOnce"
                                                                                 : "TwoPhase");
}

INSTANTIATE_TEST_SUITE_P(Step, SilenceTest,
                         testing::Combine(testing::ValuesIn(kSteps),
                                          testing::Values(Way::kAtLeastOnce, Way::kExactlyOnce,
                                                          Way::kTwoPhase)),
                         name_of);

// However long: it is asked again and again, and it works.
TEST_F(SilenceBase, AServerThatWaitsForALockIsLeftAlone) {
  const std::unique_ptr<PGconn, decltype(&PQfinish)> holder(
      PQconnectdb(shared_server().conninfo(database_).c_str()), &PQfinish);
  open();
  PQclear(PQexec(holder.get(), "BEGIN; LOCK TABLE t"));
  const int before = proxy_->connections();
  ASSERT_TRUE(sink_->write(rows(1)));
  std::thread flush([&] { EXPECT_TRUE(sink_->flush()); });
  EXPECT_TRUE(eventually([&] { return proxy_->connections() >= before + 3; }));
  PQclear(PQexec(holder.get(), "ROLLBACK"));
  flush.join();
  EXPECT_EQ(sink_->metrics().connections_broken, 0U);
  expect_once(1);
}

// While a COPY is open, the server waits for the host's rows.
TEST_F(SilenceBase, AHostThatWritesSlowlyIsNoSilence) {
  options_.batch_size = kRows;
  options_.transaction_size = 10 * kRows;
  options_.batch_timeout_ms = 600'000;
  open();
  ASSERT_TRUE(sink_->write(rows(1)));
  std::this_thread::sleep_for(std::chrono::milliseconds(4 * kSilenceMs));
  ASSERT_TRUE(sink_->write(rows(2)));
  ASSERT_TRUE(sink_->flush());
  EXPECT_EQ(sink_->metrics().connections_broken, 0U);
  expect_once(2);
}

// Login, catalog, claim and the lanes' connections: each wait of open() ends.
TEST_F(SilenceBase, OpenEndsWhateverIsSwallowed) {
  options_.use_2pc = true;
  options_.sink_id = "s";
  options_.connection_timeout_ms = 300;
  for (int nth = 1;; nth += 3) {
    proxy_->set_rule({.side = Side::kBackend, .type = 'Z', .nth = nth, .effect = Effect::kSwallow});
    auto sink = Sink::open(options_, rows(1).schema());
    const int seen = proxy_->seen();
    proxy_->set_rule({.side = Side::kBackend, .type = '!', .nth = 1});
    if (sink) {
      // Nothing was swallowed any more, or the lane has reconnected.
      EXPECT_TRUE((*sink)->close());
      if (seen < nth) break;
      continue;
    }
    EXPECT_THAT(sink.error().code,
                testing::AnyOf(Errc::kConnectionLost, Errc::kTimeout, Errc::kCannotFence))
        << sink.error().to_string();
    ASSERT_LT(nth, 100);
  }
}

// A backend that is terminated says so last: flights that it had not begun are not doubtful.
TEST_F(SilenceBase, ATerminatedBackendLeavesNoPossibleDuplicates) {
  options_.batch_size = kRows;
  options_.transaction_size = kRows;
  options_.in_flight_max = 8;
  options_.silence_timeout_ms = 0;
  const std::unique_ptr<PGconn, decltype(&PQfinish)> holder(
      PQconnectdb(shared_server().conninfo(database_).c_str()), &PQfinish);
  open();
  PQclear(PQexec(holder.get(), "BEGIN; LOCK TABLE t"));
  for (uint64_t i = 1; i <= 6; ++i) ASSERT_TRUE(sink_->write(rows(i)));
  const std::string waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
  EXPECT_TRUE(eventually([&] { return scalar(waiting) == "1"; }));
  EXPECT_TRUE(eventually([&] { return sink_->metrics().in_flight_rows >= 5 * kRows; }));
  scalar("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted");
  EXPECT_TRUE(eventually([&] { return sink_->metrics().connections_broken == 1; }));
  PQclear(PQexec(holder.get(), "ROLLBACK"));
  const Status flushed = sink_->flush();
  ASSERT_TRUE(flushed) << flushed.error().to_string();
  EXPECT_EQ(sink_->metrics().possible_duplicates, 0U);
  expect_once(6);
}

}  // namespace
}  // namespace pgsink::test
