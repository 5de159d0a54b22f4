#pragma once
// The types and values of the goldens in tests/golden/encode/, how a golden is captured from a
// server, and how its file is read.

#include <string>
#include <vector>

#include <pgproto/type_info.h>

#include "support/copy_harness.h"

namespace pgsink::test {

/// GoldenType is one file: a SQL type and the literals that the server makes values of.
struct GoldenType {
  const char* name;
  const char* sql_type;
  std::vector<const char*> inputs;
  /// SQL of the value `v` as the number that a column of C++ or Arrow would hold; "" has none.
  const char* native = "";
};

/// golden_types are all of them: every type that the encoder writes.
const std::vector<GoldenType>& golden_types();
/// The SQL that makes the types that are not built in.
std::string golden_types_sql();

struct GoldenValue {
  std::string text;    ///< As the server prints it.
  std::string native;  ///< "-" if there is none.
  std::string field;   ///< As the server sends it, without its length.
};

/// Golden is one file.
struct Golden {
  ColumnType type;
  pgproto::TypeMap types;
  std::vector<GoldenValue> values;
};

std::string golden_path(const std::string& name);
/// parse_golden throws std::runtime_error if the text is none.
Golden parse_golden(const std::string& text);
/// capture_golden asks the server for the values; returns the text of the file.
std::string capture_golden(PostgresServer& server, const std::string& database,
                           const GoldenType& type);

std::string to_hex(const std::string& bytes);
std::string from_hex(const std::string& digits);

}  // namespace pgsink::test
