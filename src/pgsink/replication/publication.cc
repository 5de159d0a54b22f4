#include "pgsink/replication/publication.h"

#include <utility>

#include "pgsink/delivery/check.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

// If an attempt fails because another session created the same object, the next one finds it.
constexpr int kCreateAttemptsMax = 5;
constexpr std::string_view kInsufficientPrivilege = "42501";
constexpr std::string_view kObjectInUse = "55006";
constexpr std::string_view kNoFreeSlot = "53400";
constexpr std::string_view kQueryCanceled = "57014";
constexpr std::string_view kPlugin = "pgoutput";
// A new slot begins when no earlier transaction is running, so creating it waits for them.
constexpr std::string_view kSlotTimeoutMs = "30000";
constexpr Duration kSlotTimeout = std::chrono::seconds(35);
// How often to check whether another session has released what is needed.
constexpr std::string_view kSleepSeconds = "0.1";

/// Facts are the catalog's answers, in the order of kReplicationFacts.
struct Facts {
  enum Column : size_t {
    kWalLevel,
    kDatabase,
    kReplicationRole,
    kOwnsTable,
    kPersistence,
    kReplicaIdentity,
    kMayCreate,
    kPublication,
    kAllTables,
    kOwnsPublication,
    kViaRoot,
    kHoldsTable,
    kSlotType,
    kSlotPlugin,
    kSlotDatabase,
    kSlotTemporary,
    kSlotWal,
    kSlotPosition,
    kMayMark,
    kSlotsMax,
  };
  QueryResult row;

  std::string text(Column column) const { return cell(row, 0, column); }
  bool is(Column column) const { return text(column) == "t"; }
  bool has_publication() const { return !text(kPublication).empty(); }
  bool published() const { return has_publication() && (is(kAllTables) || is(kHoldsTable)); }
  bool has_slot() const { return !text(kSlotType).empty(); }
  /// Another session is creating it at this moment, and may fail to.
  bool slot_comes() const { return text(kSlotType) == "logical" && text(kSlotPosition).empty(); }
};

std::string name_of(const CatalogTable& table) {
  return "table " + table.schema + "." + table.name;
}

Result<Facts> read_facts(const SinkOptions& options, const CatalogTable& table,
                         Connection& connection, Deadline deadline) {
  Quoted quoted;
  const std::string oid = std::to_string(table.oid);
  const std::string publication = quoted.literal(options.publication);
  const std::string slot = quoted.literal(options.replication_slot);
  if (!quoted.status()) return fail(quoted.status().error());
  auto result = run_control(
      connection, sql_text(Sql::kReplicationFacts, {oid, publication, publication, slot, oid}),
      deadline);
  if (!result) return fail(result.error());
  if (result->rows.size() != 1) {
    return fail(Errc::kNoSuchTable, name_of(table) + " was dropped during this check");
  }
  return Facts{std::move(*result)};
}

Status check_server(const SinkOptions& options, const Facts& facts) {
  if (!options.publication.empty() && facts.text(Facts::kWalLevel) != "logical") {
    return fail(Errc::kReplication,
                "publication: logical replication needs wal_level = logical, and the server has " +
                    facts.text(Facts::kWalLevel) +
                    ": ALTER SYSTEM SET wal_level = 'logical', and restart the server");
  }
  if (!options.replication_origin.empty() && facts.text(Facts::kSlotsMax) == "0") {
    return fail(Errc::kReplication,
                "replication_origin: the server's max_replication_slots is 0, which leaves no room "
                "for origins: raise it and restart the server");
  }
  return {};
}

/// An update or delete of a published table fails if its rows have no identity for the server to
/// log.
Status check_identity(const SinkOptions& options, const CatalogTable& table, const Facts& facts) {
  const WriteMode mode = options.write_mode;
  const bool changes = mode != WriteMode::kInsert && mode != WriteMode::kInsertIgnore;
  const std::string identity = facts.text(Facts::kReplicaIdentity);
  const bool none = identity == "n" || (identity == "d" && table.primary_key() == nullptr);
  if (options.type == ConnectionType::kSource || !changes || !none) return {};
  return fail(Errc::kReplication,
              "publication: " + name_of(table) +
                  " has no replica identity, so the server refuses updates and deletes of it while "
                  "it is published: give it a primary key, or ALTER TABLE … REPLICA IDENTITY FULL");
}

