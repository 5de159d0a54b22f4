#pragma once
// The query of `pgsink load`, which reads the files.

#include <string>

#include <pgproto/error.h>

#include "shell/engine/engine.h"
#include "shell/flags/flags.h"
#include "shell/load/load_input.h"

namespace pgsink::shell {

struct LoadQuery {
  std::string source;  ///< The CREATE CONNECTION of standard input; "" if it is not read.
  std::string rows;    ///< Reads the rows.
  /// Has no rows, but the types for a new table; "" if `rows` has them itself.
  std::string types;
};

/// compose_query makes the query, looking at the first rows of files whose columns or types are not
/// known otherwise. Fails with kUsage for flags that do not fit the format, and as the engine does.
pgproto::Result<LoadQuery> compose_query(const Flags::Load& load, const LoadInput& input,
                                         Engine& engine);

}  // namespace pgsink::shell
