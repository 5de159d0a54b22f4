#include "shell/kafka/debezium_columns.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <pgproto/utf8.h>

#include <pgsink/source.h>

#include "shell/text/json_text.h"

namespace pgsink::shell {
namespace {

using Fault = std::unexpected<std::string>;

/// Operation is what Debezium calls a change, and what a changelog does.
struct Operation {
  char name;
  char letter;
};
constexpr std::array<Operation, 5> kOperations{
    {{'c', 'I'}, {'r', 'I'}, {'u', 'U'}, {'d', 'D'}, {'t', 'T'}}};

std::expected<char, std::string> operation_of(const JsonNode& node) {
  const std::string text = node.value.kind == JsonKind::kString ? node.content() : "";
  const auto* const found = text.size() == 1
                                ? std::ranges::find(kOperations, text[0], &Operation::name)
                                : kOperations.end();
  if (found != kOperations.end()) return found->letter;
  return Fault("its operation is " + std::string(node.value.text.substr(0, 40)) +
               ", none of c, r, u, d and t");
}

/// Of a flattened row; nullopt if it is none.
std::optional<std::expected<char, std::string>> operation_of_row(const JsonNode& row) {
  const JsonNode* const deleted = row.find("__deleted");
  const JsonNode* const operation = row.find("__op");
  if (deleted != nullptr && deleted->content() == "true") return 'D';
  if (operation != nullptr) return operation_of(*operation);
  if (deleted != nullptr) return 'U';
  return std::nullopt;
}

bool is_object(const JsonNode* node) {
  return node != nullptr && node->value.kind == JsonKind::kObject;
}

RecordColumn operation_column() {
  RecordColumn column;
  column.name = kOperationColumn;
  column.declared = true;
  column.sql_type = "VARCHAR";
  column.type = ExactType{.kind = ExactType::Kind::kText, .name = "VARCHAR"};
  return column;
}

}  // namespace

DebeziumColumns::DebeziumColumns(std::vector<RecordColumn> declared) {
  columns_ = std::move(declared);
  columns_.push_back(operation_column());
}

std::shared_ptr<const Schema> DebeziumColumns::whole_schema() const {
  Schema schema;
  for (const RecordColumn& column : columns_) {
    Field field;
    field.name = column.name;
    field.kind = ColumnKind::kStdString;
    field.json_value = column.type.nested();
    schema.push_back(std::move(field));
  }
  Field unchanged;
  unchanged.name = kUnchangedColumn;
  unchanged.kind = ColumnKind::kStdString;
  schema.push_back(std::move(unchanged));
  return std::make_shared<const Schema>(std::move(schema));
}

bool DebeziumColumns::is_null(std::string_view record) {
  if (record == "null") return true;
  if (!record.ends_with("null}")) return false;
  const auto members = outer_.read_object(record);
  return members && members->size() == 2 && members->front().key == "schema" &&
         members->back().key == "payload" && members->back().value.kind == JsonKind::kNull;
}

std::expected<void, std::string> DebeziumColumns::sample(std::string_view record) {
  if (auto values = read(record); !values) return Fault(std::move(values.error()));
  return {};
}

std::expected<RecordValues, std::string> DebeziumColumns::read(std::string_view record) {
  const auto message = open(record, value_schema_);
  if (!message) return Fault(message.error());
  const JsonNode& payload = message->payload;
  if (const auto flattened = operation_of_row(payload)) {
    if (!*flattened) return Fault(flattened->error());
    return row(payload, message->schema->row, **flattened);
  }
  const JsonNode* const name = payload.find("op");
  if (name == nullptr) {
    return Fault(
        "it is not a change of Debezium: it has neither op, __op nor __deleted. For flattened "
        "messages set delete.tombstone.handling.mode = 'rewrite' or add.fields = 'op' of "
        "ExtractNewRecordState");
  }
  const auto operation = operation_of(*name);
  if (!operation) return Fault(operation.error());
  if (*operation == 'T') return row({}, {}, *operation);
  const std::string_view state = *operation == 'D' ? "before" : "after";
  const JsonNode* const of = payload.find(state);
  if (!is_object(of)) {
    return Fault("it has op " + std::string(name->value.text) + ", and no object in \"" +
                 std::string(state) + "\"" +
                 (*operation == 'D' ? ": does the source's table have a replica identity?" : ""));
  }
  return row(*of, message->schema->after, *operation);
}

std::expected<RecordValues, std::string> DebeziumColumns::read_deleted(std::string_view key) {
  const auto message = open(key, key_schema_);
  if (!message) return Fault("it has no value, and of its key: " + message.error());
  return row(message->payload, message->schema->row, 'D');
}

/// Takes the schema off, if there is one.
std::expected<DebeziumColumns::Message, std::string> DebeziumColumns::open(std::string_view text,
                                                                           LastSchema& last) {
  if (pgproto::utf8_fault_at(text) != std::string_view::npos) {
    return Fault("it is not valid UTF-8, or holds a NUL byte");
  }
  const auto members = outer_.read_object(text);
  if (!members) return Fault(members.error());
  std::string_view payload = text, schema;
  const auto find = [&](std::string_view key) {
    return std::ranges::find(*members, key, &JsonMember::key);
  };
  const auto payload_at = find("payload"), schema_at = find("schema");
  if (members->size() == 2 && payload_at != members->end() && schema_at != members->end()) {
    payload = payload_at->value.text;
    if (schema_at->value.kind != JsonKind::kNull) schema = schema_at->value.text;
  }
  auto node = payload_.read_value(payload);
  if (!node) return Fault(node.error());
  if (!is_object(&*node)) return Fault("its payload is not an object");
  if (auto read = read_schema(schema, last); !read) return Fault(read.error());
  return Message{std::move(*node), &last};
}

std::expected<void, std::string> DebeziumColumns::read_schema(std::string_view text,
                                                              LastSchema& last) {
  if (text == last.text) return {};
  last = {};
  if (text.empty()) return {};
  LastSchema next;
  const auto schema = nested_.read_value(text);
  if (!schema) return Fault(schema.error());
  const auto types_of = [](const JsonNode& structure,
                           Types& types) -> std::expected<void, std::string> {
    const JsonNode* const fields = structure.find("fields");
    if (fields == nullptr) return Fault("its schema has no fields");
    for (const JsonNode& field : fields->nodes) {
      const JsonNode* const name = field.find("field");
      if (name == nullptr) return Fault("a field of its schema has no name");
      auto type = debezium_type(field);
      if (!type) return Fault("field '" + name->content() + "': " + type.error());
      types.insert_or_assign(name->content(), std::move(*type));
    }
    return {};
  };
  if (auto read = types_of(*schema, next.row); !read) return read;
  for (const JsonNode& field : schema->find("fields")->nodes) {
    const std::string name = field.find("field")->content();
    if ((name != "after" && name != "before") || field.find("fields") == nullptr) continue;
    if (auto read = types_of(field, next.after); !read) return read;
  }
  next.text = text;
  last = std::move(next);
  return {};
}

std::expected<RecordValues, std::string> DebeziumColumns::row(const JsonNode& of,
                                                              const Types& types, char operation) {
  RecordValues values(this->values() + (whole_ ? 1 : 0));
  values[this->operation()] = std::string(1, operation);
  const DebeziumReader reader = whole_ ? DebeziumReader::kPostgres : DebeziumReader::kEngine;
  static const DebeziumType kNone;
  std::string unchanged;
  for (size_t i = 0; i < this->operation(); ++i) {
    const RecordColumn& column = columns_[i];
    const JsonNode* const value = of.find(column.name);
    if (value == nullptr) continue;
    if (is_unavailable(*value)) {
      if (operation == 'D') continue;  // It needs the key alone.
      if (!whole_) {
        return Fault("column '" + column.name +
                     "': the source has left out a value that did not change, and a query would "
                     "see NULL in its place: pass whole rows to a changelog (SELECT * FROM the "
                     "source), or set REPLICA IDENTITY FULL on the source's table");
      }
      unchanged += (unchanged.empty() ? "[" : ",") + json_string(column.name);
      continue;
    }
    const auto type = types.find(column.name);
    auto text =
        debezium_text(column, type == types.end() ? kNone : type->second, *value, reader, nested_);
    if (!text) return Fault("column '" + column.name + "': " + text.error());
    values[i] = std::move(*text);
  }
  if (!unchanged.empty()) values.back() = unchanged + "]";
  return values;
}

}  // namespace pgsink::shell
