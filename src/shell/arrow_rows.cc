#include "arrow_rows.h"

#include <algorithm>

#include <pgsink/arrow.h>

namespace pgsink::shell {
namespace {

Status arrow_status(duckdb_error_data taken, const char* doing) {
  const OwnedErrorData owned(taken);
  if (taken == nullptr || !duckdb_error_data_has_error(taken)) return {};
  return pgproto::fail(Errc::kInternal, std::string("the SQL engine cannot ") + doing + ": " +
                                            duckdb_error_data_message(taken));
}

/// DuckDB's HUGEINT comes as 16 opaque bytes; they are what Arrow calls a decimal without a scale.
void name_wide_integers(duckdb_logical_type type, Field& field) {
  const auto child = [&field](duckdb_logical_type taken, size_t index) {
    const OwnedType owned(taken);
    if (index < field.children.size()) name_wide_integers(owned.get(), field.children[index]);
  };
  switch (duckdb_get_type_id(type)) {
    case DUCKDB_TYPE_HUGEINT:
      field.kind = ColumnKind::kDecimal128;
      field.precision = 39;
      field.scale = 0;
      break;
    case DUCKDB_TYPE_LIST:
      child(duckdb_list_type_child_type(type), 0);
      break;
    case DUCKDB_TYPE_ARRAY:
      child(duckdb_array_type_child_type(type), 0);
      break;
    case DUCKDB_TYPE_STRUCT:
      for (idx_t i = 0; i < duckdb_struct_type_child_count(type); ++i) {
        child(duckdb_struct_type_child_type(type, i), i);
      }
      break;
    default:
      break;
  }
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
  auto imported = import_schema(arrow);
  if (arrow.release != nullptr) arrow.release(&arrow);
  if (!imported) return std::unexpected(imported.error());
  Schema schema = **imported;
  for (size_t i = 0; i < schema.size(); ++i) name_wide_integers(types[i], schema[i]);
  ArrowRows rows;
  rows.schema_ = std::make_shared<const Schema>(std::move(schema));
  rows.options_ = engine.arrow_options();
  return rows;
}

Result<RecordBatch> ArrowRows::batch(const OwnedChunk& chunk) const {
  ArrowArray array{};
  auto done = arrow_status(duckdb_data_chunk_to_arrow(options_, chunk.get(), &array),
                           "hand over the query's rows");
  if (!done) return std::unexpected(done.error());
  return import_batch(&array, schema_);
}

}  // namespace pgsink::shell
