#pragma once
// What a write mode does to the table, as statements. Insert sends rows by COPY straight into the
// table, unless it has policies. The others take a number of rows at once, either as one array per
// column (unnest) or by COPY through a staging table, and apply them in one statement: the last row
// of a key wins, and keys are locked in their order, so that two sinks cannot deadlock. Where that
// would show (row_order.h), or where the server refuses it, each row has a statement of its own.

#include <optional>

#include <pgsink/options.h>

#include "pgsink/client/catalog.h"
#include "pgsink/encode/rows/column_arrays.h"
#include "pgsink/encode/rows/row_encoder.h"
#include "pgsink/plan/keys.h"
#include "pgsink/plan/row_order.h"

namespace pgsink {

/// ScopedSql is a statement in two forms: for the rest of the session, and, where a pooler shares
/// sessions, for one transaction.
struct ScopedSql {
  std::string session, transaction;
};

/// RowStatement applies one row. Its parameters are columns of the row.
struct RowStatement {
  std::string sql;
  std::vector<Oid> types;
  std::vector<size_t> columns;  ///< Indexes into those that are sent.
};

/// Statements are the texts of one mode on one table. Those that a mode does not need are empty.
struct Statements {
  std::string copy;          ///< COPY … FROM STDIN, into the table or into the staging table.
  std::string copied_table;  ///< The name of that one, without its schema.
  ScopedSql stage;           ///< Makes the staging table.
  std::string before;        ///< What comes before all rows, ending in "; "; or "".
  std::string merge;         ///< Applies the staging table's rows.
  std::string apply;         ///< Applies $1, $2, …: one array a column.
  std::vector<Oid> array_types;
  /// The same for rows whose keys ascend, so that none comes twice: it neither sorts nor compares
  /// them. Empty if the client cannot tell; else ascending_key says what it compares.
  std::string apply_ascending;
  std::vector<OrderedField> ascending_key;
  RowStatement row;         ///< Applies one row …
  RowStatement row_delete;  ///< … of a changelog, if it is a delete …
  /// … or an update that leaves columns unchanged. It fails with a message that holds kNeverSeen if
  /// the table has no row of that key.
  RowStatement row_keeping;
  /// Gives the row of one key, if there is one, another key. Its parameters are the columns of the
  /// delete of the old key, then those key columns of the new one.
  RowStatement row_move;
  static constexpr std::string_view kNeverSeen = "pgsink: no row has the unchanged values of ";
  size_t unchanged = 0;  ///< Index of the column that says which are unchanged; 0: there is none.
  ScopedSql planner;     ///< Planner settings.
  bool reads_text = false;  ///< Input functions of types read what the statement is given.
};

/// JobStatements bring the rows that the parts of a job have staged into the table. All rows of a
/// key count as one: the parts have no order among each other that the rows one by one could have.
struct JobStatements {
  std::string columns;  ///< Of the staging table, as a SELECT over the target has them.
  /// Names of the staging table's two further columns, not quoted: which part a row belongs to, and
  /// its place in the order of all rows.
  std::string part, ordinal;
  std::string quoted_part, quoted_target;
  std::string missing;  ///< As merge, and before it; "" without delete_missing.
  std::string merge;    ///< Follows Sql::kJobRows.
};
/// write_job_statements composes them. Fails with kOptionConflict for a changelog.
Result<JobStatements> write_job_statements(const SinkOptions& options, const CatalogTable& table,
                                           const std::vector<EncodeColumn>& columns,
                                           const Keys& keys);

/// write_statements composes the texts. `columns` are those to send, the notes of a changelog (if
/// any) first. Fails with kColumnGenerated, kNoSuchColumn and so on if options and table do not
/// fit.
Result<Statements> write_statements(const SinkOptions& options, const CatalogTable& table,
                                    const std::vector<EncodeColumn>& columns, const Keys& keys,
                                    const RowOrder& order);

/// takes_copy says whether COPY does the same to the table as INSERT. The server refuses COPY into
/// a view without INSTEAD OF triggers, and COPY ignores rules.
bool takes_copy(const CatalogTable& table);

/// copies_into_target says whether COPY goes straight into the table. It does not if the table does
/// not take COPY, nor if it has row-level policies, under which the server refuses COPY, nor if the
/// statement has to convert what is sent to the columns' types: an insert is then an INSERT from
/// arrays or from a staging table, as in the other modes.
bool copies_into_target(WriteMode mode, const CatalogTable& table,
                        const std::vector<EncodeColumn>& columns);

/// first_not_unnestable returns the first column that cannot be sent as an array, because unnest()
/// would flatten arrays and take composites apart, unless they go as text; null if all can.
const EncodeColumn* first_not_unnestable(const CatalogTable& table,
                                         const std::vector<EncodeColumn>& columns);

}  // namespace pgsink
