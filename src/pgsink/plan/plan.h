#pragma once
// Plan: how the rows of one schema get into one table. Made once, at open, from the options, the
// table's catalog entry and the input's schema.

#include <pgsink/options.h>
#include <pgsink/record_batch.h>

#include "pgsink/client/catalog.h"
#include "pgsink/delivery/flight_log.h"
#include "pgsink/encode/rows/row_encoder.h"
#include "pgsink/plan/statements.h"
#include "pgsink/plan/table_shape.h"

namespace pgsink {

/// The input column that contains the kind of change of each row of a changelog.
inline constexpr std::string_view kChangeColumn = "_op";

/// Path is how the rows of one flight travel.
enum class Path : uint8_t {
  kCopy,    ///< COPY into the table.
  kStaged,  ///< COPY into the staging table, then one statement.
  kArrays,  ///< One statement over arrays. Its rows are encoded before it is sent.
  kRows,    ///< A statement for each row.
};

/// TransactionSql is what is sent besides the rows, on one kind of connection: a direct one, whose
/// session keeps its settings, or one behind a pooler, where each transaction may run in another
/// backend and must repeat them. Texts that are not needed are empty.
struct TransactionSql {
  // Once for each connection, before the first flight that needs it:
  std::string planner;   ///< Planner settings of the mode.
  std::string defaults;  ///< What BEGIN says, for flights without it, and how arrays are planned.
  std::string stage;     ///< Makes the staging table.

  // In each transaction, each part ending in "; ":
  std::string begin;
  std::string identify;     ///< Asks for the transaction's id and its backend.
  std::string settings;     ///< Role and settings.
  std::string stage_local;  ///< Makes a staging table for this transaction alone.

  bool pooled = false;        ///< For connections behind a pooler.
  bool one_snapshot = false;  ///< All statements of a transaction see the same.
  /// Flights carry a guard that makes the server roll back those that follow a failed one. It is
  /// stored in a setting of the session.
  bool guarded = false;
  /// Flights of arrays may do without BEGIN and COMMIT. Where flights are ordered, open_series
  /// takes the place of identify and guard ($1 the flight before, $2 its own number, if guarded).
  bool series = false;
  std::string open_series;
  /// A series identifies itself after its rows, by the statement that proves the shape.
  bool series_identifies = false;
};

struct Plan {
  std::vector<EncodeColumn> columns;
  pgproto::TypeMap types;
  TableShape shape;  ///< That the rows are encoded for.
  RowOrder order;
  Statements statements;
  TransactionSql direct, pooled;
  /// Those for a connection: chosen once, when it is open.
  const TransactionSql& transactions(bool is_direct) const { return is_direct ? direct : pooled; }
  std::string commit;
  std::string table;              ///< For messages: schema.table.
  std::vector<std::string> keys;  ///< Columns whose equal values keep their rows in order.
  int64_t batch_rows = 0;
  int64_t transaction_rows = 0;
  /// Without a transaction_size: a transaction takes what waits when its lane is free. Not where
  /// rows of one key must not go together: the more rows, the more of them go one by one.
  bool transactions_grow = false;
  int64_t run_rows = 0;  ///< Rows that one lane gets before it is the next one's turn.
  /// One transaction until the host wants a commit, and no row is kept after it was sent.
  bool atomic = false;
  /// Flights must commit in their order: the outcome depends on it.
  bool ordered = false;
  /// A flight may be applied twice.
  bool idempotent = false;
  /// How the outcome of a flight is found. kEpoch: each moves the epoch row of its lane, so it is
  /// made of whole batches. kGid: it ends in PREPARE TRANSACTION.
  OutcomeSource outcome_source = OutcomeSource::kXid;
  /// kEpoch: each moves the rows of its streams instead.
  bool by_stream = false;
  /// Two-phase commit: the rows that a lane gets in one epoch are one transaction, and the next
  /// epoch ends after this one is committed. A second transaction could wait for a lock that the
  /// first, prepared, holds, or exceed max_prepared_transactions.
  bool one_transaction = false;
  void take_whole_epochs();
  /// Flights of up to this size go as arrays, larger ones by COPY.
  size_t arrays_bytes_max = 0;
  /// Where COPY goes straight into the table: flights of up to so many rows and bytes go as arrays
  /// if they can be a series (lane/flight_sender.h).
  size_t series_rows_max = 0, series_bytes_max = 0;

  /// The path of a flight whose rows may go together. `series` says that it can be a series.
  Path path(size_t rows, size_t memory_bytes, bool series) const {
    const bool arrays_fit = arrays_bytes_max > 0 && memory_bytes <= arrays_bytes_max;
    const bool series_fits = series && series_rows_max > 0 && rows <= series_rows_max &&
                             memory_bytes <= series_bytes_max;
    if (statements.copy.empty() || arrays_fit || series_fits) return Path::kArrays;
    return statements.merge.empty() ? Path::kCopy : Path::kStaged;
  }
  /// Whether rows may leave columns unchanged.
  bool has_unchanged() const { return statements.unchanged != 0; }
  /// Whether a flight may go row by row.
  bool has_row_statements() const { return !statements.row.sql.empty(); }
  /// Whether some path needs ColumnArrays.
  bool needs_arrays() const { return !statements.apply.empty() || has_row_statements(); }
  /// The columns that say whether a key comes twice, if that is to be known of a flight.
  std::vector<EncodeColumn> distinct_columns() const;
};

/// JobPlan is how the staged rows of a job get into its target.
struct JobPlan {
  std::vector<EncodeColumn> columns;  ///< Those of the staging table.
  JobStatements statements;
  std::string settings;  ///< Of the transaction that applies them: role and settings.
  std::string role;      ///< The role alone, for the staging table; "" or a statement and "; ".
};
/// make_job_plan does for the driver of a job what make_plan() does for a sink.
Result<JobPlan> make_job_plan(const SinkOptions& options, const CatalogTable& table,
                              const Schema& schema);

/// make_plan maps input columns to table columns by name (exact, else without case if unambiguous).
/// The error names every column that does not fit, with the nearest column that exists.
Result<Plan> make_plan(const SinkOptions& options, const CatalogTable& table, const Schema& schema);

}  // namespace pgsink
