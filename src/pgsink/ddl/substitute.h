#pragma once
// ${secret:NAME}, ${env:NAME}, ${NAME} and ${uuid} inside the texts of options.

#include <cstdint>
#include <string>
#include <string_view>

#include <pgsink/ddl.h>

namespace pgsink {

/// What the text is of.
enum class TextKind : uint8_t {
  kPlain,
  /// Secrets and variables of the environment are quoted, so that each stays the part of the
  /// connection string that it stands in. Not at the beginning: that one is a whole string.
  kUrl,
  /// ${uuid} stays, to be filled in for each transaction; elsewhere it is an error.
  kTransactionId,
};

/// fill_in replaces every ${…} of a text; `$${` becomes a literal `${`. Inserted values are not
/// substituted again. Errors name the reference and never contain a value.
Result<std::string> fill_in(std::string_view text, const Substitution& substitution, TextKind kind);

}  // namespace pgsink
