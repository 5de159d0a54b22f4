#include "shell/records/exact_type.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "pgsink/encode/parse/json_value.h"
#include "pgsink/encode/parse/plain_number.h"

namespace pgsink::shell {
namespace {

using Kind = ExactType::Kind;
using Text = std::expected<std::string, std::string>;

/// More than any type of the engine holds.
constexpr size_t kDigitsMax = 1000;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\n\r\f\v";
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

/// 'text', short enough for a message.
std::string shown(std::string_view text) {
  constexpr size_t kShownMax = 60;
  if (text.size() <= kShownMax) return "'" + std::string(text) + "'";
  size_t end = kShownMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return "'" + std::string(text.substr(0, end)) + "…'";
}

std::unexpected<std::string> is_not_of(const ExactType& type, std::string_view text) {
  return std::unexpected(shown(text) + " is not of type " + type.name);
}

Text exact_number(const ExactType& type, std::string_view text) {
  const auto number = encode::read_number(trimmed(text));
  if (!number) return is_not_of(type, text);
  auto plain = encode::plain_number(*number, kDigitsMax);
  if (!plain) return is_not_of(type, text);
  const size_t point = plain->find('.');
  const size_t decimals = point == std::string::npos ? 0 : plain->size() - point - 1;
  if (decimals <= static_cast<size_t>(type.scale)) return std::move(*plain);
  if (type.kind == Kind::kInteger) return is_not_of(type, text);
  return std::unexpected(shown(text) + " has " + std::to_string(decimals) + " decimals, " +
                         type.name + " holds " + std::to_string(type.scale));
}

Text exact_float(const ExactType& type, std::string_view text) {
  const std::string_view bare = trimmed(text);
  const auto number = encode::read_number(bare);
  if (!number) return std::string(text);  // NaN, Infinity, or a text that the engine refuses.
  const char* begin = bare.data() + (number->plus ? 1 : 0);
  const char* const end = bare.data() + bare.size();
  double value = 0;
  const auto read = std::from_chars(begin, end, value);
  bool fits = read.ec == std::errc() && (value != 0 || number->is_zero());
  if (type.name == "FLOAT") {
    float single = 0;
    fits = fits && std::from_chars(begin, end, single).ec == std::errc() &&
           (single != 0 || number->is_zero());
  }
  if (!fits) return std::unexpected(shown(text) + " is out of the range of " + type.name);
  return std::string(bare);
}

/// 2024-01-31, 2024/1/31, with (BC), or a word; nothing with a time.
Text exact_date(const ExactType& type, std::string_view text) {
  std::string_view rest = trimmed(text);
  if (rest == "infinity" || rest == "-infinity" || rest == "epoch") return std::string(rest);
  size_t parts = 0;
  for (;;) {
    const size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
    if (digits == 0) return is_not_of(type, text);
    rest.remove_prefix(digits);
    if (++parts == 3) break;
    if (rest.empty() || (rest[0] != '-' && rest[0] != '/')) return is_not_of(type, text);
    rest.remove_prefix(1);
  }
  if (rest.empty() || rest == "(BC)" || rest == " (BC)") return std::string(trimmed(text));
  return is_not_of(type, text);
}

/// In a time only the decimals of the seconds follow a point.
Text exact_time(const ExactType& type, std::string_view text) {
  const size_t point = text.find('.');
  if (point == std::string_view::npos) return std::string(text);
  const std::string_view fraction = text.substr(point + 1);
  const std::string_view digits =
      fraction.substr(0, std::min(fraction.find_first_not_of("0123456789"), fraction.size()));
  const size_t last = digits.find_last_not_of('0');
  const size_t decimals = last == std::string_view::npos ? 0 : last + 1;
  if (decimals > static_cast<size_t>(type.scale)) {
    return std::unexpected(shown(text) + " has " + std::to_string(decimals) +
                           " decimals of a second, " + type.name + " holds " +
                           std::to_string(type.scale));
  }
  // The engine reads no more digits than it keeps.
  const size_t kept = std::min(digits.size(), static_cast<size_t>(type.scale));
  std::string exact(text.substr(0, kept == 0 ? point : point + 1 + kept));
  return exact.append(fraction.substr(digits.size()));
}

Text exact_scalar(const ExactType& type, std::string_view text) {
  switch (type.kind) {
    case Kind::kInteger:
    case Kind::kDecimal:
      return exact_number(type, text);
    case Kind::kFloat:
      return exact_float(type, text);
    case Kind::kDate:
      return exact_date(type, text);
    case Kind::kTime:
      return exact_time(type, text);
    default:
      return std::string(text);
  }
}

std::string json_string(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string json = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      json.append(1, '\\').append(1, c);
    } else if (byte < 0x20) {
      json.append("\\u00").append(1, kHex[byte >> 4]).append(1, kHex[byte & 15U]);
    } else {
      json += c;
    }
  }
  return json + "\"";
}

