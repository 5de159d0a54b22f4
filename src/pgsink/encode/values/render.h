#pragma once
// Any value as text: as PostgreSQL prints the type that is closest to the source's, or as JSON, as
// its to_json() would. Lists, structs and maps are JSON in both.

#include <string>
#include <string_view>

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/base/wire_type.h"

namespace pgsink::encode {

/// is_null_at reads the validity of one row.
bool is_null_at(const ColumnView& column, size_t row);

/// render_text appends the text form of a row that is not NULL; false if it has none.
bool render_text(const Field& field, const ColumnView& column, size_t row, std::string& to,
                 Fault& fault);
/// render_json appends the row as JSON, NULL as null.
bool render_json(const Field& field, const ColumnView& column, size_t row, std::string& to,
                 Fault& fault);

/// find_repeated_member finds a struct, at any depth, with two members of one name: as JSON one of
/// them would be lost. Returns the name, or nullptr.
const std::string* find_repeated_member(const Field& field);

/// append_text_as_json appends any bytes as a JSON string: text that PostgreSQL can hold unchanged,
/// anything else as "\\x…" in hexadecimal.
void append_text_as_json(std::string_view bytes, std::string& to);

/// any_to_text and any_to_json serve every source kind.
CodecPointer any_to_text(const Field& source, const Target& target);
CodecPointer any_to_json(const Field& source, const Target& target);

}  // namespace pgsink::encode
