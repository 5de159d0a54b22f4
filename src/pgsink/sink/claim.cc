#include "pgsink/sink/claim.h"

#include <algorithm>
#include <span>
#include <utility>

#include "pgsink/delivery/check.h"
#include "pgsink/delivery/resume.h"

namespace pgsink {

std::vector<uint64_t> Claim::positions() const {
  std::vector<uint64_t> all;
  all.reserve(rows.size());
  for (const LaneEpoch& row : rows) all.push_back(row.position.position);
  return all;
}

std::vector<HostPosition> Claim::resume_points() const {
  std::vector<HostPosition> points;
  for (const LaneEpoch& row : rows) {
    if (row.position.position > 0) points.push_back(row.position);
  }
  std::ranges::sort(points, {}, &HostPosition::position);
  const auto repeated = std::ranges::unique(points, {}, &HostPosition::position);
  points.erase(repeated.begin(), repeated.end());
  return points;
}

namespace {

/// Positions are valid for one table, and for rows that take the same lanes as before.
Status check_origin(std::span<const StoredLane> before, const LaneOrigin& origin, size_t lanes,
                    StoredTable table) {
  if (before.empty()) return {};
  if (before.size() != lanes) {
    const std::string earlier = std::to_string(before.size());
    return fail(Errc::kOptionConflict, "parallelism = " + std::to_string(lanes) +
                                           ", but sink_id \"" + table.sink_id +
                                           "\" was written with parallelism = " + earlier +
                                           ": use " + earlier + ", or another sink_id");
  }
  for (const StoredLane& lane : before) table.position = std::max(table.position, lane.position);
  if (table.position == 0) return {};
  const LaneOrigin& stored = before.front().origin;
  table.stored_oid = stored.table_oid;
  if (auto same = check_same_table(table); !same) return same;
  if (stored.routing.empty() || stored.routing == origin.routing) return {};
  return fail(Errc::kOptionConflict,
              "partition_by: earlier runs of sink_id \"" + table.sink_id + "\" assigned lanes by " +
                  stored.routing + ", this one by " + origin.routing +
                  ". Rows would take other lanes, and rows that are delivered already would be "
                  "written again: use the earlier rule, or another sink_id");
}

}  // namespace

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
  const std::string sink_id = stored_sink_id(options);
  auto epochs = Epochs::create(options.schema, sink_id);
  if (!epochs) return fail(epochs.error());
  if (auto made = epochs->ensure_table(connection, deadline); !made) return fail(made.error());
  const auto before = epochs->read_lanes(connection, deadline);
  if (!before) return fail(before.error());
  const LaneOrigin origin{table.oid, router.rule()};
  auto same =
      check_origin(*before, origin, router.lanes(),
                   {.sink_id = sink_id, .control_table = epochs->table(), .oid = table.oid});
  if (!same) return fail(same.error());
  auto rows = epochs->claim(env, connection, static_cast<int>(router.lanes()), deadline, origin);
  if (!rows) return fail(rows.error());
  return Claim{std::move(*epochs), std::move(*rows)};
}

Result<StreamRows> open_streams(const SinkOptions& options, Env& env, const CatalogTable& table,
                                Connection& connection) {
  const Deadline deadline = env.clock.now() + kClaimTimeout;
  if (auto fits = check_delivery(options, connection, table, deadline); !fits) {
    return fail(fits.error());
  }
  auto rows = StreamRows::create(options.schema, stored_sink_id(options), table.oid);
  if (!rows) return rows;
  if (auto made = rows->ensure_table(connection, deadline); !made) return fail(made.error());
  return rows;
}

Result<TwoPhaseClaim> claim_two_phase(const SinkOptions& options, Env& env,
                                      const CatalogTable& table, PoolLease connection) {
  const Deadline deadline = env.clock.now() + kClaimTimeout;
  if (auto fits = check_delivery(options, *connection, table, deadline); !fits) {
    return fail(fits.error());
  }
  auto claimed = TwoPhase::claim(
      *connection,
      {table.schema, stored_sink_id(options), options.prepared_transaction_id, table.oid},
      deadline);
  if (!claimed) return fail(claimed.error());
  TwoPhaseClaim claim{*std::move(claimed), std::move(connection), 0, {}, std::nullopt};
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
