#include "pgsink/lane/repeated_keys.h"

#include <algorithm>
#include <utility>

namespace pgsink {

Result<RepeatedKeys> RepeatedKeys::create(const Plan& plan) {
  RepeatedKeys made;
  made.together_ = plan.order.together;
  if (made.together_ != Together::kDistinctKeys) return made;
  auto hash = KeyHash::create(plan.distinct_columns(), plan.types);
  if (!hash) return fail(hash.error());
  made.hash_ = std::move(*hash);
  return made;
}

bool RepeatedKeys::forbid_together(const Flight& flight) {
  switch (together_) {
    case Together::kAlways:
      return false;
    case Together::kDistinctKeys:
      return any_twice(flight);
    case Together::kNever:
      return true;
  }
  return true;
}

bool RepeatedKeys::any_twice(const Flight& flight) {
  hashes_.resize(flight.rows);
  uint64_t* to = hashes_.data();
  for (const Piece& piece : flight.pieces) {
    hash_->hash(piece.batch(), piece.rows, to);
    to += piece.rows.count;
  }
  std::ranges::sort(hashes_);
  return std::ranges::adjacent_find(hashes_) != hashes_.end();
}

}  // namespace pgsink
