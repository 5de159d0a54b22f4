#pragma once
// Engine: the embedded SQL engine (DuckDB through its C API), holding one in-memory database.
//
// Results are streamed: the engine runs only as far ahead as its own small buffer, so a query of
// any size needs the memory of a few chunks.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <pgproto/error.h>

#include "shell/engine/engine_fault.h"
#include "shell/engine/json_members.h"
#include "shell/engine/owned.h"

namespace pgsink::shell {

/// Column names one column of a result.
struct Column {
  std::string name;
  OwnedType type;
};

/// Query is one statement, bound and ready; then running; then at its end. Only one Query of an
/// engine runs at a time: starting another statement ends it. Movable.
class Query {
 public:
  /// What kind of statement it is (DuckDB's own classification).
  duckdb_statement_type kind() const { return kind_; }
  /// The columns as bound. A statement without result (CREATE TABLE) may have some of DuckDB's own.
  const std::vector<Column>& columns() const { return columns_; }
  std::vector<Column>& columns() { return columns_; }

  /// Starts the statement; whatever is not a query is done when this returns.
  EngineResult<void> start();
  /// True if the statement yields rows for people (SELECT, SHOW, … RETURNING), not only a count.
  /// REQUIRES: start() succeeded.
  bool returns_rows() const;
  /// The columns of the rows that it yields. REQUIRES: start() succeeded.
  std::vector<Column> result_columns() const;
  /// The next rows, at most duckdb_vector_size() of them; an unfilled chunk at the end.
  /// REQUIRES: start() succeeded.
  EngineResult<OwnedChunk> next();

 private:
  friend class Engine;
  EngineFault fault_of_result() const;

  duckdb_statement_type kind_ = DUCKDB_STATEMENT_TYPE_INVALID;
  std::vector<Column> columns_;
  OwnedPrepared prepared_;  ///< Empty for a statement of nothing but comments.
  OwnedResult result_;
};

class Engine {
 public:
  struct Settings {
    unsigned threads = 1;
    std::string spill_directory;  ///< For data that does not fit in memory; created on first use.
  };
  static pgproto::Result<std::unique_ptr<Engine>> open(const Settings& settings);

  /// Parses and binds one statement without running it. (A statement that the engine itself expands
  /// into several, such as PIVOT, runs all but its last part here.)
  EngineResult<Query> prepare(const std::string& sql);
  /// Prepares, runs to the end, and drops the rows.
  EngineResult<void> execute(const std::string& sql);
  /// Whether a table or view of that name can be named in a query. The name is not parsed.
  bool has_table(std::string_view name);
  /// The names of tables and views that queries can read.
  std::vector<std::string> tables();
  /// Ends the running statement as soon as possible. Any thread; no effect when none runs.
  void interrupt();
  /// How much of its input the running statement has read, 0 to 1, if that is known. Any thread.
  std::optional<double> progress() const;

  /// The names of members that queries with json_members(…, 'warn') left out since the last call.
  std::vector<std::string> left_out_members() { return json_members_.left_out(); }

  /// How this engine's chunks become Arrow arrays.
  duckdb_arrow_options arrow_options() const { return arrow_options_.get(); }
  duckdb_connection connection() const { return connection_.get(); }
  duckdb_database database() const { return database_.get(); }

 private:
  JsonMembers json_members_;  ///< Outlives the database, which refers to it.
  OwnedDatabase database_;
  OwnedConnection connection_;
  OwnedArrowOptions arrow_options_;
};

/// `name` as an SQL identifier of the engine, always quoted.
std::string engine_identifier(std::string_view name);
/// `text` as an SQL literal of the engine.
std::string engine_literal(std::string_view text);

}  // namespace pgsink::shell
