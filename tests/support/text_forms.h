#pragma once
// Texts in all the forms that PostgreSQL documents for its types, and texts that are near to one.

#include <string>
#include <vector>

namespace pgsink::test {

/// TextForms are the texts for one type.
struct TextForms {
  const char* sql_type;
  const char* base;  ///< The type without its length or precision.
  std::vector<std::string> texts;
  /// The server looks at what the encoder passes on.
  bool server_checks = false;
  const char* extension = "";  ///< Which has the type; "" is the server itself.
};

/// text_forms() needs the types of text_types_sql().
const std::vector<TextForms>& text_forms();

}  // namespace pgsink::test
