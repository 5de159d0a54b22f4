#pragma once
// JSON values that stand for what they mean (Field::json_value): the column's type decides what a
// value becomes, and numbers keep every digit until it reads them.

#include <string>
#include <string_view>

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/base/wire_type.h"

namespace pgsink::encode {

/// append_json_content appends what a JSON string, given with its quotes, says. False if it is none
/// or has a surrogate without its other half, which UTF-8 cannot express.
bool append_json_content(std::string_view string, std::string& to);

/// json_input_text is the text that `target` reads for a JSON value: a json type the value as it is
/// written, an array type an array literal of a JSON array, a composite type a row literal of an
/// object, integers a whole number without point and exponent, and every other type a string's
/// content or the text as it is written. `scratch` may hold the result. False with a fault if the
/// value is not well-formed.
bool json_input_text(std::string_view value, const Target& target, std::string& scratch,
                     std::string_view& text, Fault& fault);

/// json_value_field converts the values of a text source (see load_bytes) and leaves the rest to
/// `text`, a codec of the same target that reads std::string_view. JSON null is NULL.
CodecPointer json_value_field(const Field& source, const Target& target, CodecPointer text);

}  // namespace pgsink::encode
