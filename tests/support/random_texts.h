#pragma once
// Random texts for every type that reads text, most of them near to values of the type.

#include <random>
#include <string>
#include <vector>

namespace pgsink::test {

/// TextType is a type, and what its texts look like.
struct TextType {
  const char* sql_type;
  /// The type without its length or precision: where the two differ, the server has rounded.
  const char* base;
  std::vector<std::string> seeds;
  const char* alphabet;
  /// The form that docs/reference/types.md names, as far as its rejection needs a reason; "" is
  /// any.
  const char* form = "";
  /// The server looks at what the encoder passes on: JSON, XML, the order of a range's bounds.
  bool server_checks = false;
};

/// The SQL that makes the types that are none of the server's own.
std::string text_types_sql();
const std::vector<TextType>& text_types();

/// random_text is a seed with up to four small changes, which keep UTF-8 whole if the seed and
/// alphabet are.
std::string random_text(std::mt19937_64& engine, const TextType& type);

}  // namespace pgsink::test
