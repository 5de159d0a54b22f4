#include "pgsink/sql/control.h"

#include <array>
#include <charconv>
#include <tuple>
#include <utility>

#include <pgproto/quote.h>

#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

struct Shape {
  std::string_view name;
  Sql create;
  std::string_view columns;  ///< In the format of kTableShape.
  // The columns if an earlier version created the table, without its last columns:
  Sql upgrade;
  std::string_view columns_before;
};
constexpr std::array<Shape, 6> kShapes{{
    {"pgsink_epochs", Sql::kCreateEpochs,
     "sink_id text, lane integer, epoch bigint, host_position numeric(20,0), writer text, "
     "writer_name text, updated_at timestamp with time zone, host_proof text, table_oid oid, "
     "routing text",
     Sql::kUpgradeEpochs,
     "sink_id text, lane integer, epoch bigint, host_position numeric(20,0), writer text, "
     "writer_name text, updated_at timestamp with time zone"},
    {"pgsink_writers", Sql::kCreateWriters,
     "sink_id text, generation bigint, epoch numeric(20,0), host_position numeric(20,0), "
     "gid_prefixes text[], writer_name text, claimed_at timestamp with time zone, "
     "host_proof text, table_oid oid",
     Sql::kUpgradeWriters,
     "sink_id text, generation bigint, epoch numeric(20,0), host_position numeric(20,0), "
     "gid_prefixes text[], writer_name text, claimed_at timestamp with time zone"},
    {"pgsink_decisions", Sql::kCreateDecisions,
     "sink_id text, epoch numeric(20,0), host_position numeric(20,0), decided boolean, "
     "gids text[], recorded_at timestamp with time zone, host_proof text",
     Sql::kUpgradeDecisions,
     "sink_id text, epoch numeric(20,0), host_position numeric(20,0), decided boolean, "
     "gids text[], recorded_at timestamp with time zone"},
    // There is no earlier version of it.
    {"pgsink_sources", Sql::kCreateSources,
     "sink_id text, slot text, server text, seen numeric(20,0), published text, "
     "updated_at timestamp with time zone",
     Sql::kCreateSources, ""},
    // No earlier version had it.
    {"pgsink_offsets", Sql::kCreateOffsets,
     "sink_id text, stream text, position numeric(20,0), writer text, writer_name text, "
     "updated_at timestamp with time zone, table_oid oid",
     Sql::kCreateOffsets, ""},
    {"pgsink_jobs", Sql::kCreateJobs,
     "sink_id text, epoch numeric(20,0), host text, writer text, decided_by text, "
     "writer_name text, updated_at timestamp with time zone, table_oid oid, prepared text[]",
     Sql::kUpgradeJobs,
     "sink_id text, epoch numeric(20,0), host text, writer text, decided_by text, "
     "writer_name text, updated_at timestamp with time zone, table_oid oid"},
}};
// If an attempt fails because another session created the table, the next one finds it.
constexpr int kCreateAttemptsMax = 5;
// How long an upgrade waits for writers of an earlier version.
constexpr int64_t kUpgradeMs = 5000;

const Shape& shape_of(ControlTable table) { return kShapes[static_cast<size_t>(table)]; }

/// Adds the columns that the table of an earlier version lacks. Writers of that version continue
/// meanwhile. One with a long transaction is waited for, but not for long, because other sessions
/// queue for the lock.
Status upgrade(Connection& connection, std::string_view schema, const Shape& shape,
               Deadline deadline) {
  Quoted quoted;
  const std::string statement = sql_text(shape.upgrade, {quoted.identifier(schema)});
  if (!quoted.status()) return quoted.status();
  const auto done = run_control(
      connection, sql_text(Sql::kLockTimeout, {std::to_string(kUpgradeMs)}) + "; " + statement,
      deadline);
  if (done || (!connection.broken() && lost_creation_race(done.error()))) return {};
  Error error = done.error();
  const std::string table = "table " + std::string(schema) + "." + std::string(shape.name) +
                            " is of an earlier version of pgsink and lacks columns: ";
  if (error.sqlstate == "42501") {
    error.code = Errc::kPrivilege;
    error.message = table + error.message + "; let its owner run: " + statement;
  } else if (error.sqlstate == "55P03") {
    error.message = table +
                    "another writer's transaction holds it; open this sink again when "
                    "that has ended, or run: " +
                    statement;
  }
  return fail(std::move(error));
}

