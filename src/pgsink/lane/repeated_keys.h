#pragma once
// RepeatedKeys: whether a key comes twice in a flight, so that its rows cannot go together where
// each row of a key counts (plan/row_order.h).

#include <optional>
#include <vector>

#include "pgsink/encode/rows/key_hash.h"
#include "pgsink/lane/flight.h"

namespace pgsink {

class RepeatedKeys {
 public:
  /// Fails as KeyHash::create() does.
  static Result<RepeatedKeys> create(const Plan& plan);

  /// Whether some rows must not be applied together. Two keys that are different may look equal,
  /// never the other way round.
  bool forbid_together(const Flight& flight);

 private:
  RepeatedKeys() = default;
  bool any_twice(const Flight& flight);

  Together together_ = Together::kAlways;
  std::optional<KeyHash> hash_;
  std::vector<uint64_t> hashes_;
};

}  // namespace pgsink
