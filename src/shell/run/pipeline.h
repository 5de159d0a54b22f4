#pragma once
// Pipeline: one CREATE PIPELINE or INSERT INTO a connection, bound and ready to run.
//
// PipelineBinder makes it, without contacting a server. Three classes run it:
//   BatchRun      moves the rows of its queries, one branch after the other;
//   StreamRun     reads an unbounded source, one micro-batch after the other;
//   RehearsalRun  compares it with its tables and encodes its rows, and writes nothing.

#include <functional>
#include <string>
#include <vector>

#include <pgsink/ddl.h>
#include <pgsink/options.h>

#include "shell/connections/connections.h"
#include "shell/engine/arrow_rows.h"
#include "shell/engine/engine.h"
#include "shell/output/progress.h"
#include "shell/output/reporter.h"
#include "shell/output/signals.h"
#include "shell/output/summary.h"
#include "shell/script/common_tables.h"
#include "shell/script/script.h"
#include "shell/sources/column_uses.h"
#include "shell/sources/sources.h"

namespace pgsink::shell {

/// PipelineContext holds the objects that a pipeline uses; all of them outlive the pipeline.
struct PipelineContext {
  Engine& engine;
  Connections& connections;
  Sources& sources;
  Signals& signals;
  ProgressStyle progress;
  const SourceMap& places;
  Reporter& reporter;
  bool may_connect = true;  ///< Whether binding may ask the server.
};

/// PipelineResult is how a run of a pipeline ended, and what each branch did until then.
struct PipelineResult {
  Outcome outcome;
  std::vector<SinkReport> reports;
  /// Ends the loads that no later run continues; may be empty. Call it once the reports are shown:
  /// a run that is killed before that must not be taken for another load when it is repeated.
  std::move_only_function<Outcome()> finish{};
};

/// Branch is one INSERT INTO of a pipeline, bound.
struct Branch {
  explicit Branch(const InsertBranch& branch) : syntax(branch) {}

  /// Whether the target is a table of the engine, not a connection.
  bool into_engine() const { return options == nullptr; }

  const InsertBranch& syntax;
  const SinkOptions* options = nullptr;  ///< Of the connection; null if into_engine().
  std::vector<SqlEdit> edits;            ///< Of its query, for the types of a source.
  EngineSql sql;
  Query query;
  ArrowRows rows;  ///< Makes batches of the query's chunks; unset if into_engine().
  /// The schema of the source's own batches, which go to the target without the query; or null.
  std::shared_ptr<const Schema> whole_rows;
  /// What the target gets.
  const std::shared_ptr<const Schema>& schema() const {
    return whole_rows ? whole_rows : rows.schema();
  }
};

struct Pipeline {
  Pipeline(const CreatePipeline& create, const PipelineContext& given);
  /// Drops the tables of the shared WITH list.
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// Creates the tables of the shared WITH list, empty, so that queries that read them can be
  /// bound.
  Outcome create_common_tables();
  /// Fills them. OK, with tables that are not full, if a signal came: callers look at stopped().
  Outcome fill_common_tables();
  /// Runs the query of a branch whose target is a table of the engine. OK if a signal ended it.
  Outcome run_in_engine(Branch& branch) const;

  /// Whether a signal asks the run to end.
  bool stopped() const { return context.signals.received() != 0; }
  /// Whether a signal is why the engine ended a statement.
  bool was_interrupted(const EngineFault& fault) const { return fault.interrupted && stopped(); }
  /// The name of a branch in reports and progress.
  std::string label(const Branch& branch) const;
  /// A report of a branch with what is known of it before it runs.
  SinkReport blank_report(const Branch& branch) const;

  /// An error of ours at the target, or at the query, of a branch.
  Faults target_fault(const Branch& branch, Error error) const;
  Faults query_fault(const Branch& branch, Error error) const;
  /// An error of the engine in the query of a branch.
  Faults engine_fault(const Branch& branch, const EngineFault& fault) const;
  /// An error of the engine in the shared WITH list.
  Faults with_fault(const EngineFault& fault, const EngineSql& sql) const;

  const CreatePipeline& statement;
  const PipelineContext context;
  const CommonTables common_tables;
  std::vector<Branch> branches;
  Sources::Source* source = nullptr;  ///< The unbounded source, if the queries read one.

 private:
  size_t created_tables_ = 0;
};

}  // namespace pgsink::shell
