#include "shell/kafka/message_columns.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <utility>

#include <pgproto/utf8.h>

#include "pgsink/ddl/lexer.h"
#include "pgsink/options/names.h"
#include "shell/engine/engine.h"

namespace pgsink::shell {
namespace {

/// "2026-01-02 03:04:05.678+00".
std::string instant_text(int64_t ms) {
  const int64_t seconds = ms >= 0 ? ms / 1000 : (ms - 999) / 1000;
  const std::time_t time = seconds;
  std::tm utc{};
  gmtime_r(&time, &utc);
  std::array<char, 64> text{};
  const int size = std::snprintf(text.data(), text.size(), "%04d-%02d-%02d %02d:%02d:%02d.%03d+00",
                                 utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour,
                                 utc.tm_min, utc.tm_sec, static_cast<int>(ms - seconds * 1000));
  return {text.data(), static_cast<size_t>(size)};
}

/// Bytes that are not text go as PostgreSQL writes a bytea.
std::string text_or_hex(std::string_view bytes) {
  if (pgproto::utf8_fault_at(bytes) == std::string_view::npos) return std::string(bytes);
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text = "\\x";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += kHex[byte >> 4];
    text += kHex[byte & 15];
  }
  return text;
}

std::unique_ptr<RecordColumns> columns_of(KafkaOptions& options) {
  if (options.format != KafkaFormat::kCsv) {
    return std::make_unique<JsonColumns>(std::move(options.columns));
  }
  auto columns = std::make_unique<CsvColumns>(CsvDialect{}, std::move(options.columns));
  columns->set_fields_in_order();
  return columns;
}

RecordColumn raw_column() {
  RecordColumn column;
  column.name = "value";
  column.declared = true;
  column.sql_type = "VARCHAR";
  column.type = ExactType{.kind = ExactType::Kind::kText, .name = "VARCHAR"};
  return column;
}

}  // namespace

const std::array<MessageColumns::Meta, 6> MessageColumns::kMeta{{
    {"_key", "VARCHAR",
     [](const KafkaMessage& message) -> std::optional<std::string> {
       const auto key = message.key();
       return key ? std::optional(text_or_hex(*key)) : std::nullopt;
     }},
    {"_topic", "VARCHAR",
     [](const KafkaMessage& message) -> std::optional<std::string> {
       return message.partition().topic;
     }},
    {"_partition", "INTEGER",
     [](const KafkaMessage& message) -> std::optional<std::string> {
       return std::to_string(message.partition().number);
     }},
    {"_offset", "BIGINT",
     [](const KafkaMessage& message) -> std::optional<std::string> {
       return std::to_string(message.offset());
     }},
    {"_timestamp", "TIMESTAMPTZ",
     [](const KafkaMessage& message) -> std::optional<std::string> {
       const auto at = message.timestamp_ms();
       return at ? std::optional(instant_text(*at)) : std::nullopt;
     }},
    {"_headers", "VARCHAR", [](const KafkaMessage& message) { return message.headers(); }},
}};

MessageColumns::MessageColumns(KafkaOptions& options) : raw_(options.format == KafkaFormat::kRaw) {
  if (raw_) options.columns.push_back(raw_column());
  if (options.format != KafkaFormat::kDebeziumJson) {
    columns_ = columns_of(options);
    return;
  }
  auto changes = std::make_unique<DebeziumColumns>(std::move(options.columns));
  debezium_ = changes.get();
  columns_ = std::move(changes);
}

std::shared_ptr<const Schema> MessageColumns::whole_schema() const {
  return debezium_ == nullptr ? nullptr : debezium_->whole_schema();
}

void MessageColumns::set_whole(std::shared_ptr<const Schema> schema, bool without_truncates) {
  whole_ = std::move(schema);
  without_truncates_ = without_truncates && whole_ != nullptr;
  if (debezium_ != nullptr) debezium_->set_whole(whole_ != nullptr);
}

TextColumns MessageColumns::no_texts() const {
  return TextColumns(whole_ ? whole_->size() : columns_->values() + kMeta.size());
}

RecordBatch MessageColumns::batch(const std::shared_ptr<TextColumns>& texts) const {
  return text_batch(texts, texts->front().size(), whole_);
}

