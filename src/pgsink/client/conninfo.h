#pragma once
// The two forms of a libpq connection string, taken apart. What the keywords mean is not known
// here. Source: PostgreSQL documentation, "Connection Strings".

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pgsink/client/env.h"

namespace pgsink {

/// ConninfoPairs are keywords and values in their order; of a repeated keyword the last one counts.
using ConninfoPairs = std::vector<std::pair<std::string, std::string>>;

/// split_conninfo takes a URI ("postgresql://…", "postgres://…") or a keyword/value string apart.
/// Fails with kOptionValue. A connection string may hold a password anywhere, also where it does
/// not belong, so errors tell positions and never quote the text.
Result<ConninfoPairs> split_conninfo(std::string_view text);

}  // namespace pgsink
