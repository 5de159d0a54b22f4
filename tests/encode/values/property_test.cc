// Random values, extremes among them, through a real server: more than 10^5 in all. The expected
// texts are made here from the same random digits, without the encoder's help; then the server's
// texts are encoded again as text, and must give the same bytes.

#include <bit>
#include <chrono>
#include <cmath>
#include <limits>
#include <random>

#include <pgproto/oid.h>

#include <pgsink/encode/rows/row_encoder.h>

#include <gtest/gtest.h>

#include "support/arrow_builder.h"
#include "support/copy_harness.h"

namespace pgsink {
namespace {

using test::arrow_fixed;
using test::arrow_text;
using test::ArrowNode;
using test::CopyTable;
using test::Encoded;
using test::Nullable;

constexpr size_t kRows = 9000;

using Texts = std::vector<std::optional<std::string>>;

/// Random is seeded with a constant: a failure repeats.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  uint64_t bits() { return engine_(); }
  uint64_t below(uint64_t end) { return engine_() % end; }
  int64_t between(int64_t least, int64_t most) {
    return least + static_cast<int64_t>(
                       below(static_cast<uint64_t>(most) - static_cast<uint64_t>(least) + 1));
  }
  bool one_in(uint64_t n) { return below(n) == 0; }
  /// 64 bits with any number of leading zeros.
  uint64_t any_size() { return bits() >> below(64); }
  template <class T>
  const T& pick(const std::vector<T>& from) {
    return from[below(from.size())];
  }
  std::string digits(size_t count) {
    std::string text;
    while (text.size() < count) text += static_cast<char>('0' + below(10));
    return text;
  }

 private:
  std::mt19937_64 engine_;
};

const std::string& database() {
  static const std::string name = test::shared_server().create_database("property", true);
  return name;
}

Encoded encode_column(ArrowNode column, const CopyTable& table) {
  column.name = "c0";
  const RecordBatch batch = test::import_columns({std::move(column)});
  auto encoder = RowEncoder::create(test::encode_columns(batch, table.columns()), table.types());
  if (!encoder) throw std::runtime_error(encoder.error().to_string());
  return test::encode_all(*encoder, batch, {0, batch.row_count(), nullptr});
}

/// Writes a column, expects those texts, and the same bytes from the texts.
void expect_texts(const std::string& sql_type, const ArrowNode& column, const Texts& expected) {
  SCOPED_TRACE(sql_type);
  CopyTable table(test::shared_server(), database(), "property", {sql_type});
  const Encoded encoded = encode_column(column, table);
  for (const Rejection& rejection : encoded.rejected) {
    ADD_FAILURE() << rejection.error.to_string();
    return;
  }
  ASSERT_EQ(table.copy(encoded.tuples), "");
  const test::SqlRows rows = table.rows();
  ASSERT_EQ(rows.size(), expected.size());
  size_t wrong = 0;
  Nullable<std::string> texts;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i][0] != expected[i] && ++wrong < 10) {
      ADD_FAILURE() << "row " << i << ": " << rows[i][0].value_or("NULL") << ", expected "
                    << expected[i].value_or("NULL");
    }
    texts.push_back(rows[i][0]);
  }
  EXPECT_EQ(wrong, 0U);
  const Encoded again = encode_column(arrow_text("u", texts), table);
  for (const Rejection& rejection : again.rejected) ADD_FAILURE() << rejection.error.to_string();
  EXPECT_TRUE(again.tuples == encoded.tuples) << "text of " << sql_type << " gives other bytes";
}

template <class T, class Make>
void run(const std::string& sql_type, const std::string& format, uint64_t seed, Make&& make) {
  Random random(seed);
  Nullable<T> values;
  Texts expected;
  for (size_t i = 0; i < kRows; ++i) {
    if (random.one_in(10)) {
      values.emplace_back();
      expected.emplace_back();
    } else {
      T value{};
      expected.push_back(make(random, value));
      values.emplace_back(value);
    }
  }
  expect_texts(sql_type, arrow_fixed(format, values), expected);
}

