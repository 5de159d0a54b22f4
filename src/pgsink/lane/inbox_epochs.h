#pragma once
// InboxEpochs: where the epochs of two-phase commit end. An epoch is a run of whole batches, ended
// by seal(); no transaction holds rows of two. Not thread-safe: the inbox guards it.

#include <deque>
#include <limits>
#include <optional>
#include <utility>

#include <pgsink/record_batch.h>

namespace pgsink {

class InboxEpochs {
 public:
  struct Limits {
    /// The rows that a lane gets in one epoch are one transaction, and so none of them gives its
    /// memory back before the epoch ends.
    bool one_transaction = false;
    /// An epoch takes no batch with which it would hold more, unless it is the first.
    size_t rows_max = 0, bytes_max = 0;
    HostPosition position;  ///< Up to where everything is committed already.
  };
  /// epoch_end() of a batch whose epoch is not sealed.
  static constexpr uint64_t kUnsealed = std::numeric_limits<uint64_t>::max();

  /// nullopt: there are no epochs.
  explicit InboxEpochs(std::optional<Limits> limits) : limits_(std::move(limits)) {}

  bool enabled() const { return limits_.has_value(); }
  bool one_transaction() const { return limits_ && limits_->one_transaction; }
  /// Whether the batch does not fit into the current epoch, which holds rows already.
  bool is_full_for(const RecordBatch& batch) const;
  void count(const RecordBatch& batch);

  /// Seals the current epoch, which ends with this batch. False if it is empty.
  bool seal(uint64_t last_batch);
  uint64_t sealed_through() const { return sealed_through_; }
  /// The last batch of the epoch that this one belongs to, or kUnsealed.
  uint64_t epoch_end(uint64_t batch) const;
  void commit(uint64_t through_batch);
  /// The last batch of the last committed epoch.
  uint64_t committed_through() const { return committed_through_; }
  /// From now on none is ever full: the host decides when they end.
  void let_host_decide() { host_decides_ = true; }

 private:
  const std::optional<Limits> limits_;
  std::deque<uint64_t> seals_;      ///< The last batches of sealed epochs not committed.
  uint64_t sealed_through_ = 0;     ///< The last batch of the last sealed epoch.
  uint64_t committed_through_ = 0;  ///< Of the last committed epoch.
  size_t rows_ = 0, bytes_ = 0;     ///< Of the current epoch.
  bool host_decides_ = false;
};

}  // namespace pgsink
