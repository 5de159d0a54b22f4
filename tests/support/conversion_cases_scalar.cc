#include <cmath>
#include <limits>

#include "support/conversion_cases.h"

namespace pgsink::test {
namespace {

using std::nullopt;

template <class T>
constexpr T kMin = std::numeric_limits<T>::min();
template <class T>
constexpr T kMax = std::numeric_limits<T>::max();

constexpr double kInfinity = std::numeric_limits<double>::infinity();
const double kNan = std::numeric_limits<double>::quiet_NaN();

ArrowNode int8s(const Nullable<int8_t>& v) { return arrow_fixed("c", v); }
ArrowNode int16s(const Nullable<int16_t>& v) { return arrow_fixed("s", v); }
ArrowNode int32s(const Nullable<int32_t>& v) { return arrow_fixed("i", v); }
ArrowNode int64s(const Nullable<int64_t>& v) { return arrow_fixed("l", v); }
ArrowNode uint8s(const Nullable<uint8_t>& v) { return arrow_fixed("C", v); }
ArrowNode uint16s(const Nullable<uint16_t>& v) { return arrow_fixed("S", v); }
ArrowNode uint32s(const Nullable<uint32_t>& v) { return arrow_fixed("I", v); }
ArrowNode uint64s(const Nullable<uint64_t>& v) { return arrow_fixed("L", v); }
ArrowNode halves(const Nullable<uint16_t>& v) { return arrow_fixed("e", v); }
ArrowNode floats(const Nullable<float>& v) { return arrow_fixed("f", v); }
ArrowNode doubles(const Nullable<double>& v) { return arrow_fixed("g", v); }
ArrowNode ticks(const std::string& format, const Nullable<int64_t>& v) {
  return arrow_fixed(format, v);
}
ArrowNode days(const Nullable<int32_t>& v) { return arrow_fixed("tdD", v); }

/// 128 bits as two words.
struct Wide {
  uint64_t low;
  uint64_t high;
};
Wide wide(int64_t value) {
  return {static_cast<uint64_t>(value), value < 0 ? ~uint64_t{0} : uint64_t{0}};
}
ArrowNode decimals(const std::string& scale, const Nullable<Wide>& v) {
  return arrow_fixed("d:38," + scale, v);
}
ArrowNode small_decimals(const std::string& scale, const Nullable<int64_t>& v) {
  Nullable<Wide> wides;
  for (const auto& value : v) wides.push_back(value ? std::optional(wide(*value)) : nullopt);
  return decimals(scale, wides);
}

struct Wide256 {
  uint64_t words[4];
};

}  // namespace

std::vector<ConversionCase> number_cases() {
  std::vector<ConversionCase> cases = {
      {"boolean", arrow_bool({true, false, nullopt, true}), {"true", "false", nullopt, "true"}},
      {"boolean",
       arrow_fixed<int8_t>("c", {0, 1, 2, nullopt}).extended("arrow.bool8"),
       {"false", "true", "true", nullopt}},

      // integers to integers
      {"smallint", int8s({-128, 127, nullopt}), {"-128", "127", nullopt}},
      {"smallint", uint8s({0, 255}), {"0", "255"}},
      {"smallint", int16s({kMin<int16_t>, kMax<int16_t>}), {"-32768", "32767"}},
      {"smallint", uint16s({1, 32768}), {"1", "!22003 32768 is not a whole number of the type's"}},
      {"smallint",
       int32s({-32768, -32769, 32767, 32768, nullopt}),
       {"-32768", "!22003 -32769", "32767", "!22003 -32768 to 32767", nullopt}},
      {"smallint", int64s({-1, kMin<int64_t>}), {"-1", "!22003 -9223372036854775808"}},
      {"smallint", uint64s({7, kMax<uint64_t>}), {"7", "!22003 18446744073709551615"}},
      {"integer", int8s({-1}), {"-1"}},
      {"integer", int16s({-300, nullopt, 300}), {"-300", nullopt, "300"}},
      {"integer",
       int32s({kMin<int32_t>, nullopt, kMax<int32_t>}),
       {"-2147483648", nullopt, "2147483647"}},
      {"integer", uint16s({65535}), {"65535"}},
      {"integer", uint32s({2147483647U, 2147483648U}), {"2147483647", "!22003 2147483648"}},
      {"integer", int64s({2147483647, -2147483649}), {"2147483647", "!22003 -2147483649"}},
      {"integer", uint64s({1, 1ULL << 32}), {"1", "!22003 4294967296"}},
      {"bigint", int8s({-5}), {"-5"}},
      {"bigint", int32s({-6}), {"-6"}},
      {"bigint", uint32s({kMax<uint32_t>}), {"4294967295"}},
      {"bigint",
       int64s({kMin<int64_t>, nullopt, kMax<int64_t>}),
       {"-9223372036854775808", nullopt, "9223372036854775807"}},
      {"bigint", uint64s({0, 1ULL << 63}), {"0", "!22003 9223372036854775808"}},
      {"oid", uint32s({0, kMax<uint32_t>}), {"0", "4294967295"}},
      {"oid",
       int32s({5, -1}),
       {"5", "!22003 -1 is not a whole number of the type's range 0 to 4294967295"}},
      {"oid", int64s({4294967295, 4294967296}), {"4294967295", "!22003 4294967296"}},

      // integers to floats: only what is exact
      {"real", int16s({-32768, 7}), {"-32768", "7"}},
      {"real",
       int32s({16777216, 16777217, -16777218}),
       {"1.6777216e+07", "!22003 16777217 would be rounded", "-1.6777218e+07"}},
      {"real", uint8s({200}), {"200"}},
      {"double precision", int32s({kMin<int32_t>}), {"-2147483648"}},
      {"double precision",
       int64s({9007199254740992, 9007199254740993, -9007199254740993, kMin<int64_t>,
               1152921504606846976, 0}),
       {"9.007199254740992e+15", "!22003 9007199254740993 would be rounded: double precision",
        "!22003 -9007199254740993", "-9.223372036854776e+18", "1.152921504606847e+18", "0"}},
      {"double precision",
       uint64s({kMax<uint64_t>, 1ULL << 63}),
       {"!22003 18446744073709551615", "9.223372036854776e+18"}},

      // integers to numeric
      {"numeric", int8s({-7}), {"-7"}},
      {"numeric",
       int64s({kMin<int64_t>, 0, 10000, 100000000, nullopt}),
       {"-9223372036854775808", "0", "10000", "100000000", nullopt}},
      {"numeric", uint64s({kMax<uint64_t>}), {"18446744073709551615"}},
      {"numeric(6,2)",
       int32s({9999, -9999, 10000, 0}),
       {"9999.00", "-9999.00", "!22003 10000 is out of range of numeric(6,2): less than 10^4",
        "0.00"}},
      {"numeric(3,-2)",
       int32s({99900, 100, 150, 99999, 100000}),
       {"99900", "100", "!22003 would be rounded", "!22003 99999",
        "!22003 100000 is out of range"}},
      {"numeric(3,5)", int32s({0, 1}), {"0.00000", "!22003 1 is out of range of numeric(3,5)"}},

      // floats
      {"smallint", floats({-3.0F, 2.5F}), {"-3", "!22003 2.5 is not a whole number"}},
      {"integer",
       doubles({2147483647.0, 2147483648.0, -0.0, kNan, nullopt}),
       {"2147483647", "!22003 2147483648", "0", "!22003 NaN", nullopt}},
      {"integer", halves({0x3c00, 0x3800}), {"1", "!22003 0.5"}},
      {"bigint",
       doubles({-9223372036854775808.0, 9223372036854775808.0, 1e15, kInfinity}),
       {"-9223372036854775808", "!22003 9.223372036854776e+18", "1000000000000000",
        "!22003 Infinity"}},
      {"oid", doubles({4294967295.0, -1.0}), {"4294967295", "!22003 -1"}},
      {"real",
       halves({0x3c00, 0xc000, 0x7bff, 0x0001, 0x7c00, 0xfc00, 0x7e00, nullopt}),
       {"1", "-2", "65504", "5.9604645e-08", "Infinity", "-Infinity", "NaN", nullopt}},
      {"real",
       floats({1.5F, -0.0F, 3.4028235e38F, 1e-45F, nullopt}),
       {"1.5", "-0", "3.4028235e+38", "1e-45", nullopt}},
      {"real",
       doubles({1.5, 0.1, 0.123456789, 1e300, kNan, -kInfinity, 1e-50, 16777217.0}),
       {"1.5", "0.1", "!22003 0.123456789 would be rounded: real cannot hold it exactly",
        "!22003 1e+300", "NaN", "-Infinity", "!22003 1e-50", "!22003 16777217"}},
      {"double precision", halves({0x3555}), {"0.333251953125"}},
      {"double precision", floats({0.1F}), {"0.10000000149011612"}},
      {"double precision",
       doubles({0.1, -0.0, kNan, kInfinity, -kInfinity, 5e-324, 1.7976931348623157e308, nullopt}),
       {"0.1", "-0", "NaN", "Infinity", "-Infinity", "5e-324", "1.7976931348623157e+308", nullopt}},
      {"numeric",
       doubles({0.1, -1.5, 1e22, 1e-7, 123456.789, 0.0, -0.0, kNan}),
       {"0.1", "-1.5", "10000000000000000000000", "0.0000001", "123456.789", "0", "0", "NaN"}},
      {"numeric", doubles({kInfinity, -kInfinity}), {"Infinity", "-Infinity"}, {}, true},
      {"numeric", floats({0.1F}), {"0.1"}},
      {"numeric(10,2)",
       doubles({1.25, 1.125, kNan, kInfinity, 123456789.0}),
       {"1.25",
        "!22003 1.125 would be rounded: the type is numeric(10,2), at most 2 digits after the "
        "decimal point",
        "NaN", "!22003 an infinite value does not fit numeric(10,2)",
        "!22003 123456789 is out of range"}},

      // decimals
      {"smallint",
       small_decimals("2", {1200, 1234, -3276800, -3276900}),
       {"12", "!22003 12.34 is not a whole number", "-32768", "!22003 -32769.00"}},
      {"integer", small_decimals("0", {-5, 2147483648}), {"-5", "!22003 2147483648"}},
      {"bigint",
       decimals("-2", {wide(5), Wide{~0ULL, 0}}),
       {"500", "!22003 1844674407370955161500"}},
      {"oid", small_decimals("1", {40, -10}), {"4", "!22003 -1.0"}},
      {"real", small_decimals("1", {1, 15}), {"0.1", "1.5"}},
      {"double precision",
       decimals("2", {wide(10), wide(-12345), Wide{0x6fae3d3f1f9b4e15ULL, 0x2}}),
       {"0.1", "-123.45", "!22003 would be rounded: double precision cannot hold it exactly"}},
      {"numeric",
       small_decimals("4", {0, 1, -1, 10000, 12345678, nullopt, -99999999}),
       {"0.0000", "0.0001", "-0.0001", "1.0000", "1234.5678", nullopt, "-9999.9999"}},
      {"numeric", small_decimals("0", {123456789012345678}), {"123456789012345678"}},
      {"numeric",
       small_decimals("3", {1, 10001, -1000000001}),
       {"0.001", "10.001", "-1000000.001"}},
      {"numeric", decimals("-3", {wide(7)}), {"7000"}},
      {"numeric",
       decimals("10", {Wide{0xffffffffffffffffULL, 0x7fffffffffffffffULL},
                       Wide{0, 0x8000000000000000ULL}}),
       {"17014118346046923173168730371.5884105727", "-17014118346046923173168730371.5884105728"}},
      {"numeric(18,4)",
       small_decimals("4", {999999999999999999, 1, -50000, nullopt}),
       {"99999999999999.9999", "0.0001", "-5.0000", nullopt}},
      {"numeric(18,4)",
       decimals("4", {Wide{1000000000000000000ULL, 0}}),
       {"!22003 100000000000000.0000 is out of range of numeric(18,4): less than 10^14"}},
      {"numeric(4,1)",
       small_decimals("3", {1500, 1550, 999900, 1000000}),
       {"1.5", "!22003 1.550 would be rounded: the type is numeric(4,1)", "999.9",
        "!22003 1000.000 is out of range"}},
      {"numeric(30,10)", small_decimals("2", {150}), {"1.5000000000"}},
      {"numeric", arrow_fixed<int32_t>("d:9,2,32", {kMin<int32_t>, 5}), {"-21474836.48", "0.05"}},
      {"numeric",
       arrow_fixed<int64_t>("d:18,6,64", {kMin<int64_t>, nullopt}),
       {"-9223372036854.775808", nullopt}},
      {"numeric",
       arrow_fixed<Wide256>("d:76,5,256",
                            {Wide256{{0, 0, 0, 0x8000000000000000ULL}}, Wide256{{5, 0, 0, 0}},
                             Wide256{{~0ULL, ~0ULL, ~0ULL, ~0ULL}},
                             Wide256{{~0ULL, ~0ULL, ~0ULL, 0x7fffffffffffffffULL}}}),
       {"-578960446186580977117854925043439539266349923328202820197287920039565648.19968",
        "0.00005", "-0.00001",
        "578960446186580977117854925043439539266349923328202820197287920039565648.19967"}},
      // Negation carries through every word that is zero.
      {"numeric",
       arrow_fixed<Wide256>("d:76,5,256",
                            {Wide256{{0, ~0ULL, ~0ULL, ~0ULL}}, Wide256{{0, 0, ~0ULL, ~0ULL}},
                             Wide256{{0, 0, 0, ~0ULL}}, Wide256{{~0ULL, ~1ULL, ~0ULL, ~0ULL}},
                             Wide256{{1, ~0ULL, ~0ULL, ~0ULL}}, Wide256{{0, ~1ULL, ~0ULL, ~0ULL}}}),
       {"-184467440737095.51616", "-3402823669209384634633746074317682.11456",
        "-62771017353866807638357894232076664161023554444640345.12896", "-184467440737095.51617",
        "-184467440737095.51615", "-368934881474191.03232"}},
      {"numeric",
       arrow_fixed<Wide256>("d:76,5,256", {Wide256{{0, 1, 0, 0}}, Wide256{{0, 0, 1, 0}},
                                           Wide256{{0, 0, 0, 1}}, Wide256{{1, 0, 0, 1}}}),
       {"184467440737095.51616", "3402823669209384634633746074317682.11456",
        "62771017353866807638357894232076664161023554444640345.12896",
        "62771017353866807638357894232076664161023554444640345.12897"}},
      {"numeric",
       decimals("5", {Wide{0, ~0ULL}, Wide{0, 1}, Wide{~0ULL, ~1ULL}, Wide{1, ~0ULL}}),
       {"-184467440737095.51616", "184467440737095.51616", "-184467440737095.51617",
        "-184467440737095.51615"}},
      {"numeric",
       arrow_fixed<Wide>("w:16", {wide(-170), Wide{0, 0x8000000000000000ULL}})
           .extended("arrow.opaque", R"({"type_name":"hugeint","vendor_name":"DuckDB"})"),
       {"-170", "-170141183460469231731687303715884105728"}},
      {"integer", arrow_null(2), {nullopt, nullopt}},
  };
  return cases;
}

std::vector<ConversionCase> temporal_cases() {
  const ArrowImport infinities{true};
  struct MonthDayNano {
    int32_t months, days;
    int64_t nanos;
  };
  struct DayTime {
    int32_t days, millis;
  };
  return {
      {"date",
       days({0, -1, 11016, -719163, -2440588, 2145042905, nullopt, 11016}),
       {"1970-01-01", "1969-12-31", "2000-02-29", "0001-12-31 BC", "4714-11-24 BC", "5874897-12-31",
        nullopt, "2000-02-29"}},
      {"date",
       days({-719104, -719103, -2440589, 2145042906}),
       {"0001-02-28", "0001-03-01", "!22008 4714-11-23 BC is outside date's range",
        "!22008 5874898-01-01 is outside"}},
      {"date", days({-719469}), {"0001-02-29 BC"}},
      {"date",
       days({kMax<int32_t>, -kMax<int32_t>, kMin<int32_t>}),
       {"infinity", "-infinity", "!22008"},
       infinities},
      {"date", days({kMax<int32_t>}), {"!22008 5881580-07-11"}},
      {"date",
       ticks("tdm", {86400000, -86400000, 1}),
       {"1970-01-02", "1969-12-31", "!22008 1970-01-01 00:00:00.001"}},
      {"date",
       ticks("tsu:", {86400000000, 86400000001, nullopt}),
       {"1970-01-02", "!22008 1970-01-02 00:00:00.000001 is not a day at midnight", nullopt}},
      {"date", ticks("tss:UTC", {-86400}), {"1969-12-31"}},
      {"date", ticks("tsn:", {kMax<int64_t>}), {"infinity"}, infinities},
      {"timestamp",
       days({0, nullopt, 106762939}),
       {"1970-01-01 00:00:00", nullopt, "294276-12-31 00:00:00"}},
      {"timestamp", days({106762940}), {"!22008 294277-01-01 is outside the type's range"}},
      {"timestamp", days({kMax<int32_t>}), {"infinity"}, infinities},
      {"timestamptz", days({-1}), {"1969-12-31 00:00:00+00"}},
      {"timestamptz", ticks("tdm", {1}), {"1970-01-01 00:00:00.001+00"}},
      {"timestamp",
       ticks("tss:", {0, 951782400, nullopt, 9224318015999, 9224318016000}),
       {"1970-01-01 00:00:00", "2000-02-29 00:00:00", nullopt, "294276-12-31 23:59:59", "!22008"}},
      {"timestamp", ticks("tsm:", {1, -1}), {"1970-01-01 00:00:00.001", "1969-12-31 23:59:59.999"}},
      {"timestamp",
       ticks("tsu:", {0, -1, 1, kMax<int64_t>, -210866803200000000, -210866803200000001, nullopt,
                      kMin<int64_t>}),
       {"1970-01-01 00:00:00", "1969-12-31 23:59:59.999999", "1970-01-01 00:00:00.000001",
        "294247-01-10 04:00:54.775807", "4714-11-24 00:00:00 BC",
        "!22008 4714-11-23 23:59:59.999999 BC is outside the type's range", nullopt, "!22008"}},
      {"timestamp",
       ticks("tsn:", {1000, 1500, -1000, -1}),
       {"1970-01-01 00:00:00.000001", "!22008 1970-01-01 00:00:00.0000015",
        "1969-12-31 23:59:59.999999", "!22008 not a whole number of microseconds"}},
      {"timestamp", ticks("tsu:Europe/Berlin", {0}), {"1970-01-01 00:00:00"}},
      {"timestamp(3)",
       ticks("tsu:", {1000, 1001, nullopt}),
       {"1970-01-01 00:00:00.001", "!22008 would be rounded to its 3 fractional digits", nullopt}},
      {"timestamp(0)", ticks("tss:", {5}), {"1970-01-01 00:00:05"}},
      {"timestamptz",
       ticks("tsu:UTC", {1700000000123456, nullopt}),
       {"2023-11-14 22:13:20.123456+00", nullopt}},
      {"timestamptz", ticks("tsu:", {1700000000000000}), {"2023-11-14 22:13:20+00"}},
      {"timestamptz",
       ticks("tsu:UTC", {kMax<int64_t>, -kMax<int64_t>, kMin<int64_t>, 0}),
       {"infinity", "-infinity", "!22008", "1970-01-01 00:00:00+00"},
       infinities},
      {"timestamptz(6)",
       ticks("tsm:UTC", {-62135596800000 - 1}),
       {"0001-12-31 23:59:59.999+00 BC"}},
      {"time",
       ticks("ttu", {0, 86399999999, 86400000000, 86400000001, -1, nullopt}),
       {"00:00:00", "23:59:59.999999", "24:00:00",
        "!22008 24:00:00.000001 is outside 00:00:00 to 24:00:00", "!22008 -00:00:00.000001 is",
        nullopt}},
      {"time", arrow_fixed<int32_t>("tts", {45296, nullopt}), {"12:34:56", nullopt}},
      {"time", arrow_fixed<int32_t>("ttm", {45296789}), {"12:34:56.789"}},
      {"time", ticks("ttn", {1000, 1}), {"00:00:00.000001", "!22008 00:00:00.000000001"}},
      {"time(3)", ticks("ttu", {1000, 1500}), {"00:00:00.001", "!22008 would be rounded"}},
      {"timetz", ticks("ttu", {45296000000, nullopt, -5}), {"12:34:56+00", nullopt, "!22008"}},
      {"timetz", arrow_fixed<int32_t>("ttm", {1}), {"00:00:00.001+00"}},
      {"interval", ticks("ttu", {3600000000}), {"01:00:00"}},
      {"interval", arrow_fixed<int32_t>("tts", {60}), {"00:01:00"}},
      {"interval",
       ticks("tDs", {-90061, 0, nullopt, kMax<int64_t>}),
       {"-25:01:01", "00:00:00", nullopt, "!22015 2562047788015215:30:07 is outside"}},
      {"interval", ticks("tDm", {1}), {"00:00:00.001"}},
      {"interval",
       ticks("tDu", {kMax<int64_t>, kMin<int64_t>}),
       {"2562047788:00:54.775807", "-2562047788:00:54.775808"}},
      {"interval",
       ticks("tDn", {1000, 1, -3600000000001, kMin<int64_t>}),
       {"00:00:00.000001", "!22015 00:00:00.000000001 is", "!22015 -01:00:00.000000001 is",
        "!22015 -2562047:47:16.854775808 is"}},
      {"interval",
       arrow_fixed<int32_t>("tiM", {14, -1, kMin<int32_t>, nullopt}),
       {"1 year 2 mons", "-1 mons", "-178956970 years -8 mons", nullopt}},
      {"interval",
       arrow_fixed<DayTime>("tiD", {DayTime{3, -1500}, DayTime{-1, 1}}),
       {"3 days -00:00:01.5", "-1 days +00:00:00.001"}},
      {"interval",
       arrow_fixed<MonthDayNano>(
           "tin", {MonthDayNano{14, 3, 14706007000}, MonthDayNano{0, 0, 0}, MonthDayNano{0, 0, 1},
                   MonthDayNano{-1, 2, -3000}, nullopt}),
       {"1 year 2 mons 3 days 00:00:14.706007", "00:00:00", "!22015 1 ns",
        "-1 mons +2 days -00:00:00.000003", nullopt}},
      {"interval(3)",
       arrow_fixed<MonthDayNano>("tin", {MonthDayNano{0, 0, 1000000}, MonthDayNano{0, 0, 1000}}),
       {"00:00:00.001", "!22015"}},
      {"interval year",
       arrow_fixed<MonthDayNano>(
           "tin", {MonthDayNano{24, 0, 0}, MonthDayNano{25, 0, 0}, MonthDayNano{24, 1, 0}}),
       {"2 years", "!22015", "!22015"}},
      {"interval year to month", arrow_fixed<int32_t>("tiM", {25}), {"2 years 1 mon"}},
      {"interval day to minute",
       arrow_fixed<MonthDayNano>(
           "tin", {MonthDayNano{1, 1, 60'000'000'000}, MonthDayNano{0, 0, 61'000'000'000}}),
       {"1 mon 1 day 00:01:00", "!22015"}},
      {"interval hour", ticks("tDs", {7200, 7201}), {"02:00:00", "!22015"}},
      {"interval day", ticks("tDs", {0, 1}), {"00:00:00", "!22015"}},
  };
}

}  // namespace pgsink::test