Status check_table(const SinkOptions& options, const CatalogTable& table, const Facts& facts) {
  const bool ordinary =
      table.kind == CatalogTable::Kind::kTable || table.kind == CatalogTable::Kind::kPartitioned;
  if (!ordinary || facts.text(Facts::kPersistence) != "p") {
    return fail(Errc::kReplication, "publication: " + name_of(table) +
                                        " cannot be published: only permanent tables (not views, "
                                        "foreign, unlogged or temporary ones) have changes that "
                                        "are in the log");
  }
  return check_identity(options, table, facts);
}

Status check_publication(const SinkOptions& options, const CatalogTable& table,
                         const Facts& facts) {
  const std::string name = "publication \"" + options.publication + "\"";
  if (facts.published()) {
    if (options.type == ConnectionType::kSource && table.kind == CatalogTable::Kind::kPartitioned &&
        !facts.is(Facts::kViaRoot)) {
      return fail(Errc::kReplication,
                  name + " shows the changes of " + name_of(table) +
                      " under the names of its partitions: ALTER PUBLICATION … SET "
                      "(publish_via_partition_root = true)");
    }
    return {};
  }
  if (options.type == ConnectionType::kSource && facts.has_slot()) {
    return fail(Errc::kReplication,
                name +
                    (facts.has_publication() ? " does not hold " + name_of(table) : " is missing") +
                    ", but replication_slot \"" + options.replication_slot +
                    "\" was read before, up to " + facts.text(Facts::kSlotPosition) +
                    ": changes of the table after that may be lost. For a new snapshot empty the "
                    "target, drop the slot and open the source again; to accept the gap, publish "
                    "the table again by hand");
  }
  std::string missing;
  if (!facts.is(Facts::kOwnsTable)) missing = "be the owner of " + name_of(table);
  if (!facts.has_publication() && !facts.is(Facts::kMayCreate)) {
    missing += std::string(missing.empty() ? "" : " and ") + "have CREATE on database " +
               facts.text(Facts::kDatabase);
  }
  if (facts.has_publication() && !facts.is(Facts::kOwnsPublication)) {
    missing += std::string(missing.empty() ? "" : " and ") + "own the publication";
  }
  if (missing.empty()) return {};
  return fail(Errc::kPrivilege,
              name +
                  (facts.has_publication() ? " does not hold " + name_of(table) : " is missing") +
                  ", and to change that this role must " + missing + "; or let their owner run: " +
                  (facts.has_publication() ? "ALTER PUBLICATION … ADD TABLE …"
                                           : "CREATE PUBLICATION … FOR TABLE …"));
}

Status check_slot(const SinkOptions& options, const Facts& facts) {
  if (options.replication_slot.empty()) return {};
  const std::string slot = "replication_slot \"" + options.replication_slot + "\"";
  if (!facts.has_slot()) {
    if (facts.is(Facts::kReplicationRole)) return {};
    return fail(Errc::kPrivilege,
                slot + " is missing, and this role may not create one: ALTER ROLE … REPLICATION");
  }
  std::string wrong;
  if (facts.text(Facts::kSlotType) != "logical") {
    wrong = " is a physical slot";
  } else if (!facts.slot_comes() && facts.text(Facts::kSlotPlugin) != kPlugin) {
    wrong = " has the plugin " + facts.text(Facts::kSlotPlugin) + ", not pgoutput";
  } else if (facts.text(Facts::kSlotDatabase) != facts.text(Facts::kDatabase)) {
    wrong = " belongs to database " + facts.text(Facts::kSlotDatabase);
  } else if (facts.is(Facts::kSlotTemporary)) {
    wrong = " is temporary, and is dropped with the session that created it";
  }
  if (!wrong.empty()) return fail(Errc::kReplication, slot + wrong + ": use another name");
  if (facts.text(Facts::kSlotWal) != "lost") return {};
  return fail(Errc::kReplication,
              slot +
                  " was invalidated: the server has removed log that it had not shown yet "
                  "(max_slot_wal_keep_size); its reader must start again with a new slot");
}

