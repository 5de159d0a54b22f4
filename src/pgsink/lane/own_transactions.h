#pragma once
// OwnTransactions: which transactions of the server are a sink's own. All lanes tell it, and a lane
// that counts commits after a lost connection asks it (see FlightLog).

#include <deque>
#include <memory>
#include <unordered_set>
#include <vector>

#include "pgsink/client/env.h"

namespace pgsink {

/// Thread-safe.
class OwnTransactions {
 public:
  explicit OwnTransactions(Env& env) : monitor_(env.tasks.monitor()) {}

  /// How many attempts a lane has sent, and of how many of them it knows the id or will never know
  /// it. Both only grow.
  struct Progress {
    uint64_t sent = 0, settled = 0;
    friend bool operator==(const Progress&, const Progress&) = default;
  };

  /// The id of one of the lanes' transactions. Tell it before the progress that includes it.
  void add(uint64_t xid);
  void progress(size_t lane, Progress now);

  /// What all lanes have sent so far.
  std::vector<uint64_t> sent() const;
  /// Whether of all that was sent then, by other lanes than this one, the ids are known.
  bool knows_all(const std::vector<uint64_t>& sent, size_t lane) const;
  /// How many of these ids are not known.
  uint64_t count_others(const std::vector<uint64_t>& xids) const;
  /// The same. If a lane has at least as many transactions without an id, all of these ids are
  /// explained by them and known from now on, so that no other lane counts them again.
  uint64_t claim_others(const std::vector<uint64_t>& xids, uint64_t without_id);

 private:
  void keep(uint64_t xid);

  const std::unique_ptr<Monitor> monitor_;
  std::unordered_set<uint64_t> known_;  ///< The last ones.
  std::deque<uint64_t> order_;          ///< As they came.
  std::vector<Progress> lanes_;
};

}  // namespace pgsink
