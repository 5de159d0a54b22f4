#include "pgsink/delivery/epoch_rows.h"

#include <algorithm>
#include <utility>

#include "pgsink/delivery/row_takeover.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

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
  const std::string token = new_claim_token(env.random);
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
  const std::string token = renewed_token(claim, env.random);
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

/// Changes rows, however long other transactions hold them.
Result<QueryResult> Epochs::change(Env& env, Connection& connection, const std::string& statements,
                                   Deadline deadline) const {
  return take_over_rows(env, connection,
                        {.statements = statements,
                         .blockers = sql_text(Sql::kRowBlockers, {table_, sink_, ""}),
                         .rows = "the rows of sink \"" + sink_id_ + "\" in " + table_},
                        deadline);
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
