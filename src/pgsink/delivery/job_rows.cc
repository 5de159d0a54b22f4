#include "pgsink/delivery/job_rows.h"

#include <sstream>
#include <utility>

#include "pgsink/delivery/resume.h"
#include "pgsink/delivery/row_takeover.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

// A part that still writes holds its staging table.
constexpr int64_t kDropMs = 500;
constexpr size_t kClaimDigits = 16;  // Of the claim, in the name of its staging table.

/// FNV-1a: names of one sink share it, whatever characters its name has.
std::string hashed(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string digits;
  for (int shift = 60; shift >= 0; shift -= 4) digits += kHex[(hash >> shift) & 15];
  return digits;
}

}  // namespace

bool is_stage_name(std::string_view name) {
  constexpr size_t kHashDigits = 16;
  if (!name.starts_with(kStagePrefix)) return false;
  name.remove_prefix(kStagePrefix.size());
  if (name.size() != kHashDigits + 1 + kClaimDigits || name[kHashDigits] != '_') return false;
  return name.find_first_not_of("0123456789abcdef_") == std::string_view::npos;
}

Result<JobRows> JobRows::create(std::string_view schema, std::string_view sink_id) {
  JobRows rows;
  Quoted quoted;
  rows.schema_ = schema;
  rows.sink_id_ = sink_id;
  rows.quoted_schema_ = quoted.identifier(schema);
  rows.table_ = rows.quoted_schema_ + "." + std::string(control_table_name(ControlTable::kJobs));
  rows.sink_ = quoted.literal(sink_id);
  if (!quoted.status()) return fail(quoted.status().error());
  return rows;
}

Status JobRows::ensure_table(Connection& connection, Deadline deadline) const {
  return ensure_control_table(connection, schema_, ControlTable::kJobs, deadline);
}

Result<JobRow> JobRows::claim(Env& env, Connection& connection, const std::string& host,
                              bool numbered, uint32_t table_oid, Deadline deadline) const {
  Quoted quoted;
  const std::string writer(claim_of(new_claim_token(env.random)));
  const std::string statement =
      sql_text(Sql::kJobClaim, {table_, sink_, quoted.literal(host), quoted.literal(writer),
                                std::to_string(table_oid), numbered ? "true" : "false"});
  if (!quoted.status()) return fail(quoted.status().error());
  const auto claimed = take_over_rows(env, connection,
                                      {.statements = statement,
                                       .blockers = sql_text(Sql::kRowBlockers, {table_, sink_, ""}),
                                       .rows = "the row of job \"" + sink_id_ + "\" in " + table_},
                                      deadline);
  if (!claimed) return fail(claimed.error());
  auto read = this->read(connection, deadline);
  if (!read) return fail(read.error());
  std::optional<JobRow>& row = *read;
  if (row && row->writer == writer) return *std::move(row);
  if (!claimed->rows.empty() || !row) {
    return fail(Errc::kFenced, "job \"" + sink_id_ + "\" was opened by another driver" +
                                   (row ? ", " + row->writer_name : std::string()) +
                                   ", at the same moment: run one at a time, or give each its own "
                                   "sink_id");
  }
  // It found the row and did not take it.
  if (auto known = check_host(*row, host); !known) return fail(known.error());
  return fail(check_table(*row, table_oid).error());
}

Status JobRows::check_table(const JobRow& row, uint32_t table_oid) const {
  return check_same_table({.sink_id = sink_id_,
                           .control_table = table_,
                           .stored_oid = row.table_oid,
                           .oid = table_oid,
                           .position = row.epoch});
}

Status JobRows::check_host(const JobRow& row, const std::string& host) const {
  if (host.empty() || row.host.empty() || row.host == host) return {};
  return fail(Errc::kCannotResume,
              "the epochs of job \"" + sink_id_ + "\" up to " + std::to_string(row.epoch) +
                  " were numbered by host \"" + row.host + "\", and this is host \"" + host +
                  "\": its epochs with the same numbers would count as written. Use another "
                  "sink_id; or, if the former host has ended for good, run DELETE FROM " +
                  table_ + " WHERE sink_id = " + sink_);
}