/// The text of the type for a scalar.
std::expected<std::string, std::string> scalar_text(const ExactType& type, const JsonValue& value) {
  if (value.kind == JsonKind::kString) {
    std::string content;
    if (!encode::append_json_content(value.text, content)) {
      return std::unexpected("a string has half of a surrogate pair");
    }
    return exact_scalar(type, content);
  }
  const bool nested = value.kind == JsonKind::kArray || value.kind == JsonKind::kObject;
  if (nested && type.kind != Kind::kText) return is_not_of(type, value.text);
  return exact_scalar(type, value.text);
}

/// The value with every scalar in it as a string, which the engine casts digit by digit.
Text exact_node(const ExactType& type, const JsonNode& node) {
  if (node.value.kind == JsonKind::kNull) return "null";
  if (type.kind == Kind::kJson) return std::string(node.value.text);
  if (!type.nested()) {
    if (type.kind == Kind::kBoolean && node.value.kind == JsonKind::kBoolean) {
      return std::string(node.value.text);
    }
    auto text = scalar_text(type, node.value);
    return text ? Text(json_string(*text)) : text;
  }
  const bool array = node.value.kind == JsonKind::kArray;
  if (array != (type.kind == Kind::kList) || (!array && node.value.kind != JsonKind::kObject)) {
    return is_not_of(type, node.value.text);
  }
  std::string json = array ? "[" : "{";
  const auto add = [&](const std::string& key, const ExactType& child,
                       const JsonNode& of) -> std::expected<void, std::string> {
    auto text = exact_node(child, of);
    if (!text) return std::unexpected(std::move(text.error()));
    if (json.size() > 1) json += ',';
    json += (array ? "" : json_string(key) + ":") + *text;
    return {};
  };
  if (type.kind == Kind::kStruct) {
    for (size_t i = 0; i < type.children.size(); ++i) {
      const JsonNode* const member = node.find(type.names[i]);
      if (member == nullptr) continue;
      if (auto added = add(type.names[i], type.children[i], *member); !added) {
        return std::unexpected(std::move(added.error()));
      }
    }
  } else {
    for (const JsonNode& child : node.nodes) {
      auto key = array ? Text() : exact_scalar(type.children.front(), child.key);
      if (!key) return key;
      if (auto added = add(*key, type.children.back(), child); !added) {
        return std::unexpected(std::move(added.error()));
      }
    }
  }
  return json + (array ? "]" : "}");
}

}  // namespace

std::expected<std::string, std::string> exact_text(const ExactType& type, std::string_view text,
                                                   JsonReader& reader) {
  if (!type.nested() && type.kind != Kind::kJson) return exact_scalar(type, text);
  const auto node = reader.read_value(text);
  if (!node) return std::unexpected(node.error());
  return exact_node(type, *node);
}

std::expected<std::optional<std::string>, std::string> exact_json(const ExactType& type,
                                                                  const JsonValue& value,
                                                                  JsonReader& reader) {
  if (value.kind == JsonKind::kNull) return std::nullopt;
  Text text;
  if (type.kind == Kind::kJson) {
    text = std::string(value.text);
  } else if (type.nested()) {
    text = exact_text(type, value.text, reader);
  } else {
    text = scalar_text(type, value);
  }
  if (!text) return std::unexpected(std::move(text.error()));
  return std::move(*text);
}

}  // namespace pgsink::shell
