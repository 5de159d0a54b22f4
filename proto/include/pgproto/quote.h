#pragma once
// Quoting of SQL identifiers and literals. Values travel as parameters or COPY data; literals are
// for the few statements that take neither. Source: PostgreSQL documentation, "Lexical Structure".

#include <string>
#include <string_view>

#include <pgproto/error.h>

namespace pgproto {

/// quote_identifier returns the name in double quotes, with quotes in it doubled. Fails with kUsage
/// on an empty name, a NUL, or invalid UTF-8 (an incomplete character could swallow the quote).
Result<std::string> quote_identifier(std::string_view name);
/// quote_literal returns the text as a literal that means the same under both settings of
/// standard_conforming_strings. Fails with kUsage on a NUL or invalid UTF-8.
Result<std::string> quote_literal(std::string_view text);

}  // namespace pgproto
