#include "pgsink/delivery/prepared_parts.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "pgsink/delivery/gid.h"
#include "pgsink/delivery/job_rows.h"
#include "pgsink/delivery/prepared.h"
#include "pgsink/delivery/writer_sessions.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

uint32_t job_key(std::string_view schema, std::string_view sink_id) {
  return static_cast<uint32_t>(sink_hash("pgsink job", schema, sink_id));
}

std::string signed_key(uint32_t key) { return std::to_string(static_cast<int32_t>(key)); }

/// The numbers after the claim in a gid: "_partition_part_rows_rejected".
std::optional<PreparedPart> read_numbers(std::string_view text) {
  uint64_t numbers[4] = {};
  for (uint64_t& number : numbers) {
    if (!text.starts_with('_')) return std::nullopt;
    text.remove_prefix(1);
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
    if (read.ec != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(read.ptr - text.data()));
  }
  if (!text.empty()) return std::nullopt;
  return PreparedPart{.partition = static_cast<uint32_t>(numbers[0]),
                      .part = static_cast<int64_t>(numbers[1]),
                      .rows = numbers[2],
                      .rejected = numbers[3],
                      .gid = {}};
}

Result<std::vector<PreparedTransaction>> list_prepared(Connection& connection,
                                                       std::span<const std::string> prefixes,
                                                       Deadline deadline) {
  const auto array = sql_array(prefixes);
  if (!array) return fail(array.error());
  const auto rows = run_control(connection, sql_text(Sql::kPreparedList, {*array}), deadline);
  if (!rows) return fail(rows.error());
  std::vector<PreparedTransaction> found;
  found.reserve(rows->rows.size());
  for (size_t i = 0; i < rows->rows.size(); ++i) {
    found.push_back({cell(*rows, i, 0), cell(*rows, i, 1)});
  }
  return found;
}

}  // namespace

Result<PreparedParts> PreparedParts::create(Connection& connection, std::string_view schema,
                                            std::string_view sink_id, std::string_view writer,
                                            Deadline deadline) {
  const auto database = connection.query(sql_text(Sql::kDatabase), deadline);
  if (!database) return fail(database.error());
  const auto rows = JobRows::create(schema, sink_id);
  if (!rows) return fail(rows.error());
  PreparedParts parts;
  parts.sink_id_ = sink_id;
  parts.writer_ = writer;
  parts.prefix_ = prefix_of(database->scalar(), schema, sink_id);
  parts.job_key_ = job_key(schema, sink_id);
  parts.claim_key_ = static_cast<uint32_t>(sink_hash("pgsink job", sink_id, writer));
  Quoted quoted;
  const std::string sink = quoted.literal(sink_id);
  parts.begin_ = sql_text(Sql::kWriterMarkTransaction,
                          {signed_key(parts.job_key_), signed_key(parts.claim_key_)}) +
                 "; " +
                 sql_text(Sql::kPartGuard,
                          {rows->table(), sink, rows->table(), sink, quoted.literal(writer)}) +
                 "; ";
  if (!quoted.status()) return fail(quoted.status().error());
  return parts;
}

std::string PreparedParts::prefix_of(std::string_view database, std::string_view schema,
                                     std::string_view sink_id) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string prefix = "pgsink_job_";
  const uint64_t hash = sink_hash(database, schema, sink_id);
  for (int shift = 60; shift >= 0; shift -= 4) prefix += kHex[(hash >> shift) & 15];
  return prefix + "_";
}

std::string PreparedParts::sessions_sql(std::string_view schema, std::string_view sink_id) {
  // No claim has this key's number: all sessions of the job are others.
  return sql_text(Sql::kWriterSessions,
                  {std::to_string(job_key(schema, sink_id)), ">=", "0", kKeyOfTwo});
}

std::string_view PreparedParts::claim_of_gid(std::string_view gid, std::string_view prefix) {
  if (!gid.starts_with(prefix)) return {};
  gid.remove_prefix(prefix.size());
  const size_t end = gid.find('_');
  if (end == std::string_view::npos || !read_numbers(gid.substr(end))) return {};
  return gid.substr(0, end);
}

bool PreparedParts::is_guard_failure(const Error& error) {
  return error.code == Errc::kServer && error.sqlstate == "23502" &&
         error.table == control_table_name(ControlTable::kJobs) && error.column == "epoch";
}

std::string PreparedParts::gid(const PreparedPart& part) const {
  std::string gid = prefix_ + writer_;
  for (const uint64_t number :
       {uint64_t{part.partition}, static_cast<uint64_t>(part.part), part.rows, part.rejected}) {
    gid += "_" + std::to_string(number);
  }
  return gid;
}

Result<std::string> PreparedParts::prepare_sql(const std::string& gid) {
  Quoted quoted;
  std::string sql = sql_text(Sql::kPrepare, {quoted.literal(gid)});
  if (!quoted.status()) return fail(quoted.status().error());
  return sql;
}

Result<bool> PreparedParts::is_prepared(Connection& connection, const std::string& gid,
                                        Deadline deadline) {
  const auto found = list_prepared(connection, std::span(&gid, 1), deadline);
  if (!found) return fail(found.error());
  return std::ranges::any_of(*found,
                             [&](const PreparedTransaction& one) { return one.gid == gid; });
}

Result<std::optional<PreparedPart>> PreparedParts::find(Connection& connection, uint32_t partition,
                                                        Deadline deadline) const {
  const std::string own = prefix_ + writer_;
  const std::string wanted = own + "_" + std::to_string(partition) + "_";
  const auto found = list_prepared(connection, std::span(&wanted, 1), deadline);
  if (!found) return fail(found.error());
  for (const PreparedTransaction& one : *found) {
    auto part = read_numbers(std::string_view(one.gid).substr(own.size()));
    if (!part) continue;
    part->gid = one.gid;
    return part;
  }
  return std::nullopt;
}

Status PreparedParts::commit(Env& env, Connection& connection, std::span<const std::string> gids,
                             Deadline deadline) {
  if (gids.empty()) return {};
  const auto found = list_prepared(connection, gids, deadline);
  if (!found) return fail(found.error());
  const auto done = resolve_prepared(env, connection, *found, Resolution::kCommit, deadline);
  return done ? Status() : fail(done.error());
}

Status PreparedParts::clear(Env& env, Connection& connection, Whose whose,
                            std::span<const std::string> kept, Deadline deadline) const {
  const bool own = whose == Whose::kOfThisClaim;
  const std::string sessions =
      sql_text(Sql::kWriterSessions,
               {std::to_string(job_key_), own ? "=" : "<>", std::to_string(claim_key_), kKeyOfTwo});
  const auto ended =
      end_sessions(connection, sessions, sink_id_, deadline, [&]() -> Status { return {}; });
  if (!ended) return ended;
  const auto found = list_prepared(connection, std::span(&prefix_, 1), deadline);
  if (!found) return fail(found.error());
  std::vector<PreparedTransaction> left;
  for (const PreparedTransaction& one : *found) {
    const std::string_view claim = claim_of_gid(one.gid, prefix_);
    if (claim.empty() || (claim == writer_) != own) continue;
    if (std::ranges::find(kept, one.gid) == kept.end()) left.push_back(one);
  }
  const auto done = resolve_prepared(env, connection, left, Resolution::kRollback, deadline);
  return done ? Status() : fail(done.error());
}

}  // namespace pgsink
