#pragma once
// FileColumns: the columns of files that do not say their types, from their first rows.

#include <string>
#include <vector>

#include <pgproto/error.h>

#include "shell/engine/engine.h"

namespace pgsink::shell {

/// FileColumn is a column, and the type of the engine that a table created for it has: one that
/// writes each of the first values as it stands.
struct FileColumn {
  std::string name;
  std::string type;
};

/// csv_columns reads the first rows of a query whose columns are texts. Fails as the query does.
pgproto::Result<std::vector<FileColumn>> csv_columns(Engine& engine, const std::string& query);
/// json_columns reads the first rows of a query whose one column is an object of JSON: its columns
/// are their members, in the order in which they come. Fails as the query does, and if a row is no
/// object.
pgproto::Result<std::vector<FileColumn>> json_columns(Engine& engine, const std::string& query);

}  // namespace pgsink::shell
