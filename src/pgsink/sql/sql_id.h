#pragma once
// The ids of all SQL that the sink sends, with the placeholders and the results of each template.
// The order is that of the templates: sql.cc, then replication_sql.h.

#include <cstdint>

namespace pgsink {

enum class Sql : uint8_t {
  kBegin,              ///< {isolation}
  kIdentify,           ///< Row: xid, pid, "" (backend_start as known from login).
  kIdentifyColumns,    ///< For kShapeProof: the row begins with the xid.
  kIdentifyPooled,     ///< Row: xid, pid, backend_start: behind a pooler each transaction must ask
                       ///< again.
  kIdentifyGuarded,    ///< kIdentify and kGuard in one: $1 = before, $2 = number.
  kSessionDefaults,    ///< {isolation}: the settings of kBegin, for transactions without it; and
                       ///< statements over arrays are planned once.
  kSetRole,            ///< {role}
  kSetVariable,        ///< {name}, {value}
  kStatementTimeout,   ///< {milliseconds}
  kLockTimeout,        ///< {milliseconds}
  kTriggersOfReplica,  ///< Only triggers enabled REPLICA or ALWAYS fire.
  /// {oid}, {oid}. Row: the names of these, of the table and its partitions.
  kAlwaysFiringTriggers,
  kCreateTarget,  ///< {table}, {definition}
  kAlterTarget,   ///< {table}, {additions}
  kAddColumn,     ///< {column}, {type}
  kUniqueIndex,   ///< {table}, {columns}
  kGrant,         ///< {privileges}, {table}, {role}
  kCopyIn,        ///< {table}, {columns}
  kCommit,
  kXactStatus,      ///< $1 = xid8
  kPgpoolVersion,   ///< pgpool-II answers it itself.
  kXidEnd,          ///< Above the ids of all transactions that have ended.
  kCommitsBetween,  ///< Those that committed of the ids from $1 to before $2, as numbers.
  kAbandon,
  kSetFlight,  ///< {number}: records the last flight that committed, for the session.
  kGuard,      ///< {before}, {number}: fails unless flight `before` committed.
  kIndexOnly,  ///< {local} four times: keys are looked up by index, never by a scan.
  kStage,      ///< {columns}, {table}, kStageOrdinal: the staging table, emptied by every COMMIT.
  /// {role}: kSetRole, or nothing; kStaged, kStage, kShapeProof: replaces an existing one. It gets
  /// its columns and proves their types under one lock on the target.
  kStageProven,
  kStageOnce,     ///< {columns}, {table}, kStageOrdinal: one that is dropped with its transaction.
  kStageOrdinal,  ///< {ordinal}: the column that numbers its rows as they arrive.
  kStaged,        ///< Rows source.
  kUnnested,      ///< {unnests}, {ordinal}: rows source.
  kUnnestedInOrder,  ///< {unnests}: rows source without an ordinal.
  kUnnest,           ///< {number} of the parameter, {column}
  kStageText,        ///< {column} of the staging table that takes text.
  kStageNumeric,     ///< {column} of the staging table that takes numbers.
  kCastRows,         ///< {columns}, {ordinal}, {rows source}: rows source with casts.
  kCastValue,        ///< {value}, {type}
  kInputValue,       ///< {input function}, {value}
  kMoneyValue,       ///< {value} four times: fails where money would round.
  kLastOfKey,        ///< {keys}, {columns}, {source}, {order}: the last row of each key, keys in
                     ///< order.
  /// {keys}, {columns}, {source}, {keys}, {ordinal}, {keys}, {order}: as kLastOfKey, but the
  /// columns may be kFirstValue. All names are those of `given`.
  kFirstAndLastOfKey,
  kFirstValue,         ///< {column}, {column}: from the first row of the key.
  kInOrder,            ///< {columns}, {source}, {order}: all rows.
  kInsertSelect,       ///< {table}, {columns}, {overriding}, {columns}, {rows}
  kOnConflictUpdate,   ///< {keys}, {assignments}, {condition}
  kOnConflictNothing,  ///< {target}: " (columns)" or nothing
  kNewer,  ///< {column}, {less}, {column} three times: the given row is newer than the stored one.
  kInsertRow,         ///< {table}, {columns}, {overriding}, {values}
  kUpdateRow,         ///< {table}, {assignments}, {match}
  kDeleteRow,         ///< {table}, {match}
  kUpdateFrom,        ///< {table}, {assignments}, {rows}, {match}
  kDeleteAny,         ///< {table}, {key}, {equal}
  kEmpty,             ///< {table}, {table}: no other writer until the end, and no row.
  kDeleteMissing,     ///< {table}, {rows AS given}, {match}
  kDeleteUsing,       ///< {table}, {rows}, {match}
  kApplyChanges,      ///< {rows}, {table}, {match}, {change}, {insert}
  kChangedRows,       ///< {table}, {match}, {change}, {change}: of kApplyChanges, without deletes.
  kUnlessUnchanged,   ///< {column}, {unchanged}, {bit}, {column}, {value}: of kUpdateRow.
  kIsPresent,         ///< {message}, {table}, {match}: of kUpdateRow, fails if there is no row.
  kMoveRow,           ///< {table}, {match}, {table}, {columns}, {values}; see kOnConflictUpdate.
  kCheckConstraints,  ///< Checks now what COMMIT would check.
  // ---- plan/table_shape.cc ----------------------------------------------------------------------
  /// {columns before, "": none}, {count}, {oid}, {quoted name as a literal}, {oid}, {types},
  /// {modifiers}, {names: text[]}: fails unless the table has so many of these columns, and the
  /// name. An array's index is the number of a column; one that is not sent has the type 0.
  kShapeProof,
  kVersionProof,  ///< {query}, {version}: fails unless the query answers with that text.
  /// Search path pg_catalog. {schema}, {name} as literals, {oid}, {numbers}, {names: text[]},
  /// {types}, {modifiers}. Rows: column, type that it had, type that it has ("": none). An empty
  /// column means the table: whether another table has its name.
  kShapeDifferences,
  kLockTarget,  ///< {table}
  // ---- lane/dead_letters.cc ---------------------------------------------------------------------
  kCreateDeadLetters,  ///< {table}, {json}: the type of the row.
  kServerEncoding,
  kDeadLetterColumns,  ///< {schema}, {name} as literals. Rows: column, whether it may be filled.
  kDeadLetterInsert,   ///< {table}; $1 = JSON array of dead letters
  // ---- partition/scheme.cc and partition/store.cc, in transactions of kControlBegin -------------
  kPartitionKey,      ///< {oid}. Row: strategy, definition, column, default partition, tablespace,
                      ///< is owner, owner, may create, role.
  kPartitionSession,  ///< Format of constants, and a time limit for locks.
  kPartitionLock,     ///< {key}, {oid}: lets one session at a time create partitions of that
                      ///< parent.
  kPartitionBounds,   ///< {oid}. Rows: oid, name, kind, bounds.
  /// {oid}, {columns sent: text[]}, {oid}, {oid}. Rows: oid, quoted name. Partitions that COPY
  /// fills as it would through the parent {oid}.
  kPlainLeaves,
  kLeafCheck,        ///< {count}, {kLeafRow …}, {oid}: fails if one is not a partition of {oid}.
  kLeafRow,          ///< {oid}, {quoted name as a literal}
  kPartitionValue,   ///< $1 of any type. Row: as a literal, as text.
  kPartitionCreate,  ///< {partition}, {parent}, {tablespace}, {parent}, {partition}, {bound}
  kTablespace,       ///< {name}
  kPartitionUndo,    ///< After kPartitionCreate failed.
  kPartitionNamed,   ///< {schema}, {name} as literals. Row: parent, bounds.
  kInValues,         ///< {value}
  kFromTo,           ///< {start}, {end}
  kWithModulus,      ///< {modulus}, {remainder}
  // ---- control tables (control.h) --------------------------------------------------------------
  // All of these run in transactions of kControlBegin, which sets the search path, except where
  // noted.
  kControlBegin,      ///< READ COMMITTED whatever the role's default is: each statement sees the
                      ///< latest commits.
  kDurable,           ///< This commit waits for the disk, whatever the role's setting is.
  kTableShape,        ///< {schema}, {name} as literals. Row: kind, columns as text.
  kCreateEpochs,      ///< {schema}
  kUpgradeEpochs,     ///< {schema}: adds the columns that the table of an earlier version lacks.
  kCreateWriters,     ///< {schema}
  kUpgradeWriters,    ///< {schema}
  kCreateDecisions,   ///< {schema}
  kUpgradeDecisions,  ///< {schema}
  kCreateOffsets,     ///< {schema}
  kCreateJobs,
  kUpgradeJobs,  ///< {schema}
  // ---- delivery/epoch_rows.cc -------------------------------------------------------------------
  kEpochInsert,  ///< {table}, {sink}, {writer}, {lanes}: inserts missing rows.
  kEpochLock,    ///< {table}, {sink}
  /// {table}, {writer}, {table oid}, {routing}, {sink}. Rows: lane, epoch, host_position, proof.
  kEpochClaim,
  /// {table}, {new writer}, {sink}, {lane}, {claim}. Row: epoch, host_position, proof.
  kEpochRenew,
  kEpochRead,    ///< {table}, {sink}, {lane}. Row: epoch, host_position, proof, writer, who.
  kEpochLanes,   ///< {table}, {sink}. Rows: lane, host_position, table oid, routing.
  kRowBlockers,  ///< {table}, {sink}, {kOfStreams or ""}. Rows: pid, backend_start, role, xid,
                 ///< gid.
  kEpochGuard,   ///< Any search path. {table}, {position}, {proof}, {sink}, {lane}, {writer},
                 ///< {epoch}, {table}, {sink}, {lane}
  // ---- delivery/stream_rows.cc ------------------------------------------------------------------
  kStreamInsert,  ///< {table}, {sink}, {writer}, {table oid}, {streams}, {positions}: inserts
                  ///< missing rows. The arrays have one element for each stream.
  kStreamLock,    ///< {table}, {sink}, {streams}
  /// {table}, {writer}, {table oid}, {sink}, {streams}. Rows: stream, position.
  kStreamClaim,
  /// {table}, {renewal}, {streams}, {claims}, {sink}. Rows: stream, position, writer.
  kStreamRenew,
  kStreamRead,  ///< {table}, {sink}, {streams}. Rows: stream, position, writer, who, table oid.
  kOfStreams,   ///< {streams}
  /// Any search path. {table}, {moves}, {sink}, {table}, {sink}, {number of moves}. A move is
  /// (stream, position before, position after, writer), as kStreamMove.
  kStreamGuard,
  kStreamMove,  ///< {stream}, {before}, {after}, {writer}
  // ---- delivery/two_phase.cc --------------------------------------------------------------------
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
  kWriterTidy,      ///< {schema}, {prefix}, {sink}, {generation}: removes all other prefixes.
  /// {classid}, {= or <>}, {objid}, {kBothForms or kKeyOfTwo}. Rows: pid, backend_start, role,
  /// application, address.
  kWriterSessions,
  kWriterMark,  ///< {high}, {low}: numbers. Marks the session of an at-least-once writer.
  kWriterMarkTransaction,  ///< As kWriterMark: its transaction alone, behind a pooler.
  // ---- writer_generation.h
  /// {schema}, {sink}, {first}, {next}: the generation of a new row, and that of one that is there.
  /// Row: the generation.
  kGenerationPut,
  kGenerationGuard,  ///< Any search path. {schema}, {sink}, {schema}, {sink}, {generation}, {lock}
  /// {schema}, {sink}, {generation}, {epoch}, {schema}, {epoch}, {position}, {proof}, {gids}
  kDecisionRecord,
  /// {schema}, {epoch}, {position}, {proof}, {sink}, {generation}, {epoch}, {schema}, {epoch},
  /// {schema}, {epoch}, {position}, {proof}, {gids}
  kDecisionDecide,
  kDecisionDrop,    ///< {schema}, {schema}, {sink}, {generation}, {epoch}: deletes decided ones.
  kDecisionForget,  ///< {schema}, {schema}, {sink}, {generation}, {epoch}: deletes undecided ones
                    ///< from this epoch on.
  /// {schema}, {sink}. Rows: epoch, host_position, proof, decided, gid, owner, is prepared.
  kDecisionRead,
  kPreparedList,   ///< {prefixes}. Rows: gid, owner, prepared, seconds, whether it belongs to our
                   ///< role.
  kPreparedAll,    ///< Rows as kPreparedList, of the whole database.
  kSinkTables,     ///< Rows: schema of each kCreateWriters table that can be read.
  kSinkList,       ///< {schema}. Rows: sink_id, prefix, epoch, who.
  kDecisionList,   ///< {schema}. Rows: sink_id, epoch, decided, gid.
  kDescribeTable,  ///< {schema}, {table} as literals. Rows: column, type, not null, default, in the
                   ///< primary key, generated, ordinal; no rows for a table without columns.
  kTableExists,    ///< {schema}, {table} as literals. Row: whether it exists.
  kCurrentRole,
  kTakeRole,          ///< {role}. Separate statement, outside of a transaction.
  kGiveBackRole,      ///< As kTakeRole.
  kPrepare,           ///< {gid}. Ends a flight.
  kCommitPrepared,    ///< {gid}. Separate statement, outside of a transaction.
  kRollbackPrepared,  ///< {gid}. Separate statement, outside of a transaction.
  kSleep,             ///< {seconds}
  // ---- replication/publication.cc ---------------------------------------------------------------
  kReplicationFacts,         ///< Search path pg_catalog. {oid}, {publication}, {publication},
                             ///< {slot}, {oid}. One row: Facts in publication.cc.
  kCreatePublication,        ///< {publication}, {table}
  kCreatePublicationOfRoot,  ///< {publication}, {table}: a partitioned table, under its own name.
  kAddToPublication,         ///< {publication}, {table}
  kCreateSlot,               ///< {milliseconds}, {slot}. Separate statement, outside of a
                             ///< transaction.
  kCreateOrigin,             ///< {origin}
  kMarkSession,              ///< {origin}: later commits of the session get that origin.
  // ---- replication/source.cc --------------------------------------------------------------------
  kPublished,  ///< Search path pg_catalog. {publication}, {schema}, {table}. Rows: filter, column
               ///< (NULL before 15: all).
  kPublishedBefore15,         ///< As kPublished.
  kPublicationState,          ///< Search path pg_catalog. {oids}, {publication}. A row for each
                              ///< oid: PublicationState in source_watch.h, oid.
  kPublicationStateBefore15,  ///< As kPublicationState.
  kLargeValues,  ///< Search path pg_catalog. {oid}. Row: replica identity, any TOASTable column.
  kTablesThere,  ///< Search path pg_catalog. Rows: schema, name, oid, has a replica identity.
  kColumnTypes,  ///< Search path pg_catalog. {oid}. Rows: column, type, whether it is NOT NULL.
  kNextTransaction,    ///< Row: the id that no transaction has yet.
  kTransactionsEnded,  ///< {transaction}. Row: whether all transactions before that one have ended.
  kSlotsThere,         ///< {slot}, {slot}. Rows: name, confirmed position.
  kQuietSession,       ///< No time limit of the server ends the session; bytea is hexadecimal.
  kSenderTimeout,      ///< Row: wal_sender_timeout in milliseconds.
  kFlushedLsn,         ///< All of the log before this position is on disk.
  kCopySlot,           ///< {slot}, {new slot}
  kDropSlot,           ///< {slot}
  kSnapshotBegin,
  kSnapshotExport,       ///< Row: its name, while the transaction is open.
  kSnapshotJoin,         ///< {snapshot}
  kSlotAtSnapshot,       ///< {slot}. Replication command: the transaction's snapshot is the slot's
                         ///< start.
  kSlotWithoutSnapshot,  ///< {slot}. Replication command.
  kSnapshotRows,         ///< {columns}, {table}, {filter}
  kStartReplication,     ///< {slot}, {lsn}, {publications}. Replication command.
  kTruncate,             ///< {table}
  kCreateSources,        ///< {schema}
  kReadSource,           ///< {table}, {sink}, {slot}. Row: server, seen, published.
  kWriteSource,          ///< {table}, {sink}, {slot}, {server}, {seen}, {published}.
  kSchemaExists,         ///< {schema}. Row: whether it exists.
  kCreateSchema,         ///< {schema}
  kIsEmpty,              ///< {table}. Row: whether it has no row.
  // ---- delivery/job_rows.cc ---------------------------------------------------------------------
  /// {table}, {sink}, {host}, {writer}, {table oid}, {numbered}: takes the job's row over, unless
  /// another host numbers its epochs, or its numbers belong to another table. Row: epoch.
  kJobClaim,
  /// {table}, {sink}. Row: epoch, host, writer, decided_by, writer_name, table oid, gids.
  kJobRead,
  kJobLock,          ///< As kJobRead, with any search path; the row stays locked.
  kJobDecide,        ///< Any search path. {table}, {epoch}, {host}, {writer}, {gids}, {sink}
  kJobSettled,       ///< {table}, {sink}, {gids}
  kJobStages,        ///< {schema}, {prefix} as literals. Rows: name of each staging table.
  kJobStage,         ///< {stage}, {columns}, {table}
  kJobStageNotNull,  ///< {stage}, {column}
  kJobDrop,          ///< {stage}
  kJobAbandon,  ///< {table}, {sink}, {writer}: the claim cannot commit any more, unless it has.
  // ---- delivery/job_leftovers.cc ----------------------------------------------------------------
  kJobTables,  ///< Rows: schema of each pgsink_jobs that the role may read.
  /// {table}. Rows: sink_id, epoch, writer, decided_by, writer_name, since, gids.
  kJobList,
  kJobStageList,  ///< {schema}, {prefix} as literals. Rows: name, owner, bytes, oid.
  kTableUsers,    ///< {oid}. Rows: as kWriterSessions.
  // ---- sink/job.cc, with any search path --------------------------------------------------------
  kJobCount,   ///< {stage}, {part}, {parts}. Row: how many rows the parts have.
  kJobRows,    ///< {stage}, {part}, {parts}: the rows as kJobSource, before the statement.
  kJobSource,  ///< Rows source.
  // ---- delivery/prepared_parts.cc ---------------------------------------------------------------
  kPartsPrepared,  ///< Any search path. {gids}. Row: how many of them are prepared.
  kPartGuard,      ///< Any search path. {table}, {sink}, {table}, {sink}, {writer}
};

}  // namespace pgsink
