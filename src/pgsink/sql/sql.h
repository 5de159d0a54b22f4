#pragma once
// All SQL that the sink sends, as one table of statement id and template. Names are inserted only
// through quote_identifier, values only as parameters or, where a simple Query allows none, through
// quote_literal.

#include <initializer_list>
#include <string>
#include <string_view>

#include "pgsink/client/env.h"
#include "pgsink/sql/sql_id.h"

namespace pgsink {

/// The value of pg_locks.objsubid for an advisory lock: taken by one number of 64 bits or by two of
/// 32.
inline constexpr std::string_view kBothForms = "1, 2", kKeyOfTwo = "2";

/// sql_text fills the placeholders of a template, in order, with text that is quoted already.
std::string sql_text(Sql id, std::initializer_list<std::string_view> arguments = {});

}  // namespace pgsink
