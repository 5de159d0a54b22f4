#include <cstring>
#include <string>

#include <pgproto/output_buffer.h>

#include <gtest/gtest.h>

namespace {

using namespace pgproto;

void append(OutputBuffer& out, std::string_view text) {
  std::byte* room = out.reserve(text.size());
  ASSERT_NE(room, nullptr);
  std::memcpy(room, text.data(), text.size());
  out.append(text.size());
}

TEST(OutputBuffer, KeepsTheOrderOverPartialSends) {
  OutputBuffer out;
  std::string expected;
  std::string sent;
  for (int i = 0; i < 2000; ++i) {
    const std::string text(static_cast<size_t>(i % 97) * 50, static_cast<char>('a' + i % 26));
    append(out, text);
    expected += text;
    const size_t size = std::min<size_t>(out.unsent().size(), static_cast<size_t>(i % 31) * 180);
    sent += as_text(out.unsent().first(size));
    out.mark_sent(size);
    ASSERT_EQ(out.sent_position(), sent.size());
    ASSERT_EQ(out.appended_position(), expected.size());
  }
  sent += as_text(out.unsent());
  EXPECT_EQ(sent, expected);
}

// The hot path: a chunk is written, all of it is sent, the next takes the same place.
TEST(OutputBuffer, ReusesOneAllocationWhenAllIsSentBeforeTheNextChunk) {
  OutputBuffer out;
  constexpr size_t kChunk = 64 * 1024 + 5;
  const std::byte* first = out.reserve(kChunk);
  out.append(kChunk);
  out.mark_sent(kChunk);
  const size_t capacity = out.capacity();
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(out.reserve(kChunk), first);
    out.append(kChunk - 7);
    out.mark_sent(1000);
    out.mark_sent(out.unsent().size());
  }
  EXPECT_EQ(out.capacity(), capacity);
}

TEST(OutputBuffer, RoomSurvivesThatAllElseIsSent) {
  OutputBuffer out;
  append(out, "before");
  std::byte* room = out.reserve(5);
  std::memcpy(room, "after", 5);
  out.mark_sent(6);
  out.append(5);
  EXPECT_EQ(as_text(out.unsent()), "after");
}

TEST(OutputBuffer, RoomThatIsNotUsedLeavesNoTrace) {
  OutputBuffer out;
  append(out, "a");
  ASSERT_NE(out.reserve(100'000), nullptr);
  out.release();
  append(out, "b");
  EXPECT_EQ(as_text(out.unsent()), "ab");
}

TEST(OutputBuffer, GivesAHugeBufferBack) {
  OutputBuffer out;
  constexpr size_t kHuge = size_t{17} << 20;
  ASSERT_NE(out.reserve(kHuge), nullptr);
  out.append(kHuge);
  out.mark_sent(kHuge - 1);
  EXPECT_GE(out.capacity(), kHuge);
  out.mark_sent(1);
  EXPECT_EQ(out.capacity(), 0U);
  append(out, "again");
  EXPECT_EQ(as_text(out.unsent()), "again");
}

TEST(OutputBuffer, RefusesASizeThatCannotBe) {
  OutputBuffer out;
  append(out, "a");
  EXPECT_EQ(out.reserve(SIZE_MAX), nullptr);
  EXPECT_EQ(as_text(out.unsent()), "a");
}

}  // namespace
