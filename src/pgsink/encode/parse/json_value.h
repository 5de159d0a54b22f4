#pragma once
// JSON values that are written as the values they mean (Field::json_value): the column's type
// decides the result, and numbers keep every digit until it reads them.

#include <string>
#include <string_view>

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/base/wire_type.h"

namespace pgsink::encode {

/// append_json_content appends the content of a JSON string, given with its quotes. False if it is
/// not a string or has half of a surrogate pair, which UTF-8 cannot express.
bool append_json_content(std::string_view string, std::string& to);

/// json_input_text is the text that `target` reads for a JSON value: a json type gets the value as
/// it is written, an array type an array literal for a JSON array, a composite type a row literal
/// for an object, integers a whole number without point and exponent, and every other type the
/// content of a string or the text as it is written. `scratch` may hold the result. False with a
/// fault if the value is malformed.
bool json_input_text(std::string_view value, const Target& target, std::string& scratch,
                     std::string_view& text, Fault& fault);

/// json_value_field converts the values of a text source (see load_bytes) and leaves the rest to
/// `text`, a codec of the same target that reads std::string_view. JSON null is NULL.
CodecPointer json_value_field(const Field& source, const Target& target, CodecPointer text);

}  // namespace pgsink::encode
