#pragma once
// What driver and parts of a job derive from its options.

#include <memory>

#include <pgsink/options.h>

#include "pgsink/client/catalog.h"
#include "pgsink/client/connection.h"
#include "pgsink/job.h"
#include "pgsink/sink/job_ticket.h"

namespace pgsink {

/// check_job_options checks what distinguishes the options of a job from those of a sink.
Status check_job_options(const SinkOptions& options);

/// take_replace makes write_mode = 'replace' an insert, and says whether it was one: of a job it is
/// JobOptions::replace.
bool take_replace(SinkOptions& options);
/// check_job checks how the options of a job go together.
Status check_job(const SinkOptions& options, const JobOptions& job);
/// check_two_phase_job refuses what cannot work, or could wait forever, where parts prepare their
/// transactions: by the server, the connection and the table.
Status check_two_phase_job(const SinkOptions& options, const Schema& schema,
                           const CatalogTable& table, Connection& connection, Deadline deadline);

/// read_ticket_for reads a ticket. Fails with kUsage if it is not one for the table of the options.
Result<JobTicket> read_ticket_for(const SinkOptions& options, std::string_view text);

/// part_options are those of the sink of a part.
SinkOptions part_options(SinkOptions options, const JobTicket& ticket);

}  // namespace pgsink
