#pragma once
// PipelineParser: the rules of CREATE PIPELINE and of INSERT INTO a connection.

#include <string>
#include <string_view>
#include <vector>

#include "pgsink/ddl/token_parser.h"

namespace pgsink {

class PipelineParser : private TokenParser {
 public:
  /// REQUIRES: `statement` begins as the function that is called says.
  explicit PipelineParser(const ScriptStatement& statement) : TokenParser(statement) {}

  /// CREATE [OR REPLACE] PIPELINE.
  Parsed<Statement> create(bool or_replace);
  /// WITH or INSERT INTO. Yields an EngineStatement if the target is not a connection.
  Parsed<Statement> bare_insert();

 private:
  Parsed<bool> with_before_insert();
  Parsed<void> branches(CreatePipeline& pipeline);
  Parsed<InsertBranch> branch();
  Parsed<std::vector<std::string>> columns();
  bool columns_follow() const;
  bool insert_head_is_ours() const;
  Parsed<std::string_view> query();
};

}  // namespace pgsink
