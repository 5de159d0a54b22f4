#pragma once
// Pipeline: one CREATE PIPELINE or INSERT INTO a connection, from its queries to committed rows.
//
// A single branch streams from the engine into its sink. Several branches run one after the other;
// the WITH list that they share is evaluated once, into temporary tables (common_tables.h).
// Everything is bound, and every sink is open, before the first row is read.
//
// A pipeline that reads an unbounded source runs its queries, WITH list included, once for each
// micro-batch of the source, until that ends or a signal comes (pipeline_stream.cc).

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <pgsink/ddl.h>
#include <pgsink/sink.h>

#include "shell/connections/connections.h"
#include "shell/engine/arrow_rows.h"
#include "shell/engine/engine.h"
#include "shell/engine/query_plan.h"
#include "shell/output/progress.h"
#include "shell/output/reporter.h"
#include "shell/output/signals.h"
#include "shell/output/summary.h"
#include "shell/script/common_tables.h"
#include "shell/script/script.h"
#include "shell/sources/sources.h"

namespace pgsink::shell {

class Pipeline {
 public:
  /// What a pipeline works with; all outlive it.
  struct Context {
    Engine& engine;
    Connections& connections;
    Sources& sources;
    Signals& signals;
    ProgressStyle progress;
    const SourceMap& places;
    Reporter& reporter;
  };
  Pipeline(const CreatePipeline& statement, Context context);
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// Parses and binds everything, contacts no server.
  Outcome check();
  /// Also compares the branches with their tables. Changes nothing.
  Outcome check_online();
  /// Also reads and encodes the rows of each branch, or the first `rows_max` and what comes with
  /// them, and says which would be rejected. Writes nothing.
  Outcome rehearse(uint64_t rows_max);
  /// Opens the sinks, moves the rows, and closes the sinks. An interrupted pipeline ends well: what
  /// was accepted is committed.
  Outcome run();
  /// What each branch did; after run(), however it ended.
  const std::vector<SinkReport>& reports() const { return reports_; }

 private:
  struct Branch;
  /// What a branch made of one micro-batch.
  using Made = std::vector<RecordBatch>;

  Outcome bind();
  Outcome bind_branch(Branch& branch);
  Outcome bind_query(Branch& branch);
  Outcome name_columns(Branch& branch);
  Outcome open_rehearsal(Branch& branch);
  Outcome rehearse(Branch& branch, uint64_t rows_max);
  Outcome open_sinks();
  Outcome fill_common_tables();
  Outcome run_branch(Branch& branch);
  Outcome run_in_engine(Branch& branch);
  Outcome stream(Branch& branch);
  // of an unbounded source
  Outcome find_source();
  Outcome check_stateless();
  Outcome refuse(const PlanNode& plan, SourcePosition place, size_t length);
  Outcome run_stream();
  Outcome stream_until_end();
  Outcome move(UnboundedSource::Rows rows);
  EngineResult<std::vector<Made>> make();
  EngineResult<Made> make(Branch& branch);
  Outcome reject_faulty(bool& any);
  std::vector<std::pair<size_t, std::string>> faulty_rows(Query& whole, size_t begin, size_t count);
  Outcome keep_up();
  Outcome source_fault(Error error) const;
  Outcome stopped_by(Branch& branch, Error error);
  void report(Branch& branch, std::string_view outcome, double seconds);
  EngineSql query_sql(const Branch& branch) const;
  Faults engine_fault(const Branch& branch, const EngineFault& fault, const EngineSql& sql) const;
  std::string label(const Branch& branch) const;

  const CreatePipeline& statement_;
  Context context_;
  CommonTables common_tables_;
  size_t created_tables_ = 0;
  std::vector<std::unique_ptr<Branch>> branches_;
  std::vector<SinkReport> reports_;
  Sources::Source* source_ = nullptr;  ///< The unbounded one, if the queries read one.
  uint64_t rejected_ = 0;              ///< Rows of it.
  uint64_t read_position_ = 0;
  std::chrono::steady_clock::time_point flushed_at_;
};

}  // namespace pgsink::shell
