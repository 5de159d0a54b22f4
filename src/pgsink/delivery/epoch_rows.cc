#include "pgsink/delivery/epoch_rows.h"

#include <algorithm>
#include <utility>

#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

// A token is the number of the claim and that of its last renewal, both random. Renewing asks for
// the claim alone: the answer to an earlier renewal may have been lost.
constexpr size_t kClaimBytes = 32;

std::string hex(Random& random) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string digits;
  uint64_t bits = random.next_u64();
  for (int digit = 0; digit < 16; ++digit, bits >>= 4) digits += kHex[bits & 15];
  return digits;
}

std::string_view claim_of(std::string_view token) { return token.substr(0, kClaimBytes); }

LaneEpoch lane_epoch(const QueryResult& result, size_t row, size_t first_column, int lane,
                     std::string writer) {
  return {lane,
          parse_number(cell(result, row, first_column)),
          {parse_number(cell(result, row, first_column + 1)), cell(result, row, first_column + 2)},
          std::move(writer)};
}

}  // namespace

Result<Epochs> Epochs::create(std::string_view schema, std::string_view sink_id) {
  Epochs epochs;
  Quoted quoted;
  epochs.schema_ = schema;
  epochs.sink_id_ = sink_id;
  epochs.table_ =
      quoted.identifier(schema) + "." + std::string(control_table_name(ControlTable::kEpochs));
  epochs.sink_ = quoted.literal(sink_id);
  if (!quoted.status()) return fail(quoted.status().error());
  return epochs;
}

Status Epochs::ensure_table(Connection& connection, Deadline deadline) const {
  return ensure_control_table(connection, schema_, ControlTable::kEpochs, deadline);
}

// ---- claiming ----------------------------------------------------------------------------------

Result<std::vector<LaneEpoch>> Epochs::claim(Env& env, Connection& connection, int lanes,
                                             Deadline deadline, const LaneOrigin& origin) const {
  Quoted quoted;
  const std::string routing = quoted.literal(origin.routing);
  if (!quoted.status()) return fail(quoted.status().error());
  const std::string token = hex(env.random) + hex(env.random) + "." + hex(env.random);
  const std::string writer = "'" + token + "'";
  const auto rows =
      change(env, connection,
             sql_text(Sql::kEpochInsert, {table_, sink_, writer, std::to_string(lanes)}) + "; " +
                 sql_text(Sql::kEpochLock, {table_, sink_}) + "; " +
                 sql_text(Sql::kEpochClaim,
                          {table_, writer, std::to_string(origin.table_oid), routing, sink_}),
             deadline);
  if (!rows) return fail(rows.error());
  std::vector<LaneEpoch> claimed;
  for (size_t i = 0; i < rows->rows.size(); ++i) {
    const auto lane = static_cast<int>(parse_number(cell(*rows, i, 0)));
    claimed.push_back(lane_epoch(*rows, i, 1, lane, token));
  }
  std::ranges::sort(claimed, {}, &LaneEpoch::lane);
  return claimed;
}

Result<LaneEpoch> Epochs::renew(Env& env, Connection& connection, const LaneEpoch& row,
                                Deadline deadline) const {
  Quoted quoted;
  const std::string claim(claim_of(row.writer));
  const std::string token = claim + "." + hex(env.random);
  const std::string statement = sql_text(
      Sql::kEpochRenew,
      {table_, quoted.literal(token), sink_, std::to_string(row.lane), quoted.literal(claim)});
  if (!quoted.status()) return fail(quoted.status().error());
  const auto renewed = change(env, connection, statement, deadline);
  if (!renewed) return fail(renewed.error());
  if (renewed->rows.size() == 1) return lane_epoch(*renewed, 0, 0, row.lane, token);
  const auto now = read_row(connection, row.lane, deadline);
  if (!now) return fail(now.error());
  return fail(fenced(*now));
}

// Changes rows, however long other transactions hold them.
Result<QueryResult> Epochs::change(Env& env, Connection& connection, const std::string& statements,
                                   Deadline deadline) const {
  const std::string bounded =
      sql_text(Sql::kLockTimeout, {std::to_string(kBlockedMaxMs)}) + "; " + statements;
  for (;;) {
    auto result = run_control(connection, bounded, deadline);
    if (result || connection.broken() || result.error().sqlstate != "55P03") return result;
    if (deadline != kNoDeadline && env.clock.now() >= deadline) {
      return fail(Errc::kCannotFence,
                  "the rows of sink \"" + sink_id_ + "\" in " + table_ +
                      " are locked by another session (" + result.error().message +
                      "): find it with pg_locks and pg_blocking_pids(), end it, then open the sink "
                      "again");
    }
    if (auto ended = end_blockers(connection, deadline); !ended) return fail(ended.error());
  }
}

