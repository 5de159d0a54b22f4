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

}  // namespace

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

// ---- resolving ---------------------------------------------------------------------------------

Result<std::vector<Decision>> TwoPhase::decisions(Connection& connection, Deadline deadline) const {
  return read_decisions(connection, quoted_schema_, quoted_sink_, deadline);
}

Result<std::optional<uint64_t>> TwoPhase::first_waiting(Connection& connection,
                                                        Deadline deadline) const {
  const auto found = decisions(connection, deadline);
  if (!found) return fail(found.error());
  for (const Decision& decision : *found) {
    if (!decision.decided) return decision.epoch;
  }
  return std::nullopt;
}

Result<size_t> TwoPhase::commit_decided(Env& env, Connection& connection, Deadline deadline) const {
  const auto found = decisions(connection, deadline);
  if (!found) return fail(found.error());
  std::vector<PreparedTransaction> present;
  uint64_t last = 0;
  bool any = false;
  for (const Decision& decision : *found) {
    if (!decision.decided) continue;
    any = true;
    last = decision.epoch;
    present.insert(present.end(), decision.present.begin(), decision.present.end());
  }
  if (!any) return 0;
  const auto committed = resolve_prepared(env, connection, present, Resolution::kCommit, deadline);
  if (!committed) return committed;
  // Only now, and only what was read: a new writer relies on the row.
  const auto dropped =
      run_control(connection,
                  sql_text(Sql::kDecisionDrop, {quoted_schema_, quoted_schema_, quoted_sink_,
                                                std::to_string(generation_), std::to_string(last)}),
                  deadline);
  if (!dropped) return fail(dropped.error());
  return committed;
}

Status TwoPhase::abort(Env& env, Connection& connection, uint64_t epoch, Deadline deadline) const {
  // First make sure that nothing more is prepared, then that nothing recorded is committed, then
  // roll back.
  if (auto alone = fence_others(connection, deadline); !alone) return alone;
  const auto now = read(connection, deadline);
  if (!now) return fail(now.error());
  if (!*now || (*now)->generation != generation_) return fail(fenced(*now));
  if ((*now)->epoch >= epoch) {
    return fail(Errc::kResolveRefused, "epoch " + std::to_string(epoch) + " of sink \"" + sink_id_ +
                                           "\" is decided: it will be committed");
  }
  const auto forgotten = run_control(
      connection,
      sql_text(Sql::kDecisionForget, {quoted_schema_, quoted_schema_, quoted_sink_,
                                      std::to_string(generation_), std::to_string(epoch)}),
      deadline);
  if (!forgotten) return fail(forgotten.error());
  const auto done = roll_back_unnamed(env, connection, std::span(&gid_prefix(), 1), deadline);
  if (!done) return fail(done.error());
  return {};
}

/// Rolls back every transaction with one of the prefixes that no row of pgsink_decisions names.
Result<size_t> TwoPhase::roll_back_unnamed(Env& env, Connection& connection,
                                           std::span<const std::string> prefixes,
                                           Deadline deadline) const {
  const auto named = decisions(connection, deadline);
  if (!named) return fail(named.error());
  const auto array = sql_array(prefixes);
  if (!array) return fail(array.error());
  const auto rows = run_control(connection, sql_text(Sql::kPreparedList, {*array}), deadline);
  if (!rows) return fail(rows.error());
  std::vector<PreparedTransaction> left;
  for (size_t i = 0; i < rows->rows.size(); ++i) {
    const std::string gid = cell(*rows, i, 0);
    const bool has_name = std::ranges::any_of(*named, [&](const Decision& decision) {
      return std::ranges::find(decision.gids, gid) != decision.gids.end();
    });
    if (!has_name) left.push_back({gid, cell(*rows, i, 1)});
  }
  return resolve_prepared(env, connection, left, Resolution::kRollback, deadline);
}

// The host knows that these epochs are complete; the decision did not come through to us.
Status TwoPhase::decide_recorded(Connection& connection, uint64_t host_epoch,
                                 Deadline deadline) const {
  const auto found = decisions(connection, deadline);
  if (!found) return fail(found.error());
  const Decision* last = nullptr;
  for (const Decision& decision : *found) {
    if (decision.decided || decision.epoch > host_epoch) continue;
    last = &decision;
    if (decision.present.size() == decision.gids.size()) continue;
    return fail(Errc::kNoPreparedTransaction,
                "epoch " + std::to_string(decision.epoch) + " of sink \"" + sink_id_ +
                    "\" is to be committed, but only " + std::to_string(decision.present.size()) +
                    " of its " + std::to_string(decision.gids.size()) +
                    " prepared transactions are there: somebody resolved the others by hand. "
                    "Compare the table with the source; then delete the epoch's row in " +
                    quoted_schema_ + "." +
                    std::string(control_table_name(ControlTable::kDecisions)) +
                    " and go back to an epoch before it");
  }
  if (last == nullptr) return {};
  return decide(connection, last->epoch, last->position, last->gids, deadline);
}

Result<TwoPhase::Recovered> TwoPhase::recover(Env& env, Connection& connection,
                                              std::optional<uint64_t> host_epoch,
                                              Deadline deadline) const {
  Recovered recovered;
  if (host_epoch) {
    if (auto done = decide_recorded(connection, *host_epoch, deadline); !done) {
      return fail(done.error());
    }
  }
  const auto committed = commit_decided(env, connection, deadline);
  if (!committed) return fail(committed.error());
  recovered.committed = *committed;
  // The rest was never decided. First remove it from the records, then roll it back.
  const auto forgotten = run_control(
      connection,
      sql_text(Sql::kDecisionForget,
               {quoted_schema_, quoted_schema_, quoted_sink_, std::to_string(generation_), "0"}),
      deadline);
  if (!forgotten) return fail(forgotten.error());
  const auto row = read(connection, deadline);
  if (!row) return fail(row.error());
  if (!*row || (*row)->generation != generation_) return fail(fenced(*row));
  recovered.epoch = (*row)->epoch;
  recovered.position = (*row)->position;
  const auto prefixes = run_control(
      connection, sql_text(Sql::kWriterPrefixes, {quoted_schema_, quoted_sink_}), deadline);
  if (!prefixes) return fail(prefixes.error());
  std::vector<std::string> fixed;
  fixed.reserve(prefixes->rows.size());
  for (size_t i = 0; i < prefixes->rows.size(); ++i) fixed.push_back(cell(*prefixes, i, 0));
  const auto rolled_back = roll_back_unnamed(env, connection, fixed, deadline);
  if (!rolled_back) return fail(rolled_back.error());
  recovered.rolled_back = *rolled_back;
  Quoted quoted;
  const auto tidy =
      run_control(connection,
                  sql_text(Sql::kWriterTidy, {quoted_schema_, quoted.literal(gid_prefix()),
                                              quoted_sink_, std::to_string(generation_)}),
                  deadline);
  if (!tidy) return fail(tidy.error());
  return recovered;
}

}  // namespace pgsink
