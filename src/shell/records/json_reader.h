#pragma once
// JsonReader: checks one JSON text completely and returns its parts as they are written, so that a
// number keeps every digit and a nested value its text.

#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "shell/records/json_member.h"

namespace pgsink::shell {

/// JsonNode is a value with everything in it.
struct JsonNode {
  JsonValue value;
  std::string key;              ///< Its key, if it is a member of an object.
  std::vector<JsonNode> nodes;  ///< Members of an object, elements of an array.

  /// The member of that key, the last one if there are several; null if there is none.
  const JsonNode* find(std::string_view key) const;
  /// The content of a string; the text of anything else.
  std::string content() const;
};

class JsonReader {
 public:
  /// Deeper nesting is refused: every level is a recursive call here and on the server, whose stack
  /// is the smaller one, and simdjson has a limit of 1024.
  static constexpr size_t kDepthMax = 1000;

  JsonReader();
  ~JsonReader();
  JsonReader(const JsonReader&) = delete;
  JsonReader& operator=(const JsonReader&) = delete;

  /// Reads an object; its members come in order, also those of the same key. The error says what is
  /// wrong with the text. The views are valid until the next call, and as long as the text.
  std::expected<std::span<const JsonMember>, std::string> read_object(std::string_view text);
  /// Reads any value. The nodes' views are valid until the next call.
  std::expected<JsonNode, std::string> read_value(std::string_view text);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
  std::vector<JsonMember> members_;
};

}  // namespace pgsink::shell
