#include "pgsink/lane/flight.h"

#include <algorithm>
#include <span>

namespace pgsink {

std::string_view ending_tag(EndingKind kind) {
  switch (kind) {
    case EndingKind::kRollback:
      return "";
    case EndingKind::kCommit:
      return "COMMIT";
    case EndingKind::kPrepare:
      return "PREPARE TRANSACTION";
    case EndingKind::kSync:
      return "Sync";  // No tag of the server's: only for messages.
  }
  return "";
}

void Flight::add(Piece piece) {
  if (first_input_row == 0) first_input_row = piece.input_row(0);
  rows += piece.rows.count;
  memory_bytes += piece.memory_bytes();
  last_batch = piece.source->number;
  if (piece.last) {
    through_batch = piece.source->number;
    through_position = piece.batch().host_position();
  }
  pieces.push_back(std::move(piece));
}

void Flight::drop_if(const std::function<bool(const Piece&)>& is_gone) {
  for (const Piece& piece : pieces) {
    if (!is_gone(piece)) continue;
    rows -= piece.rows.count;
    memory_bytes -= std::min(memory_bytes, piece.memory_bytes());
  }
  std::erase_if(pieces, is_gone);
  search = {};
}

std::optional<RowRange> Flight::next_rows() {
  const Salvage& salvage = rejects.salvage;
  RowCursor& next = attempt.next;
  for (; next.piece < pieces.size(); ++next.piece, next.row = 0) {
    RowRange range = pieces[next.piece].rows;
    while (next.row < range.count && salvage.is_left_out(next.flight_row)) {
      ++next.row;
      ++next.flight_row;
    }
    if (next.row == range.count) continue;
    const size_t end = std::min(salvage.limit(), salvage.next_left_out(next.flight_row));
    if (end <= next.flight_row) return std::nullopt;
    range.begin += next.row;
    range.count = std::min(range.count - next.row, end - next.flight_row);
    return range;
  }
  return std::nullopt;
}

void Flight::restore_order() {
  if (search.row_order.empty() || rejects.any()) return;
  pieces = std::exchange(search.uncut, {});
  search = {};
}

Flight Flight::split_off(size_t row) {
  Flight tail;
  tail.state = std::exchange(state, FlightState::kClosed);
  tail.trigger = trigger;
  tail.opened_at = opened_at;
  tail.generation = generation;
  tail.rejects = rejects.split_off(row, input_row(row));
  std::vector<Piece> all = std::exchange(pieces, {});
  rows = memory_bytes = 0;
  through_batch = 0;
  through_position = {};
  for (Piece& piece : all) {
    const size_t here = std::min(row - rows, piece.rows.count);
    if (here == piece.rows.count && tail.pieces.empty()) {
      add(std::move(piece));
      continue;
    }
    if (here > 0) {
      Piece first = piece;
      first.rows.count = here;
      first.last = false;
      add(std::move(first));
      piece.rows.begin += here;
      piece.rows.count -= here;
    }
    tail.add(std::move(piece));
  }
  search = {};
  return tail;
}

size_t Flight::batch_end(size_t row) const {
  size_t end = 0;
  for (const Piece& piece : pieces) {
    end += piece.rows.count;
    if (piece.last && end >= row) return end;
  }
  return rows;
}

Rejects Rejects::split_off(size_t row, uint64_t input_row) {
  Rejects tail;
  tail.salvage = salvage.split_off(row);
  tail.letter_form = letter_form;
  const auto stays = [&](const DeadLetter& letter) { return letter.input_row < input_row; };
  const auto told = std::span(letters).first(letters_told);
  const auto told_stay = static_cast<size_t>(std::ranges::count_if(told, stays));
  tail.letters_told = std::exchange(letters_told, told_stay) - told_stay;
  for (DeadLetter& letter : std::exchange(letters, {})) {
    (stays(letter) ? letters : tail.letters).push_back(std::move(letter));
  }
  return tail;
}

void Flight::let_go_of_sent() {
  RowCursor& next = attempt.next;
  for (; next.piece > 0; --next.piece) {
    rows_let_go += pieces.front().rows.count;
    pieces.erase(pieces.begin());
  }
}

std::pair<const Piece*, size_t> Flight::locate(size_t row) const {
  row -= std::min(row, rows_let_go);
  for (const Piece& piece : pieces) {
    if (row < piece.rows.count) return {&piece, row};
    row -= piece.rows.count;
  }
  return {nullptr, 0};
}

uint64_t Flight::input_row(size_t n) const {
  if (n < rows_let_go) return first_input_row + n;
  const auto [piece, row] = locate(n);
  return piece == nullptr ? 0 : piece->input_row(row);
}

std::pair<uint64_t, uint64_t> Flight::input_rows() const {
  std::pair<uint64_t, uint64_t> ends{std::numeric_limits<uint64_t>::max(), 0};
  if (rows_let_go > 0) ends = {first_input_row, first_input_row + rows_let_go - 1};
  for (const Piece& piece : pieces) {
    if (piece.rows.count == 0) continue;
    ends.first = std::min(ends.first, piece.input_row(0));
    ends.second = std::max(ends.second, piece.input_row(piece.rows.count - 1));
  }
  return ends;
}

}  // namespace pgsink