/// `schema` is quoted.
Error may_not_create(const Error& cause, const std::string& schema, const Shape& shape,
                     const std::string& statement, const std::string& role) {
  Error error = cause;
  error.code = Errc::kPrivilege;
  const std::string table = schema + "." + std::string(shape.name);
  error.message = "table " + table + " is missing and cannot be created (" + cause.message +
                  "): GRANT CREATE ON SCHEMA " + schema + " TO " + role +
                  ", or let the owner of the schema run: " + statement +
                  "; GRANT SELECT, INSERT, UPDATE, DELETE ON " + table + " TO " + role;
  return error;
}

}  // namespace

bool lost_creation_race(const Error& error) {
  return error.sqlstate == "23505" || error.sqlstate == "42P07" || error.sqlstate == "42710" ||
         error.sqlstate == "XX000";  // "tuple concurrently updated"
}

std::string_view control_table_name(ControlTable table) { return shape_of(table).name; }

Status ensure_control_table(Connection& connection, std::string_view schema, ControlTable table,
                            Deadline deadline) {
  const Shape& shape = shape_of(table);
  Quoted quoted;
  const std::string look =
      sql_text(Sql::kTableShape, {quoted.literal(schema), quoted.literal(shape.name)});
  const std::string quoted_schema = quoted.identifier(schema);
  const std::string create = sql_text(shape.create, {quoted_schema});
  if (!quoted.status()) return quoted.status();
  for (int attempt = 0; attempt < kCreateAttemptsMax; ++attempt) {
    const auto found = run_control(connection, look, deadline);
    if (!found) return fail(found.error());
    if (!found->rows.empty()) {
      const bool is_table = cell(*found, 0, 0) == "r";
      if (is_table && cell(*found, 0, 1) == shape.columns) return {};
      if (is_table && cell(*found, 0, 1) == shape.columns_before) {
        if (auto done = upgrade(connection, schema, shape, deadline); !done) return done;
        continue;
      }
      return fail(Errc::kControlTable,
                  "table " + std::string(schema) + "." + std::string(shape.name) +
                      " is not the one that pgsink keeps under that name: it has (" +
                      cell(*found, 0, 1) + ") instead of (" + std::string(shape.columns) +
                      "); rename it");
    }
    const auto created = run_control(connection, create, deadline);
    if (created || (!connection.broken() && lost_creation_race(created.error()))) continue;
    if (created.error().sqlstate == "42501") {
      return fail(may_not_create(created.error(), quoted_schema, shape, create,
                                 role_to_grant(connection, "", deadline)));
    }
    return fail(created.error());
  }
  return fail(Errc::kControlTable, "table " + std::string(schema) + "." + std::string(shape.name) +
                                       " is created and dropped again and again by other sessions");
}

Result<QueryResult> run_control(Connection& connection, std::string_view statements,
                                Deadline deadline, bool durable) {
  std::string text = sql_text(Sql::kControlBegin) + "; ";
  if (durable) text += sql_text(Sql::kDurable) + "; ";
  text.append(statements).append("; ").append(sql_text(Sql::kCommit));
  auto result = connection.query(text, deadline);
  if (connection.broken()) return result;
  if (connection.session().transaction_status() != pgproto::ReadyForQuery::Status::kIdle) {
    std::ignore = connection.query(sql_text(Sql::kAbandon), deadline);
  }
  if (result && result->tag != "COMMIT") {
    return fail(Errc::kRolledBack, "the server answered COMMIT with " + result->tag);
  }
  return result;
}

std::string role_to_grant(Connection& connection, std::string_view set_role, Deadline deadline) {
  const auto found =
      connection.broken()
          ? Result<QueryResult>(fail(Errc::kConnectionLost, "the connection broke"))
          : run_control(connection, std::string(set_role) + sql_text(Sql::kCurrentRole), deadline);
  if (!found || found->rows.empty()) return "the role";
  Quoted quoted;
  const std::string role = quoted.identifier(cell(*found, 0, 0));
  return quoted.status() ? role : "the role";
}

Result<std::string> sql_array(std::span<const std::string> texts) {
  std::string list = "ARRAY[";
  for (const std::string& text : texts) {
    const auto quoted = pgproto::quote_literal(text);
    if (!quoted) return fail(quoted.error());
    if (list.back() != '[') list += ", ";
    list += *quoted;
  }
  return list + "]::pg_catalog.text[]";
}

std::string Quoted::keep(Result<std::string> quoted) {
  if (quoted) return *std::move(quoted);
  if (status_) status_ = fail(std::move(quoted.error()));
  return {};
}

std::string Quoted::identifier(std::string_view name) {
  return keep(pgproto::quote_identifier(name));
}

std::string Quoted::literal(std::string_view text) { return keep(pgproto::quote_literal(text)); }

uint64_t parse_number(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string cell(const QueryResult& result, size_t row, size_t column) {
  return result.rows[row][column].value_or("");
}

}  // namespace pgsink
