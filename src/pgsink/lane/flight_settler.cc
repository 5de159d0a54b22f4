#include "pgsink/lane/flight_settler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>
#include <vector>

#include "pgsink/lane/lane_messages.h"
#include "pgsink/options/retry.h"

namespace pgsink {
namespace {

constexpr std::string_view kReadOnlyServer = "25006";
/// What the server calls a value of another width than its type has.
constexpr std::string_view kProtocolViolation = "08P01";
constexpr std::string_view kDivisionByZero = "22012";
/// What the server says of a text that is not JSON, of \u0000 in one, and of a text that is not
/// XML: as content or, if the session's xmloption wants that, as a document.
constexpr std::array<std::string_view, 4> kDocumentFaults{"22P02", "22P05", "2200N", "2200M"};

/// ON CONFLICT met a row that the same statement wrote.
constexpr std::string_view kCardinalityViolation = "21000";

/// A proof that fails more often although nothing is different cannot succeed.
constexpr uint32_t kProofsMax = 3;

}  // namespace

FlightSettler::Verdict FlightSettler::verdict(const Flight& flight) const {
  const Attempt& attempt = flight.attempt;
  if (attempt.is_committed()) return Verdict::kCommitted;
  if (!attempt.failure && flight.rejects.salvage.searching()) return Verdict::kTrialPassed;
  // Transient failures are counted and waited for as usual.
  const bool passes = attempt.failure && is_transient(attempt.failure->error);
  const bool straight = attempt.copies.leaves != nullptr;
  if (straight && !passes && !log_.stop_error() && log_.fails_by_itself(flight.seq)) {
    return Verdict::kThroughParent;
  }
  return Verdict::kFailed;
}

void FlightSettler::settle(Flight& flight, LaneSession& session) {
  session.set_demoted(false);
  if (!flight.attempt.is_committed()) setup_.trace.failed(flight);
  if (flight.attempt.yields && log_.fails_by_itself(flight.seq)) return set_aside(flight);
  if (doubts(flight, session)) {
    flight.in_doubt = true;
    return set_aside(flight);
  }
  settle_without_doubt(flight, session);
}

void FlightSettler::settle_without_doubt(Flight& flight, LaneSession& session) {
  switch (verdict(flight)) {
    case Verdict::kCommitted:
      if (const auto proven =
              log_.step(FlightLog::Answered{.seq = flight.seq, .error = {}}, setup_.clock.now())) {
        committed(*proven);
      }
      return;
    case Verdict::kTrialPassed:
      return trial_passed(flight);
    case Verdict::kThroughParent:
      return through_parent(flight);
    case Verdict::kFailed:
      return failed(flight, session);
  }
}

/// Whether the attempt may have failed because the table is not what its rows were encoded for:
/// what the server says of rows it may say because it took them for other types. The first failure
/// asks, and of the following ever fewer: with rows left out, the proof before the commit asks too.
bool FlightSettler::doubts(Flight& flight, const LaneSession& session) const {
  if (verdict(flight) == Verdict::kCommitted || verdict(flight) == Verdict::kTrialPassed) {
    return false;
  }
  if (log_.stop_error() || !log_.fails_by_itself(flight.seq)) return false;
  if (flight.is_let_go()) return false;  // It cannot be encoded again.
  const Failure failure = failure_of(flight, session);
  const bool passes = is_transient(failure.error) && failure.error.sqlstate != kProtocolViolation;
  const bool of_table = failure.part != AttemptPart::kDeadLetters &&
                        failure.kind != FailureKind::kStaleStatement &&
                        failure.kind != FailureKind::kLeavesChanged;
  if (failure.error.code == Errc::kFenced) return setup_.delivery.loses_parts();
  if (passes || !of_table) return false;
  if (failure.kind == FailureKind::kShapeChanged) {
    ++flight.proofs_failed;
    return true;
  }
  return std::has_single_bit(++flight.failures);
}

void FlightSettler::through_parent(Flight& flight) {
  const auto& failure = flight.attempt.failure;
  if (failure && failure->kind == FailureKind::kLeavesChanged) {
    setup_.leaves.give_up(flight.attempt);
  }
  flight.restore_order();
  set_aside(flight);
}

void FlightSettler::trial_passed(Flight& flight) {
  if (const Status kept = setup_.rejects.trial_passed(flight); !kept) {
    log_.step(FlightLog::Answered{.seq = flight.seq, .error = kept.error()}, setup_.clock.now());
    return;
  }
  set_aside(flight);
}

void FlightSettler::failed(Flight& flight, LaneSession& session) {
  Failure failure = failure_of(flight, session);
  if (failure.kind == FailureKind::kShapeChanged) {
    if (!flight.is_let_go() && flight.proofs_failed < kProofsMax &&
        log_.fails_by_itself(flight.seq) && !log_.stop_error()) {
      return set_aside(flight);
    }
    failure.error = pgproto::make_error(
        Errc::kColumnType, "cannot verify that the table has the columns that its catalog names: " +
                               failure.error.message + "; reopen the sink");
  }
  if (checks_documents_now(flight, failure)) return set_aside(flight);
  if (goes_by_copy(flight, failure)) {
    flight.by_copy = true;
    return set_aside(flight);
  }
  if (goes_row_by_row(flight, failure)) {
    setup_.sizes.failed();
    setup_.sizes.cut(flight, setup_.sizes.rows_max(), session);
    flight.row_by_row = true;
    return set_aside(flight);
  }
  bool repeat = failure.kind == FailureKind::kStaleStatement;
  if (failure.kind == FailureKind::kNoPartition) repeat = restore_partitions(flight, failure);
  // A partition that existed before does not take the row either.
  const bool of_row =
      failure.kind == FailureKind::kRow || failure.kind == FailureKind::kNoPartition;
  const bool may_blame_row = of_row && log_.fails_by_itself(flight.seq) &&
                             !log_.retries(failure.error) && !log_.stop_error() &&
                             !flight.is_let_go();
  if (!flight.is_let_go() && !log_.stop_error() && RejectedRows::escape_letters(flight, failure))
    return set_aside(flight);
  if (log_.fails_by_itself(flight.seq)) setup_.sizes.failed();
  if (!repeat && may_blame_row && cut_at_fault(flight, failure, session)) return set_aside(flight);
  if (!repeat && setup_.rejects.salvage(flight, failure, may_blame_row)) return set_aside(flight);

  Error error = describe_failure(failure, setup_.delivery.hint(failure.error));
  if (may_blame_row && !repeat && !setup_.rejects.keeps_letters()) suggest_dead_letters(error);
  // A guard that fails because of the previous flight is not a new failure.
  if (log_.fails_by_itself(flight.seq)) setup_.metrics.error(error);
  setup_.metrics.failed_write();
  session.set_demoted(error.sqlstate == kReadOnlyServer);
  log_.step(FlightLog::Answered{.seq = flight.seq, .error = std::move(error), .repeat = repeat},
            setup_.clock.now());
}

/// Makes little of what must be sent again to leave a row out. True if the flight is to be sent
/// again before a row is blamed: it was too large to look for one.
bool FlightSettler::cut_at_fault(Flight& flight, const Failure& failure,
                                 LaneSession& session) const {
  if (!setup_.rejects.keeps_letters() || flight.rejects.salvage.searching()) return false;
  // The server had taken all rows before the one that it names.
  if (const auto row = RejectedRows::named_row(flight, failure)) {
    setup_.sizes.cut(flight, *row + 1, session);
    return false;
  }
  return setup_.sizes.cut(flight, setup_.sizes.rows_max(), session);
}

/// Whether the rows may pass once the encoder has checked their documents, which it begins to do.
bool FlightSettler::checks_documents_now(const Flight& flight, const Failure& failure) const {
  const bool of_document =
      failure.kind == FailureKind::kRow && std::ranges::any_of(kDocumentFaults, [&](auto fault) {
        return failure.error.sqlstate == fault;
      });
  return of_document && !flight.is_let_go() && !flight.rejects.salvage.searching() &&
         log_.fails_by_itself(flight.seq) && !log_.retries(failure.error) && !log_.stop_error() &&
         setup_.sender.check_documents();
}

/// Whether a COPY of the same rows would name the one that failed.
bool FlightSettler::goes_by_copy(const Flight& flight, const Failure& failure) const {
  return failure.kind == FailureKind::kRow && flight.attempt.path == Path::kArrays &&
         !flight.by_copy && setup_.target->plan.series_rows_max > 0 &&
         log_.fails_by_itself(flight.seq) && !log_.retries(failure.error) && !log_.stop_error();
}

/// Whether a statement for many rows failed in a way that a statement for each may not: one row by
/// another, or by its order. If a row fails too when it comes alone, the answers name it.
bool FlightSettler::goes_row_by_row(const Flight& flight, const Failure& failure) const {
  const Path path = flight.attempt.path;
  const bool together = path == Path::kArrays || path == Path::kStaged;
  const bool of_rows =
      failure.kind == FailureKind::kRow ||
      (failure.part == AttemptPart::kRows && failure.error.sqlstate == kCardinalityViolation);
  return together && !flight.is_let_go() && of_rows && setup_.target->plan.has_row_statements() &&
         !flight.row_by_row && !RejectedRows::named_row(flight, failure) &&
         log_.fails_by_itself(flight.seq) && !log_.retries(failure.error) && !log_.stop_error();
}

Failure FlightSettler::failure_of(const Flight& flight, const LaneSession& session) const {
  const Attempt& attempt = flight.attempt;
  Failure failure;
  if (attempt.path == Path::kStaged && session.stage_error()) {
    failure.error = *session.stage_error();
    // It proves the shape too.
    if (failure.error.sqlstate == kDivisionByZero) failure.kind = FailureKind::kShapeChanged;
  } else if (attempt.failure) {
    failure = *attempt.failure;
  } else {
    failure.error.code = Errc::kRolledBack;
    failure.error.message = std::string(ending_tag(attempt.ending)) +
                            " was answered by ROLLBACK, and no statement reported an error: a "
                            "pooler may hide it; see the server's log of this time";
  }
  // Only its own guard can fail the first of the flights: those that follow it fail with it.
  const bool first = flight.seq == log_.committed_prefix() + 1;
  if (first && setup_.delivery.is_fenced(failure.error)) failure.error.code = Errc::kFenced;
  return failure;
}

/// The server found no partition for a row, though each row had one when it was accepted: another
/// session may have dropped it. Says whether there is one now.
bool FlightSettler::restore_partitions(const Flight& flight, Failure& failure) {
  std::vector<Partitioner::Rows> rows;
  rows.reserve(flight.pieces.size());
  for (const Piece& piece : flight.pieces) rows.push_back({&piece.batch(), piece.rows});
  const auto restored = setup_.partitioner->restore(rows, flight.attempt.partitions_known);
  if (!restored) failure = Failure{.error = restored.error()};
  return restored && *restored;
}

void FlightSettler::set_aside(const Flight& flight) {
  log_.step(FlightLog::SetAside{flight.seq}, setup_.clock.now());
}

void FlightSettler::committed(FlightLog::Seq seq) {
  Flight& done = setup_.flights.at(seq);
  setup_.metrics.committed(done);
  setup_.trace.committed(done);
  setup_.lines.committed(done);
  setup_.sizes.committed();
  setup_.delivery.committed(done);
  done.state = FlightState::kCommitted;
  done.pieces.clear();
  done.search = {};
  // A flush that returns now must see that the lane works again.
  setup_.metrics.show_failing(log_.failing());
  const uint64_t through_batch = setup_.flights.pop_committed();
  if (through_batch > 0) setup_.reports.durable(setup_.lane, through_batch);
}

}  // namespace pgsink
