#include "pgsink/replication/source_setup.h"

#include <algorithm>
#include <utility>

#include "pgsink/client/catalog.h"
#include "pgsink/options/open_retry.h"
#include "pgsink/options/server.h"
#include "pgsink/replication/publication.h"
#include "pgsink/source.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

/// Which columns and rows of the table the publication shows.
Status read_published(const SinkOptions& options, const CatalogTable& table, Connection& connection,
                      Deadline deadline, SourceSetup& setup) {
  Quoted quoted;
  const std::string publication = quoted.literal(options.publication);
  const std::string schema = quoted.literal(table.schema);
  const std::string name = quoted.literal(table.name);
  if (!quoted.status()) return quoted.status();
  constexpr int kColumnLists = 150000;
  constexpr int kGeneratedColumns = 180000;
  const Sql question =
      connection.server().version >= kColumnLists ? Sql::kPublished : Sql::kPublishedBefore15;
  const auto shown =
      run_control(connection, sql_text(question, {publication, schema, name}), deadline);
  if (!shown) return fail(shown.error());
  if (shown->rows.empty()) {
    return fail(Errc::kReplication, "publication \"" + options.publication +
                                        "\" does not show changes under the name " + table.schema +
                                        "." + table.name +
                                        ": if that is a partition, use the table it belongs to");
  }
  setup.filter = cell(*shown, 0, 0);
  const CatalogIndex* primary = table.primary_key();
  for (const CatalogColumn& column : table.columns) {
    const bool listed = std::ranges::any_of(
        shown->rows, [&](const auto& row) { return !row[1] || *row[1] == column.name; });
    const bool generated = column.generated != CatalogColumn::Generated::kNo;
    if (!listed || (generated && connection.server().version < kGeneratedColumns)) continue;
    for (const auto reserved : {kOperationColumn, kLsnColumn, kCommitTimeColumn}) {
      if (column.name != reserved) continue;
      return fail(Errc::kColumnAmbiguous, "table " + table.schema + "." + table.name +
                                              " has a column \"" + column.name +
                                              "\", a name that a source's rows need");
    }
    const bool key = primary != nullptr &&
                     std::ranges::find(primary->columns, column.number) != primary->columns.end();
    setup.table.columns.push_back({column.name, column.type_oid, key});
  }
  return {};
}

Status read_state(const SinkOptions& options, Connection& connection, Deadline deadline,
                  SourceSetup& setup) {
  auto state = read_publication(connection, options.publication, setup.table.oid, deadline);
  if (!state) return fail(state.error());
  setup.published = std::move(*state);
  if (setup.published.actions == kAllActions) return {};
  setup.warnings.push_back("connection \"" + options.connection_name + "\": publication \"" +
                           options.publication +
                           "\" shows only these actions: " + setup.published.actions +
                           "; all others are missing in the target: ALTER PUBLICATION … SET "
                           "(publish = '" +
                           std::string(kAllActions) + "')");
  return {};
}

Status read_warnings(const SinkOptions& options, const CatalogTable& table, Connection& connection,
                     Deadline deadline, SourceSetup& setup) {
  const auto large =
      run_control(connection, sql_text(Sql::kLargeValues, {std::to_string(table.oid)}), deadline);
  if (!large) return fail(large.error());
  if (setup.partitioned || large->rows.empty() || cell(*large, 0, 0) == "f" ||
      cell(*large, 0, 1) != "t") {
    return {};
  }
  setup.warnings.push_back(
      "connection \"" + options.connection_name + "\": table " + table.schema + "." + table.name +
      " has columns whose large values the server leaves out of updates that do not change them, "
      "and then the source stops: ALTER TABLE … REPLICA IDENTITY FULL, if it has such values and "
      "is updated");
  return {};
}

Status check_source(const SinkOptions& options) {
  if (options.type != ConnectionType::kSource) {
    return fail(Errc::kUsage, "Source::open: the options are a sink's: type = 'source'");
  }
  if (auto faults = check_options(options); !faults.empty()) return fail(faults.front());
  return {};
}

}  // namespace

Result<SourceSetup> find_source(const SinkOptions& options, Env& env, bool changes) {
  if (auto fits = check_source(options); !fits) return fail(fits.error());
  SourceSetup setup;
  auto connect = to_connect_options(options, env.files);
  if (!connect) return fail(connect.error());
  setup.connect = std::move(*connect);
  const auto open = [&] { return Connection::open(env, setup.connect); };
  // Without changes it is a check.
  auto connection = changes ? OpenRetry(options, env).run(open) : open();
  if (!connection) {
    return fail(changes ? connection.error() : not_retried(options, env, connection.error()));
  }
  if ((*connection)->server().in_recovery) {
    return fail(Errc::kReplication,
                "the server is a standby, and a source needs the primary: give the primary's host, "
                "or several hosts and target_session_attrs = 'read-write'");
  }
  const Deadline deadline = env.clock.now() + kAskTimeout;
  const auto table = read_table(**connection, options.schema, options.table, deadline);
  if (!table) return fail(table.error());
  setup.table.schema = table->schema;
  setup.table.name = table->name;
  setup.table.oid = table->oid;
  setup.partitioned = table->kind == CatalogTable::Kind::kPartitioned;
  if (!changes) {
    const Status ready = check_replication(options, *table, **connection, deadline);
    return ready ? Result<SourceSetup>(std::move(setup)) : fail(ready.error());
  }
  std::vector<std::string> made;
  Status ready = ensure_publication(options, *table, **connection, deadline, &made);
  for (const std::string& one : made) {
    setup.warnings.push_back("connection \"" + options.connection_name + "\": " + one);
  }
  // Read before the columns: what changes after this is noticed.
  if (ready) ready = read_state(options, **connection, deadline, setup);
  if (ready) ready = read_published(options, *table, **connection, deadline, setup);
  if (ready) ready = read_warnings(options, *table, **connection, deadline, setup);
  return ready ? Result<SourceSetup>(std::move(setup)) : fail(ready.error());
}

}  // namespace pgsink
