#include "pgsink/sink/claim.h"

#include <utility>

namespace pgsink {

Status check_delivery(const SinkOptions& options, Connection& connection, const CatalogTable& table,
                      Deadline deadline) {
  if (options.delivery == Delivery::kExactlyOnce) {
    return check_local_table(connection, table, "delivery = 'exactly_once'", deadline);
  }
  if (!options.use_2pc) return {};
  // A pooler lends connections, and with them the advisory lock that fences writers off.
  if (!connection.is_direct()) {
    return fail(Errc::kOptionConflict,
                "use_2pc does not work through a connection pooler: connect to the server itself");
  }
  return check_two_phase(connection, options, table, deadline);
}

std::vector<uint64_t> Claim::positions() const {
  std::vector<uint64_t> all;
  all.reserve(rows.size());
  for (const LaneEpoch& row : rows) all.push_back(row.position);
  return all;
}

Result<Claim> claim_epochs(const SinkOptions& options, Env& env, const CatalogTable& table,
                           const Router& router, Connection& connection) {
  if (router.lanes() > 1 && !router.hashes()) {
    return fail(Errc::kOptionConflict,
                "exactly-once with parallelism needs partition_by = 'hash(…)': a replay must take "
                "the same lanes");
  }
  const Deadline deadline = env.clock.now() + kClaimTimeout;
  if (auto fits = check_delivery(options, connection, table, deadline); !fits) {
    return fail(fits.error());
  }
  const std::string sink_id = two_phase_sink_id(options);
  auto epochs = Epochs::create(options.schema, sink_id);
  if (!epochs) return fail(epochs.error());
  if (auto made = epochs->ensure_table(connection, deadline); !made) return fail(made.error());
  const auto lanes = static_cast<int>(options.parallelism);
  // Rows are routed by the number of lanes: with another number a replay would write some twice.
  const auto first = epochs->read(connection, 0, deadline);
  if (!first) return fail(first.error());
  const auto last = epochs->read(connection, lanes - 1, deadline);
  if (!last) return fail(last.error());
  const auto beyond = epochs->read(connection, lanes, deadline);
  if (!beyond) return fail(beyond.error());
  if (*first && (!*last || *beyond)) {
    return fail(Errc::kOptionConflict, "parallelism: sink_id \"" + sink_id +
                                           "\" was written with " + (*beyond ? "more" : "fewer") +
                                           " lanes than " + std::to_string(lanes) +
                                           "; use the number of before, or another sink_id");
  }
  auto rows = epochs->claim(env, connection, lanes, deadline);
  if (!rows) return fail(rows.error());
  return Claim{std::move(*epochs), std::move(*rows)};
}

Result<TwoPhaseClaim> claim_two_phase(const SinkOptions& options, Env& env,
                                      const CatalogTable& table, PoolLease connection) {
  const Deadline deadline = env.clock.now() + kClaimTimeout;
  if (auto fits = check_delivery(options, *connection, table, deadline); !fits) {
    return fail(fits.error());
  }
  auto claimed = TwoPhase::claim(
      *connection, {table.schema, two_phase_sink_id(options), options.prepared_transaction_id},
      deadline);
  if (!claimed) return fail(claimed.error());
  TwoPhaseClaim claim{*std::move(claimed), std::move(connection), 0, 0, std::nullopt};
  auto waiting = claim.two_phase.first_waiting(*claim.connection, deadline);
  if (!waiting) return fail(waiting.error());
  claim.waiting = *waiting;
  if (claim.waiting) {
    const auto committed = claim.two_phase.commit_decided(env, *claim.connection, deadline);
    if (!committed) return fail(committed.error());
    const auto row = claim.two_phase.read(*claim.connection, deadline);
    if (!row) return fail(row.error());
    if (*row) claim.epoch = (*row)->epoch;
    if (*row) claim.position = (*row)->position;
  } else {
    const auto recovered = claim.two_phase.recover(env, *claim.connection, {}, deadline);
    if (!recovered) return fail(recovered.error());
    claim.epoch = recovered->epoch;
    claim.position = recovered->position;
  }
  return claim;
}

}  // namespace pgsink
