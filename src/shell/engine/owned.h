#pragma once
// Owned: a handle of DuckDB's C API that is given back when its owner goes.

#include <utility>

#include <duckdb.h>

namespace pgsink::shell {

/// Owned holds one handle (a pointer or duckdb_result) and its destroy function. Movable.
template <typename Handle, void (*destroy)(Handle*)>
class Owned {
 public:
  Owned() = default;
  explicit Owned(Handle handle) : handle_(handle), filled_(true) {}
  Owned(Owned&& other) noexcept
      : handle_(std::exchange(other.handle_, Handle{})),
        filled_(std::exchange(other.filled_, false)) {}
  Owned& operator=(Owned&& other) noexcept {
    if (this != &other) {
      reset();
      handle_ = std::exchange(other.handle_, Handle{});
      filled_ = std::exchange(other.filled_, false);
    }
    return *this;
  }
  ~Owned() { reset(); }

  const Handle& get() const { return handle_; }
  /// For functions that fill a handle, also on failure: whatever they leave is destroyed here.
  Handle* fill() {
    reset();
    filled_ = true;
    return &handle_;
  }
  /// The handle itself, for functions that take a pointer to it without replacing it.
  Handle* address() { return &handle_; }
  bool filled() const { return filled_; }
  void reset() {
    if (filled_) destroy(&handle_);
    handle_ = Handle{};
    filled_ = false;
  }

 private:
  Handle handle_{};
  bool filled_ = false;
};

using OwnedDatabase = Owned<duckdb_database, duckdb_close>;
using OwnedConnection = Owned<duckdb_connection, duckdb_disconnect>;
using OwnedConfig = Owned<duckdb_config, duckdb_destroy_config>;
using OwnedStatements = Owned<duckdb_extracted_statements, duckdb_destroy_extracted>;
using OwnedPrepared = Owned<duckdb_prepared_statement, duckdb_destroy_prepare>;
using OwnedPending = Owned<duckdb_pending_result, duckdb_destroy_pending>;
using OwnedResult = Owned<duckdb_result, duckdb_destroy_result>;
using OwnedChunk = Owned<duckdb_data_chunk, duckdb_destroy_data_chunk>;
using OwnedType = Owned<duckdb_logical_type, duckdb_destroy_logical_type>;
using OwnedArrowOptions = Owned<duckdb_arrow_options, duckdb_destroy_arrow_options>;
using OwnedErrorData = Owned<duckdb_error_data, duckdb_destroy_error_data>;
using OwnedScalarFunction = Owned<duckdb_scalar_function, duckdb_destroy_scalar_function>;
using OwnedTableFunction = Owned<duckdb_table_function, duckdb_destroy_table_function>;

}  // namespace pgsink::shell
