#pragma once
// Codecs of values that are bytes already: text, bytea, JSON.

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/base/wire_type.h"
#include "pgsink/encode/values/json_syntax.h"

namespace pgsink::encode {

/// TextRule is what the target demands of the bytes.
struct TextRule {
  bool utf8 = true;                ///< Valid UTF-8 without NUL.
  bool jsonb = false;              ///< Preceded by the version byte 1.
  size_t characters_max = 0;       ///< varchar(n), char(n); 0: no limit.
  bool spaces_may_exceed = false;  ///< char(n): blanks behind the limit mean nothing.
  size_t bytes_max = 0;            ///< name; 0: no limit.
  JsonFlavor json = JsonFlavor::kNone;
};

/// text_rule is the rule of a text, JSON, XML or bytea type.
TextRule text_rule(const Target& target);

/// text_field copies any bytes source (see load_bytes) as `rule` allows.
CodecPointer text_field(const Field& source, const TextRule& rule);

/// text_fault says what is wrong with one value; false if nothing is.
bool text_fault(std::string_view value, const TextRule& rule, Fault& fault);

}  // namespace pgsink::encode
