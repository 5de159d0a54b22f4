#pragma once
// NULL and [] without a type. The engine gives them the type INTEGER where a query ends, but they
// fit a column of any type.

#include <vector>

#include "shell/engine/engine.h"
#include "shell/engine/engine_sql.h"

namespace pgsink::shell {

/// Gives columns of a query DUCKDB_TYPE_SQLNULL where nothing but an untyped NULL or an empty list
/// stands, however deep. `columns` are the query's as bound. A WITH list that the engine evaluates
/// first, and a view, have given such a column a type: it stays INTEGER.
void take_types_off_nulls(Engine& engine, const EngineSql& query, std::vector<Column>& columns);

}  // namespace pgsink::shell
