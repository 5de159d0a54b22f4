#include "shell/engine/engine_table.h"

#include <algorithm>
#include <memory>
#include <string_view>

namespace pgsink::shell {
namespace {

using pgproto::Errc;
using pgproto::fail;

duckdb_type type_of(CellKind kind) {
  switch (kind) {
    case CellKind::kBoolean:
      return DUCKDB_TYPE_BOOLEAN;
    case CellKind::kCount:
      return DUCKDB_TYPE_UBIGINT;
    case CellKind::kDouble:
      return DUCKDB_TYPE_DOUBLE;
    case CellKind::kText:
      return DUCKDB_TYPE_VARCHAR;
    case CellKind::kInstant:
      return DUCKDB_TYPE_TIMESTAMP_TZ;
  }
  return DUCKDB_TYPE_VARCHAR;
}

/// Stores one cell into row `row` of a vector of its column's type.
struct Store {
  duckdb_vector vector;
  idx_t row;

  template <typename T>
  void number(T value) const {
    static_cast<T*>(duckdb_vector_get_data(vector))[row] = value;
  }
  void operator()(std::monostate) const {
    duckdb_vector_ensure_validity_writable(vector);
    duckdb_validity_set_row_invalid(duckdb_vector_get_validity(vector), row);
  }
  void operator()(bool value) const { number(value); }
  void operator()(uint64_t value) const { number(value); }
  void operator()(double value) const { number(value); }
  void operator()(const std::string& value) const {
    duckdb_vector_assign_string_element_len(vector, row, value.data(), value.size());
  }
  void operator()(Instant value) const { number(value.wall_us); }
};

struct Scan {
  std::vector<TableRow> rows;
  size_t next = 0;
};

void bind_table(duckdb_bind_info info) {
  const auto& table = *static_cast<const EngineTable*>(duckdb_bind_get_extra_info(info));
  for (const EngineTable::TableColumn& column : table.columns) {
    const OwnedType type(duckdb_create_logical_type(type_of(column.kind)));
    duckdb_bind_add_result_column(info, column.name.c_str(), type.get());
  }
}

void init_table(duckdb_init_info info) {
  const auto& table = *static_cast<const EngineTable*>(duckdb_init_get_extra_info(info));
  auto scan = std::make_unique<Scan>();
  auto rows = table.rows();
  if (!rows) return duckdb_init_set_error(info, rows.error().to_string().c_str());
  scan->rows = std::move(*rows);
  duckdb_init_set_max_threads(info, 1);
  duckdb_init_set_init_data(info, scan.release(),
                            [](void* data) { delete static_cast<Scan*>(data); });
}

void scan_table(duckdb_function_info info, duckdb_data_chunk output) {
  auto& scan = *static_cast<Scan*>(duckdb_function_get_init_data(info));
  const size_t rows = std::min<size_t>(scan.rows.size() - scan.next, duckdb_vector_size());
  for (idx_t column = 0; column < duckdb_data_chunk_get_column_count(output); ++column) {
    duckdb_vector vector = duckdb_data_chunk_get_vector(output, column);
    for (size_t row = 0; row < rows; ++row) {
      std::visit(Store{vector, row}, scan.rows[scan.next + row][column]);
    }
  }
  scan.next += rows;
  duckdb_data_chunk_set_size(output, rows);
}

/// `system` is a catalog of the engine, where tables cannot be created: an unknown name comes here,
/// without the catalog.
void replace_table(duckdb_replacement_scan_info info, const char* name, void* data) {
  const auto& tables = *static_cast<const EngineTables*>(data);
  if (const EngineTable* table = tables.find(name)) {
    duckdb_replacement_scan_set_function_name(info, engine_function_name(*table).c_str());
  }
}

}  // namespace

std::string engine_function_name(const EngineTable& table) { return "pgsink_" + table.name; }

const EngineTable* EngineTables::find(std::string_view name) const {
  const auto found = std::ranges::find(tables_, name, &EngineTable::name);
  return found == tables_.end() ? nullptr : &*found;
}

pgproto::Status EngineTables::add(Engine& engine, std::vector<EngineTable> tables) {
  tables_ = std::move(tables);
  for (EngineTable& table : tables_) {
    const OwnedTableFunction function(duckdb_create_table_function());
    duckdb_table_function_set_name(function.get(), engine_function_name(table).c_str());
    duckdb_table_function_set_extra_info(function.get(), &table, nullptr);
    duckdb_table_function_set_bind(function.get(), bind_table);
    duckdb_table_function_set_init(function.get(), init_table);
    duckdb_table_function_set_function(function.get(), scan_table);
    if (duckdb_register_table_function(engine.connection(), function.get()) == DuckDBError) {
      return fail(Errc::kInternal, "the SQL engine refuses the table system." + table.name);
    }
  }
  duckdb_add_replacement_scan(engine.database(), replace_table, this, nullptr);
  return {};
}

}  // namespace pgsink::shell
