#pragma once
// The control tables in the target database, where exactly-once and two-phase commit keep their
// state, and the transactions that read and change them. docs/explanation/delivery.md shows them to
// operators.

#include <span>
#include <string>
#include <string_view>

#include "pgsink/client/connection.h"

namespace pgsink {

/// ControlTable is one of the tables, in the schema of the sink's target.
enum class ControlTable : uint8_t { kEpochs, kWriters, kDecisions, kSources, kOffsets, kJobs };

/// control_table_name is the table's name, without its schema.
std::string_view control_table_name(ControlTable table);

/// ensure_control_table creates the table if it is missing; any number of sinks may do so at once.
/// Fails with kPrivilege, naming what to run by hand, if it is missing and may not be created; with
/// kControlTable if another relation has that name.
Status ensure_control_table(Connection& connection, std::string_view schema, ControlTable table,
                            Deadline deadline);

/// The maximum time of a small statement.
inline constexpr Duration kAskTimeout = std::chrono::seconds(15);

/// run_control runs statements, joined by "; ", as one READ COMMITTED transaction whose search path
/// is pg_catalog, and commits it. The result is that of the last statement that returned rows.
/// After an error of the server the transaction is rolled back and the connection is usable.
/// `durable`: the commit is on disk when this returns, even if the role's synchronous_commit is
/// off. REQUIRES: no request is pending, no transaction is open.
Result<QueryResult> run_control(Connection& connection, std::string_view statements,
                                Deadline deadline, bool durable = false);

/// role_to_grant is the current role after `set_role` (SQL that ends in "; ", or ""), quoted for
/// the GRANT of a message; "the role" if it cannot be read. REQUIRES: as run_control().
std::string role_to_grant(Connection& connection, std::string_view set_role, Deadline deadline);

/// lost_creation_race says whether CREATE … IF NOT EXISTS failed because another session created
/// the same object at that moment: it checks first and creates then, so it can fail at the
/// catalog's unique indexes.
bool lost_creation_race(const Error& error);

/// sql_array is an array of texts as an SQL expression.
Result<std::string> sql_array(std::span<const std::string> texts);

/// Quoted quotes names and texts and keeps the first failure, so that a statement with ten names is
/// checked once.
class Quoted {
 public:
  /// The name as an identifier, or "" after a failure.
  std::string identifier(std::string_view name);
  /// The text as a literal, or "" after a failure.
  std::string literal(std::string_view text);
  const Status& status() const { return status_; }

 private:
  std::string keep(Result<std::string> quoted);
  Status status_;
};

/// parse_number reads a number that the server printed; 0 if the text is not a number.
uint64_t parse_number(std::string_view text);

/// cell is the text of a value of a result; "" for NULL. REQUIRES: the row has that many columns.
std::string cell(const QueryResult& result, size_t row, size_t column);

}  // namespace pgsink
