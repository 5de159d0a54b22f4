#pragma once
// RehearsalRun: a pipeline that writes nothing. --check=online compares it with its tables,
// --dry-run also reads and encodes its rows.

#include <memory>
#include <vector>

#include "pgsink/sink/rehearsal.h"
#include "shell/run/pipeline.h"

namespace pgsink::shell {

class RehearsalRun {
 public:
  /// The pipeline outlives this.
  explicit RehearsalRun(Pipeline& pipeline) : pipeline_(pipeline) {}

  /// Compares the branches with their tables. Changes nothing.
  Outcome check();
  /// Also reads and encodes the rows of each branch, at least the first `rows_max` if there are so
  /// many, and reports which would be rejected. Called once, instead of check().
  PipelineResult run(uint64_t rows_max);

 private:
  Outcome run_all(uint64_t rows_max);
  Outcome encode_rows(Branch& branch, Rehearsal& rehearsal, uint64_t rows_max);
  Outcome encode_chunk(const Branch& branch, Rehearsal& rehearsal, const OwnedChunk& chunk,
                       SinkReport& report);

  Pipeline& pipeline_;
  /// By branch; null for a table of the engine.
  std::vector<std::unique_ptr<Rehearsal>> rehearsals_;
  std::vector<SinkReport> reports_;
};

}  // namespace pgsink::shell