Status check_facts(const SinkOptions& options, const CatalogTable& table, Connection& connection,
                   const Facts& facts) {
  if (auto can = check_server(options, facts); !can) return can;
  if (!options.publication.empty()) {
    if (auto can = check_table(options, table, facts); !can) return can;
    if (auto can = check_publication(options, table, facts); !can) return can;
    if (auto can = check_slot(options, facts); !can) return can;
  }
  if (options.confirm_slot && !connection.is_direct()) {
    return fail(Errc::kOptionConflict,
                "confirm_slot does not work through a connection pooler, which may lead the "
                "commits to one server and the slot to another: connect to the server itself");
  }
  if (options.confirm_slot && commits_asynchronously(options, connection.server())) {
    return fail(Errc::kOptionConflict,
                "confirm_slot waits until commits are on disk and decoded, and synchronous_commit "
                "is off for this role, database or session: set it to on, for example by "
                "session_variables = MAP { 'synchronous_commit': 'on' }");
  }
  if (options.replication_origin.empty()) return {};
  if (!facts.is(Facts::kMayMark)) {
    return fail(Errc::kPrivilege,
                "replication_origin: this role may not mark its transactions: GRANT EXECUTE ON "
                "FUNCTION pg_replication_origin_create(text), "
                "pg_replication_origin_session_setup(text) TO it, in this database, by a "
                "superuser");
  }
  if (!connection.is_direct()) {
    return fail(Errc::kOptionConflict,
                "replication_origin does not work through a connection pooler, which would share "
                "the marked session with other clients: connect to the server itself");
  }
  return {};
}

/// One attempt to put the table into the publication.
Result<QueryResult> publish(const SinkOptions& options, const CatalogTable& table,
                            const Facts& facts, Connection& connection, Deadline deadline) {
  Quoted quoted;
  const std::string publication = quoted.identifier(options.publication);
  const std::string name = quoted.identifier(table.schema) + "." + quoted.identifier(table.name);
  if (!quoted.status()) return fail(quoted.status().error());
  Sql statement = Sql::kAddToPublication;
  if (!facts.has_publication()) {
    // Another of the tables may be partitioned.
    const bool root = table.kind == CatalogTable::Kind::kPartitioned || !options.tables.empty();
    statement = root ? Sql::kCreatePublicationOfRoot : Sql::kCreatePublication;
  }
  return run_control(connection, sql_text(statement, {publication, name}), deadline);
}

std::unexpected<Error> explain_slot(const SinkOptions& options, Error error) {
  error.message = "replication_slot \"" + options.replication_slot + "\": " + error.message;
  if (error.sqlstate == kNoFreeSlot) {
    error.message +=
        "; drop a slot that has no reader (pg_replication_slots lists them), or raise "
        "max_replication_slots and restart the server";
  } else if (error.sqlstate == kQueryCanceled || error.code == Errc::kTimeout) {
    error.message +=
        "; a new slot waits for the running transactions of all databases: pg_stat_activity and "
        "pg_prepared_xacts show the old ones";
  } else if (error.sqlstate == kInsufficientPrivilege) {
    error.code = Errc::kPrivilege;
    error.message += "; ALTER ROLE … REPLICATION";
  }
  return fail(std::move(error));
}

Result<QueryResult> create_slot(const SinkOptions& options, Connection& connection,
                                Deadline deadline) {
  Quoted quoted;
  const std::string slot = quoted.literal(options.replication_slot);
  if (!quoted.status()) return fail(quoted.status().error());
  return connection.query(sql_text(Sql::kCreateSlot, {kSlotTimeoutMs, slot}),
                          deadline == kNoDeadline ? deadline : deadline + kSlotTimeout);
}

}  // namespace

bool asks_replication(const SinkOptions& options) {
  return !options.publication.empty() || !options.replication_slot.empty() ||
         !options.replication_origin.empty();
}

Status check_replication(const SinkOptions& options, const CatalogTable& table,
                         Connection& connection, Deadline deadline) {
  if (!asks_replication(options)) return {};
  const auto facts = read_facts(options, table, connection, deadline);
  if (!facts) return fail(facts.error());
  return check_facts(options, table, connection, *facts);
}

Status ensure_publication(const SinkOptions& options, const CatalogTable& table,
                          Connection& connection, Deadline deadline,
                          std::vector<std::string>* made_lines) {
  if (!asks_replication(options)) return {};
  for (int attempt = 0; attempt < kCreateAttemptsMax; ++attempt) {
    const auto facts = read_facts(options, table, connection, deadline);
    if (!facts) return fail(facts.error());
    if (auto can = check_facts(options, table, connection, *facts); !can) return can;
    if (options.publication.empty() || facts->published()) return {};
    const auto made = publish(options, table, *facts, connection, deadline);
    if (made && made_lines != nullptr) {
      made_lines->push_back("publication \"" + options.publication + "\" " +
                            (facts->has_publication() ? "did not hold " : "was created for ") +
                            name_of(table) + (facts->has_publication() ? ": it was added" : ""));
    }
    if (made || (!connection.broken() && lost_creation_race(made.error()))) continue;
    Error error = made.error();
    error.message = "publication \"" + options.publication + "\": " + error.message;
    if (error.sqlstate == kInsufficientPrivilege) error.code = Errc::kPrivilege;
    return fail(std::move(error));
  }
  return fail(Errc::kReplication,
              "publication \"" + options.publication +
                  "\" is created and dropped again and again by other sessions");
}

