#include "pgsink/lane/stream_claims.h"

#include <algorithm>

namespace pgsink {

StreamClaim* StreamClaims::find(const std::string& stream) const {
  const auto found = claims_.find(stream);
  return found == claims_.end() ? nullptr : found->second.get();
}

// ---- the host ----------------------------------------------------------------------------------

void StreamClaims::add(std::span<const StreamRow> rows) {
  const Monitor::Lock lock(*monitor_);
  for (const StreamRow& row : rows) {
    StreamClaimPointer& claim = claims_[row.stream];
    if (claim != nullptr) claim->gone_ = true;
    claim = std::make_shared<StreamClaim>(row, lane_of(row.stream));
    claim->durable_ = claim->acknowledged_ = row.position;
  }
}

Status StreamClaims::check_claimed(std::span<const std::string> streams) const {
  const Monitor::Lock lock(*monitor_);
  for (const std::string& stream : streams) {
    if (find(stream) == nullptr) {
      return fail(Errc::kUsage, "release(): the stream \"" + stream + "\" is not claimed");
    }
  }
  return {};
}

uint64_t StreamClaims::last_batch(std::span<const std::string> streams) const {
  const Monitor::Lock lock(*monitor_);
  uint64_t last = 0;
  for (const std::string& stream : streams) {
    if (const StreamClaim* claim = find(stream)) last = std::max(last, claim->last_batch_);
  }
  return last;
}

void StreamClaims::drop(std::span<const std::string> streams) {
  const Monitor::Lock lock(*monitor_);
  for (const std::string& stream : streams) {
    const auto found = claims_.find(stream);
    if (found == claims_.end()) continue;
    found->second->gone_ = true;
    claims_.erase(found);
  }
}

uint64_t StreamClaims::durable_position(const std::string& stream) const {
  const Monitor::Lock lock(*monitor_);
  const StreamClaim* claim = find(stream);
  return claim == nullptr ? 0 : claim->durable_;
}

Status StreamClaims::status() const {
  const Monitor::Lock lock(*monitor_);
  for (const auto& [stream, claim] : claims_) {
    if (claim->lost_) return fail(*claim->lost_);
  }
  return {};
}

Status StreamClaims::status(const std::string& stream) const {
  const Monitor::Lock lock(*monitor_);
  const StreamClaim* claim = find(stream);
  if (claim == nullptr || !claim->lost_) return {};
  return fail(*claim->lost_);
}

// ---- the inbox ---------------------------------------------------------------------------------

bool StreamClaims::is_replayed(const RecordBatch& batch) const {
  const Monitor::Lock lock(*monitor_);
  const StreamClaim* claim = find(batch.stream);
  return claim != nullptr && batch.position <= claim->claimed;
}

Result<StreamClaims::Taken> StreamClaims::accept(const RecordBatch& batch, uint64_t number) {
  const Monitor::Lock lock(*monitor_);
  const auto found = claims_.find(batch.stream);
  const std::string name = "\"" + batch.stream + "\"";
  if (found == claims_.end()) {
    return fail(Errc::kUsage, "write(): the stream " + name + " is not claimed: claim() it first");
  }
  StreamClaim& claim = *found->second;
  if (claim.lost_) return fail(*claim.lost_);
  if (batch.position <= claim.accepted_ || batch.position == 0) {
    return fail(Errc::kUsage,
                "write(): RecordBatch::position must grow with each batch of a "
                "stream; in stream " +
                    name + ", " + std::to_string(batch.position) + " follows " +
                    std::to_string(claim.accepted_));
  }
  // Where the first batch begins only the host knows.
  if (claim.accepted_ > 0 && claim.accepted_ < claim.claimed && batch.position > claim.claimed) {
    return fail(Errc::kUsage, "write(): the batch of stream " + name + " up to position " +
                                  std::to_string(batch.position) + " holds rows on both sides of " +
                                  std::to_string(claim.claimed) +
                                  ", up to where the stream is committed: cut the batches of a "
                                  "replay as they were");
  }
  const uint64_t from = std::max(claim.claimed, claim.accepted_);
  claim.pending_.emplace_back(number, batch.position);
  claim.accepted_ = batch.position;
  claim.last_batch_ = number;
  return Taken{found->second, from};
}

void StreamClaims::settle(uint64_t number) {
  const Monitor::Lock lock(*monitor_);
  for (const auto& [stream, claim] : claims_) {
    auto& pending = claim->pending_;
    for (; !pending.empty() && pending.front().first <= number; pending.pop_front()) {
      if (!claim->lost_) claim->durable_ = std::max(claim->durable_, pending.front().second);
    }
  }
}

// ---- a lane ------------------------------------------------------------------------------------

std::vector<StreamRow> StreamClaims::rows_of(size_t lane) const {
  const Monitor::Lock lock(*monitor_);
  std::vector<StreamRow> rows;
  for (const auto& [stream, claim] : claims_) {
    if (claim->lane != lane || claim->gone_) continue;
    rows.push_back({.stream = stream, .position = claim->acknowledged_, .writer = claim->writer_});
  }
  return rows;
}

std::string StreamClaims::writer_of(const StreamClaim& claim) const {
  const Monitor::Lock lock(*monitor_);
  return claim.writer_;
}

void StreamClaims::renewed(const StreamRow& row) {
  const Monitor::Lock lock(*monitor_);
  StreamClaim* claim = find(row.stream);
  if (claim != nullptr && StreamRows::same_claim(claim->writer_, row.writer)) {
    claim->writer_ = row.writer;
  }
}

void StreamClaims::lose(const std::string& stream, const std::string& writer, Error error) {
  const Monitor::Lock lock(*monitor_);
  StreamClaim* claim = find(stream);
  // The host may have claimed it again meanwhile.
  if (claim == nullptr || !StreamRows::same_claim(claim->writer_, writer)) return;
  claim->gone_ = true;
  if (!claim->lost_) claim->lost_ = std::move(error);
}

void StreamClaims::acknowledge(StreamClaim& claim, uint64_t position) {
  const Monitor::Lock lock(*monitor_);
  claim.acknowledged_ = std::max(claim.acknowledged_, position);
}

uint64_t StreamClaims::acknowledged(const std::string& stream) const {
  const Monitor::Lock lock(*monitor_);
  const StreamClaim* claim = find(stream);
  return claim == nullptr ? 0 : claim->acknowledged_;
}

}  // namespace pgsink
