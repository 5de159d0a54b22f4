#include "pgsink/lane/rejected_rows.h"

#include <algorithm>
#include <utility>

namespace pgsink {
namespace {

/// Which of `rows` a row of the batch is.
size_t position_in(RowRange rows, size_t batch_row) {
  if (rows.indexes == nullptr) return batch_row - rows.begin;
  const uint32_t* const first = rows.indexes + rows.begin;
  return static_cast<size_t>(std::find(first, first + rows.count, batch_row) - first);
}

}  // namespace

std::optional<Failure> RejectedRows::leave_out(Flight& flight, RowRange rows,
                                               std::vector<Rejection>& rejected) const {
  if (rejected.empty()) return std::nullopt;
  const RowCursor& next = flight.attempt.next;
  std::optional<Failure> failure;
  for (Rejection& rejection : rejected) {
    if (letters_ == nullptr) {
      failure = Failure{.error = std::move(rejection.error),
                        .part = AttemptPart::kRows,
                        .input_row = flight.pieces[next.piece].source->first_row + rejection.row};
      break;
    }
    const size_t row = next.flight_row + position_in(rows, rejection.row);
    if (const Status kept = leave_out(flight, row, rejection.error); !kept) {
      failure = Failure{.error = kept.error(), .part = AttemptPart::kRows};
      break;
    }
  }
  rejected.clear();
  return failure;
}

void RejectedRows::forget(Flight& flight) const {
  Rejects& rejects = flight.rejects;
  if (!rejects.letters.empty()) letters_->forget(rejects.letters.size());
  const LetterForm form = rejects.letter_form;
  rejects = {};
  rejects.letter_form = form;
}

/// A row becomes a dead letter. Fails if there are too many of them.
Status RejectedRows::leave_out(Flight& flight, size_t row, const Error& error) const {
  flight.rejects.salvage.leave_out(row);
  const auto [piece, piece_row] = flight.locate(row);
  DeadLetter letter;
  letter.connection = connection_;
  letter.table = table_;
  letter.input_row = piece->input_row(piece_row);
  letter.source_position = piece->batch().position;
  letter.attempts = flight.attempts;
  letter.sqlstate = std::string(error.sqlstate.view());
  letter.message = error.message;
  letter.detail = error.detail;
  if (!error.where.empty()) letter.detail += (letter.detail.empty() ? "" : "; ") + error.where;
  letter.constraint = error.constraint;
  letter.column = error.column;
  letter.row =
      row_as_json(piece->batch(), static_cast<size_t>(letter.input_row - piece->source->first_row));
  letter.rejected_wall_us = clock_.wall_us();
  flight.rejects.letters.push_back(std::move(letter));
  return letters_->count(flight.rejects.letters.back(), flight.input_rows().second);
}

/// What the flight's batches bring that never became rows. REQUIRES: whole batches.
std::vector<DeadLetter> RejectedRows::letters_of_inputs(const Flight& flight) const {
  std::vector<DeadLetter> letters;
  for (const Piece& piece : flight.pieces) {
    if (!piece.last) continue;
    for (const RejectedInput& input : piece.batch().rejected) {
      letters.push_back(letter_of(input, connection_, table_, clock_.wall_us()));
    }
  }
  return letters;
}

Status RejectedRows::send_letters(Flight& flight, LaneSession& session) const {
  Rejects& rejects = flight.rejects;
  if (letters_ == nullptr || rejects.salvage.searching()) return {};
  std::vector<DeadLetter> all = letters_of_inputs(flight);
  if (!all.empty() && !std::exchange(rejects.inputs_told, true)) {
    if (const auto told = letters_->tell(all); !told) return told;
  }
  if (rejects.letters_told < rejects.letters.size()) {
    const auto told = letters_->tell(std::span(rejects.letters).subspan(rejects.letters_told));
    if (!told) return told;
    rejects.letters_told = rejects.letters.size();
  }
  const std::string& insert = letters_->insert_sql();
  all.insert(all.end(), rejects.letters.begin(), rejects.letters.end());
  if (insert.empty() || all.empty()) return {};
  const std::span<const DeadLetter> letters = all;
  AttemptRequests& requests = flight.attempt.requests;
  for (size_t first = 0; first < letters.size();) {
    const size_t count = DeadLetters::inserted_together(letters.subspan(first));
    const std::string json =
        DeadLetters::table_parameter(letters.subspan(first, count), rejects.letter_form);
    const pgproto::Session::Parameter parameter{.value = pgproto::as_bytes(json)};
    const auto executed = session.execute(insert, {}, std::span(&parameter, 1));
    if (!executed) return fail(executed.error());
    if (requests.letters_first == 0) requests.letters_first = executed->first;
    first += count;
  }
  requests.letters_last = session.protocol().sync();
  return {};
}

bool RejectedRows::escape_letters(Flight& flight, const Failure& failure) {
  return failure.part == AttemptPart::kDeadLetters &&
         escape_more(flight.rejects.letter_form, failure.error);
}

Status RejectedRows::trial_passed(Flight& flight) const {
  return leave_out_found(flight, flight.rejects.salvage.passed());
}

Status RejectedRows::leave_out_found(Flight& flight, std::optional<size_t> row) const {
  return row ? leave_out(flight, *row, *flight.rejects.suspicion) : Status();
}

std::optional<size_t> RejectedRows::named_row(const Flight& flight, const Failure& failure) {
  const Salvage& salvage = flight.rejects.salvage;
  if (failure.sent_row) return salvage.sent_row(*failure.sent_row);
  if (failure.copied_row) return salvage.sent_row(*failure.copied_row);
  return std::nullopt;
}

bool RejectedRows::salvage(Flight& flight, Failure& failure, bool may_blame_row) const {
  Salvage& salvage = flight.rejects.salvage;
  auto row = named_row(flight, failure);
  if (letters_ == nullptr || !may_blame_row) {
    if (row) failure.input_row = flight.input_row(*row);
    return false;
  }
  flight.rejects.suspicion = failure.error;
  const bool sent_nothing = salvage.trying_no_rows();
  if (!row) {
    row = salvage.failed(flight.rows);
  } else if (failure.sent_row) {
    row = salvage.failed_at(*row);
  } else {
    salvage.end_search();
  }
  const bool nobody = !row && !salvage.searching();
  if (nobody && sent_nothing) {
    failure.error.message += " (the statement fails in the same way without rows)";
  }
  if (nobody) return false;
  const Status kept = leave_out_found(flight, row);
  if (!kept) failure = Failure{.error = kept.error()};
  return kept.has_value();
}

}  // namespace pgsink
