#include "pgsink/sink/job_target.h"

#include <utility>

#include "pgsink/delivery/check.h"
#include "pgsink/options/rules.h"
#include "pgsink/options/server.h"
#include "pgsink/plan/plan.h"

namespace pgsink {

// How long a part of a two-phase job waits for the rows of another transaction.
constexpr int64_t kPartLockMs = 10'000;

Status check_job_options(const SinkOptions& options) {
  // Without a sink_id, which a sink has for other purposes.
  SinkOptions checked = options;
  checked.sink_id.clear();
  if (auto faults = check_options(checked); !faults.empty()) {
    return fail_at(options, faults.front());
  }
  struct Excluded {
    bool set;
    std::string_view option;
  };
  const Excluded excluded[] = {{options.use_2pc, "use_2pc"},
                               {options.streams, "streams"},
                               {options.atomic, "atomic"},
                               {options.delivery == Delivery::kExactlyOnce, "delivery"},
                               {options.confirm_slot, "confirm_slot"}};
  for (const Excluded& one : excluded) {
    if (!one.set) continue;
    return fail_at(options, fail(Errc::kOptionConflict,
                                 std::string(one.option) +
                                     ": a job is atomic and exactly once by itself: leave " +
                                     std::string(one.option) + " out")
                                .error());
  }
  return {};
}

namespace {

std::unexpected<Error> conflict(const SinkOptions& options, std::string message) {
  return fail_at(options, fail(Errc::kOptionConflict, std::move(message)).error());
}

constexpr std::string_view kTwoPhase = "atomic = '2pc': ";

/// What contradicts one transaction a part, whose rows are not kept.
Status check_two_phase_options(const SinkOptions& options) {
  if (options.write_mode != WriteMode::kInsert) {
    return conflict(options, std::string(kTwoPhase) +
                                 "only for write_mode = 'insert': in other modes a part would wait "
                                 "for rows that another part has prepared, and that one for the "
                                 "commit of the job: use 'staging'");
  }
  struct Excluded {
    bool set;
    std::string_view option, why;
  };
  const Excluded excluded[] = {
      {options.parallelism > 1, "parallelism",
       "a part is one transaction, and so has one connection: leave it out, and use more parts"},
      {options.transaction_size > 0, "transaction_size",
       "a part is one transaction, of any size: leave it out"},
      {options.use_copy == false, "use_copy",
       "without COPY all rows of a part would be kept in memory: leave it out"},
      {options.create_partitions, "create_partitions",
       "the partitions of a transaction are made before its rows are sent: make them in advance, "
       "or use 'staging'"},
      {options.isolation_level != IsolationLevel::kReadCommitted, "isolation_level",
       "a part reads at its begin whether its job may still commit, which takes READ COMMITTED: "
       "leave it out, or use 'staging'"}};
  for (const Excluded& one : excluded) {
    if (!one.set) continue;
    return conflict(options,
                    std::string(kTwoPhase) + std::string(one.option) + ": " + std::string(one.why));
  }
  return {};
}

}  // namespace

bool take_replace(SinkOptions& options) {
  if (options.write_mode != WriteMode::kReplace) return false;
  options.write_mode = WriteMode::kInsert;
  return true;
}

Status check_job(const SinkOptions& options, const JobOptions& job) {
  if (job.atomic == Atomic::kTwoPhase) {
    if (auto fits = check_two_phase_options(options); !fits) return fits;
  }
  if (options.delete_missing && job.atomic == Atomic::kNone) {
    return conflict(options,
                    "delete_missing needs all rows of the job in one transaction, and with atomic "
                    "= 'none' each part has its own: use 'staging'");
  }
  if (!job.replace) return {};
  if (job.atomic == Atomic::kNone || job.atomic == Atomic::kTwoPhase) {
    return conflict(options,
                    "replace empties the table in the transaction that fills it, and with atomic = "
                    "'none' and '2pc' each part has its own: use 'staging'");
  }
  if (options.write_mode == WriteMode::kUpdate || options.write_mode == WriteMode::kDelete) {
    return conflict(options,
                    "replace: an emptied table has no row to update or delete: use write_mode = "
                    "'insert' or 'upsert'");
  }
  return {};
}

Status check_two_phase_job(const SinkOptions& options, const Schema& schema,
                           const CatalogTable& table, Connection& connection, Deadline deadline) {
  if (!connection.is_direct()) {
    return fail(Errc::kOptionConflict,
                std::string(kTwoPhase) +
                    "it does not work through a connection pooler: connect to the server itself, "
                    "or use 'staging'");
  }
  if (auto local = check_local_table(connection, table, "atomic = '2pc'", deadline); !local) {
    return local;
  }
  if (connection.server().max_prepared_transactions == 0) {
    return fail(Errc::kCannotPrepare,
                std::string(kTwoPhase) +
                    "the server has max_prepared_transactions = 0: set it to more than the number "
                    "of partitions of all jobs at one time in postgresql.conf and restart the "
                    "server, or use 'staging'");
  }
  // What a part would find when it is opened.
  SinkOptions part = options;
  part.atomic = true;
  const auto plan = make_plan(part, table, schema);
  return plan ? Status() : fail(plan.error());
}

Result<JobTicket> read_ticket_for(const SinkOptions& options, std::string_view text) {
  auto ticket = read_ticket(text);
  if (!ticket) return ticket;
  if (ticket->schema == options.schema && ticket->table == options.table) return ticket;
  return fail(Errc::kUsage, "the ticket is one of table " + ticket->schema + "." + ticket->table +
                                ", and the options say " + options.schema + "." + options.table);
}

SinkOptions part_options(SinkOptions options, const JobTicket& ticket) {
  const SinkOptions defaults;
  options.sink_id.clear();
  if (ticket.atomic == Atomic::kNone) return options;
  if (ticket.atomic == Atomic::kTwoPhase) {
    options.atomic = true;
    // A second attempt waits for the keys that the first one has written, until the job ends.
    if (!options.lock_timeout_ms) options.lock_timeout_ms = kPartLockMs;
    return options;
  }
  options.schema = ticket.schema;
  options.table = ticket.stage;
  options.write_mode = WriteMode::kInsert;
  options.delete_missing = false;
  options.conflict_columns.clear();
  options.update_columns.clear();
  options.key_columns.clear();
  options.newer_by.clear();
  options.create_table = false;
  // A column that the part lacks would be NULL in all its rows.
  options.schema_evolution = SchemaEvolution::kValidate;
  options.partition_by.clear();
  options.partition_column.clear();
  options.partition_interval.clear();
  options.partition_name.clear();
  options.partition_type.reset();
  options.create_partitions = false;
  // The target's triggers fire when the job is committed.
  options.disable_triggers = defaults.disable_triggers;
  options.fire_triggers = defaults.fire_triggers;
  options.is_foreign_table.reset();
  options.replication_slot.clear();
  options.publication.clear();
  options.replication_origin.clear();
  return options;
}

}  // namespace pgsink
