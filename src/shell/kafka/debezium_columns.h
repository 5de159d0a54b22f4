#pragma once
// DebeziumColumns: messages of Debezium as rows of a changelog. A message is an envelope ("before",
// "after", "op"), or the row itself with "__op" or "__deleted" (ExtractNewRecordState), each with
// or without its schema around it.

#include <expected>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <pgsink/record_batch.h>

#include "shell/kafka/debezium_value.h"
#include "shell/records/record_columns.h"

namespace pgsink::shell {

class DebeziumColumns final : public RecordColumns {
 public:
  /// The columns are these, then `_op`.
  explicit DebeziumColumns(std::vector<RecordColumn> declared);

  /// Whether rows go whole to a changelog: then they have one more value, kUnchangedColumn, texts
  /// are those of PostgreSQL, and updates may leave values out.
  void set_whole(bool whole) { whole_ = whole; }
  /// Of whole rows.
  std::shared_ptr<const Schema> whole_schema() const;
  /// The index of `_op` in the values.
  size_t operation() const { return columns_.size() - 1; }

  /// Whether a message says no more than that there is no value: as a tombstone does. Kafka
  /// Connect's JsonConverter writes "null", or a schema around it, where the value has a schema.
  bool is_null(std::string_view record);

  std::expected<void, std::string> sample(std::string_view record) override;
  std::expected<RecordValues, std::string> read(std::string_view record) override;
  /// The delete of the row that has the key of a message without a value.
  std::expected<RecordValues, std::string> read_deleted(std::string_view key);
  bool writes_json() const override { return false; }

 private:
  using Types = std::map<std::string, DebeziumType, std::less<>>;
  /// The schema of the last message: the next one mostly has the same.
  struct LastSchema {
    std::string text;
    Types row;    ///< Of the fields.
    Types after;  ///< Of the fields of "after", or "before".
  };
  struct Message {
    JsonNode payload;
    const LastSchema* schema = nullptr;
  };

  std::expected<Message, std::string> open(std::string_view text, LastSchema& last);
  std::expected<void, std::string> read_schema(std::string_view text, LastSchema& last);
  std::expected<RecordValues, std::string> row(const JsonNode& of, const Types& types,
                                               char operation);

  bool whole_ = false;
  JsonReader outer_, payload_, nested_;
  LastSchema value_schema_, key_schema_;
};

}  // namespace pgsink::shell
