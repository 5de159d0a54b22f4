// Arrow's run-end encoding and list views: what they mean arrives, from any offset, and what points
// nowhere is refused.

#include <pgsink/arrow.h>
#include <pgsink/encode/rows/row_encoder.h>

#include <gtest/gtest.h>

#include "support/arrow_builder.h"
#include "support/copy_harness.h"

namespace pgsink {
namespace {

using test::ArrowNode;
using test::CopyTable;
using test::Nullable;

const std::string& database() {
  static const std::string name = test::shared_server().create_database("runs", true);
  return name;
}

/// Rows [offset, offset + length) of runs that end where `ends` says.
template <class End>
ArrowNode runs(const std::string& end_format, const std::vector<End>& ends, ArrowNode values,
               int64_t offset, int64_t length) {
  Nullable<End> numbers(ends.begin(), ends.end());
  ArrowNode node;
  node.format = "+r";
  node.length = length;
  node.null_count = 0;
  node.offset = offset;
  node.children = {test::arrow_fixed<End>(end_format, numbers).named("run_ends"),
                   std::move(values).named("values")};
  return node;
}

template <class Offset>
ArrowNode list_view(const std::string& format, const Nullable<Offset>& firsts,
                    const std::vector<Offset>& counts, ArrowNode child) {
  ArrowNode node = test::arrow_fixed<Offset>(format, firsts);
  test::ArrowBuffer sizes;
  for (const Offset count : counts) test::detail::append_raw(sizes, count);
  node.buffers.push_back(std::move(sizes));
  node.children = {std::move(child).named("item")};
  return node;
}

test::SqlRows stored(ArrowNode column, const std::string& sql_type) {
  const RecordBatch batch = test::import_columns({std::move(column).named("c0")});
  CopyTable table(test::shared_server(), database(), "runs", {sql_type});
  auto encoder = RowEncoder::create(test::encode_columns(batch, table.columns()), table.types());
  if (!encoder) throw std::runtime_error(encoder.error().to_string());
  const test::Encoded encoded = test::encode_all(*encoder, batch, {0, batch.row_count(), nullptr});
  EXPECT_TRUE(encoded.rejected.empty());
  EXPECT_EQ(table.copy(encoded.tuples), "");
  return table.rows();
}

using Rows = test::SqlRows;

TEST(Runs, GiveEachRowTheValueOfItsRun) {
  const ArrowNode values = test::arrow_fixed<int64_t>("l", {7, std::nullopt, -1});
  const Rows all{{"7"}, {"7"}, {std::nullopt}, {"-1"}, {"-1"}};
  EXPECT_EQ(stored(runs<int32_t>("i", {2, 3, 5}, values, 0, 5), "bigint"), all);
  EXPECT_EQ(stored(runs<int16_t>("s", {2, 3, 5}, values, 0, 5), "bigint"), all);
  EXPECT_EQ(stored(runs<int64_t>("l", {2, 3, 5}, values, 0, 5), "numeric"), all);
  EXPECT_EQ(stored(runs<int32_t>("i", {2, 3, 5}, values, 1, 3), "bigint"),
            (Rows{{"7"}, {std::nullopt}, {"-1"}}));
  EXPECT_EQ(stored(runs<int32_t>("i", {2, 3, 5}, values, 3, 2), "text"), (Rows{{"-1"}, {"-1"}}));
  EXPECT_EQ(stored(runs<int32_t>("i", {}, test::arrow_fixed<int64_t>("l", {}), 0, 0), "bigint"),
            Rows{});
}

TEST(Runs, MayBeOfTextsListsAndNothing) {
  EXPECT_EQ(stored(runs<int32_t>("i", {1, 4}, test::arrow_text("vu", {"a", "b"}), 0, 4), "text"),
            (Rows{{"a"}, {"b"}, {"b"}, {"b"}}));
  const ArrowNode lists =
      test::arrow_list("+l", {2, 0}, test::arrow_fixed<int32_t>("i", {1, std::nullopt}));
  EXPECT_EQ(stored(runs<int32_t>("i", {2, 3}, lists, 0, 3), "int4[]"),
            (Rows{{"{1,NULL}"}, {"{1,NULL}"}, {"{}"}}));
  EXPECT_EQ(stored(runs<int32_t>("i", {2}, test::arrow_null(1), 0, 2), "int4"),
            (Rows{{std::nullopt}, {std::nullopt}}));
  const ArrowNode in_list = test::arrow_list(
      "+l", {3, 1}, runs<int32_t>("i", {2, 4}, test::arrow_text("u", {"x", std::nullopt}), 0, 4));
  EXPECT_EQ(stored(in_list, "text[]"), (Rows{{"{x,x,NULL}"}, {"{NULL}"}}));
}

TEST(Runs, AreRefusedIfTheyDoNotReachTheEnd) {
  const ArrowNode values = test::arrow_fixed<int64_t>("l", {7, 8});
  for (const auto& ends : std::vector<std::vector<int32_t>>{{2, 4}, {3, 3}, {-1, 9}, {4, 2}, {}}) {
    const auto import = [&] {
      return test::import_columns({runs<int32_t>("i", ends, values, 0, 5).named("r")});
    };
    EXPECT_THROW(import(), std::runtime_error);
  }
  const auto too_few_values = [&] {
    return test::import_columns({runs<int32_t>("i", {1, 2, 5}, values, 0, 5).named("r")});
  };
  EXPECT_THROW(too_few_values(), std::runtime_error);
  const auto float_ends = [&] {
    return test::import_columns({runs<double>("g", {5}, values, 0, 5).named("r")});
  };
  EXPECT_THROW(float_ends(), std::runtime_error);
}

TEST(ListViews, MayShareElementsAndLieInAnyOrder) {
  const ArrowNode items = test::arrow_fixed<int32_t>("i", {1, 2, std::nullopt, 4});
  const Rows expected{{"{NULL,4}"}, {"{1,2}"}, {std::nullopt}, {"{}"}, {"{2,NULL}"}};
  EXPECT_EQ(stored(list_view<int32_t>("+vl", {2, 0, std::nullopt, 4, 1}, {2, 2, 77, 0, 2}, items),
                   "int4[]"),
            expected);
  EXPECT_EQ(stored(list_view<int64_t>("+vL", {2, 0, std::nullopt, 4, 1}, {2, 2, 77, 0, 2}, items),
                   "int4[]"),
            expected);
  EXPECT_EQ(stored(list_view<int32_t>("+vl", {2, 0}, {1, 2}, items), "jsonb"),
            (Rows{{"[null]"}, {"[1, 2]"}}));
}

TEST(ListViews, AreRefusedIfTheyPointOutside) {
  const ArrowNode items = test::arrow_fixed<int32_t>("i", {1, 2, 3});
  for (const auto& [first, count] :
       std::vector<std::pair<int32_t, int32_t>>{{2, 2}, {-1, 1}, {0, -1}, {4, 0}, {0, 4}}) {
    const auto import = [&] {
      return test::import_columns({list_view<int32_t>("+vl", {first}, {count}, items).named("v")});
    };
    EXPECT_THROW(import(), std::runtime_error) << first << ", " << count;
  }
}

}  // namespace
}  // namespace pgsink
