#pragma once
// Values in messages of Debezium: what the schema of a message says of them, and the text that the
// engine or PostgreSQL reads. Source: Debezium's documentation of its connector for PostgreSQL,
// "Data type mappings"; Kafka Connect's JsonConverter.

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shell/records/json_reader.h"
#include "shell/records/record_columns.h"

namespace pgsink::shell {

/// DebeziumType is what the schema of a message says of a value.
struct DebeziumType {
  std::string type;     ///< "int32", "bytes", "array", …; "" if the message has no schema.
  std::string logical;  ///< "io.debezium.time.Date"; "" if it has none.
  int32_t scale = 0;    ///< Of a Decimal.
  size_t length = 0;    ///< Of Bits; 0: not known.
  std::vector<DebeziumType> items;  ///< Of an array: the type of its elements.
};

/// debezium_type reads the schema of a field.
std::expected<DebeziumType, std::string> debezium_type(const JsonNode& schema);

/// Whether a value says that the source did not report it, because an update left it alone.
bool is_unavailable(const JsonNode& value);

/// DebeziumReader is the program that reads the texts: each has its own form of bytes, and of years
/// before 1.
enum class DebeziumReader : uint8_t { kEngine, kPostgres };

/// debezium_text is the text of a value for a column; nullopt is NULL. The error says why there is
/// none. `nested` reads texts within the value: it must not be the one whose views are in use.
std::expected<std::optional<std::string>, std::string> debezium_text(const RecordColumn& column,
                                                                     const DebeziumType& type,
                                                                     const JsonNode& value,
                                                                     DebeziumReader reader,
                                                                     JsonReader& nested);

}  // namespace pgsink::shell
