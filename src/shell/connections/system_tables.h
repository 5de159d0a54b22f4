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
  /// `warn` is called for connections that cannot be reached. Both must outlive this.
  SystemTables(const Connections& connections, std::function<void(const std::string&)> warn)
      : connections_(connections), warn_(std::move(warn)) {}

  /// Adds system.postgresql_sink_metrics, _pool_stats, _tables and _statements to the engine. This
  /// must outlive the engine.
  pgproto::Status add_to(Engine& engine);

  /// Finds out which connections a query reads from system.postgresql_tables: if all its scans are
  /// filtered by connection = 'name', only those are contacted, and an unreachable one fails the
  /// query; otherwise all are, and an unreachable one is left out with a warning.
  void look_at(Engine& engine, const std::string& sql);

 private:
  pgproto::Result<std::vector<TableRow>> target_columns() const;

  const Connections& connections_;
  std::function<void(const std::string&)> warn_;
  EngineTables tables_;
  std::optional<std::set<std::string>> asked_;  ///< The selected connections of postgresql_tables;
                                                ///< nullopt: all.
};

}  // namespace pgsink::shell
