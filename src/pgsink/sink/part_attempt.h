#pragma once
// PartAttempt: one attempt to write a partition of a two-phase job. Another attempt of the same
// partition may have prepared its rows already: then they count, and this one writes nothing.

#include <memory>
#include <optional>

#include <pgsink/options.h>

#include "pgsink/client/pool.h"
#include "pgsink/lane/part_ending.h"
#include "pgsink/sink/job_ticket.h"

namespace pgsink {

class PartAttempt {
 public:
  /// Connects. Fails with kFenced if the job cannot be committed any more. `number` is random.
  static Result<std::unique_ptr<PartAttempt>> open(const SinkOptions& options,
                                                   const JobTicket& ticket, uint32_t partition,
                                                   int64_t number, Env* env);

  /// For the sink of this attempt.
  const std::shared_ptr<PartEnding>& ending() const { return ending_; }
  /// Whether another attempt has prepared its rows. A failure means that this is not known.
  /// Thread-safe.
  Result<bool> look_for_other();
  /// What counts: the rows of another attempt, or of this one; nullopt if nothing is prepared.
  std::optional<PreparedPart> prepared() const { return other_ ? other_ : ending_->outcome(); }
  bool has_other() const { return other_.has_value(); }

 private:
  PartAttempt(SinkOptions options, std::shared_ptr<Pool> pool, uint32_t partition)
      : options_(std::move(options)),
        pool_(std::move(pool)),
        partition_(partition),
        monitor_(pool_->env().tasks.monitor()) {}
  Result<PoolLease> connect();

  const SinkOptions options_;
  const std::shared_ptr<Pool> pool_;
  const uint32_t partition_;
  const std::unique_ptr<Monitor> monitor_;  ///< One look at a time.
  std::shared_ptr<PartEnding> ending_;
  std::optional<PreparedPart> other_;
};

}  // namespace pgsink
