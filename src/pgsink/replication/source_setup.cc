#include "pgsink/replication/source_setup.h"

#include <algorithm>
#include <new>
#include <utility>

#include "pgsink/client/catalog.h"
#include "pgsink/options/open_retry.h"
#include "pgsink/options/server.h"
#include "pgsink/replication/publication.h"
#include "pgsink/replication/source_slots.h"
#include "pgsink/source.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

/// Which columns and rows of the table the publication shows.
Status read_published(const SinkOptions& options, const CatalogTable& table, Connection& connection,
                      Deadline deadline, TableSetup& setup) {
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
    for (const auto reserved :
         {kOperationColumn, kLsnColumn, kCommitTimeColumn, kUnchangedColumn}) {
      if (column.name != reserved) continue;
      return fail(Errc::kColumnAmbiguous, "table " + table.schema + "." + table.name +
                                              " has a column \"" + column.name +
                                              "\", a name that a source's rows need");
    }
    const bool key = primary != nullptr &&
                     std::ranges::find(primary->columns, column.number) != primary->columns.end();
    setup.table.columns.push_back(
        {.name = column.name, .type_oid = column.type_oid, .primary = key, .type = {}});
  }
  return {};
}

/// The types as PostgreSQL writes them, for a target that is to be created.
Status read_types(const CatalogTable& table, Connection& connection, Deadline deadline,
                  TableSetup& setup) {
  const auto rows =
      run_control(connection, sql_text(Sql::kColumnTypes, {std::to_string(table.oid)}), deadline);
  if (!rows) return fail(rows.error());
  for (size_t i = 0; i < rows->rows.size(); ++i) {
    const auto column =
        std::ranges::find(setup.table.columns, cell(*rows, i, 0), &SourceTable::Column::name);
    if (column == setup.table.columns.end()) continue;
    column->type = cell(*rows, i, 1);
    column->not_null = cell(*rows, i, 2) == "t";
  }
  return {};
}

Status read_state(const SinkOptions& options, Connection& connection, Deadline deadline,
                  TableSetup& setup) {
  auto state = read_publication(connection, options.publication, setup.table.oid, deadline);
  if (!state) return fail(state.error());
  setup.published = std::move(*state);
  return {};
}

void warn_of_actions(const SinkOptions& options, const PublicationState& published,
                     std::vector<std::string>& warnings) {
  if (published.actions == kAllActions) return;
  warnings.push_back("connection \"" + options.connection_name + "\": publication \"" +
                     options.publication + "\" shows only these actions: " + published.actions +
                     "; all others are missing in the target: ALTER PUBLICATION … SET "
                     "(publish = '" +
                     std::string(kAllActions) + "')");
}

/// Whether updates of the table may leave out large values.
Result<bool> may_leave_out(const TableSetup& setup, Connection& connection, Deadline deadline) {
  const auto large = run_control(
      connection, sql_text(Sql::kLargeValues, {std::to_string(setup.table.oid)}), deadline);
  if (!large) return fail(large.error());
  return !setup.partitioned && !large->rows.empty() && cell(*large, 0, 0) != "f" &&
         cell(*large, 0, 1) == "t";
}

/// One warning, however many tables there are; "" for none.
std::string warning_of_large(const SinkOptions& options, const std::vector<std::string>& tables) {
  constexpr size_t kNamed = 5;
  if (tables.empty()) return {};
  std::string names = tables.front();
  for (size_t i = 1; i < std::min(tables.size(), kNamed); ++i) names += ", " + tables[i];
  if (tables.size() > kNamed) names += " and " + std::to_string(tables.size() - kNamed) + " more";
  const bool one = tables.size() == 1;
  return "connection \"" + options.connection_name + "\": " + (one ? "table " : "tables ") + names +
         (one ? " has" : " have") +
         " columns whose large values the server leaves out of updates that do not change them, "
         "and then the source stops: ALTER TABLE … REPLICA IDENTITY FULL, if it has such values "
         "and is updated";
}

