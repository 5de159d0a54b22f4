#include "shell/records/json_reader.h"

#include <algorithm>
#include <simdjson.h>

#include "pgsink/encode/parse/json_value.h"
#include "pgsink/encode/parse/plain_number.h"
#include "shell/records/flat_object.h"

namespace pgsink::shell {
namespace {

namespace ondemand = simdjson::ondemand;

constexpr std::string_view kBlanks = " \t\n\r";

std::string_view trimmed(std::string_view text) {
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

/// Whether the escapes of a string are valid in JSON. Its quotes, control characters and UTF-8 were
/// checked before.
bool valid_string(std::string_view text) {
  if (text.size() < 2 || text.back() != '"') return false;
  constexpr size_t kUnitBytes = 5;
  for (size_t at = text.find('\\'); at != std::string_view::npos; at = text.find('\\', at)) {
    if (text[at + 1] != 'u') {
      if (std::string_view("\"\\/bfnrt").find(text[at + 1]) == std::string_view::npos) return false;
      at += 2;
      continue;
    }
    const std::string_view digits = text.substr(at + 2, kUnitBytes - 1);
    if (digits.size() != kUnitBytes - 1 ||
        digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos) {
      return false;
    }
    at += 1 + kUnitBytes;
  }
  return true;
}

JsonKind kind_of(char first) {
  switch (first) {
    case '{':
      return JsonKind::kObject;
    case '[':
      return JsonKind::kArray;
    case '"':
      return JsonKind::kString;
    case 't':
    case 'f':
      return JsonKind::kBoolean;
    case 'n':
      return JsonKind::kNull;
    default:
      return JsonKind::kNumber;
  }
}

bool valid_scalar(const JsonValue& value) {
  switch (value.kind) {
    case JsonKind::kString:
      return valid_string(value.text);
    case JsonKind::kBoolean:
      return value.text == "true" || value.text == "false";
    case JsonKind::kNull:
      return value.text == "null";
    default:
      return encode::is_json_number(value.text);
  }
}

}  // namespace

/// simdjson's objects, and a walk over a whole document: simdjson itself checks only the parts that
/// are read.
struct JsonReader::Parser {
  ondemand::parser simd;
  ondemand::document document;
  std::string text;   ///< With the padding that simdjson reads after the end.
  std::string fault;  ///< Why a step failed.

  bool fail(std::string what) {
    if (fault.empty()) fault = std::move(what);
    return false;
  }
  bool fail(simdjson::error_code code) {
    const std::string_view message = simdjson::error_message(code);
    // "TAPE_ERROR: The JSON document has …": leaves out the constant, which does not help users.
    const size_t colon = message.find(": ");
    return fail(std::string(message.substr(colon == std::string_view::npos ? 0 : colon + 2)));
  }

  bool start(std::string_view json) {
    fault.clear();
    text.assign(json);
    text.append(simdjson::SIMDJSON_PADDING, ' ');
    const auto error = simd.iterate(text.data(), json.size(), text.size()).get(document);
    return error == simdjson::SUCCESS || fail(error);
  }
  /// Whether nothing follows.
  bool finish() {
    if (document.current_location().error() == simdjson::OUT_OF_BOUNDS) return true;
    return fail("something follows its end");
  }

  bool walk(ondemand::value at, size_t depth, JsonValue& value, JsonNode* node) {
    const std::string_view token = trimmed(at.raw_json_token());
    if (token.empty()) return fail("a value is missing");
    value = {kind_of(token[0]), token};
    // simdjson skips values that are not read, and would take a string before a colon for a key.
    if (value.kind == JsonKind::kString) {
      if (const auto error = at.get_raw_json_string().error()) return fail(error);
    }
    if (value.kind != JsonKind::kObject && value.kind != JsonKind::kArray) {
      return valid_scalar(value) ||
             fail("'" + std::string(token.substr(0, 40)) + "' is not a JSON value");
    }
    if (depth == kDepthMax) {
      return fail("it is nested more than " + std::to_string(kDepthMax) + " deep");
    }
    const bool walked = value.kind == JsonKind::kObject ? walk_object(at, depth, node)
                                                        : walk_array(at, depth, node);
    if (!walked) return false;
    const char* next = nullptr;
    if (const auto error = document.current_location().get(next)) return fail(error);
    // The next token must be a comma or a bracket.
    const auto begin = static_cast<size_t>(token.data() - text.data());
    const auto end = static_cast<size_t>(next - text.data());
    value.text = trimmed(std::string_view(text).substr(begin, end - begin));
    return true;
  }

