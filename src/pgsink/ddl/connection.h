#pragma once
// ConnectionParser: the rules of CREATE CONNECTION and DROP CONNECTION.

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "pgsink/ddl/token_parser.h"

namespace pgsink {

class ConnectionParser : private TokenParser {
 public:
  /// REQUIRES: `statement` begins with CREATE [OR REPLACE] CONNECTION or DROP CONNECTION.
  explicit ConnectionParser(const ScriptStatement& statement) : TokenParser(statement) {}

  /// Reads the whole statement. Goes on after a faulty option, so that all of them are reported.
  std::expected<Statement, std::vector<Diagnostic>> create(bool or_replace);
  Parsed<Statement> drop();

 private:
  Parsed<CreateConnection> head(bool or_replace);
  void options(CreateConnection& connection, std::vector<Diagnostic>& faults);
  Parsed<RawOption> option();
  Parsed<OptionValue> value();
  Parsed<OptionValue> number();
  Parsed<OptionValue> map();
  Parsed<std::string> map_entry(std::string_view part);
  void skip_to_next_option();

  bool inside_map_ = false;  ///< A MAP { is open; after a fault inside its } must be skipped.
};

}  // namespace pgsink
