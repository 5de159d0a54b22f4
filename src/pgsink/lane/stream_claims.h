#pragma once
// StreamClaims: which streams a sink has claimed, how far each was accepted and is durable, and
// which of them another writer has taken over. Between the host, the inbox and the lanes.
// Thread-safe; its lock is taken after the inbox's.

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pgsink/record_batch.h>
#include <pgsink/stream.h>

#include "pgsink/client/env.h"
#include "pgsink/delivery/stream_rows.h"

namespace pgsink {

/// StreamClaim is one claim of a stream. Batches keep the claim under which they were accepted: if
/// the stream is claimed again, what is left of the former claim is not written.
class StreamClaim {
 public:
  StreamClaim(const StreamRow& row, size_t lane_number)
      : stream(row.stream), claimed(row.position), lane(lane_number), writer_(row.writer) {}

  const std::string stream;
  const uint64_t claimed;  ///< Up to where it was committed when it was claimed.
  const size_t lane;
  /// Whether it was released or taken over: its rows are not to be written any more.
  bool is_gone() const { return gone_; }

 private:
  friend class StreamClaims;
  std::atomic<bool> gone_ = false;
  // Guarded by the monitor of StreamClaims:
  std::string writer_;         ///< The token, as renewed last.
  uint64_t accepted_ = 0;      ///< Position of the last batch; 0: none.
  uint64_t last_batch_ = 0;    ///< Its number.
  uint64_t durable_ = 0;       ///< Position up to which all batches are durable.
  uint64_t acknowledged_ = 0;  ///< Position that the server has reported as committed.
  std::deque<std::pair<uint64_t, uint64_t>> pending_;  ///< Batches not durable: number, position.
  std::optional<Error> lost_;                          ///< Another writer has it.
};
using StreamClaimPointer = std::shared_ptr<StreamClaim>;

class StreamClaims {
 public:
  StreamClaims(Env& env, size_t lanes) : lanes_(lanes), monitor_(env.tasks.monitor()) {}

  // ---- the host --------------------------------------------------------------------------------
  /// These were claimed now; what is left of earlier claims of the same streams is dropped.
  void add(std::span<const StreamRow> rows);
  /// Fails with kUsage if one of them is not claimed.
  Status check_claimed(std::span<const std::string> streams) const;
  /// The number of the last batch of these streams; 0: none.
  uint64_t last_batch(std::span<const std::string> streams) const;
  /// Drops claims: what was not sent is not written.
  void drop(std::span<const std::string> streams);
  /// Position up to which a stream is durable; 0 if it is not claimed.
  uint64_t durable_position(const std::string& stream) const;
  /// kFenced, if a claimed stream was taken over and is not released.
  Status status() const;
  /// The same of one stream.
  Status status(const std::string& stream) const;

  // ---- the inbox -------------------------------------------------------------------------------
  size_t lane_of(const std::string& stream) const {
    return std::hash<std::string>()(stream) % lanes_;
  }
  /// Whether a batch was committed before its stream was claimed.
  bool is_replayed(const RecordBatch& batch) const;
  /// Taken is what the sink keeps of a batch's stream.
  struct Taken {
    StreamClaimPointer claim;
    uint64_t from = 0;  ///< The position that the batch follows.
  };
  /// Takes up the batch with that number. Fails with kUsage if its stream is not claimed or its
  /// position does not follow the last one, and with kFenced if the stream was taken over.
  Result<Taken> accept(const RecordBatch& batch, uint64_t number);
  /// All batches up to this number are durable.
  void settle(uint64_t number);

  // ---- a lane ----------------------------------------------------------------------------------
  /// The rows of claims that are not gone.
  std::vector<StreamRow> rows_of(size_t lane) const;
  std::string writer_of(const StreamClaim& claim) const;
  /// Its token is now another one.
  void renewed(const StreamRow& row);
  /// Another writer has the stream.
  void lose(const std::string& stream, const std::string& writer, Error error);
  /// The server has reported a commit up to this position.
  void acknowledge(StreamClaim& claim, uint64_t position);
  uint64_t acknowledged(const std::string& stream) const;

 private:
  StreamClaim* find(const std::string& stream) const;

  const size_t lanes_;
  const std::unique_ptr<Monitor> monitor_;
  std::map<std::string, StreamClaimPointer> claims_;  ///< Guarded by monitor_.
};

}  // namespace pgsink
