#pragma once
// PipelineBinder: makes a Pipeline of a statement. Parses and binds its queries and checks what can
// be checked without a server.

#include <expected>
#include <memory>

#include "shell/engine/query_plan.h"
#include "shell/run/pipeline.h"

namespace pgsink::shell {

class PipelineBinder {
 public:
  /// The statement and what the context refers to outlive the pipeline.
  PipelineBinder(const CreatePipeline& statement, const PipelineContext& context);

  /// Called once.
  std::expected<std::unique_ptr<Pipeline>, Faults> bind();

 private:
  Outcome bind_all();
  Outcome bind_branch(Branch& branch) const;
  Outcome bind_query(Branch& branch) const;
  Outcome name_columns(Branch& branch) const;
  EngineSql query_sql(const Branch& branch) const;
  // of an unbounded source
  Outcome find_source() const;
  Outcome check_stateless() const;
  Outcome refuse_state(const PlanNode& plan, SourcePosition place, size_t length) const;

  const PipelineContext& context_;  ///< The pipeline's.
  std::unique_ptr<Pipeline> pipeline_;
};

}  // namespace pgsink::shell
