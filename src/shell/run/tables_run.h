#pragma once
// TablesRun: runs INSERT INTO targets SELECT * FROM source where the source reads many tables. Each
// table goes to a table of its own, with its own columns, so no query of the engine takes part.

#include <expected>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <pgsink/ddl.h>
#include <pgsink/source.h>

#include "shell/run/pipeline.h"
#include "shell/run/stopwatch.h"

namespace pgsink::shell {

/// The name of the source, if the statement mentions a connection with the option tables. Fails if
/// it does anything else with it than INSERT INTO connection SELECT * FROM source, or if the target
/// and the source do not fit together.
std::expected<std::optional<std::string>, Faults> reads_many_tables(const CreatePipeline& statement,
                                                                    const Connections& connections,
                                                                    const SourceMap& places);

class TablesRun final : ReplicateWatch {
 public:
  /// REQUIRES: reads_many_tables() returned `source`. All outlive this.
  TablesRun(const CreatePipeline& statement, const std::string& source,
            const PipelineContext& context);

  /// Runs until a signal comes. Called once.
  PipelineResult run();

 private:
  void opened(const SinkOptions& options, const Sink& sink) override;
  void closed(const SinkOptions& options, const Sink& sink) override;
  void started(const Source& source) override;
  SinkMetrics metrics() const;
  Faults target_fault(Error error) const;

  const CreatePipeline& statement_;
  const InsertBranch& branch_;
  const PipelineContext& context_;
  const SinkOptions& from_;
  const SinkOptions& to_;
  const Stopwatch watch_;
  std::vector<SinkReport> reports_;
  mutable std::mutex mutex_;  ///< For the progress, which is shown by another thread.
  std::vector<const Sink*> live_;
  SinkMetrics ended_;
};

}  // namespace pgsink::shell
