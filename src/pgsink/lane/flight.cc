#include "pgsink/lane/flight.h"

#include <algorithm>

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
  rows += piece.rows.count;
  memory_bytes += piece.memory_bytes();
  last_batch = piece.source->number;
  if (piece.last) {
    through_batch = piece.source->number;
    through_position = piece.batch().host_position();
  }
  pieces.push_back(std::move(piece));
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

std::pair<const Piece*, size_t> Flight::locate(size_t row) const {
  for (const Piece& piece : pieces) {
    if (row < piece.rows.count) return {&piece, row};
    row -= piece.rows.count;
  }
  return {nullptr, 0};
}

uint64_t Flight::input_row(size_t n) const {
  const auto [piece, row] = locate(n);
  return piece == nullptr ? 0 : piece->input_row(row);
}

std::pair<uint64_t, uint64_t> Flight::input_rows() const {
  std::pair<uint64_t, uint64_t> ends{std::numeric_limits<uint64_t>::max(), 0};
  for (const Piece& piece : pieces) {
    if (piece.rows.count == 0) continue;
    ends.first = std::min(ends.first, piece.input_row(0));
    ends.second = std::max(ends.second, piece.input_row(piece.rows.count - 1));
  }
  return ends;
}

}  // namespace pgsink
