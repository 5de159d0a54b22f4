// parse_statement: which rule reads the statement, by its first words.

#include <pgsink/ddl.h>

#include "pgsink/ddl/connection.h"
#include "pgsink/ddl/pipeline.h"
#include "pgsink/ddl/token_parser.h"

namespace pgsink {
namespace {

std::expected<Statement, std::vector<Diagnostic>> one_fault(Parsed<Statement> parsed) {
  if (parsed) return std::move(*parsed);
  std::vector<Diagnostic> faults;
  faults.push_back(std::move(parsed.error()));
  return std::unexpected(std::move(faults));
}

}  // namespace

// statement: CREATE [OR REPLACE] CONNECTION …  |  CREATE [OR REPLACE] PIPELINE …
//          | DROP CONNECTION …  |  [WITH …] INSERT INTO …  |  anything else
std::expected<Statement, std::vector<Diagnostic>> parse_statement(
    const ScriptStatement& statement) {
  const TokenParser head(statement);
  const bool replace = head.words_follow({"CREATE", "OR", "REPLACE"});
  if (head.words_follow({"CREATE", "CONNECTION"}) ||
      head.words_follow({"CREATE", "OR", "REPLACE", "CONNECTION"})) {
    return ConnectionParser(statement).create(replace);
  }
  if (head.words_follow({"CREATE", "PIPELINE"}) ||
      head.words_follow({"CREATE", "OR", "REPLACE", "PIPELINE"})) {
    return one_fault(PipelineParser(statement).create(replace));
  }
  if (head.words_follow({"DROP", "CONNECTION"})) {
    return one_fault(ConnectionParser(statement).drop());
  }
  if (head.peek().is_word("WITH") || head.words_follow({"INSERT", "INTO"})) {
    return one_fault(PipelineParser(statement).bare_insert());
  }
  return one_fault(engine_statement(statement));
}

}  // namespace pgsink
