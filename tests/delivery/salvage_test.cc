// The search for rejected rows, with every set of bad rows.

#include "pgsink/delivery/salvage.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include <gtest/gtest.h>

namespace pgsink {
namespace {

using pgproto::Errc;
using pgproto::Error;

/// What a server does with the rows that it gets: whether they pass.
using Server = std::function<bool(const std::vector<size_t>& sent)>;

struct Outcome {
  std::vector<size_t> left_out;
  size_t attempts = 0;
};

/// Sends `rows` rows as a lane does, until they commit.
Outcome deliver(size_t rows, const Server& accepts) {
  Salvage salvage;
  Outcome outcome;
  for (;;) {
    ++outcome.attempts;
    std::vector<size_t> sent;
    for (size_t row = 0; row < std::min(rows, salvage.limit()); ++row) {
      if (!salvage.is_left_out(row)) sent.push_back(row);
    }
    for (size_t n = 0; n < sent.size(); ++n) EXPECT_EQ(salvage.sent_row(n), sent[n]);
    const bool passes = accepts(sent);
    if (passes && !salvage.searching()) break;
    const auto row = passes ? salvage.passed() : salvage.failed(rows);
    if (row) salvage.leave_out(*row);
    if (outcome.attempts > 1000) {
      ADD_FAILURE() << "does not end";
      break;
    }
  }
  outcome.left_out = salvage.left_out();
  return outcome;
}

TEST(Salvage, FindsEverySetOfBadRowsInTheAttemptsPromised) {
  constexpr size_t kRows = 12;
  for (uint32_t bad = 0; bad < (1U << kRows); ++bad) {
    const auto is_bad = [bad](size_t row) { return ((bad >> row) & 1U) != 0; };
    const Outcome outcome =
        deliver(kRows, [&](const auto& sent) { return std::ranges::none_of(sent, is_bad); });
    std::vector<size_t> expected;
    for (size_t row = 0; row < kRows; ++row) {
      if (is_bad(row)) expected.push_back(row);
    }
    ASSERT_EQ(outcome.left_out, expected) << bad;
    const auto each = static_cast<size_t>(std::ceil(std::log2(kRows))) + 1;
    const size_t without_rows = expected.empty() ? 0 : 1;
    ASSERT_LE(outcome.attempts, expected.size() * each + 1 + without_rows) << bad;
  }
}

TEST(Salvage, OfTwoRowsThatFailTogetherTheLaterIsLeftOut) {
  constexpr size_t kRows = 9;
  for (size_t a = 0; a < kRows; ++a) {
    for (size_t b = a + 1; b < kRows; ++b) {
      const Outcome outcome = deliver(kRows, [&](const auto& sent) {
        const auto has = [&](size_t row) { return std::ranges::find(sent, row) != sent.end(); };
        return !has(a) || !has(b);
      });
      EXPECT_EQ(outcome.left_out, std::vector<size_t>{b}) << a << " and " << b;
    }
  }
}

TEST(Salvage, AStatementThatFailsWithoutRowsIsFoundByTheSecondAttempt) {
  Salvage salvage;
  EXPECT_EQ(salvage.failed(1000), std::nullopt);
  EXPECT_TRUE(salvage.searching());
  EXPECT_TRUE(salvage.trying_no_rows());
  EXPECT_EQ(salvage.failed(1000), std::nullopt);
  EXPECT_FALSE(salvage.searching());
  EXPECT_TRUE(salvage.left_out().empty());
}

TEST(Salvage, EndsWhereNoRowIsToBlame) {
  Salvage salvage;
  for (size_t row = 0; row < 3; ++row) salvage.leave_out(row);
  EXPECT_EQ(salvage.failed(3), std::nullopt);
  EXPECT_FALSE(salvage.searching());
}

TEST(Salvage, ARowThatFailedAloneIsToBlameIfOthersPassedBeforeIt) {
  Salvage salvage;
  EXPECT_EQ(salvage.failed_at(7), 7U);
  EXPECT_FALSE(salvage.searching());
}

TEST(Salvage, TheFirstRowThatFailedAloneIsToBlameIfTheStatementPassesWithoutRows) {
  Salvage salvage;
  EXPECT_EQ(salvage.failed_at(0), std::nullopt);
  EXPECT_TRUE(salvage.trying_no_rows());
  EXPECT_EQ(salvage.passed(), 0U);
  EXPECT_FALSE(salvage.searching());
  salvage.leave_out(0);
  EXPECT_EQ(salvage.failed_at(1), 1U) << "it passed once";
}

TEST(Salvage, TheFirstRowThatFailedAloneIsNotToBlameForTheStatement) {
  Salvage salvage;
  EXPECT_EQ(salvage.failed_at(0), std::nullopt);
  EXPECT_EQ(salvage.failed(1000), std::nullopt);
  EXPECT_FALSE(salvage.searching());
  EXPECT_TRUE(salvage.left_out().empty());
}

TEST(Salvage, ANamedRowIsCountedAmongThoseSent) {
  Salvage salvage;
  salvage.leave_out(0);
  salvage.leave_out(3);
  EXPECT_EQ(salvage.sent_row(0), 1U);
  EXPECT_EQ(salvage.sent_row(1), 2U);
  EXPECT_EQ(salvage.sent_row(2), 4U);
  EXPECT_EQ(salvage.next_left_out(1), 3U);
}

TEST(Salvage, WhatCanBeARowsFault) {
  const auto of = [](std::string_view sqlstate, std::string_view where = "") {
    Error error;
    error.code = Errc::kServer;
    error.sqlstate = pgproto::Sqlstate(sqlstate);
    error.where = where;
    return may_be_row_fault(error);
  };
  for (const auto* yes :
       {"22001", "22P02", "23502", "23503", "23505", "23514", "44000", "P0001", "P0002", "54000",
        "54001", "45000", "20000", "2F002", "38000", "38001", "39004", "XX000", "ZZ999"}) {
    EXPECT_TRUE(of(yes)) << yes;
  }
  const std::string_view context = "COPY t, line 2";
  for (const auto* no : {"08P01", "25P02", "25006", "26000", "28000", "3D000", "40001", "40002",
                         "40P01", "53100", "53200", "55P03", "57014", "57P01", "58030", "XX001"}) {
    EXPECT_FALSE(of(no)) << no;
    EXPECT_FALSE(of(no, context)) << no;
  }
  // What a trigger raises for a row has a context; what the statement may not do has none.
  for (const auto* raised : {"42501", "42703", "42883", "0A000", "21000", "55000"}) {
    EXPECT_FALSE(of(raised)) << raised;
    EXPECT_TRUE(of(raised, context)) << raised;
  }
}

}  // namespace
}  // namespace pgsink
