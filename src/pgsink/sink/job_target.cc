#include "pgsink/sink/job_target.h"

#include <utility>

#include "pgsink/options/rules.h"
#include "pgsink/options/server.h"

namespace pgsink {

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
  options.schema = ticket.schema;
  options.table = ticket.stage;
  options.write_mode = WriteMode::kInsert;
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
