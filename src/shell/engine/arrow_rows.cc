#include "shell/engine/arrow_rows.h"

#include <pgsink/arrow.h>

namespace pgsink::shell {
namespace {

Status arrow_status(duckdb_error_data taken, const char* doing) {
  const OwnedErrorData owned(taken);
  if (taken == nullptr || !duckdb_error_data_has_error(taken)) return {};
  return pgproto::fail(Errc::kInternal, std::string("the SQL engine cannot ") + doing + ": " +
                                            duckdb_error_data_message(taken));
}

/// Arrow does not know the alias.
bool holds_json_values(duckdb_logical_type type) {
  char* const alias = duckdb_logical_type_get_alias(type);
  const bool holds = alias != nullptr && std::string_view(alias) == kJsonValueAlias;
  duckdb_free(alias);
  return holds;
}

}  // namespace

Result<ArrowRows> ArrowRows::of(const Engine& engine, const std::vector<Column>& columns,
                                const std::vector<std::string>& names) {
  std::vector<duckdb_logical_type> types;
  std::vector<const char*> texts;
  for (size_t i = 0; i < columns.size(); ++i) {
    types.push_back(columns[i].type.get());
    texts.push_back(names[i].c_str());
  }
  ArrowSchema arrow{};
  auto done = arrow_status(duckdb_to_arrow_schema(engine.arrow_options(), types.data(),
                                                  texts.data(), types.size(), &arrow),
                           "describe the query's columns");
  if (!done) return std::unexpected(done.error());
  auto schema = import_arrow_schema(&arrow, {.infinities = true});
  if (!schema) return std::unexpected(schema.error());
  ArrowRows rows;
  std::vector<Field> fields = **schema;
  for (size_t i = 0; i < columns.size(); ++i) {
    fields[i].json_value = holds_json_values(columns[i].type.get());
    rows.vectors_.push_back(VectorValues::of(columns[i].type.get(), fields[i]));
  }
  rows.schema_ = std::make_shared<const Schema>(std::move(fields));
  rows.options_ = engine.arrow_options();
  return rows;
}

Result<RecordBatch> ArrowRows::batch(const OwnedChunk& chunk) const {
  ArrowArray array{};
  auto done = arrow_status(duckdb_data_chunk_to_arrow(options_, chunk.get(), &array),
                           "hand over the query's rows");
  if (!done) return std::unexpected(done.error());
  auto batch = import_arrow_batch(schema_, &array);
  if (!batch) return batch;
  return with_vector_values(chunk, std::move(*batch));
}

Result<RecordBatch> ArrowRows::with_vector_values(const OwnedChunk& chunk,
                                                  RecordBatch batch) const {
  VectorValues::Buffers buffers;
  std::vector<ColumnView> columns(batch.columns().begin(), batch.columns().end());
  for (size_t i = 0; i < columns.size(); ++i) {
    if (!vectors_[i]) continue;
    auto* const vector = duckdb_data_chunk_get_vector(chunk.get(), i);
    auto taken = vectors_[i]->take(vector, batch.row_count(), columns[i], buffers);
    if (!taken) return std::unexpected(taken.error());
  }
  if (buffers.empty()) return batch;
  struct Memory {
    RecordBatch batch;
    VectorValues::Buffers buffers;
  };
  const size_t rows = batch.row_count();
  const size_t bytes = batch.memory_bytes();
  auto memory = std::make_shared<Memory>(std::move(batch), std::move(buffers));
  return RecordBatch(schema_, std::move(columns), rows, bytes,
                     [memory]() mutable { memory.reset(); });
}

}  // namespace pgsink::shell
