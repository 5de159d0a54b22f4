#pragma once
// One list of what becomes what: source columns, target types, and the text that the server must
// show afterwards, or why the row is rejected. Expected texts are written by hand, not computed.

#include <optional>
#include <string>
#include <vector>

#include "support/arrow_builder.h"

namespace pgsink::test {

/// ConversionCase is one source column written to one SQL type.
struct ConversionCase {
  std::string sql_type;
  ArrowNode column;
  /// For each row: the text that the server shows; nullopt: NULL; "!22003 part of the message": the
  /// row is rejected with that SQLSTATE.
  std::vector<std::optional<std::string>> expected;
  ArrowImport options = {};
  /// The server stores a canonical form of its own (ranges, padding), so that its binary differs.
  bool normalised = false;
};

/// The SQL that makes the types of the cases: mood, address, …
std::string conversion_types_sql();

std::vector<ConversionCase> number_cases();
std::vector<ConversionCase> temporal_cases();
std::vector<ConversionCase> text_cases();
std::vector<ConversionCase> render_cases();
std::vector<ConversionCase> nested_cases();
/// All of them.
std::vector<ConversionCase> conversion_cases();

}  // namespace pgsink::test
