#pragma once
// SourceRejects: the rows of an unbounded source that its own expressions cannot read, for example
// malformed lines. They are found by halving a micro-batch that the engine refuses, so that a
// malformed row never takes a good one with it.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "shell/run/pipeline.h"

namespace pgsink::shell {

class SourceRejects {
 public:
  /// REQUIRES: the pipeline reads an unbounded source. It outlives this.
  explicit SourceRejects(const Pipeline& pipeline)
      : pipeline_(pipeline), source_(*pipeline.source) {}

  /// Takes such rows out of the source's micro-batch, and warns of them. False if there is none.
  /// Fails if the source has had more of them than its limit.
  std::expected<bool, Faults> drop_rejected();
  /// Rows taken out so far.
  uint64_t count() const { return count_; }

 private:
  /// A row of the micro-batch, and why it cannot be read.
  using Rejected = std::pair<size_t, std::string>;
  std::vector<Rejected> find(Query& all_columns, size_t begin, size_t count);

  const Pipeline& pipeline_;
  Sources::Source& source_;
  uint64_t count_ = 0;
};

/// source_fault is an error of the pipeline's unbounded source.
Faults source_fault(const Pipeline& pipeline, Error error);

}  // namespace pgsink::shell
