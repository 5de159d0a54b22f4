#include <cstring>
#include <string>

#include <pgproto/framer.h>

#include <gtest/gtest.h>

#include "support/backend_encoder.h"

namespace {

using namespace pgproto;
using pgsink::test::raw_message;

constexpr size_t kNoLimit = size_t{1} << 30;

void feed(Framer& framer, std::string_view bytes) {
  while (!bytes.empty()) {
    const MutableBytes space = framer.receive_space();
    ASSERT_GT(space.size(), 0U);
    const size_t count = std::min(space.size(), bytes.size());
    std::memcpy(space.data(), bytes.data(), count);
    framer.received(count);
    bytes.remove_prefix(count);
  }
}

std::string header(char type, uint32_t length) {
  std::string bytes(5, type);
  store_be(reinterpret_cast<std::byte*>(bytes.data()) + 1, length);
  return bytes;
}

TEST(Framer, CutsMessages) {
  Framer framer;
  feed(framer,
       raw_message('Z', "I") + raw_message('1', "") + raw_message('S', std::string(9, 'x')));
  auto first = framer.next(kNoLimit);
  ASSERT_TRUE(first && *first);
  EXPECT_EQ((*first)->type, 'Z');
  EXPECT_EQ(as_text((*first)->body), "I");
  auto second = framer.next(kNoLimit);
  ASSERT_TRUE(second && *second);
  EXPECT_EQ((*second)->type, '1');
  EXPECT_TRUE((*second)->body.empty());
  auto third = framer.next(kNoLimit);
  ASSERT_TRUE(third && *third);
  EXPECT_EQ(as_text((*third)->body), std::string(9, 'x'));
  auto none = framer.next(kNoLimit);
  ASSERT_TRUE(none);
  EXPECT_FALSE(*none);
}

TEST(Framer, WaitsForTheWholeMessage) {
  const std::string message = raw_message('D', "0123456789");
  for (size_t size = 0; size < message.size(); ++size) {
    Framer framer;
    feed(framer, std::string_view(message).substr(0, size));
    const auto none = framer.next(kNoLimit);
    ASSERT_TRUE(none);
    EXPECT_FALSE(*none) << size;
    feed(framer, std::string_view(message).substr(size));
    const auto some = framer.next(kNoLimit);
    ASSERT_TRUE(some && *some) << size;
    EXPECT_EQ(as_text((*some)->body), "0123456789");
  }
}

TEST(Framer, RejectsLengthBelowFour) {
  for (uint32_t length = 0; length < 4; ++length) {
    Framer framer;
    feed(framer, header('Z', length));
    const auto frame = framer.next(kNoLimit);
    ASSERT_FALSE(frame);
    EXPECT_EQ(frame.error().code, Errc::kProtocol);
  }
}

TEST(Framer, RejectsMessageAboveTheLimitBeforeItsBodyArrives) {
  Framer framer;
  feed(framer, header('E', 30'000));
  const auto frame = framer.next(30'000);
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().code, Errc::kLimit);
  EXPECT_NE(frame.error().message.find("30000"), std::string::npos);
  EXPECT_TRUE(framer.next(30'001));
}

TEST(Framer, RejectsNegativeLength) {
  Framer framer;
  feed(framer, header('E', 0xffffffff));
  const auto frame = framer.next(kNoLimit);
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().code, Errc::kLimit);
}

// Trap 4: memory follows what arrived, not what was announced.
TEST(Framer, HoldsLittleForAnAnnouncedGibibyte) {
  Framer framer;
  feed(framer, header('D', (1U << 30) - 2));
  feed(framer, std::string(100'000, 'x'));
  const auto frame = framer.next((size_t{1} << 30) - 1);
  ASSERT_TRUE(frame);
  EXPECT_FALSE(*frame);
  EXPECT_LT(framer.capacity(), size_t{1} << 20);
}

TEST(Framer, CapacityStaysProportionalToWhatIsBuffered) {
  Framer framer;
  feed(framer, header('D', 1U << 30));
  size_t received = 5;
  for (int i = 0; i < 64; ++i) {
    feed(framer, std::string(64 * 1024, 'x'));
    received += size_t{64} * 1024;
    EXPECT_LE(framer.capacity(), 4 * received + 16 * 1024);
  }
}

TEST(Framer, GivesALargeBufferBack) {
  Framer framer;
  feed(framer, raw_message('D', std::string(4 << 20, 'x')));
  EXPECT_GT(framer.capacity(), size_t{4} << 20);
  ASSERT_TRUE(*framer.next(kNoLimit));
  feed(framer, raw_message('Z', "I"));
  EXPECT_LE(framer.capacity(), size_t{256} * 1024);
  const auto frame = framer.next(kNoLimit);
  ASSERT_TRUE(frame && *frame);
  EXPECT_EQ((*frame)->type, 'Z');
}

TEST(Framer, KeepsOneBufferForAStreamOfMessages) {
  Framer framer;
  const std::string message = raw_message('D', std::string(1000, 'x'));
  for (int i = 0; i < 1000; ++i) {
    feed(framer, message);
    if (i % 3 == 0) continue;  // Leave some for later, so that cuts wander through the buffer.
    while (*framer.next(kNoLimit)) {
    }
  }
  EXPECT_EQ(framer.capacity(), size_t{16} * 1024);
}

}  // namespace
