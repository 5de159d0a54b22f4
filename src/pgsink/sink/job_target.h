#pragma once
// What driver and parts of a job derive from its options.

#include <memory>

#include <pgsink/options.h>

#include "pgsink/job.h"
#include "pgsink/sink/job_ticket.h"

namespace pgsink {

/// check_job_options checks what distinguishes the options of a job from those of a sink.
Status check_job_options(const SinkOptions& options);

/// read_ticket_for reads a ticket. Fails with kUsage if it is not one for the table of the options.
Result<JobTicket> read_ticket_for(const SinkOptions& options, std::string_view text);

/// part_options are those of the sink that fills the staging table.
SinkOptions part_options(SinkOptions options, const JobTicket& ticket);

}  // namespace pgsink
