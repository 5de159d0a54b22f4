#pragma once
// All SQL that the sink sends, as one table of statement id and template. Names stand in it only
// through quote_identifier, values only as parameters or, where a simple Query allows none, through
// quote_literal.

#include <initializer_list>
#include <string>
#include <string_view>

#include "pgsink/client/env.h"

namespace pgsink {

enum class Sql : uint8_t {
  kBegin,             ///< {isolation}
  kIdentify,          ///< Row: xid, pid, "" (backend_start as known from login).
  kIdentifyPooled,    ///< Row: xid, pid, backend_start: behind a pooler each transaction asks anew.
  kSetRole,           ///< {role}
  kSetVariable,       ///< {name}, {value}
  kStatementTimeout,  ///< {milliseconds}
  kLockTimeout,       ///< {milliseconds}
  kCopyIn,            ///< {table}, {columns}
  kCommit,
  kXactStatus,  ///< $1 = xid8
};

/// sql_text fills the placeholders of a template, in their order, with text that is quoted already.
std::string sql_text(Sql id, std::initializer_list<std::string_view> arguments = {});

}  // namespace pgsink
