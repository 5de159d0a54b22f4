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
  kRollback,
  kSetFlight,         ///< {number}: the last flight that committed, for the session.
  kGuard,             ///< {before}, {number}: fails unless flight `before` committed.
  kIndexOnly,         ///< Keys are looked up by index, never by reading the whole target.
  kStage,             ///< {columns}, {table}: the staging table, emptied by every COMMIT.
  kStageOnce,         ///< {columns}, {table}: one that vanishes with its transaction.
  kStaged,            ///< {columns}: rows source, their order in `ctid`.
  kUnnested,          ///< {unnests}, {columns}: rows source.
  kUnnest,            ///< {number} of the parameter
  kLastOfKey,         ///< {keys}, {columns}, {source}, {order}: one row of each key, keys in order.
  kInsertSelect,      ///< {table}, {columns}, {overriding}, {columns}, {rows}
  kOnConflictUpdate,  ///< {keys}, {assignments}, {condition}
  kOnConflictNothing,  ///< {target}: " (columns)" or nothing
  kNewer,              ///< {column} four times: the row given is newer than the one there.
  kUpdateFrom,         ///< {table}, {assignments}, {rows}, {match}
  kDeleteAny,          ///< {table}, {key}
  kDeleteUsing,        ///< {table}, {rows}, {match}
  kApplyChanges,       ///< {rows}, {table}, {match}, {keys}, {table}, {match}, {change}, {insert}
  kChangedRows,        ///< {change}: those of kApplyChanges that are not deletes.
};

/// sql_text fills the placeholders of a template, in their order, with text that is quoted already.
std::string sql_text(Sql id, std::initializer_list<std::string_view> arguments = {});

}  // namespace pgsink
