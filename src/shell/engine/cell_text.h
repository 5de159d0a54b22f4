#pragma once
// CellText: values of the engine's result chunks as text for people (and files made for people), or
// as JSON. Nothing here is on the way to a sink: rows reach a sink as Arrow arrays.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "shell/engine/owned.h"

namespace pgsink::shell {

/// CellType is a column's type, taken apart once.
struct CellType {
  duckdb_type id = DUCKDB_TYPE_INVALID;
  duckdb_type internal = DUCKDB_TYPE_INVALID;  ///< The storage type of decimals and enums.
  bool json = false;                           ///< The text is JSON already.
  uint8_t scale = 0;
  uint64_t array_length = 0;
  std::vector<std::string> names;  ///< Enum values, or struct members.
  std::vector<CellType> children;

  static CellType of(duckdb_logical_type type);
  /// Whether people expect it at the right edge of its column.
  bool is_number() const;
};

enum class CellStyle : uint8_t { kPlain, kJson };

/// One column of one chunk.
struct CellColumn {
  const CellType& type;
  duckdb_vector vector;

  bool is_null(idx_t row) const;
  /// Appends the value of a row. Plain: text as it is, nested values as [1, NULL] and {a: 1}; NULL
  /// is "NULL". JSON: a JSON value; numbers that JSON lacks (NaN, infinity) are strings.
  void append(std::string& out, idx_t row, CellStyle style) const;
};

/// Appends `text` as a JSON string with its quotes. Bytes that are not UTF-8 pass as they are.
void append_json_string(std::string& out, std::string_view text);

}  // namespace pgsink::shell
