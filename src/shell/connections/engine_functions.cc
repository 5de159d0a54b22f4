#include "shell/connections/engine_functions.h"

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

}  // namespace

Status register_engine_functions(Engine& engine, Connections& connections) {
  return register_test_connection(engine, connections);
}

}  // namespace pgsink::shell
