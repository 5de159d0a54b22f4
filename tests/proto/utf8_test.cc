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

// The fast path looks at 32, 16, 8 and single bytes: a fault must be found wherever it stands.
TEST(Utf8, FindsTheFaultAtEveryPositionOfEveryLength) {
  for (size_t size = 1; size <= 80; ++size) {
    const std::string plain(size, 'x');
    EXPECT_EQ(utf8_fault_at(plain), std::string::npos);
    EXPECT_TRUE(is_plain_ascii(plain));
    for (size_t at = 0; at < size; ++at) {
      for (const char bad : {'\0', '\x80', '\xff'}) {
        std::string text = plain;
        text[at] = bad;
        EXPECT_EQ(utf8_fault_at(text), at) << size;
        EXPECT_FALSE(is_plain_ascii(text));
        EXPECT_FALSE(utf8_is_text(text));
        EXPECT_EQ(utf8_valid(text), bad == '\0');
        EXPECT_EQ(code_point_at(text, at).valid, bad == '\0');
      }
      std::string good = plain;
      good.replace(at, 1, "é€😀");
      EXPECT_TRUE(utf8_is_text(good));
      EXPECT_TRUE(utf8_valid(good));
      EXPECT_FALSE(is_plain_ascii(good));
      EXPECT_EQ(utf8_length(good), size + 2);
      good.insert(at + 9, "\xc3");
      EXPECT_EQ(utf8_fault_at(good), at + 9);
    }
  }
  EXPECT_TRUE(is_plain_ascii(""));
  EXPECT_EQ(utf8_fault_at(""), std::string::npos);
}

TEST(Utf8, AnInvalidByteIsACodePointOfItsOwn) {
  const std::string text = "a\xf0\x9f\x98€";
  EXPECT_EQ(code_point_at(text, 0).value, U'a');
  const CodePoint cut = code_point_at(text, 1);
  EXPECT_EQ(cut.value, 0xfffdU);
  EXPECT_EQ(cut.bytes, 1U);
  EXPECT_FALSE(cut.valid);
  EXPECT_EQ(code_point_at(text, 4).value, U'€');
  EXPECT_EQ(code_point_at(text, 4).bytes, 3U);
}

}  // namespace