  bool walk_object(ondemand::value at, size_t depth, JsonNode* node) {
    ondemand::object object;
    if (const auto error = at.get_object().get(object)) return fail(error);
    for (auto found : object) {
      ondemand::field field;
      if (const auto error = std::move(found).get(field)) return fail(error);
      std::string_view key;
      if (const auto error = field.unescaped_key().get(key)) return fail(error);
      JsonNode* const child = node == nullptr ? nullptr : &node->nodes.emplace_back();
      if (child != nullptr) child->key = key;
      if (!walk_child(field.value(), depth, child)) return false;
    }
    return true;
  }

  bool walk_array(ondemand::value at, size_t depth, JsonNode* node) {
    ondemand::array array;
    if (const auto error = at.get_array().get(array)) return fail(error);
    for (auto found : array) {
      ondemand::value element;
      if (const auto error = std::move(found).get(element)) return fail(error);
      if (!walk_child(element, depth, node == nullptr ? nullptr : &node->nodes.emplace_back())) {
        return false;
      }
    }
    return true;
  }

  bool walk_child(ondemand::value at, size_t depth, JsonNode* child) {
    JsonValue value;
    if (!walk(at, depth + 1, value, child)) return false;
    if (child != nullptr) child->value = value;
    return true;
  }
};

JsonReader::JsonReader() : parser_(std::make_unique<Parser>()) {}
JsonReader::~JsonReader() = default;

std::expected<std::span<const JsonMember>, std::string> JsonReader::read_object(
    std::string_view text) {
  members_.clear();
  if (read_flat_object(text, members_)) return members_;
  members_.clear();
  Parser& parser = *parser_;
  const auto failed = [&] { return std::unexpected("it is not a JSON object: " + parser.fault); };
  const size_t first = std::min(text.find_first_not_of(kBlanks), text.size());
  if (!text.substr(first).starts_with('{')) return std::unexpected("it is not a JSON object");
  if (!parser.start(text)) return failed();
  ondemand::object object;
  if (const auto error = parser.document.get_object().get(object)) {
    parser.fail(error);
    return failed();
  }
  for (auto found : object) {
    ondemand::field field;
    JsonMember member;
    auto error = std::move(found).get(field);
    if (!error) error = field.unescaped_key().get(member.key);
    if (error) parser.fail(error);
    if (error || !parser.walk(field.value(), 1, member.value, nullptr)) return failed();
    members_.push_back(member);
  }
  if (!parser.finish()) return failed();
  return members_;
}

std::expected<JsonNode, std::string> JsonReader::read_value(std::string_view text) {
  // simdjson treats a lone scalar as another kind of document, so the text is wrapped in an array.
  Parser& parser = *parser_;
  JsonNode root;
  bool ok = parser.start("[" + std::string(text) + "]");
  ondemand::array array;
  if (ok) {
    const auto error = parser.document.get_array().get(array);
    ok = !error || parser.fail(error);
  }
  if (ok) {
    for (auto found : array) {
      ondemand::value element;
      const auto error = std::move(found).get(element);
      ok = error ? parser.fail(error) : parser.walk_child(element, 0, &root.nodes.emplace_back());
      if (!ok) break;
    }
  }
  ok = ok && parser.finish();
  if (ok && root.nodes.size() != 1) ok = parser.fail("it is not one value");
  if (!ok) return std::unexpected("it is not valid JSON: " + parser.fault);
  return std::move(root.nodes.front());
}

const JsonNode* JsonNode::find(std::string_view wanted) const {
  const auto found = std::find_if(nodes.rbegin(), nodes.rend(),
                                  [&](const JsonNode& node) { return node.key == wanted; });
  return found == nodes.rend() ? nullptr : &*found;
}

std::string JsonNode::content() const {
  std::string content;
  if (value.kind == JsonKind::kString && encode::append_json_content(value.text, content)) {
    return content;
  }
  return std::string(value.text);
}

}  // namespace pgsink::shell
