#pragma once
// MessageColumns: the columns of a Kafka source, and how a message becomes their texts.

#include <array>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <pgsink/record_batch.h>

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

  TextColumns no_texts() const { return TextColumns(columns_->values() + kMeta.size()); }
  /// Appends a message. The error says why it is malformed: then nothing is appended.
  std::expected<void, std::string> append(const KafkaMessage& message, TextColumns& texts);

 private:
  struct Meta {
    std::string_view name, type;
    std::optional<std::string> (*text)(const KafkaMessage& message);
  };
  static const std::array<Meta, 6> kMeta;

  const bool raw_;
  std::unique_ptr<RecordColumns> columns_;
  std::array<bool, 6> wanted_{};
};

}  // namespace pgsink::shell
