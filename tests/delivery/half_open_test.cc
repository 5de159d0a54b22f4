// Half-open connections: at each of the messages of a transaction, in every delivery and with
// several lanes, everything is swallowed from there on; and random faults, after each of which the
// sink's count of possible duplicates is compared with the table.
//
// PGSINK_HALF_OPEN_STEPS sets how many messages of each side are tried, PGSINK_HALF_OPEN_FAULTS how
// many random faults there are (200 in tests/soak).

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>
#include <thread>
#include <tuple>
#include <vector>

#include "delivery/silence_support.h"
#include "support/patience.h"

namespace pgsink::test {
namespace {

using Effect = WireProxy::Effect;
using Side = WireProxy::Side;

constexpr uint64_t kBatches = 4;  // Each lane gets some of them.

int from_environment(const char* name, int otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoi(text);
}

class HalfOpenBase : public SilenceBase {
 protected:
  /// Writes until the rule has fired; then everything accepted is committed, or has failed.
  void write_until_fired() {
    do {
      for (uint64_t i = 0; i < kBatches; ++i) {
        const Status written = sink_->write(rows(++position_));
        ASSERT_TRUE(written) << written.error().to_string();
      }
      const Status flushed = sink_->flush();
      ASSERT_TRUE(flushed) << flushed.error().to_string();
    } while (!proxy_->fired());
  }
  int64_t doubled() { return std::stoll(scalar("SELECT count(*) - count(DISTINCT id) FROM t")); }
  void expect_all_there() {
    EXPECT_EQ(scalar("SELECT count(DISTINCT id) FROM t"), std::to_string(position_ * kRows));
  }
  int64_t counted() const { return static_cast<int64_t>(sink_->metrics().possible_duplicates); }

  uint64_t position_ = 0;
};

/// One way of delivery with so many lanes.
class HalfOpenCase : public HalfOpenBase {
 public:
  HalfOpenCase(Way way, int lanes) : way_(way), lanes_(lanes) {
    SetUp();
    deliver(way);
    options_.parallelism = lanes;
    options_.partition_by = "hash(id)";
    options_.batch_size = kRows;
    options_.transaction_size = kRows;
  }
  void TestBody() override {
    SCOPED_TRACE(name_of_way(way_) + ", " + std::to_string(lanes_) + " lanes");
    open();
    if (sink_ == nullptr) return;
    const int steps = from_environment("PGSINK_HALF_OPEN_STEPS", 4);
    longest_ = std::chrono::milliseconds(0);
    for (const Side side : {Side::kFrontend, Side::kBackend}) {
      for (int nth = 1; nth <= steps; ++nth) {
        SCOPED_TRACE(std::string(side == Side::kFrontend ? "client" : "server") + "'s message " +
                     std::to_string(nth));
        ASSERT_NO_FATAL_FAILURE(swallow_from(side, nth));
      }
    }
    std::cout << 2 * steps << " half-open connections, each noticed and replaced within "
              << longest_.count() << " ms\n";
    const Status closed = sink_->close();
    EXPECT_TRUE(closed) << closed.error().to_string();
  }

 private:
  void swallow_from(Side side, int nth) {
    const auto began = std::chrono::steady_clock::now();
    proxy_->set_rule({.side = side, .type = 0, .nth = nth, .effect = Effect::kSwallow});
    ASSERT_NO_FATAL_FAILURE(write_until_fired());
    longest_ = std::max(longest_, std::chrono::duration_cast<std::chrono::milliseconds>(
                                      std::chrono::steady_clock::now() - began));
    expect_all_there();
    if (way_ != Way::kAtLeastOnce) {
      EXPECT_EQ(doubled(), 0);
    }
    EXPECT_LE(doubled(), counted());
  }

