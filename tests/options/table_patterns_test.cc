// The patterns of `tables` and the template of `target_tables`.

#include "pgsink/options/table_patterns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgsink {
namespace {

using testing::HasSubstr;

bool matches(std::string_view patterns, const TableName& table) {
  const auto read = TablePatterns::read(patterns, "public");
  EXPECT_TRUE(read) << patterns << ": " << read.error().message;
  return read && read->matches(table);
}

TEST(TablePatterns, NameTables) {
  EXPECT_TRUE(matches("public.*", {"public", "orders"}));
  EXPECT_TRUE(matches("orders", {"public", "orders"}));
  EXPECT_TRUE(matches("*.*", {"a", "b"}));
  EXPECT_TRUE(matches("sales.*, public.o?ders", {"public", "orders"}));
  EXPECT_TRUE(matches("public.*_2026_*", {"public", "events_2026_01"}));
  EXPECT_TRUE(matches(R"("a.b"."x ""y""")", {"a.b", "x \"y\""}));
  EXPECT_TRUE(matches(R"(public."a*")", {"public", "a*"}));

  EXPECT_FALSE(matches("orders", {"sales", "orders"}));
  EXPECT_FALSE(matches("public.orders", {"public", "Orders"}));
  EXPECT_FALSE(matches("public.order", {"public", "orders"}));
  EXPECT_FALSE(matches("public.?", {"public", ""}));
  EXPECT_FALSE(matches(R"(public."a*")", {"public", "ab"}));
  EXPECT_FALSE(matches("", {"public", "orders"}));
}

TEST(TablePatterns, AreReadInLinearTimeHoweverManyStars) {
  const std::string stars(1000, '*');
  EXPECT_FALSE(matches("public." + stars + "b", {"public", std::string(63, 'a')}));
}

TEST(TablePatterns, RefuseWhatIsNone) {
  for (const char* wrong : {",", "a,,b", "a.b.c", "a.", ".b", "\"a", "a\"b\"", "\"\".b", "a, "}) {
    const auto read = TablePatterns::read(wrong, "public");
    EXPECT_FALSE(read) << wrong;
  }
}

TEST(TargetTables, AreMadeOfTheSourcesNames) {
  SinkOptions options;
  options.schema = "mirror";
  const auto target = [&](const std::string& text, const TableName& table) {
    options.target_tables = text;
    const auto made = target_of(table, options);
    return made ? made->full() : made.error().message;
  };
  EXPECT_EQ(target("{schema}.{table}", {"sales", "orders"}), "sales.orders");
  EXPECT_EQ(target("{schema}_{table}", {"sales", "orders"}), "mirror.sales_orders");
  EXPECT_EQ(target("copy_of_{schema}.{table}", {"sales", "a.b"}), "copy_of_sales.a.b");
  EXPECT_THAT(target("{table}.", {"s", "t"}), HasSubstr("must name a table"));
  EXPECT_THAT(target("a.b.{table}", {"s", "t"}), HasSubstr("two dots"));
  EXPECT_THAT(target("{tabel}", {"s", "t"}), HasSubstr("nothing else"));
  EXPECT_THAT(target("{table", {"s", "t"}), HasSubstr("nothing else"));
  EXPECT_THAT(target("{table}_" + std::string(60, 'x'), {"s", "t12"}), HasSubstr("63 bytes"));
}

}  // namespace
}  // namespace pgsink