Status ensure_replication(const SinkOptions& options, const CatalogTable& table,
                          Connection& connection, Deadline deadline) {
  if (auto published = ensure_publication(options, table, connection, deadline); !published) {
    return published;
  }
  if (options.replication_slot.empty()) return {};
  for (int attempt = 0; attempt < kCreateAttemptsMax;) {
    const auto facts = read_facts(options, table, connection, deadline);
    if (!facts) return explain_slot(options, facts.error());
    if (auto can = check_slot(options, *facts); !can) return can;
    if (facts->slot_comes()) {
      const auto slept = connection.query(sql_text(Sql::kSleep, {kSleepSeconds}), deadline);
      if (!slept) return explain_slot(options, slept.error());
      continue;
    }
    if (facts->has_slot()) return {};
    ++attempt;
    const auto made = create_slot(options, connection, deadline);
    if (made || (!connection.broken() && lost_creation_race(made.error()))) continue;
    return explain_slot(options, made.error());
  }
  return fail(Errc::kReplication,
              "replication_slot \"" + options.replication_slot +
                  "\" is created and dropped again and again by other sessions");
}

// ---- origins -----------------------------------------------------------------------------------

std::string session_origin(const std::string& name, size_t session) {
  return session == 0 || name.empty() ? name : name + "_" + std::to_string(session + 1);
}

namespace {

/// Any number of sessions may do so at once.
Status create_origin(Connection& connection, const std::string& quoted, Deadline deadline) {
  Result<QueryResult> made;
  for (int attempt = 0; attempt < kCreateAttemptsMax; ++attempt) {
    made = run_control(connection, sql_text(Sql::kCreateOrigin, {quoted}), deadline);
    if (made) return {};
    if (connection.broken() || !lost_creation_race(made.error())) break;
  }
  return fail(made.error());
}

std::unexpected<Error> explain_origin(const std::string& origin, Error error) {
  error.message = "replication_origin \"" + origin + "\": " + error.message;
  if (error.sqlstate == kNoFreeSlot) {
    error.message +=
        "; each lane takes a place of its own: raise max_replication_slots (from "
        "PostgreSQL 18 max_active_replication_origins) and restart the server";
  } else if (error.sqlstate == kObjectInUse) {
    error.message += "; one session at a time may use an origin: give each sink its own name";
  } else if (error.sqlstate == kInsufficientPrivilege) {
    error.code = Errc::kPrivilege;
  }
  return fail(std::move(error));
}

}  // namespace

Status mark_session(Connection& connection, const std::string& origin,
                    const BackendIdentity& former, Deadline deadline) {
  if (origin.empty()) return {};
  Quoted quoted;
  const std::string name = quoted.literal(origin);
  if (!quoted.status()) return quoted.status();
  if (auto made = create_origin(connection, name, deadline); !made) {
    return explain_origin(origin, made.error());
  }
  bool fenced = former.pid == 0;
  for (;;) {
    const auto marked = connection.query(sql_text(Sql::kMarkSession, {name}), deadline);
    if (marked) return {};
    if (connection.broken() || marked.error().sqlstate != kObjectInUse) {
      return explain_origin(origin, marked.error());
    }
    if (!fenced) {
      if (auto gone = fence(connection, former, deadline); !gone) return gone;
      fenced = true;
      continue;
    }
    const auto slept = connection.query(sql_text(Sql::kSleep, {kSleepSeconds}), deadline);
    if (!slept) return explain_origin(origin, marked.error());
  }
}

Status mark_sessions(std::span<const PoolLease> connections, const std::string& name,
                     Deadline deadline) {
  for (size_t i = 0; i < connections.size(); ++i) {
    auto marked = mark_session(*connections[i], session_origin(name, i), {}, deadline);
    if (!marked) return marked;
  }
  return {};
}

}  // namespace pgsink
