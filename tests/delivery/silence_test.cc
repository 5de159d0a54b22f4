// Connections that are dead without a word: a proxy swallows everything at a chosen message. The
// sink notices, fences and goes on, and nothing is lost or doubled. A server that works on a
// statement for long is left alone.

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>

#include "delivery/silence_support.h"
#include "support/patience.h"

namespace pgsink::test {
namespace {

using Effect = WireProxy::Effect;
using Side = WireProxy::Side;

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
  deliver(way);
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
  return std::string(std::get<0>(test.param).name) + name_of_way(std::get<1>(test.param));
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
