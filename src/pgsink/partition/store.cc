#include "pgsink/partition/store.h"

#include <chrono>
#include <utility>

#include "pgsink/client/query_collector.h"
#include "pgsink/partition/name.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

/// The first half of the advisory lock's key, the second is the parent's oid. "pgsp".
constexpr int32_t kLockClass = 0x70677370;

Result<std::vector<Partition>> partitions_of(const QueryResult& result) {
  std::vector<Partition> partitions;
  for (size_t i = 0; i < result.rows.size(); ++i) {
    Partition partition{.oid = static_cast<Oid>(parse_number(cell(result, i, 0))),
                        .name = cell(result, i, 1),
                        .partitioned = cell(result, i, 2) == "p",
                        .bound = {}};
    auto bound = parse_partition_bound(cell(result, i, 3));
    if (!bound) {
      return fail(Errc::kPartition,
                  "partition \"" + partition.name +
                      "\" has bounds that pgsink cannot read: " + cell(result, i, 3));
    }
    partition.bound = std::move(*bound);
    partitions.push_back(std::move(partition));
  }
  return partitions;
}

std::string bounds_sql(const PartitionScheme& scheme) {
  return sql_text(Sql::kPartitionBounds, {std::to_string(scheme.oid)});
}

}  // namespace

Result<std::vector<Partition>> read_partitions(Connection& connection,
                                               const PartitionScheme& scheme, Deadline deadline) {
  const auto found = run_control(
      connection, sql_text(Sql::kPartitionSession) + "; " + bounds_sql(scheme), deadline);
  if (!found) return fail(found.error());
  return partitions_of(*found);
}

PartitionStore::PartitionStore(Connection& connection, const PartitionScheme& scheme,
                               std::string role, Duration lock_timeout, Deadline deadline)
    : connection_(connection),
      scheme_(scheme),
      role_(std::move(role)),
      lock_timeout_(lock_timeout),
      deadline_(deadline) {}

Result<QueryResult> PartitionStore::run(std::string_view sql) {
  return connection_.query(sql, deadline_);
}

Result<std::vector<Partition>> PartitionStore::begin() {
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(lock_timeout_).count();
  std::string sql = sql_text(Sql::kControlBegin) + "; " + sql_text(Sql::kPartitionSession) + "; " +
                    sql_text(Sql::kLockTimeout, {std::to_string(milliseconds)}) + "; ";
  if (!role_.empty()) {
    Quoted quoted;
    sql += sql_text(Sql::kSetRole, {quoted.identifier(role_)}) + "; ";
    if (!quoted.status()) return fail(quoted.status().error());
  }
  sql += sql_text(Sql::kPartitionLock,
                  {std::to_string(kLockClass), std::to_string(static_cast<int32_t>(scheme_.oid))});
  const auto found = run(sql + "; " + bounds_sql(scheme_));
  if (!found) return fail(explain(found.error(), "a partition"));
  return partitions_of(*found);
}

Result<std::vector<Partition>> PartitionStore::read() {
  const auto found = run(bounds_sql(scheme_));
  if (!found) return fail(found.error());
  return partitions_of(*found);
}

Result<PartitionStore::Constant> PartitionStore::constant(const std::optional<std::string>& value,
                                                          Oid type) {
  constexpr int16_t kBinary = 1;
  pgproto::Session& session = connection_.session();
  pgproto::Session::Parameter parameter{.value = {}, .format = kBinary};
  if (value) parameter.value = pgproto::as_bytes(*value);
  const auto parsed = session.parse("", sql_text(Sql::kPartitionValue), std::span(&type, 1));
  if (!parsed) return fail(parsed.error());
  const auto bound = session.bind("", "", std::span(&parameter, 1));
  if (!bound) return fail(bound.error());
  if (const auto sent = session.describe_portal(""); !sent) return fail(sent.error());
  if (const auto sent = session.execute(""); !sent) return fail(sent.error());
  session.sync();
  QueryCollector collector;
  for (;;) {
    const auto event = connection_.next_event(deadline_);
    if (!event) return fail(event.error());
    if (*event && collector.take((*event)->message)) break;
  }
  const auto answer = collector.finish();
  if (!answer) return fail(answer.error());
  if (answer->rows.size() != 1) return fail(Errc::kProtocol, "a SELECT without FROM gave no row");
  return Constant{cell(*answer, 0, 0), value ? cell(*answer, 0, 1) : "null"};
}

