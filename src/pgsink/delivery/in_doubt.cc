#include "pgsink/delivery/in_doubt.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

#include "pgsink/delivery/gid.h"
#include "pgsink/delivery/job_rows.h"
#include "pgsink/delivery/prepared_parts.h"
#include "pgsink/delivery/writer_sessions.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

struct KnownSink {
  std::string schema, sink_id, prefix, writer;
  std::optional<std::string> open_claim{};  ///< Of a job; "": none that may still decide.
};
struct KnownGid {
  std::string sink_id;
  uint64_t epoch = 0;
  bool decided = false;
};

/// The session that writes for a sink now; "" if none does.
Result<std::string> current_writer(Connection& connection, const std::string& schema,
                                   const std::string& sink_id, Deadline deadline) {
  const uint64_t key = writer_lock_key(schema, sink_id);
  return find_session(
      connection,
      sql_text(Sql::kWriterSessions,
               {std::to_string(key >> 32), "=", std::to_string(key & 0xffffffffU), kBothForms}),
      deadline);
}

Status read_schema(Connection& connection, const std::string& schema, std::vector<KnownSink>& sinks,
                   std::map<std::string, KnownGid>& gids, Deadline deadline) {
  Quoted quoted;
  const std::string name = quoted.identifier(schema);
  if (!quoted.status()) return quoted.status();
  const auto rows = run_control(connection, sql_text(Sql::kSinkList, {name}), deadline);
  if (!rows) return fail(rows.error());
  for (size_t i = 0; i < rows->rows.size(); ++i) {
    KnownSink sink{schema, cell(*rows, i, 0), cell(*rows, i, 1), {}};
    auto writer = current_writer(connection, schema, sink.sink_id, deadline);
    if (!writer) return fail(writer.error());
    sink.writer = *std::move(writer);
    sinks.push_back(std::move(sink));
  }
  const auto listed = run_control(connection, sql_text(Sql::kDecisionList, {name}), deadline);
  if (!listed) return fail(listed.error());
  for (size_t i = 0; i < listed->rows.size(); ++i) {
    gids[cell(*listed, i, 3)] = {cell(*listed, i, 0), parse_number(cell(*listed, i, 1)),
                                 cell(*listed, i, 2) == "t"};
  }
  return {};
}

/// Reads the jobs of one schema.
Status read_jobs(Connection& connection, const std::string& schema, const std::string& database,
                 std::vector<KnownSink>& sinks, std::map<std::string, KnownGid>& gids,
                 Deadline deadline) {
  const auto table = JobRows::create(schema, "");
  if (!table) return fail(table.error());
  const auto rows = run_control(connection, sql_text(Sql::kJobList, {table->table()}), deadline);
  if (!rows) return fail(rows.error());
  for (size_t i = 0; i < rows->rows.size(); ++i) {
    const std::string sink_id = cell(*rows, i, 0);
    const std::string claim = cell(*rows, i, 2);
    auto writer = find_session(connection, PreparedParts::sessions_sql(schema, sink_id), deadline);
    if (!writer) return fail(writer.error());
    sinks.push_back({.schema = schema,
                     .sink_id = sink_id,
                     .prefix = PreparedParts::prefix_of(database, schema, sink_id),
                     .writer = *std::move(writer),
                     .open_claim = claim == cell(*rows, i, 3) ? "" : claim});
    std::istringstream decided(cell(*rows, i, 6));
    for (std::string gid; decided >> gid;) {
      gids[gid] = {sink_id, parse_number(cell(*rows, i, 1)), true};
    }
  }
  return {};
}

Status read_all_jobs(Connection& connection, std::vector<KnownSink>& sinks,
                     std::map<std::string, KnownGid>& gids, Deadline deadline) {
  const auto schemas = run_control(connection, sql_text(Sql::kJobTables), deadline);
  if (!schemas) return fail(schemas.error());
  if (schemas->rows.empty()) return {};
  const auto database = connection.query(sql_text(Sql::kDatabase), deadline);
  if (!database) return fail(database.error());
  for (size_t i = 0; i < schemas->rows.size(); ++i) {
    const Status read =
        read_jobs(connection, cell(*schemas, i, 0), database->scalar(), sinks, gids, deadline);
    if (!read) return read;
  }
  return {};
}

}  // namespace

Result<std::vector<InDoubt>> list_in_doubt(Connection& connection, Deadline deadline) {
  const auto schemas = run_control(connection, sql_text(Sql::kSinkTables), deadline);
  if (!schemas) return fail(schemas.error());
  std::vector<KnownSink> sinks;
  std::map<std::string, KnownGid> gids;
  for (size_t i = 0; i < schemas->rows.size(); ++i) {
    if (auto read = read_schema(connection, cell(*schemas, i, 0), sinks, gids, deadline); !read) {
      return fail(read.error());
    }
  }
  if (auto read = read_all_jobs(connection, sinks, gids, deadline); !read) {
    return fail(read.error());
  }
  const auto rows = run_control(connection, sql_text(Sql::kPreparedAll), deadline);
  if (!rows) return fail(rows.error());
  std::vector<InDoubt> found;
  for (size_t i = 0; i < rows->rows.size(); ++i) {
    const std::string gid = cell(*rows, i, 0);
    const auto sink = std::ranges::find_if(
        sinks, [&](const KnownSink& one) { return gid.starts_with(one.prefix); });
    if (sink == sinks.end()) continue;
    InDoubt one{.transaction = {gid, cell(*rows, i, 1)},
                .prepared_at = cell(*rows, i, 2),
                .schema = sink->schema,
                .sink_id = sink->sink_id,
                .epoch = {},
                .writer = sink->writer,
                .of_job = sink->open_claim.has_value()};
    if (one.of_job) {
      const std::string_view claim = PreparedParts::claim_of_gid(gid, sink->prefix);
      one.ended = claim != *sink->open_claim;
    }
    if (const auto known = gids.find(gid); known != gids.end()) {
      one.epoch = known->second.epoch;
      one.decided = known->second.decided;
    }
    found.push_back(std::move(one));
  }
  return found;
}

}  // namespace pgsink