// ---- integers -----------------------------------------------------------------------------------

TEST(Property, IntegersOfEverySizeIntoBigint) {
  const std::vector<int64_t> extremes = {std::numeric_limits<int64_t>::min(),
                                         std::numeric_limits<int64_t>::max(), 0, -1, 1};
  run<int64_t>("bigint", "l", 1, [&](Random& random, int64_t& value) {
    value = random.one_in(20) ? random.pick(extremes) : static_cast<int64_t>(random.any_size());
    return std::to_string(value);
  });
}

TEST(Property, IntegersOfEverySizeIntoNumeric) {
  run<uint64_t>("numeric", "L", 2, [](Random& random, uint64_t& value) {
    value = random.one_in(20) ? std::numeric_limits<uint64_t>::max() : random.any_size();
    return std::to_string(value);
  });
}

TEST(Property, SmallIntegersIntoTextAndInteger) {
  run<int32_t>("integer", "i", 3, [](Random& random, int32_t& value) {
    value = static_cast<int32_t>(random.bits() >> random.below(64));
    return std::to_string(value);
  });
}

// ---- floats: compared as bits, so that no formatting is in between ------------------------------

TEST(Property, DoublesKeepEveryBit) {
  Random random(4);
  Nullable<double> values;
  std::vector<uint64_t> bits;
  const std::vector<double> extremes = {0.0,
                                        -0.0,
                                        5e-324,
                                        -5e-324,
                                        2.2250738585072009e-308,
                                        1.7976931348623157e308,
                                        std::numeric_limits<double>::infinity(),
                                        -std::numeric_limits<double>::infinity(),
                                        std::numeric_limits<double>::quiet_NaN(),
                                        1e23,
                                        9007199254740993.0};
  for (size_t i = 0; i < kRows; ++i) {
    double value = random.one_in(10) ? random.pick(extremes) : std::bit_cast<double>(random.bits());
    if (std::isnan(value)) value = extremes[8];
    if (i < 2098) value = std::ldexp(1.0, static_cast<int>(i) - 1074);  // all powers of two
    values.emplace_back(value);
    bits.push_back(std::bit_cast<uint64_t>(value));
  }
  CopyTable table(test::shared_server(), database(), "doubles", {"float8"});
  const Encoded encoded = encode_column(arrow_fixed("g", values), table);
  ASSERT_TRUE(encoded.rejected.empty());
  ASSERT_EQ(table.copy(encoded.tuples), "");
  EXPECT_TRUE(table.binary() == encoded.tuples);
  // The server's shortest text, read by our parser, and ours, read by the server: the same bits.
  const test::SqlRows rows = table.rows();
  Nullable<std::string> texts;
  for (const test::SqlRow& row : rows) texts.push_back(row[0]);
  EXPECT_TRUE(encode_column(arrow_text("u", texts), table).tuples == encoded.tuples);
  CopyTable text_table(test::shared_server(), database(), "double_texts", {"text"});
  ASSERT_EQ(text_table.copy(encode_column(arrow_fixed("g", values), text_table).tuples), "");
  const test::SqlRows ours = text_table.rows();
  size_t wrong = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (ours[i][0] != rows[i][0] && ++wrong < 10) {
      ADD_FAILURE() << *ours[i][0] << " where the server prints " << *rows[i][0];
    }
  }
}

