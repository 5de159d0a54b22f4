#include "pgsink/lane/flight_sender.h"

#include <utility>
#include <vector>

#include "pgsink/lane/attempt_mark.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

// Arrays are encoded whole. While the server works on one flight, the next one travels; to encode
// more before they can leave would only take memory.
constexpr size_t kUnsentBeforeArraysMax = size_t{1} << 18;

}  // namespace

FlightSender::FlightSender(Setup setup, FlightEncoder::Codecs codecs, RepeatedKeys repeated_keys)
    : setup_(setup),
      encoder_(plan(), std::move(codecs), setup.rejects),
      repeated_keys_(std::move(repeated_keys)) {}

void FlightSender::adopt(const Plan& plan, FlightEncoder::Codecs codecs,
                         RepeatedKeys repeated_keys) {
  encoder_.adopt(plan, std::move(codecs));
  repeated_keys_ = std::move(repeated_keys);
}

// ---- beginning ---------------------------------------------------------------------------------

/// Whether the statement fails without rows only the one for many rows can say.
Path FlightSender::path_of(const Flight& flight, const LaneSession& session) const {
  const bool row_by_row = flight.row_by_row && !flight.rejects.salvage.trying_no_rows();
  if (row_by_row) return Path::kRows;
  return plan().path(flight.rows, flight.memory_bytes, session.sql().series && !flight.by_copy);
}

bool FlightSender::may_begin(const Flight& flight, const LaneSession& session) const {
  const Path path = path_of(flight, session);
  const bool looks_at_rows =
      plan().order.together != Together::kAlways || plan().has_unchanged() || flight.rejects.any();
  const bool needs_all_rows =
      path == Path::kArrays || plan().outcome_source == OutcomeSource::kEpoch || looks_at_rows ||
      setup_.leaves.serves(path) || (setup_.partitioner != nullptr && path == Path::kCopy);
  if (needs_all_rows && flight.is_open()) return false;
  if (path == Path::kArrays && session.unsent() > kUnsentBeforeArraysMax) return false;
  return session.wire().empty() || (!flight.in_doubt && !setup_.leaves.wants_look(flight, path));
}

Status FlightSender::begin(Flight& flight, LaneSession& session, uint64_t number) {
  if (flight.attempts == 0) {
    flight.row_by_row =
        repeated_keys_.forbid_together(flight) || encoder_.needs_row_statements(flight);
  }
  const Path path = path_of(flight, session);
  if (setup_.leaves.wants_look(flight, path)) setup_.leaves.look(session.connection());
  flight.attempt = {};
  if (setup_.leaves.serves(path) && flight.attempts == 0) setup_.leaves.route(flight);
  ++flight.attempts;
  Attempt& attempt = flight.attempt;
  attempt.path = path;
  // Behind a pooler another client's query may be the last one.
  if (plan().outcome_source == OutcomeSource::kXid && session.connection().is_direct())
    attempt.number = number;
  attempt.began = setup_.clock.now();
  if (setup_.partitioner != nullptr) attempt.partitions_known = setup_.partitioner->generation();
  session.prepare_for(path, flight.seq);
  if (path == Path::kArrays) {
    encoder_.make_arrays(flight);
    if (makes_series(flight, session)) {
      attempt.ending = EndingKind::kSync;
      return open_series(flight, session);
    }
  }
  return begin_transaction(flight, session);
}

Status FlightSender::begin_transaction(Flight& flight, LaneSession& session) {
  Attempt& attempt = flight.attempt;
  const TransactionSql& texts = session.sql();
  const auto identify = setup_.delivery.begin_sql(flight, texts);
  if (!identify) return fail(identify.error());
  std::string sql = attempt.number == 0 ? "" : mark_begin(attempt.number);
  sql += texts.begin + *identify + texts.settings + plan().statements.before;
  if (texts.guarded) {
    sql += sql_text(Sql::kGuard, {std::to_string(flight.seq - 1), std::to_string(flight.seq)});
    sql += "; ";
  }
  auto copy = pgproto::Session::Copy::kNone;
  if (attempt.path == Path::kStaged) sql += texts.stage_local;
  if (attempt.path == Path::kCopy || attempt.path == Path::kStaged) {
    sql += plan().statements.copy;
    copy = pgproto::Session::Copy::kIn;
  }
  const auto request = session.protocol().query(sql, copy);
  if (!request) return fail(request.error());
  attempt.requests.first = attempt.requests.identify = *request;
  return {};
}

