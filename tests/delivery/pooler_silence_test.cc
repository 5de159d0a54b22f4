// Connections that are dead without a word on either side of a pooler: the sink notices by what the
// server says of its sessions, and goes on. While a session works, it is left alone.

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <tuple>

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include "delivery/silence_support.h"
#include "support/patience.h"
#include "support/pgbouncer.h"

namespace pgsink::test {
namespace {

using Effect = WireProxy::Effect;
using Side = WireProxy::Side;

enum class Dead : uint8_t { kBeforePooler, kBehindPooler };

class PoolerSilence : public SilenceBase {
 protected:
  void place(Dead dead) {
    if (dead == Dead::kBeforePooler) {
      proxy_ = std::make_unique<WireProxy>(pooler_.socket_dir(), pooler_.port());
      options_.host = "127.0.0.1";
      options_.port = std::to_string(proxy_->port());
    } else {
      pooler_.point_to("127.0.0.1", proxy_->port());
      options_.host = pooler_.socket_dir();
      options_.port = std::to_string(pooler_.port());
    }
  }
  int64_t doubled() { return std::stoll(scalar("SELECT count(*) - count(DISTINCT id) FROM t")); }

  PgBouncer pooler_{shared_server(), 4};
};

class PoolerSilenceTest : public PoolerSilence,
                          public testing::WithParamInterface<std::tuple<Dead, Way>> {};

TEST_P(PoolerSilenceTest, IsNoticedAndEverythingIsThere) {
  const auto& [dead, way] = GetParam();
  place(dead);
  deliver(way);
  open();
  if (HasFatalFailure()) return;
  uint64_t position = 0;
  bool noticed = false;
  for (const Side side : {Side::kFrontend, Side::kBackend}) {
    for (int nth = 1; nth <= 9; nth += 4) {
      SCOPED_TRACE(std::string(side == Side::kFrontend ? "client" : "server") + "'s message " +
                   std::to_string(nth));
      proxy_->set_rule({.side = side, .type = 0, .nth = nth, .effect = Effect::kSwallow});
      do {
        ASSERT_TRUE(sink_->write(rows(++position)));
        const Status flushed = sink_->flush();
        ASSERT_TRUE(flushed) << flushed.error().to_string();
      } while (!proxy_->fired());
      EXPECT_EQ(scalar("SELECT count(DISTINCT id) FROM t"), std::to_string(position * kRows));
      EXPECT_LE(doubled(), static_cast<int64_t>(sink_->metrics().possible_duplicates));
      if (way == Way::kExactlyOnce) {
        EXPECT_EQ(doubled(), 0);
      }
      noticed |= sink_->metrics().last_error.contains("through the pooler no session of");
      // What the pooler takes to be in use: it has four sessions.
      proxy_->drop_orphans();
    }
  }
  EXPECT_TRUE(noticed) << sink_->metrics().last_error;
  const Status closed = sink_->close();
  EXPECT_TRUE(closed) << closed.error().to_string();
}

INSTANTIATE_TEST_SUITE_P(Way, PoolerSilenceTest,
                         testing::Combine(testing::Values(Dead::kBeforePooler, Dead::kBehindPooler),
                                          testing::Values(Way::kAtLeastOnce, Way::kExactlyOnce)),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param) == Dead::kBeforePooler
                                                  ? "BeforePooler"
                                                  : "BehindPooler") +
                                  name_of_way(std::get<1>(test.param));
                         });

// However long: it is asked again and again, and it works.
TEST_F(PoolerSilence, AServerThatWaitsForALockIsLeftAlone) {
  place(Dead::kBehindPooler);
  const std::unique_ptr<PGconn, decltype(&PQfinish)> holder(
      PQconnectdb(shared_server().conninfo(database_).c_str()), &PQfinish);
  open();
  PQclear(PQexec(holder.get(), "BEGIN; LOCK TABLE t"));
  ASSERT_TRUE(sink_->write(rows(1)));
  std::thread flush([&] { EXPECT_TRUE(sink_->flush()); });
  const std::string looks =
      "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%max(a.state_change)%'";
  EXPECT_TRUE(eventually([&] { return scalar(looks) != "0"; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(4 * kSilenceMs));
  PQclear(PQexec(holder.get(), "ROLLBACK"));
  flush.join();
  EXPECT_EQ(sink_->metrics().connections_broken, 0U);
  expect_once(1);
}

// What SIGTERM does in the command, also if nobody looks.
TEST_F(PoolerSilence, AnInterruptEndsTheWaiting) {
  for (const Dead dead : {Dead::kBeforePooler, Dead::kBehindPooler}) {
    place(dead);
    options_.silence_timeout_ms = 0;
    open();
    if (HasFatalFailure()) return;
    proxy_->set_rule({.side = Side::kBackend, .type = 'C', .nth = 2, .effect = Effect::kSwallow});
    ASSERT_TRUE(sink_->write(rows(1)));
    std::thread interrupt([&] {
      EXPECT_TRUE(eventually([&] { return proxy_->fired(); }));
      sink_->interrupt();
    });
    const Status flushed = sink_->flush();
    interrupt.join();
    ASSERT_FALSE(flushed);
    EXPECT_EQ(flushed.error().code, Errc::kInterrupted);
    sink_.reset();
    SilenceBase::SetUp();
  }
}

}  // namespace
}  // namespace pgsink::test
