#pragma once
// BatchRun: runs a pipeline whose queries have an end. Every sink is open before the first row is
// read; then the shared WITH list is evaluated once, and the branches run one after the other, each
// from the engine into its sink.

#include <memory>
#include <vector>

#include "shell/run/branch_sink.h"
#include "shell/run/pipeline.h"

namespace pgsink::shell {

class BatchRun {
 public:
  /// REQUIRES: the pipeline reads no unbounded source. It outlives this.
  explicit BatchRun(Pipeline& pipeline) : pipeline_(pipeline) {}

  /// Opens the sinks, moves the rows, and closes the sinks. What a signal interrupts ends well:
  /// what was accepted is committed. Called once.
  PipelineResult run();

 private:
  /// How the rows of a branch ended, if not by an error.
  enum class End : uint8_t { kInterrupted, kDone };

  Outcome run_all();
  Outcome open_sinks();
  Outcome run_branch(Branch& branch, BranchSink& sink);
  std::expected<End, Faults> move_rows(Branch& branch, BranchSink& sink);
  Faults query_failed(const Branch& branch, const BranchSink& sink, const EngineFault& fault) const;

  Pipeline& pipeline_;
  std::vector<std::unique_ptr<BranchSink>> sinks_;  ///< By branch; null for a table of the engine.
  std::vector<SinkReport> reports_;
};

}  // namespace pgsink::shell
