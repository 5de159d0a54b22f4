#pragma once
// Result columns that neither Arrow nor we have a form for (BIT, BIGNUM, UNION, …) are read as
// text: the query is asked again with casts around it. All other columns, and all other queries,
// stay as they are.

#include <optional>
#include <vector>

#include "shell/engine/engine.h"
#include "shell/engine/engine_sql.h"

namespace pgsink::shell {

/// The query with its awkward columns cast to text; nullopt if it has none. `columns` are the
/// query's, and the result's names and order are the same.
std::optional<EngineSql> cast_awkward_columns(const EngineSql& query,
                                              const std::vector<Column>& columns);

}  // namespace pgsink::shell
