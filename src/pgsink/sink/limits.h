#pragma once
// How buffer_bytes and the server's max_prepared_transactions are divided: the limits of one
// transaction and one epoch.

#include "pgsink/lane/inbox.h"
#include "pgsink/plan/plan.h"
#include "pgsink/sink/claim.h"

namespace pgsink {

/// The memory of the rows that one transaction may hold.
size_t flight_bytes_max(const SinkOptions& options, const Plan& plan);

/// How many transactions one epoch may prepare because of its rows, and as many because of its
/// bytes, in addition to the last one of each lane: two epochs, one of which is being committed,
/// must fit into max_prepared_transactions.
size_t epoch_transactions(const SinkOptions& options, const Connection& connection);

/// When an epoch of two-phase commit ends without a request.
Inbox::Limits::Epochs epoch_limits(const SinkOptions& options, const Plan& plan,
                                   const TwoPhaseClaim& claim);

}  // namespace pgsink
