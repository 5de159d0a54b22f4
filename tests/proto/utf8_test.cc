#include <pgproto/utf8.h>

#include <gtest/gtest.h>

namespace {

using namespace pgproto;

TEST(Utf8, EveryCodePointSurvives) {
  for (char32_t code = 0; code <= 0x10ffff; ++code) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    std::string text;
    utf8_append(text, code);
    std::string_view rest = text;
    ASSERT_EQ(utf8_decode_next(rest), code);
    ASSERT_TRUE(rest.empty());
  }
}

TEST(Utf8, RejectsWhatPostgresqlRejects) {
  const std::string_view bad[] = {
      "\x80",              // continuation alone
      "\xc0\x80",          // overlong NUL
      "\xc1\xbf",          // overlong
      "\xe0\x9f\xbf",      // overlong
      "\xf0\x8f\xbf\xbf",  // overlong
      "\xed\xa0\x80",      // surrogate
      "\xed\xbf\xbf",      // surrogate
      "\xf4\x90\x80\x80",  // above U+10FFFF
      "\xf8\x88\x80\x80\x80",
      "\xff",
      "\xc3",
      "\xe2\x82",
      "\xf0\x9f\x98",
      "\xc3(",
      "\xe2(\xa1",
  };
  for (const std::string_view text : bad) {
    EXPECT_FALSE(utf8_valid(text));
    EXPECT_FALSE(utf8_valid("ok" + std::string(text)));
    EXPECT_FALSE(utf8_valid(std::string(text) + "ok"));
  }
  EXPECT_TRUE(utf8_valid("grüße €😀"));
  EXPECT_TRUE(utf8_valid(""));
}

}  // namespace
