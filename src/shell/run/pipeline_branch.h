#pragma once
// What the files of Pipeline share.

#include <memory>

#include "pgsink/sink/rehearsal.h"
#include "shell/run/pipeline.h"

namespace pgsink::shell {

struct Pipeline::Branch {
  explicit Branch(const InsertBranch& branch) : syntax(branch) {}

  const InsertBranch& syntax;
  const SinkOptions* options = nullptr;  ///< Null: the target is a table of the engine.
  EngineSql sql;
  Query query;
  ArrowRows rows;
  std::unique_ptr<Sink> sink;
  std::unique_ptr<Rehearsal> rehearsal;  ///< Instead of a sink.
  uint64_t rows_read = 0;
  bool done = false;
  uint64_t written_position = 0;  ///< Of an unbounded source: what the sink was given last.
};

}  // namespace pgsink::shell
