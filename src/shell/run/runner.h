#pragma once
// Runner: runs the statements of scripts one after the other, and stops at the first that fails.

#include <set>
#include <string>
#include <vector>

#include "shell/connections/connections.h"
#include "shell/connections/system_tables.h"
#include "shell/engine/engine.h"
#include "shell/flags/flags.h"
#include "shell/output/output.h"
#include "shell/output/progress.h"
#include "shell/output/reporter.h"
#include "shell/output/signals.h"
#include "shell/output/summary.h"
#include "shell/run/pipeline.h"
#include "shell/script/script.h"
#include "shell/sources/sources.h"

namespace pgsink::shell {

class Runner {
 public:
  /// All outlive the runner.
  Runner(const Flags& flags, Engine& engine, Connections& connections, Sources& sources,
         SystemTables& system_tables, Signals& signals, Output& output, Reporter& reporter);
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  /// Every connection that is created from now on is traced.
  void set_trace(TraceCallback trace) { trace_ = std::move(trace); }
  /// Runs all statements of a script. False if one failed or a signal ended the run: the place and
  /// cause are reported then.
  bool run(const Script& script);
  const std::vector<SinkReport>& reports() const { return reports_; }

 private:
  Outcome run_statement(const Script& script, const ScriptStatement& statement);
  Outcome create_connection(const CreateConnection& statement, const SourceMap& places);
  Outcome check_source_name(const CreateConnection& statement, const SourceMap& places);
  Outcome create_kafka_source(const CreateConnection& statement, const SourceMap& places);
  Outcome create_source(const CreateConnection& statement, const SourceMap& places);
  Result<bool> open_sources(const ScriptStatement& text);
  bool reads_a_source(const ScriptStatement& statement, const Query& query);
  Outcome drop_connection(const DropConnection& statement, const SourceMap& places);
  Outcome run_pipeline(const CreatePipeline& statement, const SourceMap& places);
  Outcome run_tables(const CreatePipeline& statement, const std::string& source,
                     const PipelineContext& context);
  void report(const std::vector<SinkReport>& reports);
  Outcome run_insert(const CreatePipeline& statement, const ScriptStatement& text,
                     const SourceMap& places);
  Outcome run_in_engine(const ScriptStatement& statement, const SourceMap& places);
  Outcome check_in_engine(const ScriptStatement& statement, Query query, const SourceMap& places);
  Outcome print_rows(Query& query, const EngineSql& sql, const ScriptStatement& statement,
                     const SourceMap& places);

  const Flags& flags_;
  Engine& engine_;
  Connections& connections_;
  Sources& sources_;
  SystemTables& system_tables_;
  Signals& signals_;
  Output& output_;
  Reporter& reporter_;
  Substitution substitution_;
  TraceCallback trace_;
  std::set<std::string> pipelines_;
  std::vector<SinkReport> reports_;
  bool printed_ = false;
  bool stdin_is_script_ = false;  ///< Statements come from standard input.
};

}  // namespace pgsink::shell
