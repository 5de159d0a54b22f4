#pragma once
// Keys: how a mode finds the row that is there, and what is equal.

#include <vector>

#include <pgsink/options.h>

#include "pgsink/client/catalog.h"

namespace pgsink {

/// Keys are the columns by which a mode finds the row that is there.
struct Keys {
  std::vector<const CatalogColumn*> columns;
  bool indexed = false;      ///< An index leads to them.
  bool nulls_equal = false;  ///< NULL is a value like others: the index is NULLS NOT DISTINCT.
};

/// find_keys takes the option's columns or the primary key, and checks them against table and
/// input. `used` are the table columns that the input fills. All faults in one error.
Result<Keys> find_keys(const SinkOptions& options, const CatalogTable& table,
                       const std::vector<const CatalogColumn*>& used);

/// same_columns says whether an index is on exactly these columns.
bool same_columns(const CatalogIndex& index, const std::vector<const CatalogColumn*>& columns);

/// told_by_bytes says whether values of the column are equal for the server exactly when their
/// binary forms are: not so for citext, nondeterministic collations, numeric and others.
bool told_by_bytes(const CatalogColumn& column, const pgproto::TypeMap& types);

}  // namespace pgsink
