#include "shell/engine/chunk_slice.h"

#include <numeric>
#include <vector>

namespace pgsink::shell {

OwnedChunk chunk_slice(const OwnedChunk& chunk, size_t begin, size_t count) {
  const idx_t columns = duckdb_data_chunk_get_column_count(chunk.get());
  std::vector<OwnedType> types;
  std::vector<duckdb_logical_type> handles;
  for (idx_t i = 0; i < columns; ++i) {
    auto* const vector = duckdb_data_chunk_get_vector(chunk.get(), i);
    handles.push_back(types.emplace_back(duckdb_vector_get_column_type(vector)).get());
  }
  OwnedChunk slice(duckdb_create_data_chunk(handles.data(), columns));
  auto* const rows = duckdb_create_selection_vector(count);
  sel_t* const indexes = duckdb_selection_vector_get_data_ptr(rows);
  std::iota(indexes, indexes + count, static_cast<sel_t>(begin));
  for (idx_t i = 0; i < columns; ++i) {
    duckdb_vector_copy_sel(duckdb_data_chunk_get_vector(chunk.get(), i),
                           duckdb_data_chunk_get_vector(slice.get(), i), rows, count, 0, 0);
  }
  duckdb_destroy_selection_vector(rows);
  duckdb_data_chunk_set_size(slice.get(), count);
  return slice;
}

}  // namespace pgsink::shell