// Terminates the backends whose open transactions have changed the rows. The list is read twice: a
// backend whose transaction is still there the second time is the same one.
Status Epochs::end_blockers(Connection& connection, Deadline deadline) const {
  const std::string list = sql_text(Sql::kEpochBlockers, {table_, sink_});
  const auto seen = run_control(connection, list, deadline);
  if (!seen) return fail(seen.error());
  const auto again = run_control(connection, list, deadline);
  if (!again) return fail(again.error());
  for (const auto& row : seen->rows) {
    const bool same = std::ranges::any_of(
        again->rows, [&](const auto& other) { return other[0] == row[0] && other[3] == row[3]; });
    if (!same) continue;
    if (!row[0]) {
      const std::string gid = row[4] ? "the prepared transaction '" + *row[4] + "'"
                                     : std::string("a prepared transaction");
      return fail(Errc::kCannotFence,
                  "the rows of sink \"" + sink_id_ + "\" in " + table_ + " are locked by " + gid +
                      ": COMMIT PREPARED or ROLLBACK PREPARED it as its owner (pg_prepared_xacts "
                      "lists it)");
    }
    const BackendIdentity blocker{static_cast<int32_t>(parse_number(*row[0])), row[1].value_or(""),
                                  static_cast<uint32_t>(parse_number(row[2].value_or("0")))};
    if (auto gone = fence(connection, blocker, deadline); !gone) return gone;
  }
  return {};
}

// ---- reading -----------------------------------------------------------------------------------

Result<std::optional<Epochs::Read>> Epochs::read_row(Connection& connection, int lane,
                                                     Deadline deadline) const {
  const auto rows = run_control(
      connection, sql_text(Sql::kEpochRead, {table_, sink_, std::to_string(lane)}), deadline);
  if (!rows) return fail(rows.error());
  if (rows->rows.empty()) return std::nullopt;
  return Read{lane_epoch(*rows, 0, 0, lane, cell(*rows, 0, 3)), cell(*rows, 0, 4)};
}

Result<std::optional<LaneEpoch>> Epochs::read(Connection& connection, int lane,
                                              Deadline deadline) const {
  auto found = read_row(connection, lane, deadline);
  if (!found) return fail(found.error());
  if (!*found) return std::nullopt;
  return std::move((*found)->row);
}

Result<std::vector<StoredLane>> Epochs::read_lanes(Connection& connection,
                                                   Deadline deadline) const {
  const auto rows = run_control(connection, sql_text(Sql::kEpochLanes, {table_, sink_}), deadline);
  if (!rows) return fail(rows.error());
  std::vector<StoredLane> lanes;
  lanes.reserve(rows->rows.size());
  for (size_t i = 0; i < rows->rows.size(); ++i) {
    lanes.push_back({static_cast<int>(parse_number(cell(*rows, i, 0))),
                     parse_number(cell(*rows, i, 1)),
                     {static_cast<uint32_t>(parse_number(cell(*rows, i, 2))), cell(*rows, i, 3)}});
  }
  return lanes;
}

// ---- guards ------------------------------------------------------------------------------------

Result<std::string> Epochs::guard_sql(const LaneEpoch& row, const HostPosition& position) const {
  Quoted quoted;
  const std::string lane = std::to_string(row.lane);
  std::string text =
      sql_text(Sql::kEpochGuard,
               {table_, std::to_string(position.position), quoted.literal(position.proof), sink_,
                lane, quoted.literal(row.writer), std::to_string(row.epoch), table_, sink_, lane});
  if (!quoted.status()) return fail(quoted.status().error());
  return text;
}

bool Epochs::is_guard_failure(const Error& error) {
  return error.code == Errc::kServer && error.sqlstate == "23502" &&
         error.table == control_table_name(ControlTable::kEpochs) && error.column == "epoch";
}

Error Epochs::fenced(const std::optional<Read>& now) const {
  Error error;
  error.code = Errc::kFenced;
  if (now) {
    error.message = "sink \"" + sink_id_ + "\" is fenced by " + now->writer_name +
                    ": it has claimed the sink, so this writer must stop. Run only one of the two, "
                    "or give each its own sink_id";
  } else {
    error.message = "sink \"" + sink_id_ + "\" has no row in " + table_ +
                    ": the row was deleted, and with it the record of what is committed";
  }
  return error;
}

Result<std::optional<Error>> Epochs::explain(Connection& connection, const LaneEpoch& row,
                                             Deadline deadline) const {
  const auto now = read_row(connection, row.lane, deadline);
  if (!now) return fail(now.error());
  if (*now && claim_of((*now)->row.writer) == claim_of(row.writer)) return std::nullopt;
  return fenced(*now);
}

}  // namespace pgsink
