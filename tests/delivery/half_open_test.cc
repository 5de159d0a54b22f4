// Half-open connections: at each of the messages of a transaction, in every delivery and with
// several lanes, everything is swallowed from there on; and random faults, after each of which the
// sink's count of possible duplicates is compared with the table.
//
// PGSINK_HALF_OPEN_STEPS sets how many messages of each side are tried, PGSINK_HALF_OPEN_FAULTS how
// many random faults there are.

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iostream>
#include <random>
#include <tuple>

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

class HalfOpenTest : public SilenceBase, public testing::WithParamInterface<std::tuple<Way, int>> {
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

TEST_P(HalfOpenTest, EachMessageMayBeTheLast) {
  const auto [way, lanes] = GetParam();
  deliver(way);
  options_.parallelism = lanes;
  options_.partition_by = "hash(id)";
  options_.batch_size = kRows;
  options_.transaction_size = kRows;
  open();
  if (HasFatalFailure()) return;
  const int steps = from_environment("PGSINK_HALF_OPEN_STEPS", 4);
  std::chrono::milliseconds longest{0};
  for (const Side side : {Side::kFrontend, Side::kBackend}) {
    for (int nth = 1; nth <= steps; ++nth) {
      SCOPED_TRACE(std::string(side == Side::kFrontend ? "client" : "server") + "'s message " +
                   std::to_string(nth));
      const auto began = std::chrono::steady_clock::now();
      proxy_->set_rule({.side = side, .type = 0, .nth = nth, .effect = Effect::kSwallow});
      write_until_fired();
      if (HasFatalFailure()) return;
      longest = std::max(longest, std::chrono::duration_cast<std::chrono::milliseconds>(
                                      std::chrono::steady_clock::now() - began));
      expect_all_there();
      if (way != Way::kAtLeastOnce) {
        EXPECT_EQ(doubled(), 0);
      }
      EXPECT_LE(doubled(), counted());
    }
  }
  std::cout << 2 * steps << " half-open connections, each noticed and replaced within "
            << longest.count() << " ms\n";
  const Status closed = sink_->close();
  EXPECT_TRUE(closed) << closed.error().to_string();
}

INSTANTIATE_TEST_SUITE_P(Way, HalfOpenTest,
                         testing::Combine(testing::Values(Way::kAtLeastOnce, Way::kExactlyOnce,
                                                          Way::kTwoPhase),
                                          testing::Values(1, 4)),
                         [](const auto& test) {
                           return name_of_way(std::get<0>(test.param)) +
                                  std::to_string(std::get<1>(test.param));
                         });

class RandomFaultsTest : public HalfOpenTest {};

// What is counted is what is there twice, but for one flight of a fault: its outcome was not known.
// With more flights sent at once, all of those count whose answers were lost.
TEST_P(RandomFaultsTest, PossibleDuplicatesAreThoseOfTheTable) {
  options_.in_flight_max = 1;
  options_.parallelism = std::get<1>(GetParam());
  options_.batch_size = kRows;
  options_.transaction_size = kRows;
  open();
  if (HasFatalFailure()) return;
  const int faults = from_environment("PGSINK_HALF_OPEN_FAULTS", 12);
  std::mt19937_64 random(17);
  const std::array effects{Effect::kCut, Effect::kOrphan, Effect::kSwallow};
  int64_t too_many = 0;
  for (int fault = 1; fault <= faults; ++fault) {
    const int64_t doubled_before = doubled();
    const int64_t counted_before = counted();
    const WireProxy::Rule rule{.side = random() % 2 == 0 ? Side::kFrontend : Side::kBackend,
                               .type = 0,
                               .nth = 1 + static_cast<int>(random() % 40),
                               .pass_on = random() % 2 == 0,
                               .effect = effects[random() % effects.size()]};
    SCOPED_TRACE("fault " + std::to_string(fault) + ": effect " +
                 std::to_string(static_cast<int>(rule.effect)) + " at message " +
                 std::to_string(rule.nth));
    proxy_->set_rule(rule);
    write_until_fired();
    if (HasFatalFailure()) return;
    expect_all_there();
    const int64_t twice = doubled() - doubled_before;
    const int64_t said = counted() - counted_before;
    EXPECT_LE(twice, said);
    EXPECT_LE(said, twice + kRows) << "one flight";
    too_many += said - twice;
  }
  std::cout << faults << " faults, " << doubled() << " rows twice, " << counted()
            << " possible duplicates\n";
  EXPECT_EQ(counted(), doubled() + too_many);
}

INSTANTIATE_TEST_SUITE_P(Lanes, RandomFaultsTest,
                         testing::Combine(testing::Values(Way::kAtLeastOnce),
                                          testing::Values(1, 4)),
                         [](const auto& test) {
                           return "Lanes" + std::to_string(std::get<1>(test.param));
                         });

}  // namespace
}  // namespace pgsink::test
