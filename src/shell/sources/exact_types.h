#pragma once
// The engine's types as exact types.

#include <string>

#include "shell/engine/owned.h"
#include "shell/records/exact_type.h"

namespace pgsink::shell {

/// exact_type_of describes a type. `written` is the user's spelling, for types without a shorter
/// name.
ExactType exact_type_of(duckdb_logical_type type, const std::string& written);

}  // namespace pgsink::shell