Result<std::optional<JobRow>> JobRows::read(Connection& connection, Deadline deadline) const {
  const auto row = run_control(connection, sql_text(Sql::kJobRead, {table_, sink_}), deadline);
  if (!row) return fail(row.error());
  return parse(*row);
}

Result<std::string> JobRows::abandon_sql(const std::string& writer) const {
  Quoted quoted;
  std::string sql = sql_text(Sql::kJobAbandon, {table_, sink_, quoted.literal(writer)});
  if (!quoted.status()) return fail(quoted.status().error());
  return sql;
}

std::string JobRows::lock_sql() const { return sql_text(Sql::kJobLock, {table_, sink_}); }

Result<std::string> JobRows::decide_sql(uint64_t epoch, const std::string& host,
                                        const std::string& writer,
                                        std::span<const std::string> prepared) const {
  const auto gids = sql_array(prepared);
  if (!gids) return fail(gids.error());
  Quoted quoted;
  // A claim consists of hexadecimal digits.
  std::string text = sql_text(Sql::kJobDecide, {table_, std::to_string(epoch), quoted.literal(host),
                                                "'" + writer + "'", *gids, sink_});
  if (!quoted.status()) return fail(quoted.status().error());
  return text;
}

Status JobRows::settled(Connection& connection, std::span<const std::string> prepared,
                        Deadline deadline) const {
  if (prepared.empty()) return {};
  const auto gids = sql_array(prepared);
  if (!gids) return fail(gids.error());
  const auto done =
      run_control(connection, sql_text(Sql::kJobSettled, {table_, sink_, *gids}), deadline);
  return done ? Status() : fail(done.error());
}

std::optional<JobRow> JobRows::parse(const QueryResult& result) {
  if (result.rows.empty()) return std::nullopt;
  JobRow row{.epoch = parse_number(cell(result, 0, 0)),
             .host = cell(result, 0, 1),
             .writer = cell(result, 0, 2),
             .decided_by = cell(result, 0, 3),
             .writer_name = cell(result, 0, 4),
             .table_oid = static_cast<uint32_t>(parse_number(cell(result, 0, 5))),
             .prepared = {}};
  std::istringstream gids(cell(result, 0, 6));  // None has a space.
  for (std::string gid; gids >> gid;) row.prepared.push_back(gid);
  return row;
}

std::string JobRows::stage_name(const std::string& writer) const {
  return stage_prefix() + writer.substr(0, kClaimDigits);
}

std::string JobRows::stage_prefix() const {
  return std::string(kStagePrefix) + hashed(sink_id_) + "_";
}

Result<std::string> JobRows::quoted_stage(const std::string& name) const {
  Quoted quoted;
  std::string text = quoted_schema_ + "." + quoted.identifier(name);
  if (!quoted.status()) return fail(quoted.status().error());
  return text;
}

Status JobRows::drop_stages(Connection& connection, const std::string& role,
                            Deadline deadline) const {
  Quoted quoted;
  const std::string list =
      sql_text(Sql::kJobStages, {quoted.literal(schema_), quoted.literal(stage_prefix())});
  if (!quoted.status()) return quoted.status();
  const auto found = run_control(connection, list, deadline);
  if (!found) return fail(found.error());
  for (size_t i = 0; i < found->rows.size(); ++i) {
    const Status dropped = drop_stage(connection, cell(*found, i, 0), role, deadline);
    if (!dropped) return dropped;
  }
  return {};
}

Status JobRows::drop_stage(Connection& connection, const std::string& name, const std::string& role,
                           Deadline deadline) const {
  const auto stage = quoted_stage(name);
  if (!stage) return fail(stage.error());
  const auto dropped = run_control(connection,
                                   sql_text(Sql::kLockTimeout, {std::to_string(kDropMs)}) + "; " +
                                       role + sql_text(Sql::kJobDrop, {*stage}),
                                   deadline);
  // What the server refuses (a part writes, another role owns it) stays for a later job.
  return dropped || !connection.broken() ? Status() : fail(dropped.error());
}

}  // namespace pgsink
