#pragma once
// A warning for authors of scripts: columns of files whose types DuckDB's read_csv infers from the
// first lines, and whose target column would hold the text as it is written.

#include "shell/run/pipeline.h"

namespace pgsink::shell {

/// warn_of_sniffed_csv says which columns of a branch are filled from such a column, and how to
/// keep the text as it is written. A column counts if it comes out of the query as read_csv made
/// it: of a type other than text into a text type, or of a floating-point type into numeric.
/// Connects to read the types of the target's columns, but only if there are such columns.
void warn_of_sniffed_csv(const Pipeline& pipeline, const Branch& branch);

}  // namespace pgsink::shell
