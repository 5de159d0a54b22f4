#pragma once
// Numbers as PostgreSQL prints them.

#include <string>

#include "pgsink/encode/base/loaders.h"
#include "pgsink/encode/values/numeric.h"

namespace pgsink::encode {

/// float_text is float8out()/float4out(): the shortest digits that read back the same, with an
/// exponent below 1e-4 and from 1e15 (single: 1e6) on; "NaN", "Infinity", "-Infinity", "-0".
std::string float_text(const Float& value);
void append_float(const Float& value, std::string& to);
void append_integer(const Integer& value, std::string& to);

/// round_to_float is nearest_float() for whatever number. False if it is beyond the type's range.
bool round_to_float(const Digits& value, bool single, Float& nearest);
/// nearest_float finds the float (single or double) closest to a decimal number. False if it is not
/// an honest copy: out of range, or neither exact nor the same number when printed.
bool nearest_float(const Digits& value, bool single, Float& nearest);

}  // namespace pgsink::encode
