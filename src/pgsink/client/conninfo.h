#pragma once
// Parses the two forms of a libpq connection string. It does not know the meaning of the keywords.
// Source: PostgreSQL documentation, "Connection Strings".

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pgsink/client/env.h"

namespace pgsink {

/// ConninfoPairs are keywords and values in their order; the last one of a repeated keyword counts.
using ConninfoPairs = std::vector<std::pair<std::string, std::string>>;

/// split_conninfo parses a URI ("postgresql://…", "postgres://…") or a keyword/value string. Fails
/// with kOptionValue. A connection string may contain a password anywhere, also where it does not
/// belong, so errors give positions and never quote the text.
Result<ConninfoPairs> split_conninfo(std::string_view text);

}  // namespace pgsink