std::string PartitionStore::quoted_table(const std::string& name, Status& status) const {
  Quoted quoted;
  std::string table = quoted.identifier(scheme_.schema) + "." + quoted.identifier(name);
  if (!quoted.status()) status = quoted.status();
  return table;
}

Result<PartitionStore::Outcome> PartitionStore::create(const std::string& name,
                                                       const std::string& bound) {
  const std::string what = "partition \"" + name + "\" " + bound;
  if (name.size() > kNameBytesMax) {
    return fail(Errc::kPartition,
                "create_partitions: " + what + ": its name has " + std::to_string(name.size()) +
                    " bytes, names of tables at most " + std::to_string(kNameBytesMax) +
                    ": use a shorter partition_name, or create it yourself");
  }
  Status quoted;
  const std::string partition = quoted_table(name, quoted);
  const std::string parent = quoted_table(scheme_.table, quoted);
  if (!quoted) return fail(quoted.error());
  const std::string tablespace =
      scheme_.tablespace.empty() ? "" : sql_text(Sql::kTablespace, {scheme_.tablespace});
  const auto made = run(
      sql_text(Sql::kPartitionCreate, {partition, parent, tablespace, parent, partition, bound}));
  if (made) return Outcome::kCreated;
  if (connection_.broken()) return fail(made.error());
  if (const auto undone = run(sql_text(Sql::kPartitionUndo)); !undone) return fail(undone.error());
  const Error& error = made.error();
  if (error.sqlstate == "42P17") return Outcome::kOverlaps;
  if (lost_creation_race(error)) return Outcome::kNameTaken;
  return fail(explain(error, what));
}

Error PartitionStore::explain(Error error, const std::string& what) const {
  const std::string table = scheme_.schema + "." + scheme_.table;
  if (error.sqlstate == "23514") {
    error.code = Errc::kPartition;
    error.message = "the default partition \"" + scheme_.default_partition +
                    "\" holds rows that belong to the new partition (" + error.message +
                    "). Detach it (ALTER TABLE … DETACH PARTITION …), let pgsink create the "
                    "partition, move those rows there with INSERT and DELETE, and attach it again";
  } else if (error.sqlstate == "42501") {
    error.code = Errc::kPrivilege;
    Quoted quoted;
    const std::string role = quoted.identifier(scheme_.role);
    error.message += ". GRANT CREATE ON SCHEMA " + quoted.identifier(scheme_.schema) + " TO " +
                     role + ", and let " + role + " act as the owner of " + table +
                     " (set_role, or ownership), or create the partitions beforehand";
  } else if (error.sqlstate == "55P03") {
    error.message += ": another transaction, open or prepared, keeps a lock on " + table +
                     ". Creating a partition locks the default partition against all others: under "
                     "use_2pc, commit what wrote into it first";
  }
  error.message = "create_partitions: " + what + " of " + table + ": " + error.message;
  return error;
}

Error PartitionStore::name_taken(const std::string& name, const std::string& bound) {
  Error error;
  error.code = Errc::kPartition;
  error.message = "create_partitions: partition \"" + name + "\" " + bound + " of " +
                  scheme_.schema + "." + scheme_.table + ": ";
  Quoted quoted;
  const auto found =
      run(sql_text(Sql::kPartitionNamed, {quoted.literal(scheme_.schema), quoted.literal(name)}));
  const bool ours =
      found && found->rows.size() == 1 && cell(*found, 0, 0) == std::to_string(scheme_.oid);
  if (ours) {
    error.message += "that name has the partition " + cell(*found, 0, 1) +
                     " already: use a partition_name that tells them apart";
  } else {
    error.message +=
        "that name belongs to a relation that is not a partition of it: rename or attach that "
        "relation, or use another partition_name";
  }
  return error;
}

Result<std::vector<Partition>> PartitionStore::commit() {
  const auto found = run(bounds_sql(scheme_) + "; " + sql_text(Sql::kCommit));
  if (!found) return fail(found.error());
  if (found->tag != "COMMIT") {
    return fail(Errc::kRolledBack, "the server answered COMMIT with " + found->tag);
  }
  return partitions_of(*found);
}

}  // namespace pgsink
