#include "shell/connections/system_tables.h"

#include <algorithm>
#include <cctype>

#include "shell/engine/query_plan.h"

namespace pgsink::shell {
namespace {

using pgproto::Result;

constexpr std::string_view kTargets = "postgresql_tables";

TableCell text_or_null(const std::string& text) {
  if (text.empty()) return {};
  return text;
}

TableCell instant_or_null(int64_t wall_us) {
  if (wall_us == 0) return {};
  return Instant{wall_us};
}

// ---- postgresql_sink_metrics ---------------------------------------------------------------

EngineTable metrics_table(const Connections& connections) {
  EngineTable table;
  table.name = "postgresql_sink_metrics";
  table.columns = {
      {"connection_name", CellKind::kText},        {"rows_written", CellKind::kCount},
      {"bytes_written", CellKind::kCount},         {"batches_sent", CellKind::kCount},
      {"avg_batch_size", CellKind::kDouble},       {"avg_write_latency_ms", CellKind::kDouble},
      {"p99_write_latency_ms", CellKind::kDouble}, {"failed_writes", CellKind::kCount},
      {"rejected_rows", CellKind::kCount},         {"retry_count", CellKind::kCount},
      {"in_flight_rows", CellKind::kCount},        {"buffered_bytes", CellKind::kCount},
      {"possible_duplicates", CellKind::kCount},   {"last_error", CellKind::kText},
      {"last_error_time", CellKind::kInstant},     {"rows_changed", CellKind::kCount}};
  table.rows = [&connections]() -> Result<std::vector<TableRow>> {
    std::vector<TableRow> rows;
    for (const SinkMetrics& m : connections.metrics()) {
      rows.push_back({m.connection_name, m.rows_written, m.bytes_written, m.batches_sent,
                      m.avg_batch_size(), m.avg_write_latency_ms(), m.p99_write_latency_ms(),
                      m.failed_writes, m.rejected_rows, m.retry_count, m.in_flight_rows,
                      m.buffered_bytes, m.possible_duplicates, text_or_null(m.last_error),
                      instant_or_null(m.last_error_wall_us), m.rows_changed});
    }
    return rows;
  };
  return table;
}

// ---- postgresql_pool_stats -----------------------------------------------------------------

EngineTable pool_table(const Connections& connections) {
  EngineTable table;
  table.name = "postgresql_pool_stats";
  table.columns = {
      {"connection_name", CellKind::kText},     {"pool_size", CellKind::kCount},
      {"active_connections", CellKind::kCount}, {"idle_connections", CellKind::kCount},
      {"waiting_requests", CellKind::kCount},   {"connection_wait_time_ms", CellKind::kDouble},
      {"connections_opened", CellKind::kCount}, {"connections_broken", CellKind::kCount},
      {"connections_reaped", CellKind::kCount}, {"connection_wait_time_max_ms", CellKind::kDouble}};
  table.rows = [&connections]() -> Result<std::vector<TableRow>> {
    std::vector<TableRow> rows;
    for (const PoolMetrics& pool : connections.pool_metrics()) {
      rows.push_back({pool.connection_name, pool.pool_size, pool.active_connections,
                      pool.idle_connections, pool.waiting_requests, pool.connection_wait_time_ms,
                      pool.connections_opened, pool.connections_broken, pool.connections_reaped,
                      pool.connection_wait_time_max_ms});
    }
    return rows;
  };
  return table;
}

// ---- postgresql_statements -----------------------------------------------------------------

EngineTable statements_table(const Connections& connections) {
  EngineTable table;
  table.name = "postgresql_statements";
  table.columns = {{"connection", CellKind::kText},  {"query", CellKind::kText},
                   {"calls", CellKind::kCount},      {"total_time", CellKind::kDouble},
                   {"mean_time", CellKind::kDouble}, {"max_time", CellKind::kDouble},
                   {"rows", CellKind::kCount},       {"failures", CellKind::kCount}};
  table.rows = [&connections]() -> Result<std::vector<TableRow>> {
    std::vector<TableRow> rows;
    for (const SinkMetrics& metrics : connections.metrics()) {
      for (const StatementMetrics& s : metrics.statements) {
        rows.push_back({metrics.connection_name, s.text, s.calls, s.total_seconds * 1000,
                        s.mean_seconds() * 1000, s.max_seconds * 1000, s.rows, s.failures});
      }
    }
    return rows;
  };
  return table;
}

// ---- kafka_partitions ----------------------------------------------------------------------

EngineTable partitions_table(const Connections& connections) {
  EngineTable table;
  table.name = "kafka_partitions";
  table.columns = {{"connection", CellKind::kText},   {"topic", CellKind::kText},
                   {"partition", CellKind::kCount},   {"position", CellKind::kCount},
                   {"lag_records", CellKind::kCount}, {"lag_seconds", CellKind::kDouble}};
  table.rows = [&connections]() -> Result<std::vector<TableRow>> {
    std::vector<TableRow> rows;
    for (const SourceReport& source : connections.source_reports()) {
      for (const StreamReport& s : source.streams) {
        rows.push_back({source.name, s.topic, static_cast<uint64_t>(s.partition), s.position,
                        s.lag_records, s.lag_seconds});
      }
    }
    return rows;
  };
  return table;
}

// ---- postgresql_tables ---------------------------------------------------------------------

std::vector<EngineTable::TableColumn> target_table_columns() {
  return {{"connection", CellKind::kText},
          {"schema", CellKind::kText},
          {"table", CellKind::kText},
          {"column", CellKind::kText},
          {"type", CellKind::kText},
          {"nullable", CellKind::kBoolean},
          {"default", CellKind::kText},
          {"is_key", CellKind::kBoolean},
          {"is_generated", CellKind::kBoolean},
          {"ordinal", CellKind::kCount}};
}

/// Collects the connections that filters below `node` select; false if a scan of the table has no
/// such filter.
bool narrowed(const PlanNode& node, std::string_view function, const std::string& filters,
              std::set<std::string>& names) {
  if (node.name == function) {
    const auto texts = compared_texts(filters, "connection");
    names.insert(texts.begin(), texts.end());
    return !texts.empty();
  }
  // Only operators that pass rows on unchanged keep a filter above them a filter of the table.
  std::string below;
  if (node.name == "FILTER") below = node.expression;
  if (node.name == "PROJECTION") below = filters;
  return std::ranges::all_of(node.children, [&](const PlanNode& child) {
    return narrowed(child, function, below, names);
  });
}

bool mentions(std::string_view sql, std::string_view lower) {
  const auto found = std::ranges::search(
      sql, lower, [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; });
  return !found.empty();
}

}  // namespace

Result<std::vector<TableRow>> SystemTables::target_columns() const {
  std::vector<TableRow> rows;
  for (const SinkOptions& options : connections_.all()) {
    if (asked_ && !asked_->contains(options.connection_name)) continue;
    const auto columns = describe_target(options);
    if (!columns && asked_) return std::unexpected(columns.error());
    if (!columns) {
      warn_("system.postgresql_tables has no rows for it: " + columns.error().to_string());
      continue;
    }
    for (const TargetColumn& c : *columns) {
      rows.push_back({options.connection_name, options.schema, options.table, c.name, c.type,
                      c.nullable, text_or_null(c.default_text), c.is_key, c.is_generated,
                      static_cast<uint64_t>(c.ordinal)});
    }
  }
  return rows;
}

pgproto::Status SystemTables::add_to(Engine& engine) {
  std::vector<EngineTable> tables;
  tables.push_back(metrics_table(connections_));
  tables.push_back(pool_table(connections_));
  tables.push_back(statements_table(connections_));
  tables.push_back(partitions_table(connections_));
  tables.push_back(
      {std::string(kTargets), target_table_columns(), [this] { return target_columns(); }});
  return tables_.add(engine, std::move(tables));
}

void SystemTables::look_at(Engine& engine, const std::string& sql) {
  asked_.reset();
  if (!mentions(sql, kTargets)) return;
  const auto plan = plan_of(engine, sql);
  if (!plan) return;  // Then the query itself fails, too.
  std::string function = engine_function_name(*tables_.find(kTargets));
  std::ranges::transform(function, function.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  std::set<std::string> names;
  if (narrowed(*plan, function, "", names) && !names.empty()) asked_ = std::move(names);
}

}  // namespace pgsink::shell
