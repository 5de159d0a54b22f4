#pragma once
// Whether a pipeline passes the rows of its source on as they are. Only then the rows may have
// columns that are unchanged: what a query would make of them is not known.

#include <optional>

#include "shell/run/pipeline.h"

namespace pgsink::shell {

struct WholeRows {
  bool no_truncates = false;  ///< The rows for TRUNCATE are left out.
};

/// reads_whole_rows is nullopt unless the pipeline's only branch writes to a changelog what
/// SELECT * FROM source, or the same with WHERE _op <> 'T', returns.
std::optional<WholeRows> reads_whole_rows(const Pipeline& pipeline);

}  // namespace pgsink::shell
