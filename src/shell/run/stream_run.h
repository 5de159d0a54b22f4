#pragma once
// StreamRun: runs a pipeline that reads an unbounded source, until the source ends or a signal
// comes. The queries, shared WITH list included, run once for each micro-batch, and all of them
// before a row of it goes to a sink. If the engine refuses the micro-batch, SourceRejects takes the
// rows out that cannot be read, and the rest is run again.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "shell/run/branch_sink.h"
#include "shell/run/pipeline.h"
#include "shell/run/source_rejects.h"
#include "shell/run/stream_holder.h"

namespace pgsink::shell {

class StreamRun {
 public:
  /// REQUIRES: the pipeline reads an unbounded source. It outlives this.
  explicit StreamRun(Pipeline& pipeline)
      : pipeline_(pipeline),
        source_(*pipeline.source),
        rejects_(pipeline),
        control_(source_.rows->streams()) {}

  /// Opens the sinks, moves rows until the end, and closes the sinks. What was accepted is
  /// committed, however it ends. Called once.
  PipelineResult run();

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  /// What a branch makes of one micro-batch.
  using Made = std::vector<RecordBatch>;
  struct Part {
    std::unique_ptr<BranchSink> sink;  ///< Null for a table of the engine.
    uint64_t written_position = 0;     ///< Of the last rows that the sink was given.
  };

  Outcome open_sinks();
  Outcome begin_source();
  Outcome move_until_end();
  Outcome move_and_close();
  Outcome move(UnboundedSource::Rows rows);
  EngineResult<std::vector<Made>> make();
  EngineResult<Made> make(Branch& branch) const;
  Outcome write(std::vector<Made> made);
  Outcome write_patiently(BranchSink& sink, RecordBatch batch);
  Outcome write_of_stream(size_t part, Made made, const std::vector<RejectedInput>& rejected);
  Outcome check_sinks() const;
  Outcome confirm_committed();
  void report_source();
  SinkMetrics metrics() const;

  Pipeline& pipeline_;
  Sources::Source& source_;
  SourceRejects rejects_;
  std::vector<Part> parts_;             ///< By branch.
  StreamControl* const control_;        ///< Null if the source has no streams.
  std::optional<StreamHolder> holder_;  ///< If the sinks remember where the streams are.
  std::string stream_;                  ///< Of the current micro-batch, …
  uint64_t stream_position_ = 0;        ///< … and its position after it.
  uint64_t read_position_ = 0;
  TimePoint flushed_at_, reported_at_;
  bool reading_ = true;       ///< The source has not ended.
  bool interrupted_ = false;  ///< A signal came before it ended.
};

}  // namespace pgsink::shell
