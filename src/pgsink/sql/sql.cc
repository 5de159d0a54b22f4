#include "pgsink/sql/sql.h"

#include <array>

#include "pgsink/sql/job_sql.h"
#include "pgsink/sql/replication_sql.h"

namespace pgsink {
namespace {

// READ WRITE: otherwise the sink fails if the role has default_transaction_read_only.
constexpr auto kTemplates = std::to_array<Template>({
    {Sql::kBegin, "BEGIN ISOLATION LEVEL {isolation} READ WRITE"},
    {Sql::kIdentify,
     "SELECT pg_catalog.pg_current_xact_id(), pg_catalog.pg_backend_pid(), ''::pg_catalog.text"},
    {Sql::kIdentifyColumns, "pg_catalog.pg_current_xact_id(), "},
    {Sql::kIdentifyPooled,
     "SELECT pg_catalog.pg_current_xact_id(), a.pid, a.backend_start"
     " FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) AS a"},
    {Sql::kIdentifyGuarded,
     "SELECT pg_catalog.pg_current_xact_id(), pg_catalog.pg_backend_pid(), ''::pg_catalog.text,"
     " 1 OPERATOR(pg_catalog./) (pg_catalog.current_setting('pgsink.flight')::pg_catalog.int8"
     " OPERATOR(pg_catalog.=) $1::pg_catalog.int8)::pg_catalog.int4, "
     "pg_catalog.set_config('pgsink.flight', $2::pg_catalog.text, false)"},
    // Each array has another length. The planner would make a new plan each time instead of using a
    // generic one, which takes longer than writing the rows.
    {Sql::kSessionDefaults,
     "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {isolation} READ WRITE; SET "
     "plan_cache_mode = force_generic_plan"},
    {Sql::kSetRole, "SET LOCAL ROLE {role}"},
    {Sql::kSetVariable, "SELECT pg_catalog.set_config({name}, {value}, true)"},
    {Sql::kStatementTimeout, "SET LOCAL statement_timeout = {milliseconds}"},
    {Sql::kLockTimeout, "SET LOCAL lock_timeout = {milliseconds}"},
    {Sql::kTriggersOfReplica, "SET LOCAL session_replication_role = replica"},
    {Sql::kAlwaysFiringTriggers,
     "SET LOCAL search_path TO pg_catalog;"
     " SELECT string_agg(DISTINCT quote_ident(t.tgname), ', ') FROM pg_trigger AS t"
     " WHERE NOT t.tgisinternal AND t.tgenabled IN ('A', 'R') AND (t.tgrelid = {oid}"
     " OR t.tgrelid IN (SELECT p.relid FROM pg_partition_tree({oid}) AS p))"},
    {Sql::kCreateTarget, "CREATE TABLE IF NOT EXISTS {table} ({definition})"},
    {Sql::kAlterTarget, "ALTER TABLE {table} {additions}"},
    {Sql::kAddColumn, "ADD COLUMN IF NOT EXISTS {column} {type}"},
    {Sql::kUniqueIndex, "CREATE UNIQUE INDEX ON {table} ({columns})"},
    {Sql::kGrant, "GRANT {privileges} ON {table} TO {role}"},
    {Sql::kCopyIn, "COPY {table} ({columns}) FROM STDIN (FORMAT binary)"},
    {Sql::kCommit, "COMMIT"},
    {Sql::kXactStatus, "SELECT pg_catalog.pg_xact_status($1::pg_catalog.xid8)"},
    {Sql::kPgpoolVersion, "SHOW pool_version"},
    {Sql::kXidEnd, "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())"},
    {Sql::kCommitsBetween,
     "SELECT x.id FROM pg_catalog.generate_series($1::pg_catalog.int8,"
     " $2::pg_catalog.int8 OPERATOR(pg_catalog.-) 1::pg_catalog.int8) AS x(id) WHERE"
     " COALESCE(pg_catalog.pg_xact_status(x.id::pg_catalog.text::pg_catalog.xid8), 'committed')"
     " OPERATOR(pg_catalog.=) 'committed'"},
    {Sql::kAbandon, "ROLLBACK"},
    // A session setting is rolled back with its transaction, so it names the last flight that
    // committed.
    {Sql::kSetFlight, "SELECT pg_catalog.set_config('pgsink.flight', '{number}', false)"},
    {Sql::kGuard,
     "SELECT 1 OPERATOR(pg_catalog./) (pg_catalog.current_setting('pgsink.flight')"
     "::pg_catalog.int8 OPERATOR(pg_catalog.=) {before}::pg_catalog.int8)::pg_catalog.int4, "
     "pg_catalog.set_config('pgsink.flight', '{number}', false)"},
    // Above some thousand rows the planner would hash and scan the whole target. If a plan has to
    // scan anyway (the staging table), its estimated cost becomes so high that it would be
    // JIT-compiled, which takes longer than running it.
    {Sql::kIndexOnly,
     "SELECT pg_catalog.set_config('enable_hashjoin', 'off', {local}),"
     " pg_catalog.set_config('enable_mergejoin', 'off', {local}),"
     " pg_catalog.set_config('enable_seqscan', 'off', {local}),"
     " pg_catalog.set_config('jit', 'off', {local})"},
    // A row's place in the table does not show its order: the server puts a short row into a gap on
    // an earlier page.
    {Sql::kStage,
     "CREATE TEMPORARY TABLE pgsink_staging ON COMMIT DELETE ROWS AS"
     " SELECT {columns} FROM {table} WITH NO DATA; {ordinal}"},
    {Sql::kStageProven,
     "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE; {role}"
     "DROP TABLE IF EXISTS {staged}; {stage}; {proof}"},
    {Sql::kStageOnce,
     "CREATE TEMPORARY TABLE pgsink_staging ON COMMIT DROP AS"
     " SELECT {columns} FROM {table} WITH NO DATA; {ordinal}"},
    {Sql::kStageOrdinal,
     "ALTER TABLE pg_temp.pgsink_staging ADD {ordinal} bigint GENERATED ALWAYS AS IDENTITY"
     " (CACHE 1000)"},
    {Sql::kStaged, "pg_temp.pgsink_staging"},
    // In the list of a SELECT the functions return row by row; in FROM each one would first store
    // all its rows, which costs three times as much.
    {Sql::kUnnested,
     "(SELECT {unnests}, pg_catalog.generate_series(1, pg_catalog.cardinality($1)) AS {ordinal})"
     " AS given"},
    {Sql::kUnnestedInOrder, "(SELECT {unnests}) AS given"},
    {Sql::kUnnest, "pg_catalog.unnest(${number}) AS {column}"},
    {Sql::kStageText, "NULL::pg_catalog.text AS {column}"},
    {Sql::kStageNumeric, "NULL::pg_catalog.numeric AS {column}"},
    {Sql::kCastRows, "(SELECT {columns}, given.{ordinal} FROM {source}) AS given"},
    {Sql::kCastValue, "{value}::{type}"},
    {Sql::kInputValue, "{function}(pg_catalog.textout({value}))"},
    // How many digits money has is lc_monetary's choice.
    {Sql::kMoneyValue,
     "CASE WHEN {value}::pg_catalog.money::pg_catalog.numeric OPERATOR(pg_catalog.=)"
     " {value} THEN {value}::pg_catalog.money ELSE pg_catalog.cash_in("
     "pg_catalog.textout({value}::pg_catalog.text OPERATOR(pg_catalog.||)"
     " ' would be rounded')) END"},
    {Sql::kLastOfKey,
     "SELECT DISTINCT ON ({keys}) {columns} FROM {source} ORDER BY {keys}, {order}"},
    {Sql::kFirstAndLastOfKey,
     "SELECT DISTINCT ON ({keys}) {columns} FROM {source}"
     " WINDOW same AS (PARTITION BY {keys} ORDER BY {ordinal}) ORDER BY {keys}, {order}"},
    {Sql::kFirstValue, "pg_catalog.first_value(given.{column}) OVER same AS {column}"},
    {Sql::kInOrder, "SELECT {columns} FROM {source} ORDER BY {order}"},
    {Sql::kInsertSelect,
     "INSERT INTO {table} AS target ({columns}){overriding} SELECT {columns} FROM {rows}"},
    {Sql::kOnConflictUpdate, " ON CONFLICT ({keys}) DO UPDATE SET {assignments}{condition}"},
    {Sql::kOnConflictNothing, " ON CONFLICT{target} DO NOTHING"},
    {Sql::kNewer,
     " WHERE target.{column} {less} EXCLUDED.{column}"
     " OR (target.{column} IS NULL AND EXCLUDED.{column} IS NOT NULL)"},
    {Sql::kInsertRow, "INSERT INTO {table} AS target ({columns}){overriding} VALUES ({values})"},
    {Sql::kUpdateRow, "UPDATE {table} AS target SET {assignments} WHERE {match}"},
    {Sql::kDeleteRow, "DELETE FROM {table} AS target WHERE {match}"},
    {Sql::kUpdateFrom,
     "UPDATE {table} AS target SET {assignments} FROM ({rows}) AS given WHERE {match}"},
    {Sql::kDeleteAny, "DELETE FROM {table} WHERE {key} {equal} ANY ($1)"},
    // DELETE, not TRUNCATE: see docs/how-to/jobs.md.
    {Sql::kEmpty, "LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE; DELETE FROM {table}"},
    {Sql::kDeleteMissing,
     "DELETE FROM {table} AS target WHERE NOT EXISTS (SELECT FROM {rows} WHERE {match})"},
    {Sql::kDeleteUsing, "DELETE FROM {table} AS target USING ({rows}) AS given WHERE {match}"},
    // Deletes and upserts must take their locks in one order of the keys, or two sinks could
    // deadlock. So the rows to delete are locked one by one between the upserts, and deleted
    // afterwards. OFFSET 0 keeps the condition above the locking.
    {Sql::kApplyChanges,
     "WITH given AS MATERIALIZED ({rows}), gone AS (DELETE FROM {table} AS target"
     " USING given WHERE {match} AND given.{change} OPERATOR(pg_catalog.=) 'D') {insert}"},
    {Sql::kChangedRows,
     "(SELECT given.* FROM given LEFT JOIN LATERAL (SELECT FROM {table} AS target"
     " WHERE {match} AND given.{change} OPERATOR(pg_catalog.=) 'D' FOR UPDATE OF target)"
     " AS present ON true OFFSET 0) AS given WHERE given.{change} OPERATOR(pg_catalog.<>) 'D'"},
    {Sql::kUnlessUnchanged,
     "{column} = CASE WHEN pg_catalog.get_bit({unchanged}, {bit}) OPERATOR(pg_catalog.=) 1"
     " THEN target.{column} ELSE {value} END"},
    // The server evaluates what names no column of the target once, before it looks for the row;
    // count(*) keeps it from doing so when it plans.
    {Sql::kIsPresent,
     "(SELECT CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.>) 0 THEN true ELSE"
     " pg_catalog.concat('{message}', pg_catalog.count(*), ' rows')::pg_catalog.bool END"
     " FROM {table} AS target WHERE {match})"},
    {Sql::kMoveRow,
     "WITH gone AS (DELETE FROM {table} AS target WHERE {match} RETURNING target.*)"
     " INSERT INTO {table} AS target ({columns}) OVERRIDING SYSTEM VALUE"
     " SELECT {values} FROM gone"},
    {Sql::kCheckConstraints, "SET CONSTRAINTS ALL IMMEDIATE"},
    // Without any of the columns the aggregates are null.
    {Sql::kShapeProof,
     "SELECT {before}1 / (pg_catalog.count(*) OPERATOR(pg_catalog.=) {count})::pg_catalog.int4"
     " FROM pg_catalog.pg_attribute AS a"
     " WHERE a.attrelid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid"
     " AND pg_catalog.to_regclass({name})::pg_catalog.oid OPERATOR(pg_catalog.=)"
     " {oid}::pg_catalog.oid"
     " AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped"
     " AND a.atttypid OPERATOR(pg_catalog.=) ({types}::pg_catalog.oid[])[a.attnum]"
     " AND a.atttypmod OPERATOR(pg_catalog.=) ({modifiers}::pg_catalog.int4[])[a.attnum]"
     " AND a.attname OPERATOR(pg_catalog.=) ({names}::pg_catalog.name[])[a.attnum]"},
    {Sql::kVersionProof,
     "SELECT 1 / COALESCE(({query}) OPERATOR(pg_catalog.=) {version}, false)::pg_catalog.int4"},
    {Sql::kShapeDifferences,
     "WITH now AS (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
     " WHERE n.nspname = {schema} AND c.relname = {name})"
     " SELECT '', '', EXISTS (SELECT FROM now)::text"
     " WHERE NOT EXISTS (SELECT FROM now WHERE now.oid = {oid}::oid)"
     " UNION ALL SELECT was.name, format_type(was.type, was.modifier),"
     " COALESCE(format_type(a.atttypid, a.atttypmod), '')"
     " FROM unnest({numbers}::int2[], {names}, {types}::oid[], {modifiers}::int4[])"
     " AS was (number, name, type, modifier)"
     " LEFT JOIN pg_attribute a ON a.attrelid = (SELECT oid FROM now) AND a.attname = was.name"
     " AND a.attnum > 0 AND NOT a.attisdropped"
     " WHERE EXISTS (SELECT FROM now) AND (a.attnum, a.atttypid, a.atttypmod)"
     " IS DISTINCT FROM (was.number, was.type, was.modifier)"},
    {Sql::kLockTarget, "LOCK TABLE {table} IN ROW EXCLUSIVE MODE"},
    {Sql::kCreateDeadLetters,
     "CREATE TABLE IF NOT EXISTS {table} (rejected_at timestamptz NOT NULL, connection text,"
     " target text, input_row bigint, source_position numeric(20,0), attempts integer,"
     " sqlstate text, message text, detail text, constraint_name text, column_name text,"
     " \"row\" {json})"},
    {Sql::kServerEncoding, "SHOW server_encoding"},
    {Sql::kDeadLetterColumns,
     "SELECT a.attname, has_column_privilege(c.oid, a.attnum, 'INSERT')"
     " FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid"
     " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = {schema}"
     " AND c.relname = {name} AND a.attnum > 0 AND NOT a.attisdropped"},
    {Sql::kDeadLetterInsert,
     "INSERT INTO {table} (rejected_at, connection, target, input_row, source_position, attempts,"
     " sqlstate, message, detail, constraint_name, column_name, \"row\") SELECT l.rejected_at,"
     " l.connection, l.target, l.input_row, l.source_position, l.attempts, l.sqlstate, l.message,"
     " l.detail, l.constraint_name, l.column_name, l.\"row\"::pg_catalog.json FROM"
     " pg_catalog.json_to_recordset"
     "($1::pg_catalog.json) AS l (rejected_at pg_catalog.timestamptz, connection pg_catalog.text,"
     " target pg_catalog.text, input_row pg_catalog.int8, source_position pg_catalog.numeric,"
     " attempts pg_catalog.int4, sqlstate pg_catalog.text, message pg_catalog.text,"
     " detail pg_catalog.text, constraint_name pg_catalog.text, column_name pg_catalog.text,"
     " \"row\" pg_catalog.text)"},
    // ---- partitions
    {Sql::kPartitionKey,
     "SELECT p.partstrat, pg_get_partkeydef(p.partrelid), CASE WHEN p.partnatts = 1 THEN a.attname"
     " END, d.relname, quote_ident(s.spcname), pg_has_role(c.relowner, 'USAGE'),"
     " pg_get_userbyid(c.relowner), has_schema_privilege(c.relnamespace, 'CREATE'), current_user"
     " FROM pg_partitioned_table AS p JOIN pg_class AS c ON c.oid = p.partrelid"
     " LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = p.partattrs[0]"
     " AND a.attnum > 0 LEFT JOIN pg_class AS d ON d.oid = p.partdefid"
     " LEFT JOIN pg_tablespace AS s ON s.oid = c.reltablespace WHERE p.partrelid = {oid}"},
    {Sql::kPartitionSession,
     "SET LOCAL TimeZone TO 'UTC'; SET LOCAL DateStyle TO 'ISO, YMD'; SET LOCAL IntervalStyle TO"
     " 'postgres'; SET LOCAL bytea_output TO 'hex'; SET LOCAL extra_float_digits TO 1;"
     " SET LOCAL standard_conforming_strings TO on;"
     " SET LOCAL idle_in_transaction_session_timeout TO '60s'"},
    {Sql::kPartitionLock, "SELECT pg_advisory_xact_lock({key}, {oid})"},
    {Sql::kPartitionBounds,
     "SELECT c.oid, c.relname, c.relkind, pg_get_expr(c.relpartbound, c.oid)"
     " FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = {oid}"
     " ORDER BY c.oid"},
    // An insert through the parent fires the parent's own triggers FOR EACH STATEMENT and uses its
    // defaults; triggers FOR EACH ROW are the partitions' too, but would see the rows in another
    // order.
    {Sql::kPlainLeaves,
     "SELECT c.oid, format('%I.%I', n.nspname, c.relname) FROM pg_inherits AS i"
     " JOIN pg_class AS c ON c.oid = i.inhrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace"
     " WHERE i.inhparent = {oid} AND c.relkind = 'r' AND NOT c.relrowsecurity"
     " AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'INSERT')"
     " AND NOT EXISTS (SELECT FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d"
     " ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum) JOIN pg_attribute AS pa"
     " ON pa.attname = a.attname LEFT JOIN pg_attrdef AS pd"
     " ON (pd.adrelid, pd.adnum) = (pa.attrelid, pa.attnum)"
     " WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''"
     " AND a.attname <> ALL ({columns}) AND pa.attrelid = {oid} AND (a.attidentity <> ''"
     " OR pa.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) ~ '\\mnextval\\('"
     " OR pg_get_expr(d.adbin, d.adrelid) IS DISTINCT FROM pg_get_expr(pd.adbin, pd.adrelid)))"
     " AND NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid IN (c.oid, {oid})"
     " AND NOT t.tgisinternal AND t.tgtype & 4 <> 0 AND t.tgenabled <> 'D')"},
    // Its functions use the current catalog, not the transaction's snapshot.
    {Sql::kLeafCheck,
     "SELECT 1 OPERATOR(pg_catalog./) (pg_catalog.count(*) OPERATOR(pg_catalog.=)"
     " {count}::pg_catalog.int8)::pg_catalog.int4 FROM (VALUES {rows}) AS leaf (oid, name)"
     " WHERE pg_catalog.to_regclass(leaf.name)::pg_catalog.oid OPERATOR(pg_catalog.=) leaf.oid"
     " AND EXISTS (SELECT FROM pg_catalog.pg_partition_ancestors(leaf.oid) AS a"
     " WHERE a.relid::pg_catalog.oid OPERATOR(pg_catalog.=) {oid}::pg_catalog.oid)"},
    {Sql::kLeafRow, "({oid}::pg_catalog.oid, {name}::pg_catalog.text)"},
    {Sql::kPartitionValue, "SELECT pg_catalog.format('%L', $1), pg_catalog.format('%s', $1)"},
    // PARTITION OF would block all readers and writers of the parent; ATTACH blocks only other DDL.
    // Parts that are left out here are created by ATTACH, or a partition cannot have them.
    {Sql::kPartitionCreate,
     "SAVEPOINT pgsink_partition; CREATE TABLE {partition} (LIKE {parent} INCLUDING ALL"
     " EXCLUDING IDENTITY EXCLUDING INDEXES EXCLUDING STATISTICS EXCLUDING COMMENTS){tablespace};"
     " ALTER TABLE {parent} ATTACH PARTITION {partition} {bound};"
     " RELEASE SAVEPOINT pgsink_partition"},
    {Sql::kTablespace, " TABLESPACE {name}"},
    {Sql::kPartitionUndo, "ROLLBACK TO SAVEPOINT pgsink_partition"},
    {Sql::kPartitionNamed,
     "SELECT i.inhparent, pg_get_expr(c.relpartbound, c.oid) FROM pg_class AS c"
     " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
     " LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid WHERE n.nspname = {schema}"
     " AND c.relname = {name}"},
    {Sql::kInValues, "FOR VALUES IN ({value})"},
    {Sql::kFromTo, "FOR VALUES FROM ({start}) TO ({end})"},
    {Sql::kWithModulus, "FOR VALUES WITH (MODULUS {modulus}, REMAINDER {remainder})"},
    // ---- bookkeeping tables
    {Sql::kControlBegin,
     "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL search_path TO pg_catalog;"
     // Names of types are compared.
     " SET LOCAL quote_all_identifiers TO off"},
    {Sql::kDurable,
     "SELECT set_config('synchronous_commit', 'on', true)"
     " WHERE current_setting('synchronous_commit') = 'off'"},
    {Sql::kTableShape,
     "SELECT c.relkind, (SELECT string_agg(a.attname || ' ' || format_type(a.atttypid,"
     " a.atttypmod), ', ' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a"
     " WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)"
     " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
     " WHERE n.nspname = {schema} AND c.relname = {name}"},
    // Every flight updates one row: free space on its page allows HOT updates.
    {Sql::kCreateEpochs,
     "CREATE TABLE IF NOT EXISTS {schema}.pgsink_epochs (sink_id text NOT NULL,"
     " lane integer NOT NULL, epoch bigint NOT NULL, host_position numeric(20,0) NOT NULL,"
     " writer text NOT NULL, writer_name text NOT NULL, updated_at timestamptz NOT NULL,"
     " host_proof text NOT NULL DEFAULT '', table_oid oid NOT NULL DEFAULT 0,"
     " routing text NOT NULL DEFAULT '', PRIMARY KEY (sink_id, lane)) WITH (fillfactor = 10)"},
    {Sql::kUpgradeEpochs,
     "ALTER TABLE {schema}.pgsink_epochs"
     " ADD COLUMN IF NOT EXISTS host_proof text NOT NULL DEFAULT '',"
     " ADD COLUMN IF NOT EXISTS table_oid oid NOT NULL DEFAULT 0,"
     " ADD COLUMN IF NOT EXISTS routing text NOT NULL DEFAULT ''"},
    {Sql::kCreateWriters,
     "CREATE TABLE IF NOT EXISTS {schema}.pgsink_writers (sink_id text NOT NULL,"
     " generation bigint NOT NULL, epoch numeric(20,0) NOT NULL,"
     " host_position numeric(20,0) NOT NULL, gid_prefixes text[] NOT NULL,"
     " writer_name text NOT NULL, claimed_at timestamptz NOT NULL,"
     " host_proof text NOT NULL DEFAULT '', table_oid oid NOT NULL DEFAULT 0,"
     " PRIMARY KEY (sink_id))"},
    {Sql::kUpgradeWriters,
     "ALTER TABLE {schema}.pgsink_writers"
     " ADD COLUMN IF NOT EXISTS host_proof text NOT NULL DEFAULT '',"
     " ADD COLUMN IF NOT EXISTS table_oid oid NOT NULL DEFAULT 0"},
    {Sql::kCreateDecisions,
     "CREATE TABLE IF NOT EXISTS {schema}.pgsink_decisions (sink_id text NOT NULL,"
     " epoch numeric(20,0) NOT NULL, host_position numeric(20,0) NOT NULL,"
     " decided boolean NOT NULL, gids text[] NOT NULL, recorded_at timestamptz NOT NULL,"
     " host_proof text NOT NULL DEFAULT '', PRIMARY KEY (sink_id, epoch))"},
    {Sql::kUpgradeDecisions,
     "ALTER TABLE {schema}.pgsink_decisions"
     " ADD COLUMN IF NOT EXISTS host_proof text NOT NULL DEFAULT ''"},
    {Sql::kCreateOffsets,
     "CREATE TABLE IF NOT EXISTS {schema}.pgsink_offsets (sink_id text NOT NULL,"
     " stream text NOT NULL, position numeric(20,0) NOT NULL, writer text NOT NULL,"
     " writer_name text NOT NULL, updated_at timestamptz NOT NULL, table_oid oid NOT NULL,"
     " PRIMARY KEY (sink_id, stream)) WITH (fillfactor = 50)"},
    {Sql::kCreateJobs,
     "CREATE TABLE IF NOT EXISTS {schema}.pgsink_jobs (sink_id text PRIMARY KEY,"
     " epoch numeric(20,0) NOT NULL, host text NOT NULL, writer text NOT NULL,"
     " decided_by text NOT NULL, writer_name text NOT NULL, updated_at timestamptz NOT NULL,"
     " table_oid oid NOT NULL, prepared text[] NOT NULL DEFAULT ARRAY[]::text[])"
     " WITH (fillfactor = 50)"},
    {Sql::kUpgradeJobs,
     "ALTER TABLE {schema}.pgsink_jobs"
     " ADD COLUMN IF NOT EXISTS prepared text[] NOT NULL DEFAULT ARRAY[]::text[]"},
    {Sql::kEpochInsert,
     "INSERT INTO {table} (sink_id, lane, epoch, host_position, writer, writer_name, updated_at)"
     " SELECT {sink}, l, 0, 0, {writer}, '', now() FROM generate_series(0, {lanes} - 1) AS l"
     " ORDER BY l ON CONFLICT (sink_id, lane) DO NOTHING"},
    {Sql::kEpochLock, "SELECT 1 FROM {table} WHERE sink_id = {sink} ORDER BY lane FOR UPDATE"},
    {Sql::kEpochClaim,
     "UPDATE {table} AS e SET writer = {writer}, writer_name = " PGSINK_WRITER_NAME
     ", updated_at = now(), table_oid = {table oid}, routing = {routing}"
     " FROM pg_stat_get_activity(pg_backend_pid()) AS a"
     " WHERE e.sink_id = {sink} RETURNING e.lane, e.epoch, e.host_position, e.host_proof"},
    {Sql::kEpochRenew,
     "UPDATE {table} SET writer = {new writer}, updated_at = now() WHERE sink_id = {sink}"
     " AND lane = {lane} AND starts_with(writer, {claim})"
     " RETURNING epoch, host_position, host_proof"},
    {Sql::kEpochRead,
     "SELECT epoch, host_position, host_proof, writer, writer_name FROM {table}"
     " WHERE sink_id = {sink} AND lane = {lane}"},
    {Sql::kEpochLanes,
     "SELECT lane, host_position, table_oid, routing FROM {table} WHERE sink_id = {sink}"
     " ORDER BY lane"},
    // The old version of a row that is being changed names the transaction that changes it.
    {Sql::kRowBlockers,
     "SELECT l.pid, a.backend_start, a.usesysid, l.transactionid, p.gid FROM {table} AS e"
     " JOIN pg_catalog.pg_locks AS l ON l.locktype = 'transactionid'"
     " AND l.transactionid = e.xmax AND l.granted AND l.mode = 'ExclusiveLock'"
     " LEFT JOIN pg_stat_get_activity(NULL) AS a ON a.pid = l.pid"
     " LEFT JOIN pg_prepared_xacts AS p ON p.transaction = l.transactionid"
     " WHERE e.sink_id = {sink}{streams}"},
    // A writer that does not own the row, or is not at its epoch, would store NULL: error 23502
    // with table and column fails the transaction and identifies the cause.
    {Sql::kEpochGuard,
     "WITH g AS (UPDATE {table} AS e SET epoch = e.epoch OPERATOR(pg_catalog.+) 1,"
     " host_position = {position}, host_proof = {proof}, updated_at = pg_catalog.now()"
     " WHERE e.sink_id OPERATOR(pg_catalog.=) {sink} AND e.lane OPERATOR(pg_catalog.=) {lane}"
     " AND e.writer OPERATOR(pg_catalog.=) {writer} AND e.epoch OPERATOR(pg_catalog.=) {epoch}"
     " RETURNING 1) INSERT INTO {table} (sink_id, lane)"
     " SELECT {sink}, {lane} WHERE NOT EXISTS (SELECT 1 FROM g)"},
    {Sql::kStreamInsert,
     "INSERT INTO {table} SELECT {sink}, s.stream, s.start, {writer}, '', now(), {table oid} FROM"
     " unnest({streams}, {positions}) AS s(stream, start) ORDER BY s.stream ON CONFLICT DO "
     "NOTHING"},
    {Sql::kStreamLock,
     "SELECT 1 FROM {table} WHERE sink_id = {sink} AND stream = ANY ({streams})"
     " ORDER BY stream FOR UPDATE"},
    {Sql::kStreamClaim,
     "UPDATE {table} AS o SET writer = {writer}, writer_name = " PGSINK_WRITER_NAME
     ", updated_at = now(), table_oid = {oid} FROM pg_stat_get_activity(pg_backend_pid()) AS a"
     " WHERE o.sink_id = {sink} AND o.stream = ANY ({streams}) RETURNING o.stream, o.position"},
    {Sql::kStreamRenew,
     "UPDATE {table} AS o SET writer = s.claim || {renewal}, updated_at = now()"
     " FROM unnest({streams}, {claims}) AS s(stream, claim) WHERE o.sink_id = {sink}"
     " AND o.stream = s.stream AND starts_with(o.writer, s.claim) RETURNING o.stream, position, "
     "o.writer"},
    {Sql::kStreamRead,
     "SELECT stream, position, writer, writer_name, table_oid FROM {table}"
     " WHERE sink_id = {sink} AND stream = ANY ({streams}) ORDER BY stream"},
    {Sql::kOfStreams, " AND e.stream = ANY ({streams})"},
    // As kEpochGuard: error 23502 unless all rows are the writer's and at their positions.
    {Sql::kStreamGuard,
     "WITH g AS (UPDATE {table} AS o SET position = v.after, updated_at = pg_catalog.now()"
     " FROM (VALUES {moves}) AS v (stream, before, after, writer)"
     " WHERE o.sink_id OPERATOR(pg_catalog.=) {sink} AND o.stream OPERATOR(pg_catalog.=) v.stream"
     " AND o.position OPERATOR(pg_catalog.=) v.before AND o.writer OPERATOR(pg_catalog.=) v.writer"
     " RETURNING 1) INSERT INTO {table} (sink_id, stream) SELECT {sink}, ''"
     " WHERE (SELECT pg_catalog.count(*) FROM g) OPERATOR(pg_catalog.<>) {number of moves}"},
    {Sql::kStreamMove,
     "({stream}::pg_catalog.text, {before}::pg_catalog.numeric, {after}::pg_catalog.numeric,"
     " {writer}::pg_catalog.text)"},
    {Sql::kDatabase, "SELECT pg_catalog.current_database()"},
    {Sql::kPreparedLimits,
     "SELECT count(*) FILTER (WHERE c.relkind = 'f'), current_setting('max_prepared_transactions')"
     " FROM pg_partition_tree((SELECT t.oid::regclass FROM pg_catalog.pg_class t"
     " JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace"
     " WHERE n.nspname = {schema} AND t.relname = {table})) AS p"
     " JOIN pg_catalog.pg_class AS c ON c.oid = p.relid"},
    {Sql::kWriterClaim,
     "INSERT INTO {schema}.pgsink_writers AS w (sink_id, generation, epoch, host_position,"
     " gid_prefixes, writer_name, claimed_at, table_oid) SELECT {sink}, 1, 0, 0, "
     "ARRAY[{prefix}], " PGSINK_WRITER_NAME
     ", now(), {table oid} FROM pg_stat_get_activity(pg_backend_pid()) AS a"
     " ON CONFLICT (sink_id) DO UPDATE SET generation = w.generation + 1,"
     " gid_prefixes = CASE WHEN {prefix} = ANY (w.gid_prefixes) THEN w.gid_prefixes"
     " ELSE array_append(w.gid_prefixes, {prefix}) END,"
     " writer_name = EXCLUDED.writer_name, claimed_at = now(),"
     " table_oid = EXCLUDED.table_oid RETURNING w.generation"},
    {Sql::kWriterAttach, "SELECT pg_advisory_lock_shared({key})"},
    {Sql::kWriterDetach, "SELECT pg_catalog.pg_advisory_unlock_shared({key})"},
    {Sql::kWriterRead,
     "SELECT generation, epoch, host_position, host_proof, writer_name, table_oid"
     " FROM {schema}.pgsink_writers WHERE sink_id = {sink}"},
    {Sql::kWriterFinish,
     "UPDATE {schema}.pgsink_writers SET host_position = 0, host_proof = ''"
     " WHERE sink_id = {sink} AND generation = {generation} RETURNING 1"},
    {Sql::kWriterPrefixes,
     "SELECT unnest(gid_prefixes) FROM {schema}.pgsink_writers WHERE sink_id = {sink}"},
    {Sql::kWriterTidy,
     "UPDATE {schema}.pgsink_writers SET gid_prefixes = ARRAY[{prefix}]"
     " WHERE sink_id = {sink} AND generation = {generation} AND cardinality(gid_prefixes) > 1"},
    {Sql::kWriterSessions,
     "SELECT l.pid, a.backend_start, a.usesysid, a.application_name,"
     " coalesce(host(a.client_addr), 'the local socket') FROM pg_catalog.pg_locks AS l"
     " LEFT JOIN pg_stat_get_activity(NULL) AS a ON a.pid = l.pid WHERE l.locktype = 'advisory'"
     " AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d"
     " WHERE d.datname = current_database()) AND l.classid = '{classid}'::oid"
     " AND l.objid {which} '{objid}'::oid AND l.objsubid IN ({forms})"
     " AND l.pid IS NOT NULL AND l.pid <> pg_backend_pid()"},
    {Sql::kWriterMark,
     "SELECT pg_catalog.pg_advisory_lock_shared('{high}'::pg_catalog.int4,"
     " '{low}'::pg_catalog.int4)"},
    {Sql::kWriterMarkTransaction,
     "SELECT pg_catalog.pg_advisory_xact_lock_shared('{high}'::pg_catalog.int4,"
     " '{low}'::pg_catalog.int4)"},
    {Sql::kGenerationPut,
     "INSERT INTO {schema}.pgsink_writers AS w (sink_id, generation, epoch, host_position,"
     " gid_prefixes, writer_name, claimed_at) SELECT {sink}, {first}, 0, 0, ARRAY[]::text[],"
     " " PGSINK_WRITER_NAME ", now() FROM pg_stat_get_activity(pg_backend_pid()) AS a"
     " ON CONFLICT (sink_id) DO UPDATE SET generation = {next},"
     " writer_name = EXCLUDED.writer_name, claimed_at = now() RETURNING w.generation"},
    // Another generation would store NULL: 23502 with table and column says so by itself.
    {Sql::kGenerationGuard,
     "INSERT INTO {schema}.pgsink_writers (sink_id) SELECT {sink} WHERE NOT EXISTS"
     " (SELECT FROM {schema}.pgsink_writers AS w WHERE w.sink_id OPERATOR(pg_catalog.=) {sink}"
     " AND w.generation OPERATOR(pg_catalog.<=) {generation}{lock})"},
    {Sql::kDecisionRecord,
     "WITH w AS (SELECT sink_id FROM {schema}.pgsink_writers WHERE sink_id = {sink}"
     " AND generation = {generation} AND epoch < {epoch} FOR SHARE)"
     " INSERT INTO {schema}.pgsink_decisions AS d (sink_id, epoch, host_position,"
     " host_proof, decided, gids, recorded_at)"
     " SELECT w.sink_id, {epoch}, {position}, {proof}, false, {gids}, now() FROM w"
     " ON CONFLICT (sink_id, epoch) DO UPDATE SET host_position = EXCLUDED.host_position,"
     " host_proof = EXCLUDED.host_proof, gids = EXCLUDED.gids, recorded_at = now() WHERE NOT "
     "d.decided RETURNING 1"},
    {Sql::kDecisionDecide,
     "WITH w AS (UPDATE {schema}.pgsink_writers SET epoch = {epoch}, host_position = {position},"
     " host_proof = {proof} WHERE sink_id = {sink} AND generation = {generation} AND epoch < "
     "{epoch}"
     " RETURNING sink_id), older AS (UPDATE {schema}.pgsink_decisions AS d SET decided = true,"
     " recorded_at = now() FROM w WHERE d.sink_id = w.sink_id AND d.epoch < {epoch}"
     " AND NOT d.decided) INSERT INTO {schema}.pgsink_decisions (sink_id, epoch, host_position,"
     " host_proof, decided, gids, recorded_at)"
     " SELECT w.sink_id, {epoch}, {position}, {proof}, true, {gids}, now()"
     " FROM w ON CONFLICT (sink_id, epoch) DO UPDATE SET decided = true,"
     " host_position = EXCLUDED.host_position, host_proof = EXCLUDED.host_proof, gids = "
     "EXCLUDED.gids, recorded_at = now()"
     " RETURNING 1"},
    {Sql::kDecisionDrop,
     "DELETE FROM {schema}.pgsink_decisions AS d USING {schema}.pgsink_writers AS w"
     " WHERE d.sink_id = {sink} AND w.sink_id = d.sink_id AND w.generation = {generation}"
     " AND d.epoch <= {epoch} AND d.decided"},
    {Sql::kDecisionForget,
     "DELETE FROM {schema}.pgsink_decisions AS d USING {schema}.pgsink_writers AS w"
     " WHERE d.sink_id = {sink} AND w.sink_id = d.sink_id AND w.generation = {generation}"
     " AND d.epoch >= {epoch} AND NOT d.decided"},
    {Sql::kDecisionRead,
     "SELECT d.epoch, d.host_position, d.host_proof, d.decided, g.gid, p.owner, p.gid IS NOT NULL"
     " FROM {schema}.pgsink_decisions AS d LEFT JOIN LATERAL unnest(d.gids) AS g(gid) ON true"
     " LEFT JOIN pg_catalog.pg_prepared_xacts AS p ON p.gid = g.gid"
     " AND p.database = current_database() WHERE d.sink_id = {sink} ORDER BY d.epoch, g.gid"},
    {Sql::kPreparedList,
     "SELECT p.gid, p.owner, p.prepared FROM pg_catalog.pg_prepared_xacts AS p"
     " WHERE p.database = current_database() AND EXISTS (SELECT 1 FROM unnest({prefixes}) AS x"
     " WHERE starts_with(p.gid, x)) ORDER BY p.gid"},
    {Sql::kPreparedAll,
     "SELECT p.gid, p.owner, to_char(p.prepared AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"
     " FROM pg_catalog.pg_prepared_xacts AS p WHERE p.database = current_database()"
     " ORDER BY p.prepared, p.gid"},
    {Sql::kSinkTables,
     "SELECT n.nspname FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n"
     " ON n.oid = c.relnamespace WHERE c.relname = 'pgsink_writers' AND c.relkind = 'r'"
     " AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"
     " ORDER BY n.nspname"},
    {Sql::kSinkList,
     "SELECT w.sink_id, x, w.epoch, w.writer_name FROM {schema}.pgsink_writers AS w,"
     " unnest(w.gid_prefixes) AS x ORDER BY w.sink_id, x"},
    {Sql::kDecisionList,
     "SELECT d.sink_id, d.epoch, d.decided, g FROM {schema}.pgsink_decisions AS d,"
     " unnest(d.gids) AS g ORDER BY d.sink_id, d.epoch"},
    {Sql::kDescribeTable,
     "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,"
     " CASE WHEN a.attidentity <> '' THEN 'GENERATED ' || CASE a.attidentity WHEN 'a' THEN"
     " 'ALWAYS' ELSE 'BY DEFAULT' END || ' AS IDENTITY' ELSE pg_get_expr(d.adbin, d.adrelid) END,"
     " EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary"
     " AND a.attnum = ANY (i.indkey)), a.attgenerated <> '', a.attnum"
     " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
     " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
     " LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum"
     " WHERE n.nspname = {schema} AND c.relname = {table}"
     " AND c.relkind IN ('r', 'p', 'v', 'f', 'm') ORDER BY a.attnum"},
    {Sql::kTableExists,
     "SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
     " WHERE n.nspname = {schema} AND c.relname = {table}"
     " AND c.relkind IN ('r', 'p', 'v', 'f', 'm')"},
    {Sql::kCurrentRole, "SELECT current_user"},
    {Sql::kTakeRole, "SET ROLE {role}"},
    {Sql::kGiveBackRole, "RESET ROLE"},
    {Sql::kPrepare, "PREPARE TRANSACTION {gid}"},
    {Sql::kCommitPrepared, "COMMIT PREPARED {gid}"},
    {Sql::kRollbackPrepared, "ROLLBACK PREPARED {gid}"},
    {Sql::kSleep, "SELECT pg_catalog.pg_sleep({seconds})"},
});

constexpr const Template& template_at(size_t index) {
  if (index < kTemplates.size()) return kTemplates[index];
  index -= kTemplates.size();
  if (index < kReplicationTemplates.size()) return kReplicationTemplates[index];
  return kJobTemplates[index - kReplicationTemplates.size()];
}

consteval bool ids_are_indexes() {
  for (size_t i = 0; i < kTemplates.size() + kReplicationTemplates.size() + kJobTemplates.size();
       ++i) {
    if (static_cast<size_t>(template_at(i).id) != i) return false;
  }
  return true;
}
static_assert(ids_are_indexes());

}  // namespace

std::string sql_text(Sql id, std::initializer_list<std::string_view> arguments) {
  std::string_view rest = template_at(static_cast<size_t>(id)).text;
  std::string text;
  for (const std::string_view argument : arguments) {
    const size_t open = rest.find('{'), close = rest.find('}', open);
    PGPROTO_ASSERT(close != std::string_view::npos);
    text.append(rest.substr(0, open)).append(argument);
    rest.remove_prefix(close + 1);
  }
  PGPROTO_ASSERT(rest.find('{') == std::string_view::npos);
  return text.append(rest);
}

}  // namespace pgsink
