#pragma once
// The templates of jobs, which follow those of replication_sql.h in the order of their ids.

#include <array>

#include "pgsink/sql/template.h"

namespace pgsink {

inline constexpr auto kJobTemplates = std::to_array<Template>({
    {Sql::kJobClaim,
     "INSERT INTO {table} AS j SELECT {sink}, 0, {host}, {writer}, '', " PGSINK_WRITER_NAME
     ", now(), {table oid} FROM pg_stat_get_activity(pg_backend_pid()) AS a"
     " ON CONFLICT (sink_id) DO UPDATE SET writer = excluded.writer,"
     " writer_name = excluded.writer_name, updated_at = excluded.updated_at,"
     " table_oid = excluded.table_oid,"
     " host = CASE WHEN j.host = '' THEN excluded.host ELSE j.host END"
     " WHERE (excluded.host = '' OR j.host IN ('', excluded.host))"
     " AND (NOT {numbered} OR j.epoch = 0 OR j.table_oid = excluded.table_oid) RETURNING epoch"},
    {Sql::kJobRead,
     "SELECT j.epoch, j.host, j.writer, j.decided_by, j.writer_name, j.table_oid,"
     " pg_catalog.array_to_string(j.prepared, ' ')"
     " FROM {table} AS j WHERE j.sink_id OPERATOR(pg_catalog.=) {sink}"},
    {Sql::kJobLock,
     "SELECT j.epoch, j.host, j.writer, j.decided_by, j.writer_name, j.table_oid,"
     " pg_catalog.array_to_string(j.prepared, ' ')"
     " FROM {table} AS j WHERE j.sink_id OPERATOR(pg_catalog.=) {sink} FOR UPDATE"},
    {Sql::kJobDecide,
     "UPDATE {table} SET epoch = {epoch}, host = CASE host WHEN '' THEN {host} ELSE host END,"
     " decided_by = {writer}, updated_at = pg_catalog.now(), prepared = {gids}"
     " WHERE sink_id OPERATOR(pg_catalog.=) {sink}"},
    {Sql::kJobSettled,
     "UPDATE {table} SET prepared = ARRAY[]::text[] WHERE sink_id = {sink} AND prepared = {gids}"},
    {Sql::kJobStages,
     "SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
     " WHERE n.nspname = {schema} AND starts_with(c.relname::text, {prefix})"
     " AND c.relkind = 'r' AND c.relpersistence = 'u' ORDER BY 1"},
    {Sql::kJobStage,
     "CREATE UNLOGGED TABLE {stage} WITH (autovacuum_enabled = off) AS SELECT {columns}"
     " FROM {table} WITH NO DATA"},
    {Sql::kJobStageNotNull, "ALTER TABLE {stage} ALTER COLUMN {column} SET NOT NULL"},
    {Sql::kJobDrop, "DROP TABLE IF EXISTS {stage}"},
    {Sql::kJobAbandon,
     "UPDATE {table} SET writer = '', updated_at = now()"
     " WHERE sink_id = {sink} AND writer = {writer} AND decided_by <> writer"},
    {Sql::kJobTables,
     "SELECT n.nspname FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n"
     " ON n.oid = c.relnamespace WHERE c.relname = 'pgsink_jobs' AND c.relkind = 'r'"
     " AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"
     " ORDER BY n.nspname"},
    {Sql::kJobList,
     "SELECT j.sink_id, j.epoch, j.writer, j.decided_by, j.writer_name,"
     " to_char(j.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),"
     " array_to_string(j.prepared, ' ')"
     " FROM {table} AS j ORDER BY j.sink_id"},
    {Sql::kJobStageList,
     "SELECT c.relname, pg_get_userbyid(c.relowner), pg_total_relation_size(c.oid), c.oid"
     " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
     " WHERE n.nspname = {schema} AND starts_with(c.relname::text, {prefix})"
     " AND c.relkind = 'r' AND c.relpersistence = 'u' ORDER BY 1"},
    {Sql::kTableUsers,
     "SELECT l.pid, a.backend_start, a.usesysid, a.application_name,"
     " coalesce(host(a.client_addr), 'the local socket') FROM pg_catalog.pg_locks AS l"
     " LEFT JOIN pg_stat_get_activity(NULL) AS a ON a.pid = l.pid WHERE l.locktype = 'relation'"
     " AND l.relation = {oid} AND l.pid IS NOT NULL AND l.pid <> pg_backend_pid()"},
    {Sql::kJobCount,
     "SELECT pg_catalog.count(*) FROM {stage}"
     " WHERE {part} OPERATOR(pg_catalog.=) ANY ('{parts}'::pg_catalog.int8[])"},
    {Sql::kJobRows,
     "WITH pgsink_staged AS (SELECT * FROM {stage}"
     " WHERE {part} OPERATOR(pg_catalog.=) ANY ('{parts}'::pg_catalog.int8[])) "},
    {Sql::kJobSource, "pgsink_staged AS given"},
    {Sql::kPartsPrepared,
     "SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_xacts AS p"
     " WHERE p.database OPERATOR(pg_catalog.=) pg_catalog.current_database()"
     " AND p.gid OPERATOR(pg_catalog.=) ANY ({gids})"},
    // As kGenerationGuard.
    {Sql::kPartGuard,
     "INSERT INTO {table} (sink_id) SELECT {sink} WHERE NOT EXISTS (SELECT FROM {table} AS j"
     " WHERE j.sink_id OPERATOR(pg_catalog.=) {sink}"
     " AND j.writer OPERATOR(pg_catalog.=) {writer}"
     " AND j.decided_by OPERATOR(pg_catalog.<>) j.writer)"},
});

}  // namespace pgsink
