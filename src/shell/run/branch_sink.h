#pragma once
// BranchSink: the open sink of a branch, and how far the branch has come.

#include <expected>
#include <memory>
#include <span>
#include <string_view>

#include <pgsink/sink.h>

#include "shell/run/pipeline.h"

namespace pgsink::shell {

class BranchSink {
 public:
  /// Opens a sink for the branch, with options that are its connection's or differ only in limits.
  /// Prints the sink's warnings. Both outlive the result.
  static std::expected<std::unique_ptr<BranchSink>, Faults> open(const Pipeline& pipeline,
                                                                 const Branch& branch,
                                                                 SinkOptions options);
  /// Aborts what is not committed, unless close() was called.
  ~BranchSink();
  BranchSink(const BranchSink&) = delete;
  BranchSink& operator=(const BranchSink&) = delete;

  const Branch& branch() const { return branch_; }
  Sink& sink() const { return *sink_; }
  /// Sink::write(), reject(), flush(), close() and finish(); an error says what is in the target.
  Outcome write(RecordBatch batch);
  /// Sink::try_write().
  std::expected<bool, Faults> try_write(RecordBatch& batch);
  Outcome reject(std::span<const RejectedInput> inputs);
  Outcome flush();
  /// Fails if the sink has stopped for good.
  Outcome check() const;
  Outcome close();
  Outcome finish();
  /// The counters become those of a sink that has ended. The destructor does it otherwise.
  void retire() const;

  /// The sink stopped: the error, with what is in the target and what is not.
  Faults stopped_by(Error error) const;
  SinkReport report(std::string_view outcome, double seconds) const;

  /// The branch has read all rows, and those that were neither written nor rejected were delivered
  /// by earlier runs: for the report.
  void count_delivered_before();

  uint64_t rows_read = 0;  ///< By the branch, for messages and reports.

 private:
  BranchSink(const Pipeline& pipeline, const Branch& branch)
      : pipeline_(pipeline), branch_(branch) {}
  Outcome checked(Status status) const;

  const Pipeline& pipeline_;
  const Branch& branch_;
  std::unique_ptr<Sink> sink_;
  uint64_t rows_delivered_before_ = 0;
};

}  // namespace pgsink::shell
