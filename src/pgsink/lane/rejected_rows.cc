// Rejected rows of a flight: they are left out and become dead letters, and the others are sent
// again. Who finds them: the encoder, before they are sent; the server, which often names the row;
// or the search of Salvage.

#include <algorithm>
#include <utility>

#include "pgsink/lane/lane.h"
#include "pgsink/sql/control.h"

namespace pgsink {
namespace {

// What one statement takes into the table; the server reads a parameter as a whole.
constexpr size_t kInsertBytesMax = size_t{64} << 20;

/// The line of the server's CONTEXT that is about the COPY, "COPY t, line 8, column b": what a
/// trigger did stands in lines before it.
std::string_view copy_context(std::string_view where) {
  while (!where.empty()) {
    const size_t end = std::min(where.find('\n'), where.size());
    const std::string_view line = where.substr(0, end);
    if (line.starts_with("COPY ") && line.find(", line ") != std::string_view::npos) return line;
    where.remove_prefix(std::min(end + 1, where.size()));
  }
  return {};
}

/// The N of "COPY t, line N"; 0 if the server named none. A table's name may hold anything.
uint64_t copy_line(std::string_view where) {
  constexpr std::string_view kMark = ", line ";
  const std::string_view line = copy_context(where);
  const size_t at = line.rfind(kMark);
  return at == std::string_view::npos ? 0 : parse_number(line.substr(at + kMark.size()));
}

/// The c of "COPY t, line N, column c", which values may follow behind a colon.
std::string_view copy_column(std::string_view where) {
  constexpr std::string_view kMark = ", column ";
  std::string_view line = copy_context(where);
  const size_t at = line.rfind(kMark);
  if (at == std::string_view::npos) return {};
  line.remove_prefix(at + kMark.size());
  return line.substr(0, line.find(": "));
}

}  // namespace

/// Notes the rows that the encoder rejected among those it was just given.
Status Lane::leave_out_rejected(Flight& current, RowRange rows) {
  if (rejected_.empty()) return {};
  const Piece& piece = current.pieces[current.attempt.piece];
  Status kept;
  for (Rejection& rejection : rejected_) {
    if (setup_.dead_letters == nullptr) {
      name_row(rejection.error, piece.source->first_row + rejection.row);
      kept = fail(std::move(rejection.error));
      break;
    }
    size_t position = rejection.row - rows.begin;
    if (rows.indexes != nullptr) {
      const uint32_t* const first = rows.indexes + rows.begin;
      position = static_cast<size_t>(std::find(first, first + rows.count, rejection.row) - first);
    }
    kept = leave_out(current, current.attempt.flight_row + position, rejection.error);
    if (!kept) break;
  }
  rejected_.clear();
  return kept;
}

/// A row becomes a dead letter. Fails if there are too many of them.
Status Lane::leave_out(Flight& current, size_t row, const Error& error) {
  current.salvage.leave_out(row);
  const auto [piece, piece_row] = current.locate(row);
  DeadLetter letter;
  letter.connection = setup_.name;
  letter.table = plan_.table;
  letter.input_row = piece->input_row(piece_row);
  letter.source_position = piece->batch().position;
  letter.attempts = current.attempts;
  letter.sqlstate = std::string(error.sqlstate.view());
  letter.message = error.message;
  letter.detail = error.detail;
  if (!error.where.empty()) letter.detail += (letter.detail.empty() ? "" : "; ") + error.where;
  letter.constraint = error.constraint;
  letter.column = error.column.empty() ? std::string(copy_column(error.where)) : error.column;
  letter.row =
      row_as_json(piece->batch(), static_cast<size_t>(letter.input_row - piece->source->first_row));
  letter.rejected_wall_us = env_.clock.wall_us();
  current.letters.push_back(std::move(letter));
  return setup_.dead_letters->count(current.letters.back(), current.input_rows().second);
}

/// The dead letters of an attempt that may commit, before it does.
Status Lane::send_letters(Flight& current) {
  if (current.letters.empty() || current.salvage.searching()) return {};
  const std::span<const DeadLetter> letters = current.letters;
  if (current.letters_told < letters.size()) {
    const auto told = setup_.dead_letters->tell(letters.subspan(current.letters_told));
    if (!told) return told;
    current.letters_told = letters.size();
  }
  const std::string& insert = setup_.dead_letters->insert_sql();
  if (insert.empty()) return {};
  pgproto::Session& session = connection_->session();
  Flight::Attempt& attempt = current.attempt;
  for (size_t first = 0; first < letters.size();) {
    size_t count = 1;
    for (size_t bytes = letters[first].row.size(); first + count < letters.size(); ++count) {
      bytes += letters[first + count].row.size();
      if (bytes > kInsertBytesMax) break;
    }
    const uint64_t prepared_before = statements_->prepared();
    const auto name = statements_->prepare(insert);
    if (!name) return fail(name.error());
    const bool parsed = statements_->prepared() != prepared_before;
    const std::string json = DeadLetters::table_parameter(letters.subspan(first, count));
    const pgproto::Session::Parameter parameter{.value = pgproto::as_bytes(json)};
    const auto bound = session.bind("", *name, std::span(&parameter, 1));
    if (!bound) return fail(bound.error());
    if (attempt.letters_first == 0) attempt.letters_first = *bound - (parsed ? 1 : 0);
    if (const auto executed = session.execute(""); !executed) return fail(executed.error());
    first += count;
  }
  attempt.letters_last = session.sync();
  return {};
}

/// After the server found no partition for a row, though there was one for each when they were
/// accepted: somebody may have dropped it.
void Lane::restore_partitions(Flight& current, FlightLog::Answered& answered) {
  std::vector<Partitioner::Rows> rows;
  rows.reserve(current.pieces.size());
  for (const Piece& piece : current.pieces) rows.push_back({&piece.batch(), piece.rows});
  const auto restored = setup_.partitioner->restore(rows, current.attempt.partitions_known);
  if (restored) {
    answered.repeat = *restored;
    return;
  }
  answered.error = restored.error();
  current.attempt.row_fault = false;
}

/// After an attempt that did not commit: whether the flight is to be sent again without a row, or
/// to find one. `error` is empty after a trial that went well; a false answer leaves in it what
/// stops the sink.
bool Lane::salvage(Flight& current, std::optional<Error>& error) {
  std::optional<size_t> row;
  if (!error) {
    row = current.salvage.passed();
  } else {
    const uint64_t line = copy_line(error->where);
    const bool can = setup_.dead_letters != nullptr && current.attempt.row_fault &&
                     error->code == Errc::kServer && log_.fails_by_itself(current.seq) &&
                     !log_.retries(*error) && !log_.stop_error();
    if (line > 0) row = current.salvage.sent_row(static_cast<size_t>(line - 1));
    if (!can) {
      if (row) name_row(*error, current.input_row(*row));
      return false;
    }
    current.suspicion = *error;
    if (row) {
      current.salvage.end_search();
    } else {
      row = current.salvage.failed(current.rows);
    }
    const bool nobody = !row && !current.salvage.searching();
    if (nobody) return false;
  }
  if (!row) return true;
  const Status kept = leave_out(current, *row, *current.suspicion);
  if (!kept) error = kept.error();
  return kept.has_value();
}

}  // namespace pgsink
