#include <string>
#include <string_view>

#include <pgproto/saslprep.h>

#include <gtest/gtest.h>

namespace {

using namespace pgproto;
using namespace std::string_view_literals;

struct Vector {
  std::string_view input;
  std::string_view prepared;
  const char* why;
};

// Source: RFC 4013, section 3, and what PostgreSQL's pg_saslprep() answers.
constexpr Vector kPrepared[] = {
    {"user"sv, "user"sv, "no change"},
    {"USER"sv, "USER"sv, "case preserved"},
    {"I\xc2\xadX"sv, "IX"sv, "SOFT HYPHEN mapped to nothing"},
    {"\xc2\xaa"sv, "a"sv, "NFKC of FEMININE ORDINAL INDICATOR"},
    {"\xe2\x85\xa8"sv, "IX"sv, "NFKC of ROMAN NUMERAL NINE"},
    {"a\xc2\xa0z"sv, "a z"sv, "NO-BREAK SPACE mapped to a space"},
    {"a\xe2\x80\x8bz"sv, "a z"sv, "ZERO WIDTH SPACE is a space (C.1.2) before it is nothing (B.1)"},
    {"e\xcc\x81"sv, "\xc3\xa9"sv, "composition"},
    {"\xc3\xa9"sv, "\xc3\xa9"sv, "composed already"},
    {"a\xcc\xa3\xcc\x81"sv, "\xe1\xba\xa1\xcc\x81"sv,
     "order of combining characters: below, above"},
    {"a\xcc\x81\xcc\xa3"sv, "\xe1\xba\xa1\xcc\x81"sv, "reordered before composition"},
    {"\xef\xac\x81"sv, "fi"sv, "ligature"},
    {"\xef\xbc\xa1"sv, "A"sv, "full width"},
    {"\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8"sv, "\xea\xb0\x81"sv, "Hangul composed by arithmetic"},
    {"\xea\xb0\x81"sv, "\xea\xb0\x81"sv, "Hangul survives"},
    {"\xd8\xa7\xd8\xa8"sv, "\xd8\xa7\xd8\xa8"sv, "right to left from end to end"},
    {"\xd8\xa7"
     "1\xd8\xa7"sv,
     "\xd8\xa7"
     "1\xd8\xa7"sv,
     "digits inside are allowed"},
    {"\xf0\xa0\x80\x80"sv, "\xf0\xa0\x80\x80"sv, "a supplementary ideograph"},
    {"\xf0\xaf\xa1\xa8"sv, "\xe3\x9b\xbc"sv, "U+2F868 as corrected after Unicode 3.2"},
};

// Trap 8: what SASLprep forbids is used as raw bytes, because the server does so.
constexpr Vector kRaw[] = {
    {"\x07"sv, "\x07"sv, "ASCII is never touched, not even a control character"},
    {""sv, ""sv, "empty"},
    {"\xc2\xad"sv, "\xc2\xad"sv, "would become empty"},
    {"\xe2\x85\xa8\xc2\x80"sv, "\xe2\x85\xa8\xc2\x80"sv,
     "a C1 control: the IX stays unprepared too"},
    {"\xe2\x85\xa8\xee\x80\x80"sv, "\xe2\x85\xa8\xee\x80\x80"sv, "private use"},
    {"\xc2\xaa\xef\xbf\xbd"sv, "\xc2\xaa\xef\xbf\xbd"sv, "REPLACEMENT CHARACTER"},
    {"\xc2\xaa\xe2\x80\xae"sv, "\xc2\xaa\xe2\x80\xae"sv, "RIGHT-TO-LEFT OVERRIDE"},
    {"\xc2\xaa\xc8\xa1"sv, "\xc2\xaa\xc8\xa1"sv, "U+0221, unassigned in Unicode 3.2"},
    {"\xc2\xaa\xf0\x9f\x98\x80"sv, "\xc2\xaa\xf0\x9f\x98\x80"sv, "an emoji, unassigned in 3.2"},
    {"\xd8\xa7"
     "1"sv,
     "\xd8\xa7"
     "1"sv,
     "right to left, but ends in a digit"},
    {"\xd8\xa7"
     "a\xd8\xa7"sv,
     "\xd8\xa7"
     "a\xd8\xa7"sv,
     "both directions"},
    {"\xc2\xaa\xff"sv, "\xc2\xaa\xff"sv, "not UTF-8"},
    {"\xc2\xaa\xc3"sv, "\xc2\xaa\xc3"sv, "not UTF-8 at its end"},
    {"\xc2\xaa\xed\xa0\x80"sv, "\xc2\xaa\xed\xa0\x80"sv, "a surrogate"},
};

TEST(Saslprep, PreparesAsTheRfcSays) {
  for (const Vector& v : kPrepared) EXPECT_EQ(saslprep(v.input), v.prepared) << v.why;
}

TEST(Saslprep, TakesRawBytesWhereTheServerDoes) {
  for (const Vector& v : kRaw) EXPECT_EQ(saslprep(v.input), v.prepared) << v.why;
}

TEST(Saslprep, PreparingTwiceChangesNothing) {
  for (const Vector& v : kPrepared) EXPECT_EQ(saslprep(v.prepared), v.prepared) << v.why;
}

}  // namespace
