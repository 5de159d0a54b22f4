#pragma once
// ${secret:NAME}, ${env:NAME}, ${NAME} and ${uuid} inside the texts of options.

#include <string>
#include <string_view>

#include <pgsink/ddl.h>

namespace pgsink {

/// fill_in replaces every ${…} of a text; `$${` becomes a literal `${`. Inserted values are not
/// substituted again. With `keeps_uuid`, ${uuid} stays, to be filled in for each transaction;
/// elsewhere it is an error. Errors name the reference and never contain a value.
Result<std::string> fill_in(std::string_view text, const Substitution& substitution,
                            bool keeps_uuid);

}  // namespace pgsink
