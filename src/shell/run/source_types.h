#pragma once
// Which types the columns of an unbounded source have, where its CREATE CONNECTION does not say.

#include <pgsink/ddl.h>

#include "shell/connections/connections.h"
#include "shell/engine/engine.h"
#include "shell/engine/engine_sql.h"
#include "shell/sources/column_uses.h"
#include "shell/sources/sources.h"

namespace pgsink::shell {

/// choose_source_types gives the open columns of a source the types that a pipeline needs, before
/// the pipeline is bound: a column that is only passed through keeps its text, which the target's
/// column type reads. A table that is to be created needs types of the engine; whether it exists is
/// asked only if `may_connect`. Returns, for each branch, the edits of its query.
Result<std::vector<std::vector<SqlEdit>>> choose_source_types(const CreatePipeline& statement,
                                                              Engine& engine,
                                                              const Connections& connections,
                                                              Sources& sources, bool may_connect);

/// WholeQuery is a branch's query with the WITH list that all branches share.
struct WholeQuery {
  std::string sql;
  size_t begin = 0;  ///< Where the branch's own query begins.
};
WholeQuery whole_query(const CreatePipeline& statement, const InsertBranch& branch);

/// append_edited appends a query at `source_offset` of the script, with edits.
void append_edited(EngineSql& sql, std::string_view query, size_t source_offset,
                   const std::vector<SqlEdit>& edits);

}  // namespace pgsink::shell
