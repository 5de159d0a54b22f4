#include <limits>
#include <numeric>

#include <pgsink/metrics.h>

#include <gtest/gtest.h>

namespace pgsink {
namespace {

TEST(Histogram, ABoundBelongsToTheBucketBelowIt) {
  Histogram histogram;
  for (const double bound : Histogram::kBounds) histogram.observe(bound);
  for (size_t i = 0; i < Histogram::kBounds.size(); ++i) EXPECT_EQ(histogram.counts[i], 1U) << i;
  EXPECT_EQ(histogram.counts.back(), 0U);
  histogram.observe(60.001);
  EXPECT_EQ(histogram.counts.back(), 1U);
  EXPECT_EQ(histogram.count, Histogram::kBounds.size() + 1);
}

TEST(Histogram, CountIsTheSumOfItsBucketsAndSumOfItsValues) {
  Histogram histogram;
  for (int i = 1; i <= 1000; ++i) histogram.observe(i * 0.1);
  EXPECT_EQ(std::accumulate(histogram.counts.begin(), histogram.counts.end(), uint64_t{0}), 1000U);
  EXPECT_EQ(histogram.count, 1000U);
  EXPECT_NEAR(histogram.sum, 50050.0, 1e-6);
}

TEST(Histogram, TakesNegativeTimesForZeroAndNoNumbersForNothing) {
  Histogram histogram;
  histogram.observe(-1);
  EXPECT_EQ(histogram.counts[0], 1U);
  EXPECT_EQ(histogram.sum, 0);
  histogram.observe(std::numeric_limits<double>::quiet_NaN());
  histogram.observe(std::numeric_limits<double>::infinity());
  EXPECT_EQ(histogram.count, 1U);
  EXPECT_EQ(histogram.sum, 0);
}

TEST(Histogram, QuantilesInterpolateWithinTheBucket) {
  Histogram histogram;
  EXPECT_EQ(histogram.quantile(0.5), 0);
  for (int i = 0; i < 50; ++i) histogram.observe(0.003);  // 0.001 … 0.005
  for (int i = 0; i < 50; ++i) histogram.observe(0.3);    // 0.1 … 0.5
  EXPECT_DOUBLE_EQ(histogram.quantile(0.25), 0.003);
  EXPECT_DOUBLE_EQ(histogram.quantile(0.5), 0.005);
  EXPECT_DOUBLE_EQ(histogram.quantile(0.75), 0.3);
  EXPECT_DOUBLE_EQ(histogram.quantile(1), 0.5);
  EXPECT_DOUBLE_EQ(histogram.quantile(0), 0.001);
}

TEST(Histogram, QuantilesStayWithinTheBounds) {
  Histogram histogram;
  histogram.observe(1000);
  EXPECT_EQ(histogram.quantile(0.5), 60);
  histogram.observe(0.0005);
  EXPECT_EQ(histogram.quantile(2), 60);
  EXPECT_EQ(histogram.quantile(-1), histogram.quantile(0));
  EXPECT_EQ(histogram.quantile(std::numeric_limits<double>::quiet_NaN()), histogram.quantile(0));
}

TEST(Histogram, QuantilesNeverDecrease) {
  Histogram histogram;
  for (int i = 0; i < 200; ++i) histogram.observe(0.0007 * i * i);
  double before = 0;
  for (int i = 0; i <= 100; ++i) {
    const double now = histogram.quantile(i / 100.0);
    EXPECT_GE(now, before) << i;
    before = now;
  }
}

TEST(Histogram, MergingIsTheSameAsObservingBoth) {
  Histogram a;
  Histogram b;
  Histogram both;
  for (int i = 0; i < 100; ++i) {
    const double value = 0.002 * i * i;
    (i % 3 == 0 ? a : b).observe(value);
    both.observe(value);
  }
  a.merge(b);
  EXPECT_EQ(a.counts, both.counts);
  EXPECT_EQ(a.count, both.count);
  EXPECT_NEAR(a.sum, both.sum, 1e-9);
}

}  // namespace
}  // namespace pgsink
