#pragma once
// Text → binary, for the types whose text form PostgreSQL's own input functions read. Text that
// they keep unchanged becomes the same value; text that they would round, cut or refuse is a fault.
// Text whose meaning depends on the session (time zone names, 'now', DateStyle) is refused.

#include <string_view>

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/base/scratch.h"
#include "pgsink/encode/base/wire_type.h"

namespace pgsink::encode {

/// parse_value appends the binary form of `text` as a value of `target` (no length), or returns
/// what is wrong.
bool parse_value(const Target& target, std::string_view text, Scratch& out, Fault& fault);

/// parse_fault is 22P02: `text` is not a value of the type.
Fault parse_fault(const Target& target, std::string_view text, std::string_view wanted);

/// read_infinity is 1, -1 or 0: infinity, -infinity or neither.
int read_infinity(std::string_view text, const ValueRules& rules);

// The families of parse_value(), each in its own file.
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
/// text_to_xml does the same for xml, and can leave the check of the syntax to the server.
CodecPointer text_to_xml(const Field& source, const Target& target);

}  // namespace pgsink::encode
