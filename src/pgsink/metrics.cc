#include <algorithm>
#include <cmath>

#include <pgsink/metrics.h>

namespace pgsink {

void Histogram::observe(double seconds) {
  if (!std::isfinite(seconds)) return;
  const double value = std::max(seconds, 0.0);
  size_t bucket = 0;
  while (bucket < kBounds.size() && value > kBounds[bucket]) ++bucket;
  ++counts[bucket];
  ++count;
  sum += value;
}

double Histogram::quantile(double part) const {
  if (count == 0) return 0;
  // The comparison written so that NaN asks for the smallest.
  const double clamped = part > 0 ? std::min(part, 1.0) : 0.0;
  const double rank = clamped * static_cast<double>(count);
  double below = 0;
  for (size_t i = 0; i < kBounds.size(); ++i) {
    const auto in_bucket = static_cast<double>(counts[i]);
    if (in_bucket > 0 && below + in_bucket >= rank) {
      const double low = i == 0 ? 0.0 : kBounds[i - 1];
      return low + (kBounds[i] - low) * (rank - below) / in_bucket;
    }
    below += in_bucket;
  }
  return kBounds.back();
}

void Histogram::merge(const Histogram& other) {
  for (size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
  count += other.count;
  sum += other.sum;
}

}  // namespace pgsink
