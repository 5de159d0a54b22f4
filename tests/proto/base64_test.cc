#include <pgproto/base64.h>

#include <gtest/gtest.h>

namespace {

using namespace pgproto;

// Source: RFC 4648, section 10.
TEST(Base64, EncodesTheVectorsOfItsRfc) {
  const std::pair<std::string_view, std::string_view> vectors[] = {
      {"", ""},
      {"f", "Zg=="},
      {"fo", "Zm8="},
      {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="},
      {"fooba", "Zm9vYmE="},
      {"foobar", "Zm9vYmFy"},
  };
  for (const auto& [plain, encoded] : vectors) {
    EXPECT_EQ(base64_encode(as_bytes(plain)), encoded);
    const auto decoded = base64_decode(encoded);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(as_text(*decoded), plain);
  }
}

TEST(Base64, EveryByteSurvives) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) {
    bytes += static_cast<char>(i);
    const auto decoded = base64_decode(base64_encode(as_bytes(bytes)));
    ASSERT_TRUE(decoded);
    ASSERT_EQ(as_text(*decoded), bytes);
  }
}

TEST(Base64, RejectsAllButTheOneForm) {
  for (const char* bad : {"Z", "Zg", "Zg=", "Zg===", "====", "Z===", "Zh==", "Zm9=", "Zm 9v",
                          "Zm9v\n", "Zg==Zg==", "-_8=", "Zm9v=", "Zm9v===="}) {
    EXPECT_FALSE(base64_decode(bad)) << bad;
  }
}

}  // namespace
