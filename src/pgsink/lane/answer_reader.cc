#include "pgsink/lane/answer_reader.h"

#include <algorithm>
#include <array>
#include <utility>

#include "pgsink/lane/copy_place.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

using pgproto::Event;

std::string_view value_text(const pgproto::DataRow& row, size_t column) {
  if (column >= row.values.size() || !row.values[column]) return {};
  return pgproto::as_text(*row.values[column]);
}

/// The number of rows in a tag such as "INSERT 0 5", "COPY 5" or "DELETE 5"; 0 if it has none.
uint64_t tag_rows(std::string_view tag) {
  const size_t space = tag.rfind(' ');
  return space == std::string_view::npos ? 0 : parse_number(tag.substr(space + 1));
}

bool is_copy(std::string_view tag) { return tag.starts_with("COPY "); }

std::string_view first_statement(std::string_view text) { return text.substr(0, text.find(';')); }

/// Whether a tag counts rows of the target: those of COPY that go there, and of a statement that
/// applies them. Guards insert nothing.
bool counts_changes(std::string_view tag, Path path) {
  if (path == Path::kCopy) return is_copy(tag);
  return std::ranges::any_of(std::array{"INSERT", "UPDATE", "DELETE"},
                             [&](const char* word) { return tag.starts_with(word); });
}

/// Which part of an attempt a request belongs to.
AttemptPart part_of(pgproto::RequestId request, const Attempt& attempt) {
  const AttemptRequests& requests = attempt.requests;
  if (requests.of_letters(request)) return AttemptPart::kDeadLetters;
  if (requests.of_shape(request)) return AttemptPart::kShapeProof;
  if (requests.leaf_check != 0 && request == requests.leaf_check) return AttemptPart::kLeafCheck;
  const bool receiving = attempt.phase >= AttemptPhase::kReceiving;
  const bool identifies_last = requests.apply != 0 && requests.apply < requests.identify;
  return receiving || identifies_last || request > requests.identify ? AttemptPart::kRows
                                                                     : AttemptPart::kBegin;
}

/// The server says only that a text is not a boolean.
void explain_never_seen(Error& error) {
  constexpr std::string_view kNoData = "02000";
  error.sqlstate = pgproto::Sqlstate(kNoData);
  error.message =
      "the row leaves columns unchanged (\"_unchanged\"), and the table has no row of its key: "
      "their values were never seen";
}

}  // namespace

bool AnswerReader::read(const Event& event, Flight& oldest, LaneSession& session) const {
  Attempt& attempt = oldest.attempt;
  const AttemptRequests& requests = attempt.requests;
  if (event.request < requests.first) return false;
  count(event, oldest);
  const bool identifies = event.request == requests.identify;
  if (const auto* row = std::get_if<pgproto::DataRow>(&event.message)) {
    const bool awaited = !attempt.is_identified && plan().outcome_source != OutcomeSource::kEpoch;
    if (identifies && awaited) on_row(*row, oldest, session);
  } else if (const auto* error = std::get_if<pgproto::ErrorResponse>(&event.message)) {
    if (!attempt.failure) attempt.failure = failure_of(event, *error, attempt, session);
  } else if (std::holds_alternative<pgproto::CopyInResponse>(event.message)) {
    if (identifies) attempt.reach(AttemptPhase::kReceiving);
  } else if (const auto* complete = std::get_if<pgproto::CommandComplete>(&event.message)) {
    on_complete(event, complete->tag, attempt);
  } else if (std::holds_alternative<pgproto::ReadyForQuery>(event.message)) {
    if (requests.commit == 0 || event.request != requests.commit) return false;
    // Sync commits what succeeded before it, and an error of that commit is its answer.
    const bool applied = attempt.phase == AttemptPhase::kApplied && !attempt.failure;
    if (attempt.is_series() && applied) attempt.reach(AttemptPhase::kCommitted);
    return true;
  }
  return false;
}

void AnswerReader::on_row(const pgproto::DataRow& row, Flight& flight, LaneSession& session) const {
  flight.attempt.is_identified = true;
  const Connection& connection = session.connection();
  BackendIdentity backend = connection.server().backend;
  if (!connection.is_direct()) {
    backend = {.pid = static_cast<int32_t>(parse_number(value_text(row, 1))),
               .backend_start = std::string(value_text(row, 2))};
  }
  const uint64_t xid = parse_number(value_text(row, 0));
  setup_.transactions.add(xid);
  setup_.log.step(FlightLog::Identified{flight.seq, xid, std::move(backend)}, setup_.clock.now());
}

void AnswerReader::on_complete(const Event& event, std::string_view tag, Attempt& attempt) {
  const AttemptRequests& requests = attempt.requests;
  const bool proves = !attempt.is_series() && attempt.ending != EndingKind::kRollback &&
                      tag == ending_tag(attempt.ending);
  if (requests.commit != 0 && event.request == requests.commit && proves) {
    attempt.reach(AttemptPhase::kCommitted);
  }
  if (attempt.is_series() && event.request == requests.apply) {
    attempt.reach(AttemptPhase::kApplied);
  }
  if (requests.of_row(event.request)) ++attempt.rows_applied;
  if (is_copy(tag)) attempt.copied_rows += tag_rows(tag);
  if (counts_changes(tag, attempt.path) && !requests.of_letters(event.request)) {
    attempt.changed_rows += tag_rows(tag);
  }
}

