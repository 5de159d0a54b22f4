#pragma once
// MessageColumns: the columns of a Kafka source, and how a message becomes their texts.

#include <array>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <pgsink/record_batch.h>

#include "shell/kafka/debezium_columns.h"
#include "shell/kafka/kafka_consumer.h"
#include "shell/records/record_columns.h"
#include "shell/sources/text_batch.h"
#include "shell/sources/unbounded_source.h"

namespace pgsink::shell {

class MessageColumns {
 public:
  explicit MessageColumns(KafkaOptions& options);

  /// Which of the columns about the message itself (_key, _offset, …) a statement names; the others
  /// are left out. True if that has changed.
  bool select(std::string_view statement);
  SourceShape shape() const;

  /// Whether the messages are changes of Debezium.
  bool are_changes() const { return debezium_ != nullptr; }
  /// The value of a change; nullopt for a tombstone, in any of its forms.
  std::optional<std::string_view> change_of(const KafkaMessage& message) const;
  /// The schema of rows that pass whole into a changelog; null if messages are not changes.
  std::shared_ptr<const Schema> whole_schema() const;
  /// From now on rows pass whole into a changelog, if there is a schema, and have that one.
  void set_whole(std::shared_ptr<const Schema> schema, bool without_truncates);

  TextColumns no_texts() const;
  RecordBatch batch(const std::shared_ptr<TextColumns>& texts) const;
  /// Appends a message; false if it makes no row. The error says why it is malformed: then nothing
  /// is appended. `deleted_key` is the key of the message before in its partition, if that was a
  /// delete.
  std::expected<bool, std::string> append(const KafkaMessage& message,
                                          std::optional<std::string>& deleted_key,
                                          TextColumns& texts);

 private:
  struct Meta {
    std::string_view name, type;
    std::optional<std::string> (*text)(const KafkaMessage& message);
  };
  static const std::array<Meta, 6> kMeta;

  std::expected<std::optional<RecordValues>, std::string> read(const KafkaMessage& message);
  std::expected<std::optional<RecordValues>, std::string> read_change(
      const KafkaMessage& message, std::optional<std::string>& deleted_key);

  const bool raw_;
  std::unique_ptr<RecordColumns> columns_;
  DebeziumColumns* debezium_ = nullptr;  ///< columns_, if messages are changes.
  std::array<bool, 6> wanted_{};
  std::shared_ptr<const Schema> whole_;  ///< Null: rows go through a query.
  bool without_truncates_ = false;
};

}  // namespace pgsink::shell
