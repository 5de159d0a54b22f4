#pragma once
// The tables of the schema `system`: what the connections of this run have done, are doing, and
// write to. docs/reference/command.md describes their columns.

#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include <pgproto/error.h>

#include "shell/connections/connections.h"
#include "shell/engine/engine.h"
#include "shell/engine/engine_table.h"

namespace pgsink::shell {

class SystemTables {
 public:
  /// `warn` is told of connections that cannot be reached. Both outlive this.
  SystemTables(const Connections& connections, std::function<void(const std::string&)> warn)
      : connections_(connections), warn_(std::move(warn)) {}

  /// Makes system.postgresql_sink_metrics, _pool_stats, _tables and _statements known. This must
  /// outlive the engine.
  pgproto::Status add_to(Engine& engine);

  /// Looks which connections a query wants of system.postgresql_tables: where all that it reads
  /// is filtered by connection = 'name', only those are contacted, and one that cannot be reached
  /// fails the query; otherwise all are, and it is left out with a warning.
  void look_at(Engine& engine, const std::string& sql);

 private:
  pgproto::Result<std::vector<TableRow>> target_columns() const;

  const Connections& connections_;
  std::function<void(const std::string&)> warn_;
  EngineTables tables_;
  std::optional<std::set<std::string>> asked_;  ///< Of postgresql_tables; nullopt: all.
};

}  // namespace pgsink::shell
