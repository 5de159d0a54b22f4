#pragma once
// SourceRejects: input of an unbounded source that cannot be read, for example malformed lines. It
// goes to the dead letters of the pipeline's sinks, or is counted against the source's max_rejects.
// The source finds most of it itself; rows that only the engine refuses are found by halving a
// micro-batch that it refuses, so that a malformed row never takes a good one with it.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "shell/run/branch_sink.h"
#include "shell/run/pipeline.h"

namespace pgsink::shell {

class SourceRejects {
 public:
  /// REQUIRES: the pipeline reads an unbounded source. It outlives this.
  explicit SourceRejects(const Pipeline& pipeline)
      : pipeline_(pipeline), source_(*pipeline.source) {}

  /// From now on rejected input becomes dead letters of this sink, too. It takes some and outlives
  /// the last call.
  void add_sink(BranchSink& sink) { sinks_.push_back(&sink); }

  /// From now on the letters are kept for take(), instead of being written at once.
  void keep() { keeps_ = true; }
  std::vector<RejectedInput> take() { return std::exchange(kept_, {}); }

  /// Makes dead letters of input, and warns about it. Fails if there is more of it than allowed.
  Outcome reject(const std::vector<RejectedInput>& inputs);
  /// The same with rows of the source's micro-batch that the engine refuses. False if there is
  /// none.
  std::expected<bool, Faults> drop_rejected();
  /// How much was rejected so far.
  uint64_t count() const { return count_; }

 private:
  /// A row of the micro-batch, and why it cannot be read.
  using Rejected = std::pair<size_t, std::string>;
  std::vector<Rejected> find(Query& all_columns, size_t begin, size_t count);

  const Pipeline& pipeline_;
  Sources::Source& source_;
  std::vector<BranchSink*> sinks_;
  uint64_t count_ = 0;
  bool keeps_ = false;
  std::vector<RejectedInput> kept_;
};

/// source_fault is an error of the pipeline's unbounded source.
Faults source_fault(const Pipeline& pipeline, Error error);

}  // namespace pgsink::shell
