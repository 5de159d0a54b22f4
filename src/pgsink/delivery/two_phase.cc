#include "pgsink/delivery/two_phase.h"

#include <algorithm>
#include <utility>

#include <pgproto/quote.h>

#include "pgsink/delivery/resume.h"
#include "pgsink/delivery/writer_sessions.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

// pgsink only ever takes this lock in shared mode, so no session waits for it.
constexpr int64_t kAttachMaxMs = 5000;

std::string whole(uint64_t key) {
  return "'" + std::to_string(static_cast<int64_t>(key)) + "'::pg_catalog.int8";
}

// ---- checks at open -----------------------------------------------------------------------------

std::unexpected<Error> cannot_prepare(const std::string& why) {
  return fail(Errc::kCannotPrepare, "use_2pc: " + why);
}

std::unexpected<Error> not_local(const CatalogTable& table, std::string_view option,
                                 const std::string& what) {
  return fail(Errc::kCannotPrepare,
              std::string(option) + ": table " + table.schema + "." + table.name + " " + what +
                  ". A transaction that wrote a foreign table cannot be prepared, and does not "
                  "commit together with the progress stored on this server: leave " +
                  std::string(option) + " out, or write to the other server directly");
}

Result<QueryResult> prepared_limits(Connection& connection, const CatalogTable& table,
                                    Deadline deadline) {
  Quoted quoted;
  const std::string statement =
      sql_text(Sql::kPreparedLimits, {quoted.literal(table.schema), quoted.literal(table.name)});
  if (!quoted.status()) return fail(quoted.status().error());
  return run_control(connection, statement, deadline);
}

Status check_server(uint64_t slots, const SinkOptions& options) {
  if (slots == 0) {
    return cannot_prepare(
        "the server has max_prepared_transactions = 0: set it to at least the number of "
        "transactions that are prepared at once (parallelism and more) in postgresql.conf and "
        "restart the server, or leave use_2pc out");
  }
  if (slots < static_cast<uint64_t>(options.parallelism)) {
    return cannot_prepare("parallelism = " + std::to_string(options.parallelism) +
                          " prepares that many transactions at once, but the server has "
                          "max_prepared_transactions = " +
                          std::to_string(slots) +
                          ": raise max_prepared_transactions or lower parallelism");
  }
  return {};
}

}  // namespace

Status check_local_table(Connection& connection, const CatalogTable& table, std::string_view option,
                         Deadline deadline) {
  if (table.kind == CatalogTable::Kind::kForeign) {
    return not_local(table, option, "is a foreign table");
  }
  const auto limits = prepared_limits(connection, table, deadline);
  if (!limits) return fail(limits.error());
  const std::string partitions = cell(*limits, 0, 0);
  if (partitions == "0") return {};
  return not_local(table, option, "has " + partitions + " foreign partitions");
}

Status check_two_phase(Connection& connection, const SinkOptions& options,
                       const CatalogTable& table, Deadline deadline) {
  const auto gids =
      GidMaker::create(options.prepared_transaction_id, "", table.schema, stored_sink_id(options));
  if (!gids) return fail(gids.error());
  if (auto local = check_local_table(connection, table, "use_2pc", deadline); !local) return local;
  const auto limits = prepared_limits(connection, table, deadline);
  if (!limits) return fail(limits.error());
  return check_server(parse_number(cell(*limits, 0, 1)), options);
}

// ---- claim and fence ---------------------------------------------------------------------------

Result<TwoPhase> TwoPhase::claim(Connection& connection, const TwoPhaseConfig& config,
                                 Deadline deadline) {
  TwoPhase claimed;
  Quoted quoted;
  claimed.schema_ = config.schema;
  claimed.sink_id_ = config.sink_id;
  claimed.quoted_schema_ = quoted.identifier(config.schema);
  claimed.quoted_sink_ = quoted.literal(config.sink_id);
  claimed.lock_key_ = writer_lock_key(config.schema, config.sink_id);
  const auto database = connection.query(sql_text(Sql::kDatabase), deadline);
  if (!database) return fail(database.error());
  auto gids =
      GidMaker::create(config.gid_template, database->scalar(), config.schema, config.sink_id);
  if (!gids) return fail(gids.error());
  claimed.gids_ = *std::move(gids);
  for (const ControlTable table : {ControlTable::kWriters, ControlTable::kDecisions}) {
    if (auto there = ensure_control_table(connection, config.schema, table, deadline); !there) {
      return fail(there.error());
    }
  }
  const std::string prefix = quoted.literal(claimed.gids_.prefix());
  if (!quoted.status()) return fail(quoted.status().error());
  if (auto same = claimed.check_table(connection, config.table_oid, deadline); !same) {
    return fail(same.error());
  }
  const auto row =
      run_control(connection,
                  sql_text(Sql::kWriterClaim, {claimed.quoted_schema_, claimed.quoted_sink_, prefix,
                                               std::to_string(config.table_oid), prefix, prefix}),
                  deadline, true);
  if (!row) return fail(row.error());
  claimed.generation_ = parse_number(row->scalar());
  // From here on no session attaches for the previous generation; attached ones must end.
  if (auto attached = claimed.attach(connection, deadline); !attached) {
    return fail(attached.error());
  }
  if (auto alone = claimed.fence_others(connection, deadline); !alone) return fail(alone.error());
  return claimed;
}