TEST(Property, SinglesKeepEveryBitAndPrintAsTheServerDoes) {
  Random random(5);
  Nullable<float> values;
  for (size_t i = 0; i < kRows; ++i) {
    const auto value = std::bit_cast<float>(static_cast<uint32_t>(random.bits()));
    const float power = std::ldexp(1.0F, static_cast<int>(i) - 149);
    values.emplace_back(i < 277 ? power : std::isnan(value) ? 0.1F : value);
  }
  CopyTable table(test::shared_server(), database(), "singles", {"float4"});
  const Encoded encoded = encode_column(arrow_fixed("f", values), table);
  ASSERT_EQ(table.copy(encoded.tuples), "");
  EXPECT_TRUE(table.binary() == encoded.tuples);
  const test::SqlRows rows = table.rows();
  CopyTable text_table(test::shared_server(), database(), "single_texts", {"text"});
  ASSERT_EQ(text_table.copy(encode_column(arrow_fixed("f", values), text_table).tuples), "");
  EXPECT_TRUE(text_table.rows() == rows);
}

// ---- numeric: digits first, then the number that has them ---------------------------------------

/// 256 bits, least significant word first.
struct Words {
  uint64_t words[4] = {0, 0, 0, 0};

  void append_digit(unsigned digit) {
    unsigned __int128 carry = digit;
    for (uint64_t& word : words) {
      carry += static_cast<unsigned __int128>(word) * 10;
      word = static_cast<uint64_t>(carry);
      carry >>= 64;
    }
  }
  void negate() {
    unsigned __int128 carry = 1;
    for (uint64_t& word : words) {
      carry += ~word;
      word = static_cast<uint64_t>(carry);
      carry >>= 64;
    }
  }
};

/// Digits with runs of zeros, so that groups of four vanish at the ends and in the middle.
std::string numeric_digits(Random& random, size_t most) {
  std::string digits = random.digits(1 + random.below(most));
  for (int runs = 0; runs < 2 && random.one_in(2); ++runs) {
    const size_t from = random.below(digits.size());
    const size_t count = std::min(random.below(14), digits.size() - from);
    for (size_t i = 0; i < count; ++i) digits[from + i] = '0';
  }
  return digits;
}

std::string numeric_text(std::string digits, size_t scale, bool negative) {
  if (digits.size() <= scale) digits.insert(0, scale + 1 - digits.size(), '0');
  const bool zero = digits.find_first_not_of('0') == std::string::npos;
  std::string whole = digits.substr(0, digits.size() - scale);
  whole.erase(0, std::min(whole.find_first_not_of('0'), whole.size() - 1));
  return (negative && !zero ? "-" : "") + whole +
         (scale > 0 ? "." + digits.substr(digits.size() - scale) : "");
}

template <class T>
void run_decimals(size_t most_digits, size_t scale, const std::string& bits, uint64_t seed) {
  run<T>("numeric", "d:76," + std::to_string(scale) + "," + bits, seed,
         [&](Random& random, T& value) {
           const std::string digits = numeric_digits(random, most_digits);
           const bool negative = random.one_in(2);
           Words words;
           for (const char c : digits) words.append_digit(static_cast<unsigned>(c - '0'));
           if (negative) words.negate();
           std::memcpy(&value, words.words, sizeof(T));
           return numeric_text(digits, scale, negative);
         });
}

struct Wide128 {
  uint64_t words[2];
};
struct Wide256 {
  uint64_t words[4];
};

TEST(Property, DecimalsOfEveryScaleIntoNumeric) {
  for (const size_t scale : {0U, 1U, 2U, 3U, 4U, 7U, 18U}) {
    run_decimals<int64_t>(18, scale, "64", 100 + scale);
  }
  for (const size_t scale : {0U, 4U, 5U, 19U, 20U, 37U}) {
    run_decimals<Wide128>(38, scale, "128", 200 + scale);
  }
  for (const size_t scale : {0U, 3U, 40U, 76U})
    run_decimals<Wide256>(76, scale, "256", 300 + scale);
  run_decimals<int32_t>(9, 2, "32", 400);
}

TEST(Property, DecimalsIntoAConstrainedNumeric) {
  Random random(6);
  Nullable<int64_t> values;
  Texts expected;
  for (size_t i = 0; i < kRows; ++i) {
    const std::string digits = numeric_digits(random, 18);
    const bool negative = random.one_in(2);
    const int64_t magnitude = std::stoll(digits);
    values.emplace_back(negative ? -magnitude : magnitude);
    expected.emplace_back(numeric_text(digits, 4, negative));
  }
  expect_texts("numeric(18,4)", arrow_fixed("d:18,4,64", values), expected);
}

