#pragma once
// Text → binary, for the types whose text form PostgreSQL's own input functions would read: what
// they read and keep as it is becomes the same value; what they would round, cut or not read is a
// fault. Only what depends on the session (time zone names, 'now', DateStyle) is refused.

#include <string_view>

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/base/scratch.h"
#include "pgsink/encode/base/wire_type.h"

namespace pgsink::encode {

/// parse_value appends the binary form of `text` as a value of `target` (no length), or says what
/// is wrong.
bool parse_value(const Target& target, std::string_view text, Scratch& out, Fault& fault);

/// parse_fault is 22P02: `text` is not a value of the type.
Fault parse_fault(const Target& target, std::string_view text, std::string_view wanted);

/// read_infinity is 1, -1 or 0: infinity, -infinity or neither.
int read_infinity(std::string_view text, const ValueRules& rules);

// The families of parse_value(), each in a file of its own.
bool parse_bool(const Target& target, std::string_view text, Scratch& out, Fault& fault);
bool parse_integer(const Target& target, std::string_view text, Scratch& out, Fault& fault);
bool parse_float(const Target& target, std::string_view text, Scratch& out, Fault& fault);
bool parse_numeric(const Target& target, std::string_view text, Scratch& out, Fault& fault);
bool parse_uuid(const Target& target, std::string_view text, Scratch& out, Fault& fault);
bool parse_bytea(const Target& target, std::string_view text, Scratch& out, Fault& fault);
bool parse_char(const Target& target, std::string_view text, Scratch& out, Fault& fault);
bool parse_bits(const Target& target, std::string_view text, Scratch& out, Fault& fault);
bool parse_label(const Target& target, std::string_view text, Scratch& out, Fault& fault);
bool parse_date(const Target& target, std::string_view text, Scratch& out, Fault& fault);
bool parse_time(const Target& target, std::string_view text, Scratch& out, Fault& fault);
bool parse_timestamp(const Target& target, std::string_view text, Scratch& out, Fault& fault);
bool parse_interval(const Target& target, std::string_view text, Scratch& out, Fault& fault);
bool parse_inet(const Target& target, std::string_view text, Scratch& out, Fault& fault);
bool parse_macaddr(const Target& target, std::string_view text, Scratch& out, Fault& fault);
bool parse_xml(const Target& target, std::string_view text, Scratch& out, Fault& fault);
bool parse_array(const Target& target, std::string_view text, Scratch& out, Fault& fault);
bool parse_composite(const Target& target, std::string_view text, Scratch& out, Fault& fault);
bool parse_range(const Target& target, std::string_view text, Scratch& out, Fault& fault);
bool parse_multirange(const Target& target, std::string_view text, Scratch& out, Fault& fault);

/// text_to_parsed stages parse_value() of every row.
CodecPointer text_to_parsed(const Field& source, const Target& target);

}  // namespace pgsink::encode