Failure AnswerReader::failure_of(const Event& event, const pgproto::ErrorResponse& error,
                                 const Attempt& attempt, LaneSession& session) const {
  Failure failure{.error = error.to_error(), .part = part_of(event.request, attempt)};
  // Also when a flight before it failed, which was to prepare the statement.
  const bool of_letters = failure.part == AttemptPart::kDeadLetters;
  const bool of_shape = failure.part == AttemptPart::kShapeProof;
  const bool of_row = attempt.requests.of_row(event.request);
  if (of_row) failure.sent_row = attempt.rows_applied;
  const bool prepared = attempt.path == Path::kArrays || of_row || of_letters || of_shape;
  const std::string_view sql = of_letters ? setup_.insert_letters
                               : of_shape ? attempt.proof
                               : of_row   ? plan().statements.row.sql
                                          : attempt.apply;
  const Statements& texts = plan().statements;
  const bool other_stale =
      of_row && std::ranges::any_of(
                    std::array{&texts.row_delete, &texts.row_keeping, &texts.row_move},
                    [&](const RowStatement* statement) {
                      return !statement->sql.empty() && session.is_stale(error, statement->sql);
                    });
  if (of_row && failure.error.message.find(Statements::kNeverSeen) != std::string::npos) {
    explain_never_seen(failure.error);
  }
  failure.kind = classify_failure(
      {.error = failure.error,
       .routine = error.routine,
       .part = failure.part,
       .into_leaves = attempt.copies.leaves != nullptr,
       .creates_partitions = setup_.creates_partitions,
       .reads_text = plan().statements.reads_text,
       .stale_statement = other_stale || (prepared && session.is_stale(error, sql))});
  take_copy_place(failure);
  return failure;
}

/// Makes the line of a COPY, which counts what one attempt has sent, the row that it means.
void AnswerReader::take_copy_place(Failure& failure) const {
  Error& error = failure.error;
  const CopyPlace place = copy_place(error.where, plan().statements.copied_table);
  if (place.line == 0) return;
  failure.copied_row = static_cast<size_t>(place.line - 1);
  if (error.column.empty()) error.column = place.column;
  error.where = std::string(place.others);
}

// ---- statements --------------------------------------------------------------------------------

/// Counts the statement that an event of a flight's attempt ends.
void AnswerReader::count(const Event& event, const Flight& flight) const {
  const Attempt& attempt = flight.attempt;
  const auto* complete = std::get_if<pgproto::CommandComplete>(&event.message);
  const bool failed = std::holds_alternative<pgproto::ErrorResponse>(event.message);
  const bool ready = std::holds_alternative<pgproto::ReadyForQuery>(event.message);
  if (attempt.is_series()) {
    // Its commit has no statement of its own: Sync does it.
    const bool ends = event.request == attempt.requests.commit && ready;
    const uint64_t rows = attempt.phase == AttemptPhase::kApplied ? flight.rows : 0;
    if (ends || failed) setup_.metrics.statement(attempt.apply, flight, rows, failed);
    return;
  }
  if (complete == nullptr && !failed) return;
  const std::string_view tag = complete != nullptr ? complete->tag : std::string_view();
  if (event.request == attempt.requests.identify) {
    if (tag == "BEGIN") {
      setup_.metrics.statement(first_statement(plan().direct.begin), flight, 0, false);
      return;
    }
    // Other statements of that request have none of their own.
    const bool copies = attempt.path == Path::kCopy || attempt.path == Path::kStaged;
    if (!copies || (!is_copy(tag) && !failed)) return;
  }
  if (event.request == attempt.requests.commit) {
    const std::string text = attempt.ending == EndingKind::kRollback ? sql_text(Sql::kAbandon)
                             : attempt.ending == EndingKind::kPrepare
                                 ? sql_text(Sql::kPrepare, {"$1"})
                                 : plan().commit;
    setup_.metrics.statement(text, flight, 0, failed);
    return;
  }
  const std::string_view text = statement_of(event.request, tag, attempt);
  if (!text.empty()) setup_.metrics.statement(text, flight, tag_rows(tag), failed);
}

std::string_view AnswerReader::statement_of(pgproto::RequestId request, std::string_view tag,
                                            const Attempt& attempt) const {
  const Statements& texts = plan().statements;
  const AttemptRequests& requests = attempt.requests;
  if (requests.of_shape(request)) return {};
  if (request == requests.identify) return texts.copy;
  if (requests.of_row(request)) {
    const bool deletes = !texts.row_delete.sql.empty() && tag.starts_with("DELETE");
    const bool keeps = !texts.row_keeping.sql.empty() && tag.starts_with("UPDATE");
    return deletes ? texts.row_delete.sql : keeps ? texts.row_keeping.sql : texts.row.sql;
  }
  // Each partition's name would make a statement of its own.
  if (attempt.copies.leaves != nullptr && request < requests.commit) {
    return request == requests.leaf_check ? std::string_view() : texts.copy;
  }
  if (requests.of_letters(request)) return setup_.insert_letters;
  return attempt.path == Path::kArrays ? attempt.apply : texts.merge;
}

}  // namespace pgsink