/// Whether the flight needs no statement beside the one that identifies it and the one that applies
/// its rows. A batch without rows still has a position, but nothing to apply.
bool FlightSender::makes_series(const Flight& flight, const LaneSession& session) const {
  const bool alone = flight.rejects.letters.empty() && !flight.rejects.salvage.searching();
  return session.sql().series && alone && !flight.attempt.failure && encoder_.array_rows() > 0;
}

Status FlightSender::open_series(Flight& flight, LaneSession& session) const {
  const TransactionSql& texts = session.sql();
  if (texts.open_series.empty()) return {};
  const std::string before = std::to_string(flight.seq - 1);
  const std::string number = std::to_string(flight.seq);
  std::vector<pgproto::Session::Parameter> parameters;
  if (texts.guarded) {
    parameters.push_back({.value = pgproto::as_bytes(before)});
    parameters.push_back({.value = pgproto::as_bytes(number)});
  }
  const auto opened = session.execute(texts.open_series, {}, parameters);
  if (!opened) return fail(opened.error());
  flight.attempt.requests.first = opened->first;
  flight.attempt.requests.identify = opened->execute;
  return {};
}

// ---- rows --------------------------------------------------------------------------------------

Status FlightSender::open_rows(Flight& flight, LaneSession& session) {
  if (flight.attempt.path == Path::kArrays) return send_arrays(flight, session);
  session.rows_begin(flight.seq);
  if (flight.attempt.path != Path::kRows) session.append_copy(copy_header());
  return {};
}

namespace {

Result<bool> went_on(Status sent) {
  if (!sent) return fail(sent.error());
  return true;
}

}  // namespace

Result<bool> FlightSender::continue_rows(Flight& flight, LaneSession& session,
                                         const std::optional<Error>& stop) {
  const bool copies = flight.attempt.path != Path::kRows;
  if (!stop) return copies ? continue_copy(flight, session) : continue_statements(flight, session);
  flight.attempt.fail(*stop);
  return went_on(copies ? abandon_copy(flight, session) : end_statements(flight, session));
}

/// What follows a row that failed the server passes over: it need not be sent.
Result<bool> FlightSender::continue_statements(Flight& flight, LaneSession& session) {
  if (flight.attempt.failure) return went_on(end_statements(flight, session));
  const auto progress = encoder_.execute_some(flight, session);
  if (!progress) return fail(progress.error());
  const bool all = !flight.is_open() && !flight.next_rows();
  if (*progress == FlightEncoder::Progress::kFailed || all) {
    return went_on(end_statements(flight, session));
  }
  return *progress == FlightEncoder::Progress::kSome;
}

Status FlightSender::end_statements(Flight& flight, LaneSession& session) {
  Attempt& attempt = flight.attempt;
  session.rows_end();
  attempt.requests.rows_last = session.protocol().sync();
  if (!attempt.failure) {
    const Status told = setup_.rejects.send_letters(flight, session);
    if (!told) attempt.fail(told.error());
  }
  const Status ended = attempt.failure ? undo(flight, session) : finish(flight, session);
  return ended ? session.drain() : ended;
}

Result<bool> FlightSender::continue_copy(Flight& flight, LaneSession& session) {
  if (session.protocol().copy_refused()) return went_on(end_copy(flight, session));
  const auto progress = encoder_.copy_some(flight, session);
  if (!progress) return fail(progress.error());
  if (*progress == FlightEncoder::Progress::kFailed) return went_on(abandon_copy(flight, session));
  if (!flight.is_open() && !flight.next_rows()) return went_on(end_copy(flight, session));
  return *progress == FlightEncoder::Progress::kSome;
}

Status FlightSender::end_copy(Flight& flight, LaneSession& session) {
  pgproto::Session& protocol = session.protocol();
  const bool refused = protocol.copy_refused();
  if (!refused) session.append_copy(copy_trailer());
  protocol.copy_done();
  session.rows_end();
  if (refused) return conclude(flight, session);  // COMMIT of a failed transaction is a ROLLBACK.
  if (flight.attempt.path == Path::kStaged) {
    const auto merging = protocol.query(plan().statements.merge);
    if (!merging) return fail(merging.error());
  }
  if (auto asked = LeafCopier::check(flight.attempt, session); !asked) return asked;
  if (const Status told = setup_.rejects.send_letters(flight, session); !told) {
    flight.attempt.fail(told.error());
    return undo(flight, session);
  }
  return finish(flight, session);
}

/// REQUIRES: the attempt says why.
Status FlightSender::abandon_copy(Flight& flight, LaneSession& session) {
  session.protocol().copy_fail("pgsink abandons this batch");
  session.rows_end();
  return undo(flight, session);
}