// The order matters: sessions are listed, then the generation is read. If it is still ours, each of
// the sessions attached before us.
Status TwoPhase::fence_others(Connection& connection, Deadline deadline) const {
  const std::string list = sql_text(
      Sql::kWriterSessions,
      {std::to_string(lock_key_ >> 32), "=", std::to_string(lock_key_ & 0xffffffffU), kBothForms});
  return end_sessions(connection, list, sink_id_, deadline, [&]() -> Status {
    const auto now = read(connection, deadline);
    if (!now) return fail(now.error());
    if (!*now || (*now)->generation != generation_) return fail(fenced(*now));
    return {};
  });
}

Status TwoPhase::attach(Connection& connection, Deadline deadline) const {
  // One transaction, two snapshots: what the second statement reads is later than the lock.
  const auto answer =
      run_control(connection,
                  sql_text(Sql::kLockTimeout, {std::to_string(kAttachMaxMs)}) + "; " +
                      sql_text(Sql::kWriterAttach, {whole(lock_key_)}) + "; " +
                      sql_text(Sql::kWriterRead, {quoted_schema_, quoted_sink_}),
                  deadline);
  if (!answer) {
    if (answer.error().sqlstate != "55P03") return fail(answer.error());
    return fail(Errc::kCannotFence,
                "sink \"" + sink_id_ + "\": another program holds the advisory lock " +
                    std::to_string(static_cast<int64_t>(lock_key_)) +
                    ", which this sink needs: find its session in pg_locks (locktype = "
                    "'advisory') and end it, or use another sink_id");
  }
  if (!answer->rows.empty() && parse_number(cell(*answer, 0, 0)) == generation_) return {};
  const auto now = read(connection, deadline);
  if (!now) return fail(now.error());
  if (auto given_back = detach(connection, deadline); !given_back) return given_back;
  return fail(fenced(*now));
}

Status TwoPhase::detach(Connection& connection, Deadline deadline) const {
  const auto answer = connection.query(sql_text(Sql::kWriterDetach, {whole(lock_key_)}), deadline);
  if (!answer) return fail(answer.error());
  return {};
}

// ---- the sink's row ----------------------------------------------------------------------------

Result<std::optional<WriterRow>> TwoPhase::read(Connection& connection, Deadline deadline) const {
  const auto rows =
      run_control(connection, sql_text(Sql::kWriterRead, {quoted_schema_, quoted_sink_}), deadline);
  if (!rows) return fail(rows.error());
  if (rows->rows.empty()) return std::nullopt;
  return WriterRow{parse_number(cell(*rows, 0, 0)),
                   parse_number(cell(*rows, 0, 1)),
                   {parse_number(cell(*rows, 0, 2)), cell(*rows, 0, 3)},
                   cell(*rows, 0, 4),
                   static_cast<uint32_t>(parse_number(cell(*rows, 0, 5)))};
}

Status TwoPhase::check_table(Connection& connection, uint32_t table_oid, Deadline deadline) const {
  const auto row = read(connection, deadline);
  if (!row) return fail(row.error());
  if (!*row || (*row)->position.position == 0) return {};
  return check_same_table({.sink_id = sink_id_,
                           .control_table = quoted_schema_ + "." +
                                            std::string(control_table_name(ControlTable::kWriters)),
                           .stored_oid = (*row)->table_oid,
                           .oid = table_oid,
                           .position = (*row)->position.position});
}

