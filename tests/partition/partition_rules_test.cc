// What partitioning decides without a server: bounds, ranges and names.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/partition/map.h"
#include "pgsink/partition/name.h"

namespace pgsink {
namespace {

using encode::Target;
using encode::TargetKind;
using testing::HasSubstr;

Target target(TargetKind kind) {
  return {
      .kind = kind, .name = std::string(encode::target_kind_name(kind)), .parts = {}, .names = {}};
}

RangeRule rule(TargetKind kind, std::string_view interval) {
  auto made = RangeRule::create(target(kind), interval);
  EXPECT_TRUE(made) << (made ? "" : made.error().message);
  return *made;
}

std::string range_of(const RangeRule& rule, std::string_view value) {
  const RangeSpan span = rule.around(rule.parse(value).value());
  return rule.from_sql(span) + " " + rule.to_sql(span);
}

PartitionName name(std::string_view text, PartitionType type = PartitionType::kRange) {
  auto made = PartitionName::parse(text, type);
  EXPECT_TRUE(made) << (made ? "" : made.error().message);
  return *made;
}

std::string name_fault(std::string_view text, PartitionType type = PartitionType::kRange) {
  const auto made = PartitionName::parse(text, type);
  EXPECT_FALSE(made) << text;
  return made ? "" : made.error().message;
}

// ---- bounds

TEST(PartitionBound, ReadsWhatTheServerPrints) {
  using Kind = BoundConstant::Kind;
  const auto list = parse_partition_bound(R"(FOR VALUES IN ('it''s', 'a\b', NULL, 5, true, ','))");
  ASSERT_TRUE(list);
  ASSERT_EQ(list->values.size(), 6U);
  EXPECT_EQ(list->values[0].text, "it's");
  EXPECT_EQ(list->values[1].text, "a\\b");
  EXPECT_EQ(list->values[2].kind, Kind::kNull);
  EXPECT_EQ(list->values[3].text, "5");
  EXPECT_EQ(list->values[4].text, "true");
  EXPECT_EQ(list->values[5].text, ",");
  const auto range = parse_partition_bound("FOR VALUES FROM (MINVALUE, 'a') TO ('-5', MAXVALUE)");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->from[0].kind, Kind::kMin);
  EXPECT_EQ(range->from[1].text, "a");
  EXPECT_EQ(range->to[0].text, "-5");
  EXPECT_EQ(range->to[1].kind, Kind::kMax);
  const auto hash = parse_partition_bound("FOR VALUES WITH (modulus 8, remainder 3)");
  ASSERT_TRUE(hash);
  EXPECT_EQ(hash->modulus, 8U);
  EXPECT_EQ(hash->remainder, 3U);
  EXPECT_EQ(parse_partition_bound("DEFAULT")->kind, PartitionBound::Kind::kDefault);
}

TEST(PartitionBound, TakesNothingElse) {
  for (const std::string_view text :
       {"", "FOR VALUES IN (", "FOR VALUES IN ('a", "FOR VALUES IN ()", "FOR VALUES FROM (1)",
        "FOR VALUES WITH (modulus x, remainder 1)", "DEFAULT x", "FOR VALUES IN ('a'x)"}) {
    EXPECT_FALSE(parse_partition_bound(text)) << text;
  }
}

// ---- ranges

TEST(RangeRule, CutsTimeAtTheCalendar) {
  const TargetKind tz = TargetKind::kTimestamptz;
  EXPECT_EQ(range_of(rule(tz, "hour"), "2024-02-29 23:59:59.999999+00"),
            "'2024-02-29 23:00:00+00' '2024-03-01 00:00:00+00'");
  EXPECT_EQ(range_of(rule(tz, ""), "2024-02-29 23:30:00-02"),
            "'2024-03-01 00:00:00+00' '2024-03-02 00:00:00+00'");
  const TargetKind ts = TargetKind::kTimestamp;
  EXPECT_EQ(range_of(rule(ts, "week"), "1969-12-31 12:00:00"),
            "'1969-12-29 00:00:00' '1970-01-05 00:00:00'");
  EXPECT_EQ(range_of(rule(ts, "week"), "2024-01-01"),
            "'2024-01-01 00:00:00' '2024-01-08 00:00:00'");
  const TargetKind date = TargetKind::kDate;
  EXPECT_EQ(range_of(rule(date, "day"), "2024-12-31"), "'2024-12-31' '2025-01-01'");
  EXPECT_EQ(range_of(rule(date, "month"), "2024-02-15"), "'2024-02-01' '2024-03-01'");
  EXPECT_EQ(range_of(rule(date, "month"), "2024-12-15"), "'2024-12-01' '2025-01-01'");
  EXPECT_EQ(range_of(rule(date, "year"), "0001-06-01 BC"), "'0001-01-01 BC' '0001-01-01'");
}

TEST(RangeRule, CutsIntegersAtMultiples) {
  EXPECT_EQ(range_of(rule(TargetKind::kInt4, "100"), "0"), "0 100");
  EXPECT_EQ(range_of(rule(TargetKind::kInt4, "100"), "99"), "0 100");
  EXPECT_EQ(range_of(rule(TargetKind::kInt4, "100"), "-1"), "'-100' 0");
  EXPECT_EQ(range_of(rule(TargetKind::kInt4, "100"), "-100"), "'-100' 0");
}

TEST(RangeRule, EndsWhereTheTypeDoes) {
  EXPECT_EQ(range_of(rule(TargetKind::kInt2, "10000"), "32767"), "30000 MAXVALUE");
  EXPECT_EQ(range_of(rule(TargetKind::kInt2, "10000"), "-32768"), "MINVALUE '-30000'");
  EXPECT_EQ(range_of(rule(TargetKind::kInt8, "9223372036854775807"), "9223372036854775807"),
            "9223372036854775807 MAXVALUE");
  EXPECT_EQ(range_of(rule(TargetKind::kInt8, "9223372036854775807"), "-9223372036854775808"),
            "MINVALUE '-9223372036854775807'");
  EXPECT_EQ(range_of(rule(TargetKind::kInt8, "9223372036854775807"), "-9223372036854775807"),
            "'-9223372036854775807' 0");
  EXPECT_EQ(range_of(rule(TargetKind::kDate, "year"), "5874897-12-31"), "'5874897-01-01' MAXVALUE");
  EXPECT_EQ(range_of(rule(TargetKind::kTimestamp, "year"), "4713-01-01 00:00:00 BC"),
            "'4713-01-01 00:00:00 BC' '4712-01-01 00:00:00 BC'");
  const RangeRule date = rule(TargetKind::kDate, "day");
  EXPECT_FALSE(date.is_finite(date.parse("infinity").value()));
  EXPECT_FALSE(date.is_finite(date.parse("-infinity").value()));
}

TEST(RangeRule, RefusesWhatHasNoRanges) {
  const auto fault = [](TargetKind kind, std::string_view interval) {
    const auto made = RangeRule::create(target(kind), interval);
    EXPECT_FALSE(made);
    return made ? "" : made.error().message;
  };
  EXPECT_THAT(fault(TargetKind::kText, "day"), HasSubstr("cannot compute ranges of text"));
  EXPECT_THAT(fault(TargetKind::kInt8, ""), HasSubstr("take a number"));
  EXPECT_THAT(fault(TargetKind::kInt8, "day"), HasSubstr("not 'day'"));
  EXPECT_THAT(fault(TargetKind::kTimestamp, "7"), HasSubstr("'hour', 'day'"));
  EXPECT_THAT(fault(TargetKind::kDate, "hour"), HasSubstr("take 'day', 'week'"));
}

// ---- names

TEST(PartitionName, HasADefaultForEachTypeAndInterval) {
  const auto of = [](TargetKind kind, std::string_view interval, std::string_view value) {
    const RangeRule by = rule(kind, interval);
    return name("").of_range("t", by, by.around(by.parse(value).value()));
  };
  EXPECT_EQ(of(TargetKind::kTimestamp, "hour", "2024-05-06 07:08:09"), "t_2024050607");
  EXPECT_EQ(of(TargetKind::kTimestamp, "day", "2024-05-06 07:08:09"), "t_20240506");
  EXPECT_EQ(of(TargetKind::kTimestamp, "week", "2024-05-09 07:08:09"), "t_20240506");
  EXPECT_EQ(of(TargetKind::kDate, "month", "2024-05-06"), "t_202405");
  EXPECT_EQ(of(TargetKind::kDate, "year", "2024-05-06"), "t_2024");
  EXPECT_EQ(of(TargetKind::kInt4, "1000", "1234"), "t_1000");
  EXPECT_EQ(of(TargetKind::kInt4, "1000", "-1"), "t_-1000");
  EXPECT_EQ(name("", PartitionType::kList).of_value("t", "eu"), "t_eu");
  EXPECT_EQ(name("", PartitionType::kHash).of_remainder("t", 8, 3), "t_3");
}

TEST(PartitionName, FollowsTheTemplate) {
  const RangeRule day = rule(TargetKind::kDate, "day");
  const RangeSpan span = day.around(day.parse("2024-12-30").value());
  EXPECT_EQ(name("{{{table}}}_{start:%Y-%m-%d}_{end:%d}").of_range("a b", day, span),
            "{a b}_2024-12-30_31");
  EXPECT_EQ(name("p{start:%G w%V %y %j %H%M%S %%}").of_range("t", day, span),
            "p2025 w01 24 365 000000 %");
  EXPECT_EQ(name("{table} {modulus}/{remainder}", PartitionType::kHash).of_remainder("t", 4, 1),
            "t 4/1");
}

TEST(PartitionName, RefusesWhatItCannotFillIn) {
  EXPECT_THAT(name_fault("{table}_{value}"), HasSubstr("{value} is not a placeholder"));
  EXPECT_THAT(name_fault("{table}_{start:%Q}"), HasSubstr("\"%Q\" is none of"));
  EXPECT_THAT(name_fault("{table}_{start:%}"), HasSubstr("\"%\" is none of"));
  EXPECT_THAT(name_fault("{table}_{start"), HasSubstr("brace"));
  EXPECT_THAT(name_fault("{table}}_{start}"), HasSubstr("brace"));
  EXPECT_THAT(name_fault("{table}"), HasSubstr("one name"));
  EXPECT_THAT(name_fault("{table}_{modulus}", PartitionType::kHash), HasSubstr("one name"));
  EXPECT_THAT(name_fault("{table:%Y}_{start}"), HasSubstr("{table:%Y} is not a placeholder"));
}

TEST(PartitionName, MustTellRangesApart) {
  const auto check = [](std::string_view text, TargetKind kind, std::string_view interval) {
    const auto distinct = name(text).check_distinct(rule(kind, interval));
    return distinct ? "" : distinct.error().message;
  };
  EXPECT_EQ(check("{start:%Y%m%d}", TargetKind::kTimestamp, "day"), "");
  EXPECT_EQ(check("{start:%Y}", TargetKind::kTimestamp, "year"), "");
  EXPECT_EQ(check("{start:%G%V}", TargetKind::kTimestamp, "week"), "");
  EXPECT_EQ(check("", TargetKind::kInt2, "40000"), "");
  EXPECT_THAT(check("{start:%Y%m%d}", TargetKind::kTimestamp, "hour"),
              HasSubstr("would both be named \"20000101\""));
  EXPECT_THAT(check("{start:%d}", TargetKind::kDate, "day"), HasSubstr("both be named"));
  EXPECT_THAT(check("{start:%m%d}", TargetKind::kDate, "day"), HasSubstr("both be named"));
  EXPECT_THAT(check("{start:%y%m}", TargetKind::kDate, "day"), HasSubstr("both be named"));
}

// ---- maps

Partition range(std::string bound) {
  return {.oid = 1, .name = "p", .bound = parse_partition_bound(bound).value()};
}

TEST(PartitionMap, ClipsARangeToWhatIsFree) {
  const RangeRule by = rule(TargetKind::kInt8, "100");
  const auto map = PartitionMap::create(
      {range("FOR VALUES FROM (50) TO (60)"), range("FOR VALUES FROM (20) TO (30)"),
       range("FOR VALUES FROM (190) TO (MAXVALUE)"), range("FOR VALUES FROM (MINVALUE) TO ('-7')"),
       range("DEFAULT")},
      &by, target(TargetKind::kInt8));
  ASSERT_TRUE(map);
  EXPECT_EQ(map->clip(by.around(0), 0), (RangeSpan{0, 19}));
  EXPECT_EQ(map->clip(by.around(40), 40), (RangeSpan{30, 49}));
  EXPECT_EQ(map->clip(by.around(60), 60), (RangeSpan{60, 99}));
  EXPECT_EQ(map->clip(by.around(150), 150), (RangeSpan{100, 189}));
  EXPECT_EQ(map->clip(by.around(-1), -1), (RangeSpan{-7, -1}));
  EXPECT_EQ(map->find_range(19), nullptr);
  EXPECT_NE(map->find_range(20), nullptr);
  EXPECT_NE(map->find_range(29), nullptr);
  EXPECT_EQ(map->find_range(30), nullptr);
  EXPECT_NE(map->find_range(INT64_MAX), nullptr);
  EXPECT_NE(map->find_range(INT64_MIN), nullptr);
}

TEST(PartitionMap, KnowsWhichRemaindersAreMissing) {
  const auto map = PartitionMap::create({range("FOR VALUES WITH (modulus 2, remainder 1)"),
                                         range("FOR VALUES WITH (modulus 8, remainder 4)")},
                                        nullptr, target(TargetKind::kInt8));
  ASSERT_TRUE(map);
  EXPECT_EQ(map->modulus(), 8U);
  EXPECT_THAT(map->missing_remainders(8), testing::ElementsAre(0, 2, 6));
}

}  // namespace
}  // namespace pgsink
