#include "shell/engine_functions.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace pgsink::shell {
namespace {

using pgproto::Errc;
using pgproto::fail;
using pgproto::Status;

// ---- test_connection -----------------------------------------------------------------------

void set_text(duckdb_vector vector, idx_t row, std::string_view text) {
  duckdb_vector_assign_string_element_len(vector, row, text.data(), text.size());
}

void set_null(duckdb_vector vector, idx_t row) {
  duckdb_vector_ensure_validity_writable(vector);
  duckdb_validity_set_row_invalid(duckdb_vector_get_validity(vector), row);
}

std::string unknown_connection(const std::string& name, const Connections& connections) {
  return "there is no connection '" + name + "'" + connections.did_you_mean(name);
}

void run_test_connection(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output) {
  const auto& connections =
      *static_cast<const Connections*>(duckdb_scalar_function_get_extra_info(info));
  duckdb_vector names = duckdb_data_chunk_get_vector(input, 0);
  uint64_t* validity = duckdb_vector_get_validity(names);
  auto* texts = static_cast<duckdb_string_t*>(duckdb_vector_get_data(names));
  for (idx_t row = 0; row < duckdb_data_chunk_get_size(input); ++row) {
    if (validity != nullptr && !duckdb_validity_row_is_valid(validity, row)) {
      set_null(output, row);
      continue;
    }
    const std::string name(duckdb_string_t_data(&texts[row]), duckdb_string_t_length(texts[row]));
    const SinkOptions* options = connections.find(name);
    if (options == nullptr) {
      const std::string text = unknown_connection(name, connections);
      return duckdb_scalar_function_set_error(info, text.c_str());
    }
    const auto tested = test_connection(*options);
    set_text(output, row, tested ? "ok" : tested.error().to_string());
  }
}

Status register_test_connection(Engine& engine, Connections& connections) {
  const OwnedScalarFunction function(duckdb_create_scalar_function());
  const OwnedType text(duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR));
  duckdb_scalar_function_set_name(function.get(), "test_connection");
  duckdb_scalar_function_add_parameter(function.get(), text.get());
  duckdb_scalar_function_set_return_type(function.get(), text.get());
  // Otherwise the engine would run it once while binding, also under --check.
  duckdb_scalar_function_set_volatile(function.get());
  duckdb_scalar_function_set_extra_info(function.get(), &connections, nullptr);
  duckdb_scalar_function_set_function(function.get(), run_test_connection);
  if (duckdb_register_scalar_function(engine.connection(), function.get()) == DuckDBError) {
    return fail(Errc::kInternal, "the SQL engine refuses the function test_connection");
  }
  return {};
}

// ---- system.postgresql_sink_metrics --------------------------------------------------------

constexpr const char* kMetricsFunction = "pgsink_sink_metrics";
constexpr std::string_view kMetricsTable = "postgresql_sink_metrics";

double mean_milliseconds(const Histogram& histogram) {
  if (histogram.count == 0) return 0;
  return histogram.sum / static_cast<double>(histogram.count) * 1000;
}

double mean_batch(const SinkMetrics& metrics) {
  if (metrics.batches_sent == 0) return 0;
  return static_cast<double>(metrics.rows_written) / static_cast<double>(metrics.batches_sent);
}

struct MetricColumn {
  const char* name;
  duckdb_type type;
  void (*set)(const SinkMetrics& metrics, duckdb_vector vector, idx_t row);
};

template <auto member>
void set_count(const SinkMetrics& metrics, duckdb_vector vector, idx_t row) {
  static_cast<uint64_t*>(duckdb_vector_get_data(vector))[row] = metrics.*member;
}

void set_double(duckdb_vector vector, idx_t row, double value) {
  static_cast<double*>(duckdb_vector_get_data(vector))[row] = value;
}

