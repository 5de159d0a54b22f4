// RowDigest: equal for the same rows however they are cut, different for any change of them.

#include "pgsink/row_digest.h"

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>

namespace pgsink {
namespace {

struct Row {
  std::optional<int64_t> id;
  std::optional<std::string> name;
  bool flag = false;
  double price = 0;
  std::vector<std::optional<int32_t>> marks;
  std::vector<std::string> tags;
};

RecordBatch batch(std::vector<Row> rows) {
  return batch_of(std::move(rows), column("id", &Row::id), column("name", &Row::name),
                  column("flag", &Row::flag), column("price", &Row::price),
                  column("marks", &Row::marks), column("tags", &Row::tags));
}

std::vector<Row> rows(size_t count) {
  std::vector<Row> made(count);
  for (size_t i = 0; i < count; ++i) {
    Row& row = made[i];
    if (i % 7 != 3) row.id = static_cast<int64_t>(i * i);
    if (i % 5 != 2) row.name = std::string(i % 40, static_cast<char>('a' + i % 26));
    row.flag = i % 3 == 0;
    row.price = static_cast<double>(i) / 8;
    for (size_t k = 0; k < i % 4; ++k) {
      row.marks.push_back(k == 1 ? std::nullopt : std::optional(static_cast<int32_t>(i)));
    }
    if (i % 6 == 0) row.tags = {"x", std::string(i % 9, 'y')};
  }
  return made;
}

std::string digest(std::vector<Row> all) {
  RowDigest made;
  made.add(batch(std::move(all)));
  return made.text();
}

TEST(RowDigest, IsTheSameHoweverRowsAreCut) {
  const std::vector<Row> all = rows(1500);
  const std::string whole = digest(all);
  EXPECT_EQ(whole.size(), 16U);
  for (const size_t step : {1U, 7U, 256U, 1000U}) {
    RowDigest cut;
    for (size_t from = 0; from < all.size(); from += step) {
      const size_t to = std::min(all.size(), from + step);
      cut.add(batch(
          {all.begin() + static_cast<ptrdiff_t>(from), all.begin() + static_cast<ptrdiff_t>(to)}));
    }
    EXPECT_EQ(cut.text(), whole) << step;
    EXPECT_EQ(cut.rows(), 1500U);
    RowDigest ranges;
    const RecordBatch one = batch(all);
    for (size_t from = 0; from < all.size(); from += step) {
      ranges.add(one, from, std::min(all.size() - from, step));
    }
    EXPECT_EQ(ranges.text(), whole) << step;
  }
}

// The digest is stored in databases: a new version must find what an old one stored.
TEST(RowDigest, IsTheSameInEveryBuild) {
  EXPECT_EQ(RowDigest().text(), "0000000000000000");
  EXPECT_EQ(digest(rows(300)), "2311aa50e4ceb20a");
}

TEST(RowDigest, DiffersForEveryChangeOfARow) {
  const std::vector<Row> all = rows(600);
  const std::vector<std::function<void(std::vector<Row>&)>> changes{
      [](auto& r) { r[100].id = *r[100].id + 1; },
      [](auto& r) { r[100].id.reset(); },
      [](auto& r) { r[3].id = 0; },  // NULL before
      [](auto& r) { r[2].name = ""; },
      [](auto& r) { r[100].name = *r[100].name + "x"; },
      [](auto& r) { r[101].name->at(0) = '!'; },
      [](auto& r) { r[100].flag = !r[100].flag; },
      [](auto& r) { r[100].price = -r[100].price; },
      [](auto& r) { r[0].price = -0.0; },
      [](auto& r) { r[101].marks.push_back(std::nullopt); },
      [](auto& r) { r[102].marks[1] = 0; },
      [](auto& r) { r[102].tags = {"x", "", ""}; },
      [](auto& r) { r[588].tags = {"xyyy", ""}; },  // "x", "yyy" before
      [](auto& r) { std::swap(r[0], r[599]); },
      [](auto& r) { std::swap(r[10], r[11]); },
      [](auto& r) { r.pop_back(); },
      [](auto& r) { r.push_back(r.back()); },
      // An element goes from one row's list to the next row's.
      [](auto& r) {
        r[104].marks = {1, 2};
        r[105].marks = {};
      },
      [](auto& r) {
        r[104].marks = {1};
        r[105].marks = {2};
      },
  };
  std::set<std::string> seen{digest(all)};
  for (size_t i = 0; i < changes.size(); ++i) {
    std::vector<Row> changed = all;
    changes[i](changed);
    EXPECT_TRUE(seen.insert(digest(std::move(changed))).second) << "change " << i;
  }
}

struct Pair {
  int32_t a = 0, b = 0;
};

TEST(RowDigest, GoesByTheNamesOfColumnsAndNotByTheirPlaces) {
  const std::vector<Pair> pairs{{1, 10}, {2, 20}, {3, 30}};
  const auto of = [](const RecordBatch& batch) {
    RowDigest made;
    made.add(batch);
    return made.text();
  };
  const std::string ab =
      of(batch_of(std::vector(pairs), column("a", &Pair::a), column("b", &Pair::b)));
  EXPECT_EQ(of(batch_of(std::vector(pairs), column("b", &Pair::b), column("a", &Pair::a))), ab);
  EXPECT_NE(of(batch_of(std::vector(pairs), column("a", &Pair::b), column("b", &Pair::a))), ab);
  EXPECT_NE(of(batch_of(std::vector(pairs), column("a", &Pair::a), column("c", &Pair::b))), ab);
  EXPECT_NE(of(batch_of(std::vector(pairs), column("a", &Pair::a))), ab);
  const std::string unnamed =
      of(batch_of(std::vector(pairs), column("", &Pair::a), column("", &Pair::b)));
  EXPECT_NE(of(batch_of(std::vector(pairs), column("", &Pair::b), column("", &Pair::a))), unnamed);
}

struct Text {
  std::string text;
};
struct View {
  std::string_view text;
};

TEST(RowDigest, GoesByValuesAndNotByLayouts) {
  RowDigest strings;
  strings.add(batch_of(std::vector<Text>{{"one"}, {"two two two two"}}, column("t", &Text::text)));
  RowDigest views;
  views.add(batch_of(std::vector<View>{{"one"}, {"two two two two"}}, column("t", &View::text)));
  EXPECT_EQ(strings.text(), views.text());
}

}  // namespace
}  // namespace pgsink
