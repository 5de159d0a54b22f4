#pragma once
// BatchRun: runs a pipeline whose queries have an end. Every sink is open before the first row is
// read; then the shared WITH list is evaluated once, and the branches run one after the other, each
// from the engine into its sink. A load that an earlier run began is gone on with
// (delivered_rows.h).

#include <expected>
#include <functional>
#include <memory>
#include <vector>

#include "shell/run/branch_sink.h"
#include "shell/run/delivered_rows.h"
#include "shell/run/numbered_rows.h"
#include "shell/run/pipeline.h"
#include "shell/run/repeatable_order.h"

namespace pgsink::shell {

class BatchRun {
 public:
  /// REQUIRES: the pipeline reads no unbounded source. It outlives this.
  explicit BatchRun(Pipeline& pipeline) : pipeline_(pipeline) {}

  /// Opens the sinks, moves the rows, and closes the sinks, but for those that the result finishes.
  /// After a signal, everything accepted is committed. Called once.
  PipelineResult run();

 private:
  /// How reading the rows of a branch ended, if not by an error.
  enum class End : uint8_t { kInterrupted, kEnough, kDone };
  /// Takes a batch; false: that is enough.
  using Take = std::function<std::expected<bool, Faults>(RecordBatch)>;

  Outcome run_all();
  Outcome open_sinks();
  Outcome run_branch(Branch& branch, BranchSink& sink);
  std::expected<std::unique_ptr<OneEngineThread>, Faults> repeat_order() const;
  std::expected<End, Faults> move_rows(Branch& branch, BranchSink& sink);
  std::expected<End, Faults> prove(NumberedRows& rows, const DeliveredRows& delivered,
                                   BranchSink& sink);
  std::expected<End, Faults> read(NumberedRows& rows, BranchSink& sink, const Take& take);
  std::expected<End, Faults> start(NumberedRows& rows, const BranchSink& sink);
  Faults query_failed(const BranchSink& sink, const EngineFault& fault) const;

  Pipeline& pipeline_;
  std::vector<std::unique_ptr<BranchSink>> sinks_;  ///< By branch; null for a table of the engine.
  std::vector<BranchSink*> to_finish_;              ///< All of their rows are committed.
  std::vector<SinkReport> reports_;
};

}  // namespace pgsink::shell
