#include "pgsink/sink/sql.h"

#include <array>

namespace pgsink {
namespace {

struct Template {
  Sql id;
  std::string_view text;
};

// READ WRITE: the role's default_transaction_read_only must not turn a sink into a failure.
constexpr std::array<Template, 29> kTemplates{{
    {Sql::kBegin, "BEGIN ISOLATION LEVEL {isolation} READ WRITE"},
    {Sql::kIdentify,
     "SELECT pg_catalog.pg_current_xact_id(), pg_catalog.pg_backend_pid(), ''::pg_catalog.text"},
    {Sql::kIdentifyPooled,
     "SELECT pg_catalog.pg_current_xact_id(), a.pid, a.backend_start"
     " FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) AS a"},
    {Sql::kSetRole, "SET LOCAL ROLE {role}"},
    {Sql::kSetVariable, "SELECT pg_catalog.set_config({name}, {value}, true)"},
    {Sql::kStatementTimeout, "SET LOCAL statement_timeout = {milliseconds}"},
    {Sql::kLockTimeout, "SET LOCAL lock_timeout = {milliseconds}"},
    {Sql::kCopyIn, "COPY {table} ({columns}) FROM STDIN (FORMAT binary)"},
    {Sql::kCommit, "COMMIT"},
    {Sql::kXactStatus, "SELECT pg_catalog.pg_xact_status($1::pg_catalog.xid8)"},
    {Sql::kRollback, "ROLLBACK"},
    // A session setting rolls back with its transaction, so it is that of the last flight that
    // committed.
    {Sql::kSetFlight, "SELECT pg_catalog.set_config('pgsink.flight', '{number}', false)"},
    {Sql::kGuard,
     "SELECT 1 / (pg_catalog.current_setting('pgsink.flight')::pg_catalog.int8 = {before})"
     "::pg_catalog.int4, pg_catalog.set_config('pgsink.flight', '{number}', false)"},
    // Above some thousand rows the planner would rather hash and read the target from end to end.
    // A plan that must scan all the same (the staging table) then looks so dear that it would be
    // compiled, which takes longer than running it.
    {Sql::kIndexOnly,
     "SELECT pg_catalog.set_config('enable_hashjoin', 'off', true),"
     " pg_catalog.set_config('enable_mergejoin', 'off', true),"
     " pg_catalog.set_config('enable_seqscan', 'off', true),"
     " pg_catalog.set_config('jit', 'off', true)"},
    {Sql::kStage,
     "CREATE TEMPORARY TABLE pgsink_staging ON COMMIT DELETE ROWS AS"
     " SELECT {columns} FROM {table} WITH NO DATA"},
    {Sql::kStageOnce,
     "CREATE TEMPORARY TABLE pgsink_staging ON COMMIT DROP AS"
     " SELECT {columns} FROM {table} WITH NO DATA"},
    {Sql::kStaged, "pg_temp.pgsink_staging"},
    {Sql::kUnnested, "ROWS FROM ({unnests}) WITH ORDINALITY AS given({columns})"},
    {Sql::kUnnest, "pg_catalog.unnest(${number})"},
    {Sql::kLastOfKey,
     "SELECT DISTINCT ON ({keys}) {columns} FROM {source} ORDER BY {keys}, {order}"},
    {Sql::kInsertSelect,
     "INSERT INTO {table} AS target ({columns}){overriding} SELECT {columns} FROM {rows}"},
    {Sql::kOnConflictUpdate, " ON CONFLICT ({keys}) DO UPDATE SET {assignments}{condition}"},
    {Sql::kOnConflictNothing, " ON CONFLICT{target} DO NOTHING"},
    {Sql::kNewer,
     " WHERE target.{column} < EXCLUDED.{column}"
     " OR (target.{column} IS NULL AND EXCLUDED.{column} IS NOT NULL)"},
    {Sql::kUpdateFrom,
     "UPDATE {table} AS target SET {assignments} FROM ({rows}) AS given WHERE {match}"},
    {Sql::kDeleteAny, "DELETE FROM {table} WHERE {key} = ANY ($1)"},
    {Sql::kDeleteUsing, "DELETE FROM {table} AS target USING ({rows}) AS given WHERE {match}"},
    // The rows that are there are locked first, in the order of their keys: deletes and upserts
    // take their locks one kind after the other, and two sinks could wait for each other.
    {Sql::kApplyChanges,
     "WITH given AS MATERIALIZED ({rows}), present AS MATERIALIZED (SELECT FROM {table} AS target"
     " JOIN given ON {match} ORDER BY {keys} FOR UPDATE OF target), locked AS MATERIALIZED"
     " (SELECT pg_catalog.count(*) FROM present), gone AS (DELETE FROM {table} AS target"
     " USING given, locked WHERE {match} AND given.{change} = 'D')"
     " {insert}"},
    {Sql::kChangedRows, "given, locked WHERE given.{change} <> 'D'"},
}};

consteval bool ids_are_indexes() {
  for (size_t i = 0; i < kTemplates.size(); ++i) {
    if (static_cast<size_t>(kTemplates[i].id) != i) return false;
  }
  return true;
}
static_assert(ids_are_indexes());

}  // namespace

std::string sql_text(Sql id, std::initializer_list<std::string_view> arguments) {
  std::string_view rest = kTemplates[static_cast<size_t>(id)].text;
  std::string text;
  for (const std::string_view argument : arguments) {
    const size_t open = rest.find('{');
    const size_t close = rest.find('}', open);
    PGPROTO_ASSERT(close != std::string_view::npos);
    text.append(rest.substr(0, open)).append(argument);
    rest.remove_prefix(close + 1);
  }
  PGPROTO_ASSERT(rest.find('{') == std::string_view::npos);
  return text.append(rest);
}

}  // namespace pgsink
