#pragma once
// A warning for who writes a script: columns of files whose types DuckDB's read_csv finds in the
// first lines, and that go into a column that would hold what is written there.

#include "shell/run/pipeline.h"

namespace pgsink::shell {

/// warn_of_sniffed_csv says which columns of a branch are fed by such a column, and what keeps what
/// is written. A column counts that comes out of the query as read_csv made it: of another type
/// than text into a text type, or of a floating-point type into numeric. Connects to read the types
/// of the target's columns, but only if there are columns that may be meant.
void warn_of_sniffed_csv(const Pipeline& pipeline, const Branch& branch);

}  // namespace pgsink::shell