constexpr MetricColumn kMetricColumns[] = {
    {"connection_name", DUCKDB_TYPE_VARCHAR,
     [](const SinkMetrics& m, duckdb_vector vector, idx_t row) {
       set_text(vector, row, m.connection_name);
     }},
    {"rows_written", DUCKDB_TYPE_UBIGINT, set_count<&SinkMetrics::rows_written>},
    {"bytes_written", DUCKDB_TYPE_UBIGINT, set_count<&SinkMetrics::bytes_written>},
    {"batches_sent", DUCKDB_TYPE_UBIGINT, set_count<&SinkMetrics::batches_sent>},
    {"avg_batch_size", DUCKDB_TYPE_DOUBLE,
     [](const SinkMetrics& m, duckdb_vector vector, idx_t row) {
       set_double(vector, row, mean_batch(m));
     }},
    {"avg_write_latency_ms", DUCKDB_TYPE_DOUBLE,
     [](const SinkMetrics& m, duckdb_vector vector, idx_t row) {
       set_double(vector, row, mean_milliseconds(m.write_latency));
     }},
    {"p99_write_latency_ms", DUCKDB_TYPE_DOUBLE,
     [](const SinkMetrics& m, duckdb_vector vector, idx_t row) {
       set_double(vector, row, m.write_latency.quantile(0.99) * 1000);
     }},
    {"failed_writes", DUCKDB_TYPE_UBIGINT, set_count<&SinkMetrics::failed_writes>},
    {"rejected_rows", DUCKDB_TYPE_UBIGINT, set_count<&SinkMetrics::rejected_rows>},
    {"retry_count", DUCKDB_TYPE_UBIGINT, set_count<&SinkMetrics::retry_count>},
    {"in_flight_rows", DUCKDB_TYPE_UBIGINT, set_count<&SinkMetrics::in_flight_rows>},
    {"buffered_bytes", DUCKDB_TYPE_UBIGINT, set_count<&SinkMetrics::buffered_bytes>},
    {"possible_duplicates", DUCKDB_TYPE_UBIGINT, set_count<&SinkMetrics::possible_duplicates>},
    {"last_error", DUCKDB_TYPE_VARCHAR,
     [](const SinkMetrics& m, duckdb_vector vector, idx_t row) {
       if (m.last_error.empty()) return set_null(vector, row);
       set_text(vector, row, m.last_error);
     }},
    {"last_error_time", DUCKDB_TYPE_TIMESTAMP_TZ,
     [](const SinkMetrics& m, duckdb_vector vector, idx_t row) {
       if (m.last_error_wall_us == 0) return set_null(vector, row);
       static_cast<int64_t*>(duckdb_vector_get_data(vector))[row] = m.last_error_wall_us;
     }},
};

struct MetricsScan {
  std::vector<SinkMetrics> rows;
  size_t next = 0;
};

void bind_metrics(duckdb_bind_info info) {
  for (const MetricColumn& column : kMetricColumns) {
    const OwnedType type(duckdb_create_logical_type(column.type));
    duckdb_bind_add_result_column(info, column.name, type.get());
  }
}

void init_metrics(duckdb_init_info info) {
  const auto& connections = *static_cast<const Connections*>(duckdb_init_get_extra_info(info));
  auto scan = std::make_unique<MetricsScan>();
  scan->rows = connections.metrics();
  duckdb_init_set_max_threads(info, 1);
  duckdb_init_set_init_data(info, scan.release(),
                            [](void* data) { delete static_cast<MetricsScan*>(data); });
}

void scan_metrics(duckdb_function_info info, duckdb_data_chunk output) {
  auto& scan = *static_cast<MetricsScan*>(duckdb_function_get_init_data(info));
  const size_t rows = std::min<size_t>(scan.rows.size() - scan.next, duckdb_vector_size());
  for (idx_t column = 0; column < std::size(kMetricColumns); ++column) {
    duckdb_vector vector = duckdb_data_chunk_get_vector(output, column);
    for (size_t row = 0; row < rows; ++row) {
      kMetricColumns[column].set(scan.rows[scan.next + row], vector, row);
    }
  }
  scan.next += rows;
  duckdb_data_chunk_set_size(output, rows);
}

/// `system` is a catalog of the engine's own, where nobody can make tables: a name that it does not
/// know comes here, without the catalog.
void replace_system_table(duckdb_replacement_scan_info info, const char* table, void*) {
  if (std::string_view(table) == kMetricsTable) {
    duckdb_replacement_scan_set_function_name(info, kMetricsFunction);
  }
}

Status register_metrics(Engine& engine, Connections& connections) {
  const OwnedTableFunction function(duckdb_create_table_function());
  duckdb_table_function_set_name(function.get(), kMetricsFunction);
  duckdb_table_function_set_extra_info(function.get(), &connections, nullptr);
  duckdb_table_function_set_bind(function.get(), bind_metrics);
  duckdb_table_function_set_init(function.get(), init_metrics);
  duckdb_table_function_set_function(function.get(), scan_metrics);
  if (duckdb_register_table_function(engine.connection(), function.get()) == DuckDBError) {
    return fail(Errc::kInternal, "the SQL engine refuses the table of metrics");
  }
  duckdb_add_replacement_scan(engine.database(), replace_system_table, nullptr, nullptr);
  return {};
}

}  // namespace

Status register_engine_functions(Engine& engine, Connections& connections) {
  if (auto done = register_test_connection(engine, connections); !done) return done;
  return register_metrics(engine, connections);
}

}  // namespace pgsink::shell
