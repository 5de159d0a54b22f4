#pragma once
// How buffer_bytes and the server's places for prepared transactions are shared out: what one
// transaction and one epoch may hold.

#include "pgsink/lane/inbox.h"
#include "pgsink/plan/plan.h"
#include "pgsink/sink/claim.h"

namespace pgsink {

/// The memory of the rows that one transaction may hold.
size_t flight_bytes_max(const SinkOptions& options, const Plan& plan);

/// So many transactions an epoch may prepare because of its rows, and as many because of its bytes,
/// beside the last one of each lane: two epochs, of which one is being committed, must find place
/// on the server.
size_t epoch_transactions(const SinkOptions& options, const Connection& connection);

/// When an epoch of two-phase commit ends although nobody asked for it.
Inbox::Limits::Epochs epoch_limits(const SinkOptions& options, const Plan& plan,
                                   const TwoPhaseClaim& claim);

}  // namespace pgsink
