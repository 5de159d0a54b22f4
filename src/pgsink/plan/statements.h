#pragma once
// Mode: what a row does to the table, as statements. Insert sends rows by COPY straight into the
// table, unless it has policies. The others take a number of rows at once, either as one array a
// column (unnest) or by COPY through a staging table, and apply them in one statement: the last row
// of a key wins, and keys are touched in their order, so that two sinks never wait for each other.

#include <optional>

#include <pgsink/options.h>

#include "pgsink/client/catalog.h"
#include "pgsink/encode/rows/row_encoder.h"

namespace pgsink {

/// ScopedSql is a statement in two forms: for the rest of the session, and, where a pooler shares
/// sessions, for one transaction.
struct ScopedSql {
  std::string session, transaction;
};

/// Statements are the texts of one mode on one table. Those that a mode does not need are empty.
struct Statements {
  std::string copy;   ///< COPY … FROM STDIN, into the table or into the staging table.
  ScopedSql stage;    ///< Makes the staging table.
  std::string merge;  ///< Applies the staging table's rows.
  std::string apply;  ///< Applies $1, $2, …: one array a column.
  std::vector<Oid> array_types;
  ScopedSql planner;        ///< Planner settings.
  bool reads_text = false;  ///< Input functions of types read what the statement is given.
};

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

/// write_statements composes the texts. `columns` are those to send, the change column (if any)
/// first. Fails with kColumnGenerated, kNoSuchColumn and so on if options and table do not fit.
Result<Statements> write_statements(const SinkOptions& options, const CatalogTable& table,
                                    const std::vector<EncodeColumn>& columns, const Keys& keys);

/// told_by_bytes says whether values of the column are equal for the server exactly when their
/// binary forms are: not so for citext, nondeterministic collations, numeric and others.
bool told_by_bytes(const CatalogColumn& column, const pgproto::TypeMap& types);

/// takes_copy says whether COPY does to the table what INSERT does. The server refuses COPY into a
/// view without INSTEAD OF triggers, and COPY ignores rules.
bool takes_copy(const CatalogTable& table);

/// copies_into_target says whether COPY goes straight into the table. It does not if the table does
/// not take COPY, nor where policies decide about rows, which the server refuses, nor if the
/// statement has to make the columns' types of what is sent: an insert is then an INSERT from
/// arrays or from a staging table, as in the other modes.
bool copies_into_target(WriteMode mode, const CatalogTable& table,
                        const std::vector<EncodeColumn>& columns);

/// first_not_unnestable says whether every column can be sent as an array: unnest() would flatten
/// arrays and take composites apart, unless they go as text. The column that cannot, or null.
const EncodeColumn* first_not_unnestable(const CatalogTable& table,
                                         const std::vector<EncodeColumn>& columns);

}  // namespace pgsink
