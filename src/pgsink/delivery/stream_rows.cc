#include "pgsink/delivery/stream_rows.h"

#include <algorithm>
#include <utility>

#include "pgsink/delivery/resume.h"
#include "pgsink/delivery/row_takeover.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

std::string numeric_array(std::span<const StreamStart> streams) {
  std::string list = "ARRAY[";
  for (const StreamStart& stream : streams) {
    if (list.back() != '[') list += ", ";
    list += std::to_string(stream.position);
  }
  return list + "]::pg_catalog.numeric[]";
}

}  // namespace

Result<StreamRows> StreamRows::create(std::string_view schema, std::string_view sink_id,
                                      uint32_t target) {
  StreamRows rows;
  Quoted quoted;
  rows.schema_ = schema;
  rows.sink_id_ = sink_id;
  rows.target_ = target;
  rows.table_ =
      quoted.identifier(schema) + "." + std::string(control_table_name(ControlTable::kOffsets));
  rows.sink_ = quoted.literal(sink_id);
  if (!quoted.status()) return fail(quoted.status().error());
  return rows;
}

Status StreamRows::ensure_table(Connection& connection, Deadline deadline) const {
  return ensure_control_table(connection, schema_, ControlTable::kOffsets, deadline);
}

Result<std::string> StreamRows::names(std::span<const StreamRow> rows) const {
  std::vector<std::string> streams;
  streams.reserve(rows.size());
  for (const StreamRow& row : rows) streams.push_back(row.stream);
  return sql_array(streams);
}

// ---- claiming ----------------------------------------------------------------------------------

/// Positions are valid for one table.
Status StreamRows::check_target(Connection& connection, const std::string& streams,
                                Deadline deadline) const {
  const auto stored =
      run_control(connection, sql_text(Sql::kStreamRead, {table_, sink_, streams}), deadline);
  if (!stored) return fail(stored.error());
  for (size_t i = 0; i < stored->rows.size(); ++i) {
    const Status same =
        check_same_table({.sink_id = sink_id_,
                          .control_table = table_,
                          .stored_oid = static_cast<uint32_t>(parse_number(cell(*stored, i, 4))),
                          .oid = target_,
                          .position = parse_number(cell(*stored, i, 1))});
    if (!same) return same;
  }
  return {};
}

Result<std::vector<StreamRow>> StreamRows::claim(Env& env, Connection& connection,
                                                 std::span<const StreamStart> streams,
                                                 Deadline deadline) const {
  std::vector<StreamRow> wanted;
  for (const StreamStart& stream : streams) wanted.push_back({.stream = stream.stream});
  const auto array = names(wanted);
  if (!array) return fail(array.error());
  if (auto same = check_target(connection, *array, deadline); !same) return fail(same.error());
  const std::string token = new_claim_token(env.random);
  const std::string writer = "'" + token + "'";
  const std::string target = std::to_string(target_);
  const auto rows = take_over_rows(
      env, connection,
      {.statements = sql_text(Sql::kStreamInsert,
                              {table_, sink_, writer, target, *array, numeric_array(streams)}) +
                     "; " + sql_text(Sql::kStreamLock, {table_, sink_, *array}) + "; " +
                     sql_text(Sql::kStreamClaim, {table_, writer, target, sink_, *array}),
       .blockers =
           sql_text(Sql::kRowBlockers, {table_, sink_, sql_text(Sql::kOfStreams, {*array})}),
       .rows = "rows of sink \"" + sink_id_ + "\" in " + table_},
      deadline);
  if (!rows) return fail(rows.error());
  std::vector<StreamRow> claimed;
  claimed.reserve(rows->rows.size());
  for (size_t i = 0; i < rows->rows.size(); ++i) {
    claimed.push_back({.stream = cell(*rows, i, 0),
                       .position = parse_number(cell(*rows, i, 1)),
                       .writer = token});
  }
  std::ranges::sort(claimed, {}, &StreamRow::stream);
  return claimed;
}

Result<std::vector<StreamRow>> StreamRows::renew(Env& env, Connection& connection,
                                                 std::span<const StreamRow> rows,
                                                 Deadline deadline) const {
  const auto array = names(rows);
  std::vector<std::string> claims;
  for (const StreamRow& row : rows) claims.push_back(std::string(claim_of(row.writer)) + ".");
  const auto given = sql_array(claims);
  if (!array) return fail(array.error());
  if (!given) return fail(given.error());
  const std::string renewal = "'" + renewed_token("", env.random).substr(1) + "'";
  const auto renewed = take_over_rows(
      env, connection,
      {.statements = sql_text(Sql::kStreamRenew, {table_, renewal, *array, *given, sink_}),
       .blockers =
           sql_text(Sql::kRowBlockers, {table_, sink_, sql_text(Sql::kOfStreams, {*array})}),
       .rows = "rows of sink \"" + sink_id_ + "\" in " + table_},
      deadline);
  if (!renewed) return fail(renewed.error());
  std::vector<StreamRow> ours;
  ours.reserve(renewed->rows.size());
  for (size_t i = 0; i < renewed->rows.size(); ++i) {
    ours.push_back({.stream = cell(*renewed, i, 0),
                    .position = parse_number(cell(*renewed, i, 1)),
                    .writer = cell(*renewed, i, 2)});
  }
  return ours;
}

Result<std::vector<StreamRow>> StreamRows::read(Connection& connection,
                                                std::span<const StreamRow> rows,
                                                Deadline deadline) const {
  const auto array = names(rows);
  if (!array) return fail(array.error());
  const auto found =
      run_control(connection, sql_text(Sql::kStreamRead, {table_, sink_, *array}), deadline);
  if (!found) return fail(found.error());
  std::vector<StreamRow> now;
  now.reserve(found->rows.size());
  for (size_t i = 0; i < found->rows.size(); ++i) {
    now.push_back({.stream = cell(*found, i, 0),
                   .position = parse_number(cell(*found, i, 1)),
                   .writer = cell(*found, i, 2),
                   .writer_name = cell(*found, i, 3)});
  }
  return now;
}

bool StreamRows::same_claim(std::string_view writer, std::string_view other) {
  return claim_of(writer) == claim_of(other);
}

// ---- guards ------------------------------------------------------------------------------------

Result<std::string> StreamRows::guard_sql(std::span<const StreamMove> moves) const {
  Quoted quoted;
  std::string values;
  for (const StreamMove& move : moves) {
    if (!values.empty()) values += ", ";
    values += sql_text(Sql::kStreamMove, {quoted.literal(move.stream), std::to_string(move.before),
                                          std::to_string(move.after), quoted.literal(move.writer)});
  }
  if (!quoted.status()) return fail(quoted.status().error());
  return sql_text(Sql::kStreamGuard,
                  {table_, values, sink_, table_, sink_, std::to_string(moves.size())});
}

bool StreamRows::is_guard_failure(const Error& error) {
  return error.code == Errc::kServer && error.sqlstate == "23502" &&
         error.table == control_table_name(ControlTable::kOffsets) && error.column == "position";
}

Error StreamRows::fenced(std::string_view stream, const StreamRow* now) const {
  Error error;
  error.code = Errc::kFenced;
  const std::string which = "stream \"" + std::string(stream) + "\" of sink \"" + sink_id_ + "\" ";
  if (now != nullptr) {
    error.message = which + "is fenced by " + now->writer_name +
                    ": it has claimed the stream, so this writer must release() it; its other "
                    "streams continue";
  } else {
    error.message = which + "has no row in " + table_ +
                    ": the row was deleted, and with it the record of what is committed";
  }
  return error;
}

}  // namespace pgsink
