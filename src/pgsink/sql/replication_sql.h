#pragma once
// The templates of replication, which follow those of sql.cc in the order of their ids.

#include <array>

#include "pgsink/sql/template.h"

namespace pgsink {

// What a publication has, where the filter of its rows and its tables are such expressions.
#define PGSINK_PUBLICATION_STATE(filter, tables)                                              \
  "SELECT p.oid, concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END,"                    \
  " CASE WHEN p.pubupdate THEN 'update' END, CASE WHEN p.pubdelete THEN 'delete' END,"        \
  " CASE WHEN p.pubtruncate THEN 'truncate' END), p.pubviaroot, n.nspname, c.relname,"        \
  " t.tablename IS NOT NULL, " filter ", (SELECT string_agg(" tables                          \
  ", ',' ORDER BY m.oid)"                                                                     \
  " FROM pg_publication_rel AS m WHERE m.prpubid = p.oid AND (m.prrelid = c.oid OR m.prrelid" \
  " IN (SELECT a.relid FROM pg_partition_ancestors(c.oid) AS a(relid)))), c.relreplident,"    \
  " p.xmin, o.oid"                                                                            \
  " FROM unnest({oids}::oid[]) AS o(oid) LEFT JOIN pg_class AS c ON c.oid = o.oid"            \
  " LEFT JOIN pg_namespace AS n ON n.oid = c.relnamespace"                                    \
  " LEFT JOIN pg_publication AS p ON p.pubname = {publication}"                               \
  " LEFT JOIN pg_publication_tables AS t ON t.pubname = p.pubname"                            \
  " AND t.schemaname = n.nspname AND t.tablename = c.relname"

inline constexpr auto kReplicationTemplates = std::to_array<Template>({
    {Sql::kReplicationFacts,
     "SELECT current_setting('wal_level'), current_database(), r.rolsuper OR r.rolreplication,"
     " pg_has_role(c.relowner, 'USAGE'), c.relpersistence, c.relreplident,"
     " has_database_privilege(current_database(), 'CREATE'),"
     " p.oid, p.puballtables, pg_has_role(p.pubowner, 'USAGE'), p.pubviaroot,"
     " EXISTS (SELECT FROM pg_publication_rel AS m WHERE m.prpubid = p.oid AND (m.prrelid = c.oid"
     " OR m.prrelid IN (SELECT a.relid FROM pg_partition_ancestors({oid}) AS a(relid))))"
     " OR EXISTS (SELECT FROM pg_publication_tables AS t JOIN pg_namespace AS n"
     " ON n.nspname = t.schemaname WHERE t.pubname = {publication} AND t.tablename = c.relname"
     " AND n.oid = c.relnamespace),"
     " s.slot_type, s.plugin, s.database, s.temporary, s.wal_status, s.confirmed_flush_lsn,"
     " has_function_privilege('pg_replication_origin_session_setup(text)', 'EXECUTE')"
     " AND has_function_privilege('pg_replication_origin_create(text)', 'EXECUTE'),"
     " current_setting('max_replication_slots')"
     " FROM pg_class AS c JOIN pg_roles AS r ON r.rolname = current_user"
     " LEFT JOIN pg_publication AS p ON p.pubname = {publication}"
     " LEFT JOIN pg_replication_slots AS s ON s.slot_name = {slot} WHERE c.oid = {oid}"},
    {Sql::kCreatePublication, "CREATE PUBLICATION {publication} FOR TABLE {table}"},
    {Sql::kCreatePublicationOfRoot,
     "CREATE PUBLICATION {publication} FOR TABLE {table} WITH (publish_via_partition_root = true)"},
    {Sql::kAddToPublication, "ALTER PUBLICATION {publication} ADD TABLE {table}"},
    // The function waits for every transaction in progress, so it has a time limit.
    {Sql::kCreateSlot,
     "SET LOCAL statement_timeout = {milliseconds};"
     " SELECT pg_catalog.pg_create_logical_replication_slot({slot}, 'pgoutput')"},
    {Sql::kCreateOrigin,
     "SELECT pg_replication_origin_create(o.name) FROM (SELECT {origin}) AS o(name)"
     " WHERE NOT EXISTS (SELECT FROM pg_replication_origin AS r WHERE r.roname = o.name)"},
    {Sql::kMarkSession, "SELECT pg_catalog.pg_replication_origin_session_setup({origin})"},
    {Sql::kPublished,
     "SELECT t.rowfilter, a.name FROM pg_publication_tables AS t, unnest(t.attnames) AS a(name)"
     " WHERE t.pubname = {publication} AND t.schemaname = {schema} AND t.tablename = {table}"},
    {Sql::kPublishedBefore15,
     "SELECT NULL, NULL FROM pg_publication_tables AS t"
     " WHERE t.pubname = {publication} AND t.schemaname = {schema} AND t.tablename = {table}"},
    {Sql::kPublicationState,
     PGSINK_PUBLICATION_STATE("t.rowfilter", "m.oid || ' ' || coalesce(m.prattrs::text, '')")},
    {Sql::kPublicationStateBefore15, PGSINK_PUBLICATION_STATE("NULL", "m.oid::text")},
    {Sql::kLargeValues,
     "SELECT c.relreplident, EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid"
     " AND a.attnum > 0 AND NOT a.attisdropped AND a.attstorage <> 'p')"
     " FROM pg_class AS c WHERE c.oid = {oid}"},
    {Sql::kTablesThere,
     "SELECT n.nspname, c.relname, c.oid, c.relreplident IN ('f', 'i') OR c.relreplident = 'd'"
     " AND EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary)"
     " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
     " WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND NOT c.relispartition"
     " AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
     // A database can be a target too.
     " AND c.relname NOT IN ('pgsink_epochs', 'pgsink_writers', 'pgsink_decisions',"
     " 'pgsink_sources', 'pgsink_offsets', 'pgsink_jobs') ORDER BY 1, 2"},
    {Sql::kColumnTypes,
     "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull FROM pg_attribute AS a"
     " WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped"},
    {Sql::kNextTransaction, "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())"},
    {Sql::kTransactionsEnded,
     "SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())"
     " OPERATOR(pg_catalog.>=) '{transaction}'::pg_catalog.xid8"},
    {Sql::kSlotsThere,
     "SELECT s.slot_name, s.confirmed_flush_lsn FROM pg_catalog.pg_replication_slots AS s"
     " WHERE s.slot_name OPERATOR(pg_catalog.=) {slot}"
     " OR s.slot_name OPERATOR(pg_catalog.=) {other}"},
    {Sql::kQuietSession,
     "SELECT pg_catalog.set_config(s.name, '0', false) FROM pg_catalog.pg_settings AS s"
     " WHERE s.name OPERATOR(pg_catalog.~) '^(statement|lock|transaction|idle_session"
     "|idle_in_transaction_session)_timeout$';"
     " SELECT pg_catalog.set_config('bytea_output', 'hex', false)"},
    {Sql::kSenderTimeout,
     "SELECT s.setting FROM pg_catalog.pg_settings AS s"
     " WHERE s.name OPERATOR(pg_catalog.=) 'wal_sender_timeout'"},
    {Sql::kFlushedLsn, "SELECT pg_catalog.pg_current_wal_flush_lsn()"},
    {Sql::kCopySlot, "SELECT pg_catalog.pg_copy_logical_replication_slot({slot}, {new slot})"},
    {Sql::kDropSlot, "SELECT pg_catalog.pg_drop_replication_slot({slot})"},
    {Sql::kSnapshotBegin, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"},
    {Sql::kSnapshotExport, "SELECT pg_catalog.pg_export_snapshot()"},
    {Sql::kSnapshotJoin, "SET TRANSACTION SNAPSHOT {snapshot}"},
    {Sql::kSlotAtSnapshot, "CREATE_REPLICATION_SLOT {slot} LOGICAL pgoutput USE_SNAPSHOT"},
    {Sql::kSlotWithoutSnapshot,
     "CREATE_REPLICATION_SLOT {slot} LOGICAL pgoutput NOEXPORT_SNAPSHOT"},
    {Sql::kSnapshotRows, "SELECT {columns} FROM {table}{filter}"},
    {Sql::kStartReplication,
     "START_REPLICATION SLOT {slot} LOGICAL {lsn} (proto_version '1', publication_names {names})"},
    {Sql::kTruncate, "TRUNCATE TABLE {table}"},
    {Sql::kCreateSources,
     "CREATE TABLE IF NOT EXISTS {schema}.pgsink_sources (sink_id text NOT NULL,"
     " slot text NOT NULL, server text NOT NULL, seen numeric(20,0) NOT NULL,"
     " published text NOT NULL, updated_at timestamptz NOT NULL, PRIMARY KEY (sink_id, slot))"
     " WITH (fillfactor = 50)"},
    {Sql::kReadSource,
     "SELECT s.server, s.seen, s.published FROM {table} AS s"
     " WHERE s.sink_id = {sink} AND s.slot = {slot}"},
    {Sql::kWriteSource,
     "INSERT INTO {table} AS s (sink_id, slot, server, seen, published, updated_at)"
     " VALUES ({sink}, {slot}, {server}, {seen}, {published}, clock_timestamp())"
     // A former run that still writes must not move it back.
     " ON CONFLICT (sink_id, slot) DO UPDATE SET server = excluded.server,"
     " seen = CASE s.server WHEN excluded.server THEN greatest(s.seen, excluded.seen)"
     " ELSE excluded.seen END, published = excluded.published, updated_at = excluded.updated_at"},
    {Sql::kSchemaExists,
     "SELECT EXISTS (SELECT FROM pg_namespace AS n WHERE n.nspname = {schema})"},
    {Sql::kCreateSchema, "CREATE SCHEMA IF NOT EXISTS {schema}"},
    {Sql::kIsEmpty, "SELECT NOT EXISTS (SELECT FROM {table})"},
});

}  // namespace pgsink
