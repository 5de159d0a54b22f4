#include "pgsink/replication/source_snapshot.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <optional>
#include <utility>
#include <variant>

#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

constexpr size_t kSnapshotBatchRows = 10'000;
/// How often a reader without rows looks whether it is to end.
constexpr Duration kLook = std::chrono::milliseconds(200);

Result<std::string> rows_sql(const TableSetup& setup) {
  Quoted quoted;
  std::string columns;
  for (const auto& column : setup.table.columns) {
    columns += (columns.empty() ? "" : ", ") + quoted.identifier(column.name);
  }
  // Rows of tables that inherit from it are published under their own names.
  const std::string table = std::string(setup.partitioned ? "" : "ONLY ") +
                            quoted.identifier(setup.table.schema) + "." +
                            quoted.identifier(setup.table.name);
  if (!quoted.status()) return fail(quoted.status().error());
  const std::string filter = setup.filter.empty() ? "" : " WHERE " + setup.filter;
  return sql_text(Sql::kSnapshotRows, {columns, table, filter});
}

Result<bool> read_table_rows(Env& env, Connection& connection, const SnapshotTable& table,
                             size_t bytes_max, SnapshotRows& taker) {
  const auto sql = rows_sql(*table.setup);
  if (!sql) return fail(sql.error());
  if (const auto sent = connection.session().query(*sql); !sent) return fail(sent.error());
  ChangeRows rows(table.setup->schema);
  std::optional<Error> error;
  for (;;) {
    const auto event = connection.next_event(env.clock.now() + kLook);
    if (!event && event.error().code != Errc::kTimeout) return fail(event.error());
    if (!taker.goes_on()) return false;
    if (!event) continue;
    if (!*event) continue;
    const pgproto::BackendMessage& message = (*event)->message;
    if (const auto* row = std::get_if<pgproto::DataRow>(&message)) {
      for (const auto& value : row->values) {
        rows.add(value ? std::optional(pgproto::as_text(*value)) : std::nullopt);
      }
      rows.add("I");
      rows.end_row();
      if (rows.rows() < kSnapshotBatchRows && rows.bytes() < bytes_max) continue;
      if (!taker.push(table.index, rows)) return false;
    } else if (const auto* refused = std::get_if<pgproto::ErrorResponse>(&message)) {
      error = refused->to_error();
    } else if (std::holds_alternative<pgproto::ReadyForQuery>(message)) {
      if (error) return fail(*std::move(error));
      return rows.rows() == 0 || taker.push(table.index, rows);
    }
  }
}

/// Readers share the list of tables; each has a connection.
class Readers {
 public:
  Readers(Env& env, std::span<const SnapshotTable> tables, size_t bytes_max, SnapshotRows& taker)
      : env_(env), tables_(tables), bytes_max_(bytes_max), taker_(taker) {}

  /// Reads tables until none is left. False if another reader has ended it, or the taker.
  Result<bool> run(Connection& connection) {
    return guarded([&] { return read_tables(connection); });
  }
  /// As run(), over a new connection that joins the snapshot.
  Result<bool> run_beside(const ConnectOptions& connect, const std::string& snapshot) {
    return guarded([&]() -> Result<bool> {
      auto opened = Connection::open(env_, connect);
      if (!opened) return fail(opened.error());
      const Deadline soon = env_.clock.now() + kAskTimeout;
      for (const std::string& sql : {sql_text(Sql::kQuietSession), sql_text(Sql::kSnapshotBegin),
                                     sql_text(Sql::kSnapshotJoin, {snapshot})}) {
        const auto done = (*opened)->query(sql, soon);
        if (!done) return fail(done.error());
      }
      return read_tables(**opened);
    });
  }

 private:
  template <typename Read>
  Result<bool> guarded(Read read) {
    Result<bool> done = false;
    try {
      done = read();
    } catch (const std::bad_alloc&) {
      done = fail(Errc::kOutOfMemory, "out of memory");
    }
    if (!done || !*done) failed_ = true;
    return done;
  }
  Result<bool> read_tables(Connection& connection) {
    while (!failed_) {
      const size_t at = next_++;
      if (at >= tables_.size()) return true;
      auto read = read_table_rows(env_, connection, tables_[at], bytes_max_, taker_);
      if (!read || !*read) return read;
    }
    return false;
  }

  Env& env_;
  const std::span<const SnapshotTable> tables_;
  const size_t bytes_max_;
  SnapshotRows& taker_;
  std::atomic<size_t> next_ = 0;
  std::atomic<bool> failed_ = false;
};

Result<std::string> export_snapshot(Env& env, Connection& connection) {
  const auto name = connection.query(sql_text(Sql::kSnapshotExport), env.clock.now() + kAskTimeout);
  if (!name) return fail(name.error());
  Quoted quoted;
  std::string literal = quoted.literal(name->scalar());
  if (!quoted.status()) return fail(quoted.status().error());
  return literal;
}

}  // namespace

Result<bool> read_snapshot(Env& env, const ConnectOptions& connect, Connection& connection,
                           std::span<const SnapshotTable> tables, const SnapshotLimits& limits,
                           SnapshotRows& taker) {
  Readers readers(env, tables, limits.batch_bytes, taker);
  const size_t others = std::min(limits.parallel, tables.size()) - (tables.empty() ? 0 : 1);
  std::string snapshot;
  if (others > 0) {
    auto exported = export_snapshot(env, connection);
    if (!exported) return fail(exported.error());
    snapshot = std::move(*exported);
  }
  std::vector<Result<bool>> ends(others, true);
  std::vector<std::unique_ptr<Task>> tasks;
  for (size_t i = 0; i < others; ++i) {
    auto task = env.tasks.spawn("pgsink snapshot",
                                [&, i] { ends[i] = readers.run_beside(connect, snapshot); });
    if (!task) break;  // The others read its tables.
    tasks.push_back(std::move(*task));
  }
  Result<bool> all = readers.run(connection);
  for (const auto& task : tasks) task->join();
  for (const Result<bool>& end : ends) {
    if (all && (!end || !*end)) all = end;
  }
  return all;
}

}  // namespace pgsink
