#pragma once
// Reading a source in tests: its batches as lines of text.

#include <chrono>
#include <string>
#include <vector>

#include "pgsink/source.h"
#include "support/postgres_server.h"

namespace pgsink::test {

/// Options of a source of `table`, with publication "pub" and slot "slot_DATABASE".
inline SinkOptions source_options(const PostgresServer& server, const std::string& database,
                                  const std::string& table = "t") {
  SinkOptions options;
  options.connection_name = "src";
  options.type = ConnectionType::kSource;
  options.host = server.socket_dir();
  options.port = std::to_string(server.port());
  options.database = database;
  options.username = "postgres";
  options.table = table;
  options.publication = "pub";
  options.replication_slot = "slot_" + database;
  options.retry_backoff_ms = 20;
  options.max_retries = 100;
  return options;
}

/// One value of a column of texts; "NULL" without one.
inline std::string text_at(const RecordBatch& batch, size_t column, size_t row) {
  const ColumnView& view = batch.columns()[column];
  if (view.validity_bytes[row] == 0) return "NULL";
  const auto* offsets = static_cast<const int64_t*>(view.values);
  return {static_cast<const char*>(view.heap) + offsets[row],
          static_cast<size_t>(offsets[row + 1] - offsets[row])};
}

/// The rows of a batch as "I 1 a": the operation, then the table's columns.
inline std::vector<std::string> lines_of(const RecordBatch& batch) {
  const size_t width = batch.columns().size() - 3;
  std::vector<std::string> lines;
  for (size_t row = 0; row < batch.row_count(); ++row) {
    std::string line = text_at(batch, width, row);
    for (size_t column = 0; column < width; ++column) line += " " + text_at(batch, column, row);
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace pgsink::test
