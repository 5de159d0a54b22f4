#include "pgsink/delivery/in_doubt.h"

#include <algorithm>
#include <map>
#include <utility>

#include "pgsink/delivery/gid.h"
#include "pgsink/delivery/writer_sessions.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

struct KnownSink {
  std::string schema, sink_id, prefix, writer;
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
  const auto rows = run_control(
      connection,
      sql_text(Sql::kWriterSessions,
               {std::to_string(key >> 32), "=", std::to_string(key & 0xffffffffU), kBothForms}),
      deadline);
  if (!rows) return fail(rows.error());
  if (rows->rows.empty()) return std::string();
  std::string text = "server process " + cell(*rows, 0, 0);
  if (!cell(*rows, 0, 3).empty()) {
    text += " of \"" + cell(*rows, 0, 3) + "\" from " + cell(*rows, 0, 4);
  }
  return text;
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
  const auto rows = run_control(connection, sql_text(Sql::kPreparedAll), deadline);
  if (!rows) return fail(rows.error());
  std::vector<InDoubt> found;
  for (size_t i = 0; i < rows->rows.size(); ++i) {
    const std::string gid = cell(*rows, i, 0);
    const auto sink = std::ranges::find_if(
        sinks, [&](const KnownSink& one) { return gid.starts_with(one.prefix); });
    if (sink == sinks.end()) continue;
    InDoubt one{{gid, cell(*rows, i, 1)},
                cell(*rows, i, 2),
                sink->schema,
                sink->sink_id,
                {},
                false,
                sink->writer};
    if (const auto known = gids.find(gid); known != gids.end()) {
      one.epoch = known->second.epoch;
      one.decided = known->second.decided;
    }
    found.push_back(std::move(one));
  }
  return found;
}

}  // namespace pgsink
