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
  kIdentifyGuarded,   ///< kIdentify and kGuard in one: $1 = before, $2 = number.
  kSessionDefaults,   ///< {isolation}: what kBegin says, for transactions without it; and
                      ///< statements over arrays are planned once.
  kSetRole,           ///< {role}
  kSetVariable,       ///< {name}, {value}
  kStatementTimeout,  ///< {milliseconds}
  kLockTimeout,       ///< {milliseconds}
  kTriggersOfReplica,  ///< Only triggers enabled REPLICA or ALWAYS fire.
  kStubbornTriggers,   ///< {oid}, {oid}. Row: the names of these, of the table and its partitions.
  kCreateTarget,       ///< {table}, {definition}
  kAlterTarget,        ///< {table}, {additions}
  kAddColumn,          ///< {column}, {type}
  kUniqueIndex,        ///< {table}, {columns}
  kGrant,              ///< {privileges}, {table}, {role}
  kCopyIn,             ///< {table}, {columns}
  kCommit,
  kXactStatus,  ///< $1 = xid8
  kAbandon,
  kSetFlight,  ///< {number}: the last flight that committed, for the session.
  kGuard,      ///< {before}, {number}: fails unless flight `before` committed.
  kIndexOnly,  ///< {local} four times: keys are looked up by index, never by reading all.
  kStage,      ///< {columns}, {table}, kStageOrdinal: the staging table, emptied by every COMMIT.
  kStageOnce,  ///< {columns}, {table}, kStageOrdinal: one that vanishes with its transaction.
  kStageOrdinal,  ///< {ordinal}: the column that numbers its rows as they arrive.
  kStaged,        ///< Rows source.
  kUnnested,      ///< {unnests}, {ordinal}: rows source.
  kUnnest,        ///< {number} of the parameter, {column}
  kStageText,     ///< {column} of the staging table that takes text.
  kStageNumeric,  ///< {column} of the staging table that takes numbers.
  kCastRows,      ///< {columns}, {ordinal}, {rows source}: rows source with casts.
  kCastColumn,    ///< {column}, {type}, {column}
  kInputColumn,   ///< {input function}, {column}, {column}
  kMoneyColumn,   ///< {column} five times: fails where money would round.
  kLastOfKey,     ///< {keys}, {columns}, {source}, {order}: one row of each key, keys in order.
  /// {keys}, {columns}, {source}, {keys}, {ordinal}, {keys}, {order}: as kLastOfKey, but the
  /// columns may be kFirstValue. All names are those of `given`.
  kFirstAndLastOfKey,
  kFirstValue,         ///< {column}, {column}: of the first row of the key.
  kInOrder,            ///< {columns}, {source}, {order}: all rows.
  kInsertSelect,       ///< {table}, {columns}, {overriding}, {columns}, {rows}
  kOnConflictUpdate,   ///< {keys}, {assignments}, {condition}
  kOnConflictNothing,  ///< {target}: " (columns)" or nothing
  kNewer,  ///< {column}, {less}, {column} three times: the row given is newer than the one there.
  kUpdateFrom,        ///< {table}, {assignments}, {rows}, {match}
  kDeleteAny,         ///< {table}, {key}, {equal}
  kDeleteUsing,       ///< {table}, {rows}, {match}
  kApplyChanges,      ///< {rows}, {table}, {match}, {change}, {insert}
  kChangedRows,       ///< {table}, {match}, {change}, {change}: of kApplyChanges, without deletes.
  kCheckConstraints,  ///< What COMMIT would check is checked now.
  // ---- table_shape.h
  kShapeProof,  ///< {numbers}, {types}, {modifiers}, {names: text[]}, {oid}, {quoted name as a
                ///< literal}, {oid}, {numbers}: fails unless the table has these columns, and the
                ///< name.
  /// Search path pg_catalog. {schema}, {name} as literals, {oid}, {numbers}, {names: text[]},
  /// {types}, {modifiers}. Rows: column, type that it had, type that it has ("": none). An empty
  /// column stands for the table: whether another one has its name.
  kShapeDifferences,
  kLockTarget,  ///< {table}
  // ---- dead_letters.h
  kCreateDeadLetters,  ///< {table}, {json}: the type of the row.
  kServerEncoding,
  kDeadLetterColumns,  ///< {schema}, {name} as literals. Rows: column, whether it may be filled.
  kDeadLetterInsert,   ///< {table}; $1 = JSON array of letters
  // ---- partitions (partition_scheme.h, partition_store.h), in transactions of kControlBegin
  kPartitionKey,      ///< {oid}. Row: strategy, definition, column, default partition, tablespace,
                      ///< is owner, owner, may create, role.
  kPartitionSession,  ///< How constants are printed and read; an end to waiting for us.
  kPartitionLock,     ///< {key}, {oid}: one that creates partitions of that parent at a time.
  kPartitionBounds,   ///< {oid}. Rows: oid, name, kind, bounds.
  /// {oid}, {columns sent: text[]}, {oid}, {oid}. Rows: oid, quoted name. Partitions that COPY
  /// fills as it would through the parent {oid}.
  kPlainLeaves,
  kLeafCheck,        ///< {count}, {kLeafRow …}, {oid}: fails if one is no partition of {oid}.
  kLeafRow,          ///< {oid}, {quoted name as a literal}
  kPartitionValue,   ///< $1 of any type. Row: as a literal, as text.
  kPartitionCreate,  ///< {partition}, {parent}, {tablespace}, {parent}, {partition}, {bound}
  kTablespace,       ///< {name}
  kPartitionUndo,    ///< After kPartitionCreate failed.
  kPartitionNamed,   ///< {schema}, {name} as literals. Row: parent, bounds.
  kInValues,         ///< {value}
  kFromTo,           ///< {start}, {end}
  kWithModulus,      ///< {modulus}, {remainder}
  // ---- bookkeeping tables (control.h). All of these run in transactions of kControlBegin, which
  // sets the search path, except those that say otherwise.
  kControlBegin,      ///< READ COMMITTED whatever the role's default is: each statement sees the
                      ///< newest.
  kDurable,           ///< This commit waits for the disk, whatever the role's setting says.
  kTableShape,        ///< {schema}, {name} as literals. Row: kind, columns as text.
  kCreateEpochs,      ///< {schema}
  kUpgradeEpochs,     ///< {schema}: adds the columns that the table of an earlier version lacks.
  kCreateWriters,     ///< {schema}
  kUpgradeWriters,    ///< {schema}
  kCreateDecisions,   ///< {schema}
  kUpgradeDecisions,  ///< {schema}
  // ---- epoch.h
  kEpochInsert,  ///< {table}, {sink}, {writer}, {lanes}: rows that are missing.
  kEpochLock,    ///< {table}, {sink}
  /// {table}, {writer}, {table oid}, {routing}, {sink}. Rows: lane, epoch, host_position, proof.
  kEpochClaim,
  /// {table}, {new writer}, {sink}, {lane}, {claim}. Row: epoch, host_position, proof.
  kEpochRenew,
  kEpochRead,      ///< {table}, {sink}, {lane}. Row: epoch, host_position, proof, writer, who.
  kEpochLanes,     ///< {table}, {sink}. Rows: lane, host_position, table oid, routing.
  kEpochBlockers,  ///< {table}, {sink}. Rows: pid, backend_start, role, xid.
  kEpochGuard,     ///< Any search path. {table}, {position}, {proof}, {sink}, {lane}, {writer},
                   ///< {epoch}, {table}, {sink}, {lane}
  // ---- two_phase.h
  kDatabase,        ///< The database's name.
  kPreparedLimits,  ///< {schema}, {table} as literals. Row: foreign partitions, reachable.
  /// {schema}, {sink}, {prefix}, {table oid}, {prefix}, {prefix}. Row: generation.
  kWriterClaim,
  kWriterAttach,  ///< {key}. The lock outlives its transaction.
  kWriterDetach,  ///< {key}
  /// {schema}, {sink}. Row: generation, epoch, host_position, proof, who, table oid.
  kWriterRead,
  kWriterFinish,    ///< {schema}, {sink}, {generation}. A row if it is still this generation.
  kWriterPrefixes,  ///< {schema}, {sink}. Rows: prefix.
  kWriterTidy,      ///< {schema}, {prefix}, {sink}, {generation}: only this prefix is left.
  /// {classid}, {= or <>}, {objid}, {kBothForms or kKeyOfTwo}. Rows: pid, backend_start, role,
  /// application, address.
  kWriterSessions,
  kWriterMark,  ///< {high}, {low}: numbers. Marks the session of an at-least-once writer.
  /// {schema}, {sink}, {generation}, {epoch}, {schema}, {epoch}, {position}, {proof}, {gids}
  kDecisionRecord,
  /// {schema}, {epoch}, {position}, {proof}, {sink}, {generation}, {epoch}, {schema}, {epoch},
  /// {schema}, {epoch}, {position}, {proof}, {gids}
  kDecisionDecide,
  kDecisionDrop,    ///< {schema}, {schema}, {sink}, {generation}, {epoch}: decided ones.
  kDecisionForget,  ///< {schema}, {schema}, {sink}, {generation}, {epoch}: undecided ones from it.
  /// {schema}, {sink}. Rows: epoch, host_position, proof, decided, gid, owner, is prepared.
  kDecisionRead,
  kPreparedList,   ///< {prefixes}. Rows: gid, owner, prepared, seconds, is our own role's.
  kPreparedAll,    ///< Rows as kPreparedList, of the whole database.
  kSinkTables,     ///< Rows: schema of each kCreateWriters table that may be read.
  kSinkList,       ///< {schema}. Rows: sink_id, prefix, epoch, who.
  kDecisionList,   ///< {schema}. Rows: sink_id, epoch, decided, gid.
  kDescribeTable,  ///< {schema}, {table} as literals. Rows: column, type, not null, default, in the
                   ///< primary key, generated, ordinal; of a table without columns none.
  kTableExists,    ///< {schema}, {table} as literals. Row: whether it is there.
  kCurrentRole,
  kTakeRole,          ///< {role}. Own statement, outside of a transaction.
  kGiveBackRole,      ///< As kTakeRole.
  kPrepare,           ///< {gid}. Ends a flight.
  kCommitPrepared,    ///< {gid}. Own statement, outside of a transaction.
  kRollbackPrepared,  ///< {gid}. Own statement, outside of a transaction.
  kNap,               ///< {seconds}
  // ---- publication.h
  kReplicationFacts,         ///< Search path pg_catalog. {oid}, {publication}, {publication},
                             ///< {slot}, {oid}. One row: Facts in publication.cc.
  kCreatePublication,        ///< {publication}, {table}
  kCreatePublicationOfRoot,  ///< {publication}, {table}: a partitioned one, under its own name.
  kAddToPublication,         ///< {publication}, {table}
  kCreateSlot,               ///< {milliseconds}, {slot}. Own statement, outside of a transaction.
  kCreateOrigin,             ///< {origin}
  kMarkSession,              ///< {origin}: what the session commits from now on is of that origin.
  // ---- source.cc
  kPublished,  ///< Search path pg_catalog. {publication}, {schema}, {table}. Rows: filter, column
               ///< (NULL before 15: all).
  kPublishedBefore15,  ///< As kPublished.
  kLargeValues,    ///< Search path pg_catalog. {oid}. Row: replica identity, any TOASTable column.
  kSlotsThere,     ///< {slot}, {slot}. Rows: name.
  kQuietSession,   ///< No time limit of the server's ends the session; bytea is hexadecimal.
  kSenderTimeout,  ///< Row: wal_sender_timeout in milliseconds.
  kFlushedLsn,     ///< All of the log before it is on disk.
  kCopySlot,       ///< {slot}, {new slot}
  kDropSlot,       ///< {slot}
  kSnapshotBegin,
  kSlotAtSnapshot,  ///< {slot}. Replication command: the transaction sees what the slot begins at.
  kSlotWithoutSnapshot,  ///< {slot}. Replication command.
  kSnapshotRows,         ///< {columns}, {table}, {filter}
  kStartReplication,     ///< {slot}, {lsn}, {publications}. Replication command.
  kTruncate,             ///< {table}
};

/// What pg_locks.objsubid says of an advisory lock: taken by one number of 64 bits or by two of 32.
inline constexpr std::string_view kBothForms = "1, 2", kKeyOfTwo = "2";

/// sql_text fills the placeholders of a template, in their order, with text that is quoted already.
std::string sql_text(Sql id, std::initializer_list<std::string_view> arguments = {});

}  // namespace pgsink