TEST(Property, LongNumericsFromText) {
  Random random(7);
  Nullable<std::string> values;
  Texts expected;
  for (size_t i = 0; i < 1500; ++i) {
    const std::string digits = numeric_digits(random, random.one_in(20) ? 20'000 : 200);
    const size_t scale = random.below(std::min<size_t>(digits.size() + 50, 16'383));
    expected.emplace_back(numeric_text(digits, scale, random.one_in(2)));
    values.push_back(expected.back());
  }
  values.emplace_back("1e-16383");
  expected.emplace_back("0." + std::string(16'382, '0') + "1");
  expect_texts("numeric", arrow_text("u", values), expected);
}

// ---- dates and times: the calendar of <chrono>, moved by eras of 400 years ----------------------

struct Day {
  int64_t year = 0;  ///< Astronomical.
  unsigned month = 1;
  unsigned day = 1;
  int64_t since_1970 = 0;
};

Day random_day(Random& random, int64_t first_year, int64_t last_year) {
  Day made;
  made.year = random.one_in(4) ? random.between(1900, 2100) : random.between(first_year, last_year);
  made.month = static_cast<unsigned>(1 + random.below(12));
  made.day = static_cast<unsigned>(1 + random.below(28));
  if (random.one_in(8)) {  // the 29th of February, where there is one
    made.month = 2;
    const bool leap = made.year % 4 == 0 && (made.year % 100 != 0 || made.year % 400 == 0);
    made.day = leap ? 29 : 28;
  }
  const int64_t era = made.year >= 0 ? made.year / 400 : (made.year - 399) / 400;
  const auto within = static_cast<int>(made.year - era * 400 + 2000);
  const std::chrono::sys_days days{std::chrono::year(within) / static_cast<int>(made.month) /
                                   static_cast<int>(made.day)};
  made.since_1970 = days.time_since_epoch().count() + (era - 5) * 146'097;
  return made;
}

std::string padded(int64_t number, size_t width) {
  std::string text = std::to_string(number);
  return text.size() < width ? std::string(width - text.size(), '0') + text : text;
}

std::string day_text(const Day& day) {
  return padded(day.year > 0 ? day.year : 1 - day.year, 4) + "-" + padded(day.month, 2) + "-" +
         padded(day.day, 2);
}

std::string era_text(const Day& day) { return day.year > 0 ? "" : " BC"; }

std::string clock_text(int64_t micros) {
  std::string text = padded(micros / 3'600'000'000, 2) + ":" + padded(micros / 60'000'000 % 60, 2) +
                     ":" + padded(micros / 1'000'000 % 60, 2);
  if (micros % 1'000'000 == 0) return text;
  text += "." + padded(micros % 1'000'000, 6);
  return text.substr(0, text.find_last_not_of('0') + 1);
}

constexpr int64_t kDayMicros = 86'400'000'000;

TEST(Property, DatesOfAllAges) {
  run<int32_t>("date", "tdD", 8, [](Random& random, int32_t& value) {
    const Day day = random_day(random, -4712, 5'874'896);
    value = static_cast<int32_t>(day.since_1970);
    return day_text(day) + era_text(day);
  });
}

TEST(Property, TimestampsOfAllAgesInMicroseconds) {
  for (const bool utc : {false, true}) {
    run<int64_t>(utc ? "timestamptz" : "timestamp", utc ? "tsu:UTC" : "tsu:", utc ? 9 : 10,
                 [utc](Random& random, int64_t& value) {
                   const Day day = random_day(random, -4712, 294'246);
                   const int64_t micros =
                       random.between(0, kDayMicros - 1) / (random.one_in(3) ? 1'000'000 : 1);
                   value = day.since_1970 * kDayMicros + micros;
                   return day_text(day) + " " + clock_text(micros) + (utc ? "+00" : "") +
                          era_text(day);
                 });
  }
}

TEST(Property, TimestampsInSecondsReachTheEndOfTheRange) {
  run<int64_t>("timestamp", "tss:", 11, [](Random& random, int64_t& value) {
    const Day day = random_day(random, -4712, 294'276);
    const int64_t seconds = random.between(0, 86'399);
    value = day.since_1970 * 86'400 + seconds;
    return day_text(day) + " " + clock_text(seconds * 1'000'000) + era_text(day);
  });
}

TEST(Property, TimesIncludingMidnightAtTheEnd) {
  run<int64_t>("time", "ttu", 12, [](Random& random, int64_t& value) {
    value = random.one_in(20) ? kDayMicros : random.between(0, kDayMicros);
    return clock_text(value);
  });
}

struct MonthDayNano {
  int32_t months = 0, days = 0;
  int64_t nanos = 0;
};

TEST(Property, IntervalsOfAllSigns) {
  Random random(13);
  Nullable<MonthDayNano> values;
  std::vector<std::array<int64_t, 3>> fields;
  for (size_t i = 0; i < kRows; ++i) {
    MonthDayNano value;
    value.months = random.one_in(3) ? 0 : static_cast<int32_t>(random.bits() >> random.below(64));
    value.days = random.one_in(3) ? 0 : static_cast<int32_t>(random.bits() >> random.below(64));
    const auto micros = static_cast<int64_t>(random.any_size()) / 1000;
    value.nanos = random.one_in(3) ? 0 : micros * 1000;
    values.emplace_back(value);
    fields.push_back({value.months, value.days, value.nanos / 1000});
  }
  CopyTable table(test::shared_server(), database(), "intervals", {"interval"});
  const Encoded encoded = encode_column(arrow_fixed("tin", values), table);
  ASSERT_TRUE(encoded.rejected.empty());
  ASSERT_EQ(table.copy(encoded.tuples), "");
  // The server's text, through our parser and through our printer.
  const test::SqlRows rows = table.rows();
  Nullable<std::string> texts;
  for (const test::SqlRow& row : rows) texts.push_back(row[0]);
  const Encoded again = encode_column(arrow_text("u", texts), table);
  for (const Rejection& rejection : again.rejected) ADD_FAILURE() << rejection.error.to_string();
  EXPECT_TRUE(again.tuples == encoded.tuples);
  CopyTable text_table(test::shared_server(), database(), "interval_texts", {"text"});
  ASSERT_EQ(text_table.copy(encode_column(arrow_fixed("tin", values), text_table).tuples), "");
  EXPECT_TRUE(text_table.rows() == rows);
  // And its own binary has the fields that went in.
  const std::vector<std::byte> binary = table.binary();
  ASSERT_EQ(binary.size(), kRows * 22);
  for (size_t i = 0; i < kRows; ++i) {
    const std::byte* const at = binary.data() + i * 22 + 6;
    ASSERT_EQ(pgproto::load_be<int64_t>(at), fields[i][2]);
    ASSERT_EQ(pgproto::load_be<int32_t>(at + 8), fields[i][1]);
    ASSERT_EQ(pgproto::load_be<int32_t>(at + 12), fields[i][0]);
  }
}

// ---- bytes --------------------------------------------------------------------------------------

std::string random_text(Random& random, size_t most) {
  std::string text;
  const size_t count = random.below(most + 1);
  for (size_t i = 0; i < count; ++i) {
    char32_t c = 0;
    switch (random.below(6)) {
      case 0:
        c = static_cast<char32_t>(random.between(0x80, 0x7ff));
        break;
      case 1:
        c = static_cast<char32_t>(random.between(0x800, 0xd7ff));
        break;
      case 2:
        c = static_cast<char32_t>(random.between(0x10000, 0x10ffff));
        break;
      default:
        c = static_cast<char32_t>(random.between(1, 0x7f));
        break;
    }
    if (c < 0x80) {
      text += static_cast<char>(c);
    } else if (c < 0x800) {
      text += static_cast<char>(0xc0 | c >> 6);
      text += static_cast<char>(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
      text += static_cast<char>(0xe0 | c >> 12);
      text += static_cast<char>(0x80 | (c >> 6 & 0x3f));
      text += static_cast<char>(0x80 | (c & 0x3f));
    } else {
      text += static_cast<char>(0xf0 | c >> 18);
      text += static_cast<char>(0x80 | (c >> 12 & 0x3f));
      text += static_cast<char>(0x80 | (c >> 6 & 0x3f));
      text += static_cast<char>(0x80 | (c & 0x3f));
    }
  }
  return text;
}

TEST(Property, TextOfAllLengthsAndScripts) {
  for (const char* format : {"u", "U", "vu"}) {
    Random random(14);
    Nullable<std::string> values;
    Texts expected;
    for (size_t i = 0; i < kRows; ++i) {
      if (random.one_in(10)) {
        values.emplace_back();
      } else {
        values.emplace_back(random.one_in(3) ? random.digits(random.below(400))
                                             : random_text(random, random.one_in(50) ? 3000 : 40));
      }
      expected.push_back(values.back());
    }
    expect_texts("text", arrow_text(format, values), expected);
  }
}

TEST(Property, BytesOfAllValues) {
  Random random(15);
  Nullable<std::string> values;
  Texts expected;
  for (size_t i = 0; i < kRows; ++i) {
    std::string bytes;
    std::string hex = "\\x";
    for (size_t k = random.below(50); k > 0; --k) {
      const auto byte = static_cast<unsigned>(random.below(256));
      bytes += static_cast<char>(byte);
      hex += "0123456789abcdef"[byte >> 4];
      hex += "0123456789abcdef"[byte & 15];
    }
    values.emplace_back(bytes);
    expected.emplace_back(hex);
  }
  expect_texts("bytea", arrow_text("z", values), expected);
}

TEST(Property, Uuids) {
  Random random(16);
  Nullable<std::string> values;
  Texts expected;
  for (size_t i = 0; i < kRows; ++i) {
    std::string bytes;
    std::string text;
    for (size_t k = 0; k < 16; ++k) {
      const auto byte = static_cast<unsigned>(random.below(256));
      bytes += static_cast<char>(byte);
      text += "0123456789abcdef"[byte >> 4];
      text += "0123456789abcdef"[byte & 15];
      if (k == 3 || k == 5 || k == 7 || k == 9) text += '-';
    }
    values.emplace_back(bytes);
    expected.emplace_back(text);
  }
  expect_texts("uuid", arrow_text("w:16", values).extended("arrow.uuid"), expected);
}

// ---- arrays -------------------------------------------------------------------------------------

TEST(Property, ArraysOfIntegersWithNulls) {
  Random random(17);
  Nullable<size_t> sizes;
  Nullable<int32_t> elements;
  Texts expected;
  for (size_t i = 0; i < kRows; ++i) {
    if (random.one_in(10)) {
      sizes.emplace_back();
      expected.emplace_back();
      continue;
    }
    const size_t size = random.one_in(200) ? 600 : random.below(8);
    std::string text = "{";
    for (size_t k = 0; k < size; ++k) {
      if (k != 0) text += ',';
      if (random.one_in(6)) {
        elements.emplace_back();
        text += "NULL";
      } else {
        elements.emplace_back(static_cast<int32_t>(random.bits() >> random.below(64)));
        text += std::to_string(*elements.back());
      }
    }
    sizes.emplace_back(size);
    expected.emplace_back(text + "}");
  }
  expect_texts("int[]", test::arrow_list("+l", sizes, arrow_fixed("i", elements)), expected);
}

}  // namespace
}  // namespace pgsink
