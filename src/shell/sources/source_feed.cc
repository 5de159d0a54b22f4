#include "shell/sources/source_feed.h"

#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

#include "shell/engine/arrow_rows.h"

namespace pgsink::shell {
namespace {

/// One scan of the function.
struct Scan {
  size_t next = 0;
};

template <typename T>
T at(const void* values, ptrdiff_t stride, size_t row) {
  T value;
  std::memcpy(&value, static_cast<const char*>(values) + stride * static_cast<ptrdiff_t>(row),
              sizeof(value));
  return value;
}

bool is_null(const ColumnView& column, size_t row) {
  if (column.kind == ColumnKind::kNull) return true;
  if (column.validity_bits != nullptr) {
    const size_t bit = row + static_cast<size_t>(column.offset);
    return ((column.validity_bits[bit / 8] >> (bit % 8)) & 1U) == 0;
  }
  if (column.validity_bytes == nullptr) return false;
  return at<uint8_t>(column.validity_bytes, column.validity_stride_bytes, row) == 0;
}

template <typename Offset>
std::string_view heap_text(const ColumnView& column, size_t row) {
  const size_t index = row + static_cast<size_t>(column.offset);
  const auto begin = at<Offset>(column.values, sizeof(Offset), index);
  const auto end = at<Offset>(column.values, sizeof(Offset), index + 1);
  return {static_cast<const char*>(column.heap) + begin, static_cast<size_t>(end - begin)};
}

std::optional<std::string_view> text_at(const ColumnView& column, size_t row) {
  if (is_null(column, row)) return std::nullopt;
  const auto* object =
      static_cast<const char*>(column.values) + column.stride_bytes * static_cast<ptrdiff_t>(row);
  switch (column.kind) {
    case ColumnKind::kText32:
      return heap_text<int32_t>(column, row);
    case ColumnKind::kText64:
      return heap_text<int64_t>(column, row);
    case ColumnKind::kStdString:
      return *reinterpret_cast<const std::string*>(object);
    case ColumnKind::kStdStringView:
      return *reinterpret_cast<const std::string_view*>(object);
    default:
      PGPROTO_ASSERT(false && "an unbounded source yields texts");
      return std::nullopt;
  }
}

void store(duckdb_vector vector, idx_t row, std::optional<std::string_view> text) {
  if (text) {
    duckdb_vector_assign_string_element_len(vector, row, text->data(), text->size());
    return;
  }
  duckdb_vector_ensure_validity_writable(vector);
  duckdb_validity_set_row_invalid(duckdb_vector_get_validity(vector), row);
}

}  // namespace

struct SourceFeed::Functions {
  static void bind(duckdb_bind_info info) {
    auto& feed = *static_cast<SourceFeed*>(duckdb_bind_get_extra_info(info));
    feed.bound_ = true;
    const OwnedType text(duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR));
    const OwnedType json_value(duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR));
    duckdb_logical_type_set_alias(json_value.get(), kJsonValueAlias);
    for (const RawColumn& column : feed.columns_) {
      duckdb_bind_add_result_column(info, column.name.c_str(),
                                    column.json_value ? json_value.get() : text.get());
    }
  }

  static void init(duckdb_init_info info) {
    const auto& feed = *static_cast<SourceFeed*>(duckdb_init_get_extra_info(info));
    auto scan = std::make_unique<Scan>();
    scan->next = feed.begin_;
    duckdb_init_set_max_threads(info, 1);
    duckdb_init_set_init_data(info, scan.release(),
                              [](void* data) { delete static_cast<Scan*>(data); });
  }

  static void scan(duckdb_function_info info, duckdb_data_chunk output) {
    const auto& feed = *static_cast<SourceFeed*>(duckdb_function_get_extra_info(info));
    auto& scan = *static_cast<Scan*>(duckdb_function_get_init_data(info));
    std::vector<size_t> rows;
    for (; scan.next < feed.end_ && rows.size() < duckdb_vector_size(); ++scan.next) {
      if (!feed.dropped_[scan.next]) rows.push_back(scan.next);
    }
    for (idx_t i = 0; i < feed.columns_.size(); ++i) {
      duckdb_vector vector = duckdb_data_chunk_get_vector(output, i);
      const ColumnView& column = feed.batch_.columns()[i];
      for (idx_t row = 0; row < rows.size(); ++row) store(vector, row, text_at(column, rows[row]));
    }
    duckdb_data_chunk_set_size(output, rows.size());
  }
};

pgproto::Status SourceFeed::add_to(Engine& engine, const std::string& name,
                                   std::vector<RawColumn> columns) {
  columns_ = std::move(columns);
  const OwnedTableFunction function(duckdb_create_table_function());
  duckdb_table_function_set_name(function.get(), name.c_str());
  duckdb_table_function_set_extra_info(function.get(), this, nullptr);
  duckdb_table_function_set_bind(function.get(), Functions::bind);
  duckdb_table_function_set_init(function.get(), Functions::init);
  duckdb_table_function_set_function(function.get(), Functions::scan);
  if (duckdb_register_table_function(engine.connection(), function.get()) == DuckDBError) {
    return pgproto::fail(pgproto::Errc::kInternal, "the SQL engine refuses the source " + name);
  }
  return {};
}

void SourceFeed::set(RecordBatch batch) {
  batch_ = std::move(batch);
  dropped_.assign(batch_.row_count(), false);
  narrow(0, batch_.row_count());
}

void SourceFeed::narrow(size_t begin, size_t count) {
  begin_ = begin;
  end_ = begin + count;
}

}  // namespace pgsink::shell