Error TwoPhase::fenced(const std::optional<WriterRow>& now) const {
  Error error;
  error.code = Errc::kFenced;
  if (now) {
    error.message = "sink \"" + sink_id_ + "\" is fenced by " + now->writer_name +
                    ": it has claimed the sink, so this writer must stop. Run only one of the two, "
                    "or give each its own sink_id";
  } else {
    error.message = "sink \"" + sink_id_ + "\" has no row in " + quoted_schema_ + "." +
                    std::string(control_table_name(ControlTable::kWriters)) +
                    ": the row was deleted, and with it the record of what is decided";
  }
  return error;
}

// ---- the phases --------------------------------------------------------------------------------

Result<std::string> TwoPhase::prepare_sql(std::string_view gid) const {
  Quoted quoted;
  std::string text = sql_text(Sql::kPrepare, {quoted.literal(gid)});
  if (!quoted.status()) return fail(quoted.status().error());
  return text;
}

Result<bool> TwoPhase::is_prepared(Connection& connection, const std::string& gid,
                                   Deadline deadline) const {
  const auto gone = missing(connection, std::span(&gid, 1), deadline);
  if (!gone) return fail(gone.error());
  return gone->empty();
}

Result<std::vector<std::string>> TwoPhase::missing(Connection& connection,
                                                   std::span<const std::string> gids,
                                                   Deadline deadline) const {
  const auto array = sql_array(gids);
  if (!array) return fail(array.error());
  const auto rows = run_control(connection, sql_text(Sql::kPreparedList, {*array}), deadline);
  if (!rows) return fail(rows.error());
  std::vector<std::string> gone;
  for (const std::string& gid : gids) {
    const bool there =
        std::ranges::any_of(rows->rows, [&](const auto& row) { return row[0] == gid; });
    if (!there) gone.push_back(gid);
  }
  return gone;
}

Status TwoPhase::record(Connection& connection, uint64_t epoch, const HostPosition& position,
                        std::span<const std::string> gids, Deadline deadline) const {
  const auto array = sql_array(gids);
  if (!array) return fail(array.error());
  const auto proof = pgproto::quote_literal(position.proof);
  if (!proof) return fail(proof.error());
  const auto recorded = run_control(
      connection,
      sql_text(Sql::kDecisionRecord, {quoted_schema_, quoted_sink_, std::to_string(generation_),
                                      std::to_string(epoch), quoted_schema_, std::to_string(epoch),
                                      std::to_string(position.position), *proof, *array}),
      deadline, true);
  if (!recorded) return fail(recorded.error());
  if (recorded->rows.size() == 1) return {};
  const auto now = read(connection, deadline);
  if (!now) return fail(now.error());
  if (!*now || (*now)->generation != generation_) return fail(fenced(*now));
  return fail(Errc::kUsage, "epoch " + std::to_string(epoch) + " of sink \"" + sink_id_ +
                                "\" cannot be recorded: epoch " + std::to_string((*now)->epoch) +
                                " is decided, and epochs only grow");
}

Status TwoPhase::decide(Connection& connection, uint64_t epoch, const HostPosition& position,
                        std::span<const std::string> gids, Deadline deadline) const {
  const auto array = sql_array(gids);
  if (!array) return fail(array.error());
  const auto proof = pgproto::quote_literal(position.proof);
  if (!proof) return fail(proof.error());
  const std::string number = std::to_string(epoch);
  const std::string at = std::to_string(position.position);
  const auto decided = run_control(
      connection,
      sql_text(Sql::kDecisionDecide,
               {quoted_schema_, number, at, *proof, quoted_sink_, std::to_string(generation_),
                number, quoted_schema_, number, quoted_schema_, number, at, *proof, *array}),
      deadline, true);
  if (!decided) return fail(decided.error());
  if (decided->rows.size() == 1) return {};
  const auto now = read(connection, deadline);
  if (!now) return fail(now.error());
  if (!*now || (*now)->generation != generation_) return fail(fenced(*now));
  if ((*now)->epoch == epoch) return {};  // By an earlier try, whose answer was lost.
  return fail(Errc::kUsage, "epoch " + number + " of sink \"" + sink_id_ +
                                "\" cannot be decided: epoch " + std::to_string((*now)->epoch) +
                                " is, and epochs only grow");
}

Status TwoPhase::finish(Connection& connection, Deadline deadline) const {
  const auto finished = run_control(
      connection,
      sql_text(Sql::kWriterFinish, {quoted_schema_, quoted_sink_, std::to_string(generation_)}),
      deadline, true);
  if (!finished) return fail(finished.error());
  if (finished->rows.size() == 1) return {};
  const auto now = read(connection, deadline);
  if (!now) return fail(now.error());
  return fail(fenced(*now));
}

}  // namespace pgsink