bool MessageColumns::select(std::string_view statement) {
  std::array<bool, 6> named{};
  Lexer lexer(statement);
  for (Token token = lexer.next(); token.kind != TokenKind::kEnd; token = lexer.next()) {
    std::string_view text = token.text;
    if (text.size() > 1 && text.front() == '"') text = text.substr(1, text.size() - 2);
    for (size_t i = 0; i < kMeta.size(); ++i) {
      named[i] = named[i] || equal_without_case(text, kMeta[i].name);
    }
  }
  return std::exchange(wanted_, named) != named;
}

SourceShape MessageColumns::shape() const {
  SourceShape shape;
  const auto columns = columns_->columns();
  for (size_t i = 0; i < columns.size(); ++i) {
    const RecordColumn& column = columns[i];
    const std::string raw = "value " + std::to_string(i);
    const bool text = column.type.kind == ExactType::Kind::kText;
    shape.raw.push_back({raw, column.json_value});
    shape.columns.push_back(
        {column.name, text ? engine_identifier(raw)
                           : "CAST(" + engine_identifier(raw) + " AS " + column.sql_type + ")"});
  }
  for (size_t i = 0; i < kMeta.size(); ++i) {
    const std::string raw = "meta " + std::to_string(i);
    shape.raw.push_back({raw, false});
    if (!wanted_[i]) continue;
    shape.columns.push_back({std::string(kMeta[i].name), "CAST(" + engine_identifier(raw) + " AS " +
                                                             std::string(kMeta[i].type) + ")"});
  }
  return shape;
}

std::expected<std::optional<RecordValues>, std::string> MessageColumns::read(
    const KafkaMessage& message) {
  const auto value = message.value();
  RecordValues values(columns_->values());
  if (!value) return values;
  if (!raw_) return columns_->read(*value);
  if (pgproto::utf8_fault_at(*value) != std::string_view::npos) {
    return std::unexpected("it is not valid UTF-8, or holds a NUL byte");
  }
  values[0] = std::string(*value);
  return values;
}

std::optional<std::string_view> MessageColumns::change_of(const KafkaMessage& message) const {
  const auto value = message.value();
  return value && debezium_->is_null(*value) ? std::nullopt : value;
}

/// A message without a value follows the delete of its key, and says no more. Without that delete
/// it is one: ExtractNewRecordState leaves deletes out and keeps what follows them.
std::expected<std::optional<RecordValues>, std::string> MessageColumns::read_change(
    const KafkaMessage& message, std::optional<std::string>& deleted_key) {
  const auto deleted = std::exchange(deleted_key, std::nullopt);
  const auto value = change_of(message);
  const auto key = message.key();
  if (!value && (!key || deleted == key)) return std::nullopt;
  auto values = value ? debezium_->read(*value) : debezium_->read_deleted(*key);
  if (!values) return std::unexpected(std::move(values.error()));
  const auto& operation = (*values)[debezium_->operation()];
  if (operation == "T" && without_truncates_) return std::nullopt;
  if (operation == "T" && whole_) {
    return std::unexpected(
        "the source's table was truncated, which a changelog does not do: empty the target and let "
        "the position be the offset after this message, or leave such messages out with WHERE _op "
        "<> 'T'");
  }
  if (operation == "D" && key) deleted_key = std::string(*key);
  return std::move(*values);
}

std::expected<bool, std::string> MessageColumns::append(const KafkaMessage& message,
                                                        std::optional<std::string>& deleted_key,
                                                        TextColumns& texts) {
  auto read = debezium_ != nullptr ? read_change(message, deleted_key) : this->read(message);
  if (!read) return std::unexpected(std::move(read.error()));
  if (!*read) return false;
  RecordValues& values = **read;
  const size_t count = values.size();
  for (size_t i = 0; i < count; ++i) texts[i].push_back(std::move(values[i]));
  if (whole_) return true;
  for (size_t i = 0; i < kMeta.size(); ++i) {
    texts[count + i].push_back(wanted_[i] ? kMeta[i].text(message) : std::nullopt);
  }
  return true;
}

}  // namespace pgsink::shell
