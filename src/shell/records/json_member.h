#pragma once
// JsonMember: a part of a JSON text, as it is written there.

#include <cstdint>
#include <string_view>

namespace pgsink::shell {

enum class JsonKind : uint8_t { kNull, kBoolean, kNumber, kString, kArray, kObject };

/// JsonValue is one value: its kind, and its text without surrounding white space. A string's text
/// includes its quotes and escapes.
struct JsonValue {
  JsonKind kind = JsonKind::kNull;
  std::string_view text;
};

/// JsonMember is one member of an object.
struct JsonMember {
  std::string_view key;  ///< Without quotes and escapes.
  JsonValue value;
};

}  // namespace pgsink::shell
