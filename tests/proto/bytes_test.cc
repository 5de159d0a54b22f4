#include <pgproto/bytes.h>

#include <gtest/gtest.h>

namespace {

using namespace pgproto;

TEST(ByteReader, ReadsNetworkOrder) {
  ByteReader reader(as_bytes(std::string_view("\x01\x02\x03\x04\xff\xfe", 6)));
  EXPECT_EQ(reader.read<uint32_t>(), 0x01020304U);
  EXPECT_EQ(reader.read<int16_t>(), -2);
  EXPECT_TRUE(reader.done());
}

TEST(ByteReader, FailureSticks) {
  ByteReader reader(as_bytes("abc"));
  EXPECT_EQ(reader.read<uint32_t>(), 0U);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.read<uint8_t>(), 0U);
  EXPECT_TRUE(reader.read_bytes(1).empty());
  EXPECT_EQ(reader.read_cstring(), "");
  EXPECT_FALSE(reader.done());
}

TEST(ByteReader, TextEndsAtNulOrFails) {
  ByteReader reader(as_bytes(std::string_view("ab\0\0cd", 6)));
  EXPECT_EQ(reader.read_cstring(), "ab");
  EXPECT_EQ(reader.read_cstring(), "");
  EXPECT_EQ(reader.read_cstring(), "");
  EXPECT_FALSE(reader.ok());
}

TEST(ByteReader, CountMustFitTheBytesThatAreThere) {
  const std::string_view three_pairs("\0\3aabbcc", 8);
  EXPECT_EQ(ByteReader(as_bytes(three_pairs)).read_count_u16(2), 3U);
  ByteReader too_many(as_bytes(three_pairs));
  EXPECT_EQ(too_many.read_count_u16(3), 0U);
  EXPECT_FALSE(too_many.ok());
}

TEST(ByteReader, EmptyInput) {
  ByteReader reader({});
  EXPECT_TRUE(reader.done());
  EXPECT_TRUE(reader.read_bytes(0).empty());
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.read_cstring(), "");
  EXPECT_FALSE(reader.ok());
}

TEST(Sqlstate, TakesOnlyFiveLettersAndDigits) {
  EXPECT_EQ(Sqlstate("23505").view(), "23505");
  EXPECT_EQ(Sqlstate("57P01").class_code(), "57");
  for (const char* bad : {"", "2350", "235055", "23505\n", "2350a", "23 05"}) {
    EXPECT_EQ(Sqlstate(bad).view(), "XX000") << bad;
  }
  EXPECT_FALSE(Sqlstate().is_set());
}

}  // namespace