Status check_source(const SinkOptions& options) {
  if (options.type != ConnectionType::kSource) {
    return fail(Errc::kUsage, "Source::open: the options are a sink's: type = 'source'");
  }
  if (auto faults = check_options(options); !faults.empty()) return fail(faults.front());
  return {};
}

/// What must be known of a table that is published. Its name is added to `large` if updates of it
/// may leave out values.
Result<TableSetup> read_setup(const SinkOptions& options, const CatalogTable& table,
                              Connection& connection, Deadline deadline,
                              std::vector<std::string>& large) {
  TableSetup setup;
  setup.table.schema = table.schema;
  setup.table.name = table.name;
  setup.table.oid = table.oid;
  setup.partitioned = table.kind == CatalogTable::Kind::kPartitioned;
  // Read before the columns: what changes after this is noticed.
  Status ready = read_state(options, connection, deadline, setup);
  if (ready) ready = read_published(options, table, connection, deadline, setup);
  if (ready) ready = read_types(table, connection, deadline, setup);
  if (!ready) return fail(ready.error());
  const auto leaves_out = may_leave_out(setup, connection, deadline);
  if (!leaves_out) return fail(leaves_out.error());
  if (*leaves_out) large.push_back(setup.table.full_name());
  setup.schema = source_schema(setup.table, false);
  return setup;
}

Result<TableSetup> publish_table(const SinkOptions& options, const CatalogTable& table,
                                 Connection& connection, Deadline deadline,
                                 std::vector<std::string>& warnings,
                                 std::vector<std::string>& large) {
  std::vector<std::string> made;
  const Status ready = ensure_publication(options, table, connection, deadline, &made);
  for (const std::string& one : made) {
    warnings.push_back("connection \"" + options.connection_name + "\": " + one);
  }
  if (!ready) return fail(ready.error());
  return read_setup(options, table, connection, deadline, large);
}

/// A table of the database that can be published.
struct Candidate {
  TableName name;
  uint32_t oid = 0;
  bool has_identity = false;
};

/// The tables that `tables` names and `tables_exclude` does not.
Result<std::vector<Candidate>> find_tables(const SinkOptions& options, Connection& connection,
                                           Deadline deadline) {
  const auto wanted = TablePatterns::read(options.tables, options.schema);
  const auto left_out = TablePatterns::read(options.tables_exclude, options.schema);
  if (!wanted) return fail(wanted.error());
  if (!left_out) return fail(left_out.error());
  const auto rows = run_control(connection, sql_text(Sql::kTablesThere), deadline);
  if (!rows) return fail(rows.error());
  std::vector<Candidate> found;
  for (size_t i = 0; i < rows->rows.size(); ++i) {
    Candidate one{.name = {.schema = cell(*rows, i, 0), .name = cell(*rows, i, 1)},
                  .oid = static_cast<uint32_t>(parse_number(cell(*rows, i, 2))),
                  .has_identity = cell(*rows, i, 3) == "t"};
    if (!wanted->matches(one.name) || left_out->matches(one.name)) continue;
    found.push_back(std::move(one));
  }
  return found;
}

/// The tables of the option `tables`.
Status find_all(const SinkOptions& options, Connection& connection, Clock& clock, bool changes,
                SourceSetup& setup, std::vector<std::string>& large) {
  const auto soon = [&] { return clock.now() + kAskTimeout; };
  const auto found = find_tables(options, connection, soon());
  if (!found) return fail(found.error());
  if (found->empty()) {
    return fail(Errc::kNoSuchTable,
                "tables: no table of this database has such a name: " + options.tables);
  }
  const auto there = SourceSlots(options.replication_slot, clock).find(connection);
  if (!there) return fail(there.error());
  for (const Candidate& one : *found) {
    if (!one.has_identity) return no_identity(one.name);
    const auto table = read_table(connection, one.name.schema, one.name.name, soon());
    if (!table) return fail(table.error());
    const auto state = read_publication(connection, options.publication, table->oid, soon());
    if (!state) return fail(state.error());
    const bool added_later = there->slot && !state->publication_oid.empty() && state->shown != "t";
    if (added_later) continue;
    if (!changes) {
      const Status ready = check_replication(options, *table, connection, soon());
      if (!ready) return ready;
      continue;
    }
    auto ready = publish_table(options, *table, connection, soon(), setup.warnings, large);
    if (!ready) return fail(ready.error());
    setup.tables.push_back(std::move(*ready));
  }
  return {};
}

}  // namespace

