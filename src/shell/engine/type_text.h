#pragma once
// The engine's types as SQL text, for casts.

#include <string>

#include "shell/engine/owned.h"

namespace pgsink::shell {

struct TypeText {
  std::string name;       ///< The SQL type to cast to.
  bool awkward = false;   ///< It is not the type itself: some part has become text.
  bool integers = false;  ///< Some part is INTEGER.
};

/// type_text is the type as it is, but with text in the place of what neither Arrow nor we have a
/// form for (BIT, BIGNUM, UNION, …), however deep. `integer` is what INTEGER is called.
TypeText type_text(duckdb_logical_type type, const std::string& integer = "INTEGER");

}  // namespace pgsink::shell