Status FlightSender::yield_copy(Flight& flight, LaneSession& session) {
  flight.attempt.yields = true;
  return abandon_copy(flight, session);
}

Status FlightSender::send_arrays(Flight& flight, LaneSession& session) {
  Attempt& attempt = flight.attempt;
  const bool applies = encoder_.array_rows() > 0 || flight.rejects.salvage.trying_no_rows();
  if (!attempt.failure && applies) {
    if (auto applied = apply_arrays(flight, session); !applied) return applied;
  }
  if (!attempt.failure) {
    const Status told = setup_.rejects.send_letters(flight, session);
    if (!told) attempt.fail(told.error());
  }
  if (!attempt.is_series()) {
    const Status ended = attempt.failure ? undo(flight, session) : finish(flight, session);
    if (!ended) return ended;
  }
  return session.drain();
}

Status FlightSender::apply_arrays(Flight& flight, LaneSession& session) {
  Attempt& attempt = flight.attempt;
  const auto parameters = encoder_.array_parameters();
  for (const auto& parameter : parameters) attempt.encoded_bytes += parameter.value->size();
  attempt.apply = encoder_.array_statement();
  const auto applied = session.execute(attempt.apply, plan().statements.array_types, parameters);
  if (!applied) return fail(applied.error());
  if (attempt.requests.first == 0) attempt.requests.first = applied->first;
  attempt.requests.apply = applied->execute;
  if (attempt.is_series()) {
    if (auto proven = prove_series(flight, session); !proven) return proven;
  }
  const pgproto::RequestId sync = session.protocol().sync();
  if (attempt.is_series()) {
    attempt.requests.commit = sync;
    attempt.commit_end = session.protocol().appended_position();
  }
  return {};
}

// ---- ending ------------------------------------------------------------------------------------

/// Proves the shape, and ends the transaction as the guarantee of the sink demands; one that is
/// only tried is undone.
Status FlightSender::finish(Flight& flight, LaneSession& session) {
  if (flight.attempt.writes() || !flight.rejects.letters.empty()) {
    if (auto proven = prove_shape(flight, session); !proven) return proven;
    session.protocol().sync();
  }
  return conclude(flight, session);
}

/// A statement that writes the table comes before it, whose lock keeps what it proves, unless all
/// rows are left out: then it is enough that they were of no use at that moment.
Status FlightSender::prove_shape(Flight& flight, LaneSession& session) {
  return prove(flight, session, plan().shape.proof_sql(!flight.rejects.letters.empty()));
}

Status FlightSender::prove_series(Flight& flight, LaneSession& session) {
  if (!session.sql().series_identifies) return prove_shape(flight, session);
  const Status proven = prove(flight, session, plan().shape.identifying_proof_sql());
  if (!proven) return proven;
  flight.attempt.requests.identify = flight.attempt.requests.shape_last;
  // The server would keep the answer until the Sync has committed, and if that one is lost, nobody
  // knew which transaction to ask for.
  session.protocol().flush();
  return {};
}

Status FlightSender::prove(Flight& flight, LaneSession& session, std::string_view sql) {
  flight.attempt.proof = sql;
  const auto executed = session.execute(sql, {}, {});
  if (!executed) return fail(executed.error());
  flight.attempt.requests.shape_first = executed->first;
  flight.attempt.requests.shape_last = executed->execute;
  return {};
}

Status FlightSender::conclude(Flight& flight, LaneSession& session) {
  if (flight.rejects.salvage.searching()) {
    // A statement of its own: if it fails, the transaction is still to be ended.
    const auto checked = session.protocol().query(sql_text(Sql::kCheckConstraints));
    if (!checked) return fail(checked.error());
    return undo(flight, session);
  }
  const auto sql = setup_.delivery.end_sql(flight);
  if (!sql) return fail(sql.error());
  return end_transaction(flight, session, *sql);
}

Status FlightSender::undo(Flight& flight, LaneSession& session) {
  return end_transaction(flight, session, sql_text(Sql::kAbandon));
}

Status FlightSender::end_transaction(Flight& flight, LaneSession& session, std::string_view sql) {
  Attempt& attempt = flight.attempt;
  const auto request = attempt.number == 0
                           ? session.protocol().query(sql)
                           : session.protocol().query(mark_end(attempt.number) + std::string(sql));
  if (!request) return fail(request.error());
  attempt.requests.commit = *request;
  if (attempt.ending != EndingKind::kRollback) {
    attempt.commit_end = session.protocol().appended_position();
  }
  return {};
}

}  // namespace pgsink