SourceTableInfo info_of(const TableSetup& setup) {
  SourceTableInfo info{
      .schema = setup.table.schema, .name = setup.table.name, .columns = {}, .rows = setup.schema};
  for (const auto& column : setup.table.columns) {
    info.columns.push_back({column.name, column.type, column.not_null, column.primary});
  }
  return info;
}

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
  std::vector<std::string> large;
  if (!options.tables.empty()) {
    const Status ready = find_all(options, **connection, env.clock, changes, setup, large);
    if (!ready) return fail(ready.error());
  } else {
    const Deadline deadline = env.clock.now() + kAskTimeout;
    const auto table = read_table(**connection, options.schema, options.table, deadline);
    if (!table) return fail(table.error());
    if (!changes) {
      const Status ready = check_replication(options, *table, **connection, deadline);
      return ready ? Result<SourceSetup>(std::move(setup)) : fail(ready.error());
    }
    auto ready = publish_table(options, *table, **connection, deadline, setup.warnings, large);
    if (!ready) return fail(ready.error());
    setup.tables.push_back(std::move(*ready));
  }
  if (!setup.tables.empty()) {
    warn_of_actions(options, setup.tables.front().published, setup.warnings);
  }
  setup.stops_at_large_values = warning_of_large(options, large);
  return setup;
}

Result<UnreadTables> find_new_tables(const SinkOptions& options, Connection& connection,
                                     std::span<const TableSetup> known, Deadline deadline) {
  const auto found = find_tables(options, connection, deadline);
  if (!found) return fail(found.error());
  UnreadTables news;
  for (const Candidate& one : *found) {
    const bool is_known = std::ranges::any_of(
        known, [&](const TableSetup& setup) { return setup.table.oid == one.oid; });
    if (!is_known) (one.has_identity ? news.identified : news.unidentified).push_back(one.name);
  }
  return news;
}

std::unexpected<Error> no_identity(const TableName& table) {
  return fail(Errc::kReplication,
              "tables: table " + table.full() +
                  " has no replica identity, so its updates and deletes cannot be sent, and are "
                  "refused while it is published: give it a primary key, or leave it out with "
                  "tables_exclude");
}

Result<TableSetup> read_new_table(const SinkOptions& options, const TableName& name, bool unchanged,
                                  Connection& connection, Deadline deadline,
                                  std::vector<std::string>& warnings) {
  const auto table = read_table(connection, name.schema, name.name, deadline);
  if (!table) return fail(table.error());
  std::vector<std::string> large;
  auto setup = read_setup(options, *table, connection, deadline, large);
  if (!setup) return setup;
  if (unchanged) {
    setup->schema = source_schema(setup->table, true);
  } else if (std::string warning = warning_of_large(options, large); !warning.empty()) {
    warnings.push_back(std::move(warning));
  }
  return setup;
}

Status Source::test(const SinkOptions& options, Env* env) {
  try {
    OsEnv own_env;
    if (env == nullptr) env = &own_env.env();
    const auto found = find_source(options, *env, false);
    return found ? Status() : fail_at(options, found.error());
  } catch (const std::bad_alloc&) {
    return fail(Errc::kOutOfMemory, "out of memory");
  }
}

}  // namespace pgsink