  const Way way_;
  const int lanes_;
  std::chrono::milliseconds longest_{0};
};

// All of them at once: each mostly waits for the silence to be noticed.
TEST(HalfOpenTest, EachMessageMayBeTheLast) {
  std::vector<std::unique_ptr<HalfOpenCase>> cases;
  for (const Way way : {Way::kAtLeastOnce, Way::kExactlyOnce, Way::kTwoPhase}) {
    for (const int lanes : {1, 4}) cases.push_back(std::make_unique<HalfOpenCase>(way, lanes));
  }
  std::vector<std::jthread> threads;
  for (const auto& one : cases) threads.emplace_back([&one] { one->TestBody(); });
}

// ---- random faults ------------------------------------------------------------------------------

/// With several flights in flight on each connection.
class RandomFaultsTest : public HalfOpenBase,
                         public testing::WithParamInterface<std::tuple<int, int>> {
 protected:
  enum class Fault : uint8_t { kCut, kOrphan, kSwallow, kTerminate, kCrash };

  void SetUp() override {
    // Every transaction of others may be one of a lost flight.
    server_ = PostgresServer::start({.settings = {{"autovacuum", "off"}}});
    use(*server_);
    server_->sql("CREATE INDEX ON t (id)", database_);
    const auto& [lanes, in_flight] = GetParam();
    options_.parallelism = lanes;
    options_.in_flight_max = in_flight;
    options_.partition_by = "hash(id)";
    options_.batch_size = kRows;
    options_.transaction_size = kRows;
    batches_ = static_cast<uint64_t>(lanes) * 12;
  }
  void TearDown() override {
    sink_.reset();
    proxy_.reset();
  }
  void write(uint64_t batches) {
    for (uint64_t i = 0; i < batches; ++i) {
      const Status written = sink_->write(rows(++position_));
      ASSERT_TRUE(written) << written.error().to_string();
    }
  }
  void flush() {
    const Status flushed = sink_->flush();
    ASSERT_TRUE(flushed) << flushed.error().to_string();
  }
  /// A message of either side at which the connection dies.
  void strike(Effect effect) {
    const WireProxy::Rule rule{.side = random_() % 2 == 0 ? Side::kFrontend : Side::kBackend,
                               .type = 0,
                               .nth = 1 + static_cast<int>(random_() % 100),
                               .pass_on = random_() % 2 == 0,
                               .effect = effect};
    SCOPED_TRACE("message " + std::to_string(rule.nth));
    proxy_->set_rule(rule);
    do {
      write(batches_);
      flush();
    } while (!proxy_->fired() && !HasFatalFailure());
    proxy_->drop_orphans();
  }
  /// A backend is killed while it works, at whatever moment that is.
  void kill(int signal) {
    write(1 + random_() % batches_);
    const std::string busy =
        "SELECT min(pid) FROM pg_stat_activity WHERE application_name = 'pgsink/test'";
    server_->kill_backend(std::stoi(scalar(busy)), signal);
    write(batches_);
    if (signal == SIGKILL) server_->wait_until_ready();
    flush();
  }
  void cause(Fault fault) {
    switch (fault) {
      case Fault::kCut:
        return strike(Effect::kCut);
      case Fault::kOrphan:
        return strike(Effect::kOrphan);
      case Fault::kSwallow:
        return strike(Effect::kSwallow);
      case Fault::kTerminate:
        return kill(SIGTERM);
      case Fault::kCrash:
        return kill(SIGKILL);
    }
  }

  std::unique_ptr<PostgresServer> server_;
  std::mt19937_64 random_{17};
  uint64_t batches_ = 0;
};

// The counter is what the table shows, but for one flight of a fault: that of which only the answer
// to its COMMIT is missing, on a server that has crashed since.
TEST_P(RandomFaultsTest, PossibleDuplicatesAreThoseOfTheTable) {
  open();
  if (HasFatalFailure()) return;
  const int faults = from_environment("PGSINK_HALF_OPEN_FAULTS", 20);
  constexpr std::array kFaults{Fault::kCut, Fault::kOrphan, Fault::kSwallow, Fault::kTerminate,
                               Fault::kCrash};
  int64_t twice_in_all = 0;
  int exact = 0;
  for (int i = 1; i <= faults; ++i) {
    const Fault fault = kFaults[random_() % kFaults.size()];
    SCOPED_TRACE("fault " + std::to_string(i) + ": " + std::to_string(static_cast<int>(fault)));
    const uint64_t first = position_;
    const int64_t counted_before = counted();
    cause(fault);
    if (HasFatalFailure()) return;
    const std::string written = " FROM t WHERE id >= " + std::to_string((first + 1) * kRows);
    EXPECT_EQ(scalar("SELECT count(DISTINCT id)" + written),
              std::to_string((position_ - first) * kRows));
    const int64_t twice = std::stoll(scalar("SELECT count(*) - count(DISTINCT id)" + written));
    const int64_t said = counted() - counted_before;
    EXPECT_LE(twice, said);
    EXPECT_LE(said, twice + kRows) << "one flight";
    exact += said == twice ? 1 : 0;
    twice_in_all += twice;
  }
  std::cout << faults << " faults, " << twice_in_all << " rows twice, " << counted()
            << " possible duplicates; equal after " << exact << " of the faults\n";
}

INSTANTIATE_TEST_SUITE_P(Lanes, RandomFaultsTest,
                         testing::Values(std::tuple(1, 1), std::tuple(1, 16), std::tuple(4, 16)),
                         [](const auto& test) {
                           return "Lanes" + std::to_string(std::get<0>(test.param)) + "InFlight" +
                                  std::to_string(std::get<1>(test.param));
                         });

}  // namespace
}  // namespace pgsink::test
