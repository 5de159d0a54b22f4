#include "pgsink/lane/own_transactions.h"

#include <algorithm>

namespace pgsink {
namespace {

// More than all lanes have in flight at once, while a connection is replaced.
constexpr size_t kKnownMax = 20'000;

}  // namespace

void OwnTransactions::add(uint64_t xid) {
  const Monitor::Lock lock(*monitor_);
  keep(xid);
}

void OwnTransactions::keep(uint64_t xid) {
  if (!known_.insert(xid).second) return;
  order_.push_back(xid);
  if (order_.size() <= kKnownMax) return;
  known_.erase(order_.front());
  order_.pop_front();
}

void OwnTransactions::progress(size_t lane, Progress now) {
  const Monitor::Lock lock(*monitor_);
  if (lanes_.size() <= lane) lanes_.resize(lane + 1);
  lanes_[lane] = now;
}

std::vector<uint64_t> OwnTransactions::sent() const {
  const Monitor::Lock lock(*monitor_);
  std::vector<uint64_t> sent;
  sent.reserve(lanes_.size());
  for (const Progress& lane : lanes_) sent.push_back(lane.sent);
  return sent;
}

bool OwnTransactions::knows_all(const std::vector<uint64_t>& sent, size_t lane) const {
  const Monitor::Lock lock(*monitor_);
  for (size_t i = 0; i < sent.size(); ++i) {
    if (i != lane && lanes_[i].settled < sent[i]) return false;
  }
  return true;
}

uint64_t OwnTransactions::count_others(const std::vector<uint64_t>& xids) const {
  const Monitor::Lock lock(*monitor_);
  return static_cast<uint64_t>(
      std::ranges::count_if(xids, [&](uint64_t xid) { return !known_.contains(xid); }));
}

uint64_t OwnTransactions::claim_others(const std::vector<uint64_t>& xids, uint64_t without_id) {
  const uint64_t others = count_others(xids);
  const Monitor::Lock lock(*monitor_);
  if (others > without_id) return others;
  // Another lane may have claimed some of them in between.
  uint64_t claimed = 0;
  for (const uint64_t xid : xids) {
    if (!known_.contains(xid)) ++claimed;
    keep(xid);
  }
  return claimed;
}

}  // namespace pgsink
