// Rows that are copied straight into their partitions (leaves.h): one COPY a partition, and behind
// the last one a look whether they are still the table's.
//
// Only the first attempt of a flight goes that way. Whatever it fails of, the next one goes through
// the parent, whose errors name the row and say what is the matter.

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

#include "pgsink/lane/lane.h"
#include "pgsink/sql/control.h"

namespace pgsink {
namespace {

constexpr Duration kLookEvery = std::chrono::seconds(30);

}  // namespace

bool Lane::wants_leaves(const Flight& next, Path path) const {
  return routes(path) && next.attempts == 0 && leaves_stale_ &&
         env_.clock.now() - leaves_seen_ >= kLookEvery;
}

/// Others create partitions too. REQUIRES: no answer is waited for.
void Lane::look_at_leaves() {
  leaves_seen_ = env_.clock.now();
  leaves_stale_ = false;
  std::ignore = setup_.leaves->refresh(*connection_, leaves_seen_ + kAskTimeout);
}

/// A piece at a time, while earlier flights travel: the server must not wait for it.
void Lane::find_some_leaves() {
  if (setup_.leaves == nullptr) return;
  const auto next = std::ranges::find_if(flights_, [](const Flight& flight) {
    return flight.attempts == 0 && flight.pieces_found < flight.pieces.size();
  });
  if (next != flights_.end()) find_leaves(*next);
}

/// Of the flight's next piece.
void Lane::find_leaves(Flight& next) {
  if (next.pieces_found == 0) next.leaves = setup_.leaves->leaves();
  const Piece& piece = next.pieces[next.pieces_found++];
  const size_t found = next.leaf_of_row.size();
  next.leaf_of_row.resize(found + piece.rows.count);
  setup_.leaf_finder->find(*next.leaves, piece.batch(), piece.rows,
                           std::span(next.leaf_of_row).subspan(found));
}

void Lane::route_to_leaves(Flight& next) {
  if (next.is_salvaged() || next.rows == 0) return;
  if (next.leaves == leaves_given_up_ && next.leaves != nullptr) return;
  while (next.pieces_found < next.pieces.size()) find_leaves(next);
  const std::vector<uint32_t> numbers = std::exchange(next.leaf_of_row, {});
  std::vector<size_t> counts(next.leaves->count() + 1);
  for (const uint32_t number : numbers) ++counts[number];
  if (counts.back() > 0) leaves_stale_ = true;
  const auto used = static_cast<size_t>(
      std::count_if(counts.begin(), counts.end() - 1, [](size_t rows) { return rows > 0; }));
  if (!setup_.leaves->pays(next.rows, used)) return;
  next.attempt.leaves = next.leaves;
  cut_by_partitions(next, numbers);
}

/// Puts the flight's rows into the order of their partitions, and within each as they came. First
/// are those whose way is through the parent, and be there none: its lock comes before those of its
/// partitions, as whoever detaches one takes them, and so neither can wait for the other for ever.
void Lane::cut_by_partitions(Flight& next, std::span<const uint32_t> numbers) {
  const Leaves& leaves = *next.leaves;
  std::vector<size_t> places(leaves.count() + 1);  // Of the next row of each partition.
  for (const uint32_t number : numbers) ++places[number];
  size_t place = places.back();
  for (size_t& rows : std::span(places).first(leaves.count())) place += std::exchange(rows, place);
  places.back() = 0;
  next.row_order.resize(next.rows);
  std::vector<std::vector<Piece>> cut(places.size());
  std::vector<const Piece*> cut_of(places.size());  // What the last one of each was cut of.
  size_t row = 0;
  for (const Piece& piece : next.pieces) {
    for (size_t i = piece.rows.begin; i < piece.rows.begin + piece.rows.count; ++i) {
      const size_t number = numbers[row++];
      const size_t at = places[number]++;
      next.row_order[at] =
          piece.rows.indexes != nullptr ? piece.rows.indexes[i] : static_cast<uint32_t>(i);
      if (std::exchange(cut_of[number], &piece) != &piece) {
        cut[number].push_back(
            {.source = piece.source, .rows = {.begin = at, .indexes = next.row_order.data()}});
      }
      ++cut[number].back().rows.count;
    }
  }
  next.pieces.clear();
  std::ranges::rotate(cut, cut.end() - 1);
  for (size_t i = 0; i < cut.size(); ++i) {
    const size_t number = i == 0 ? leaves.count() : i - 1;
    next.attempt.piece_leaves.insert(next.attempt.piece_leaves.end(), cut[i].size(),
                                     leaves.leaf(number));
    std::ranges::move(cut[i], std::back_inserter(next.pieces));
  }
}

/// If the next rows belong elsewhere, the COPY under way ends and another one begins.
Status Lane::turn_to_next_leaf(Flight& current) {
  Flight::Attempt& attempt = current.attempt;
  if (attempt.leaves == nullptr || attempt.piece_leaves[attempt.piece] == attempt.leaf) return {};
  append_copy(copy_trailer());
  pgproto::Session& session = connection_->session();
  session.copy_done();
  attempt.leaf = attempt.piece_leaves[attempt.piece];
  const auto begun = session.query(attempt.leaf->copy, pgproto::Session::Copy::kIn);
  if (!begun) return fail(begun.error());
  append_copy(copy_header());
  return {};
}

Status Lane::check_leaves(Flight& current) {
  Flight::Attempt& attempt = current.attempt;
  if (attempt.leaves == nullptr) return {};
  std::vector<const Leaf*> used;
  for (const Leaf* leaf : attempt.piece_leaves) {
    if (leaf != nullptr && (used.empty() || used.back() != leaf)) used.push_back(leaf);
  }
  const auto asked = connection_->session().query(attempt.leaves->check(used));
  if (!asked) return fail(asked.error());
  attempt.leaf_check = *asked;
  return {};
}

/// After an attempt that did not commit: whether the flight is to be sent again through the parent
/// at once. What passes is counted and waited for as ever.
bool Lane::go_through_parent(const Flight& failed) {
  if (failed.attempt.leaves == nullptr || log_.stop_error()) return false;
  if (failed.attempt.error && is_transient(*failed.attempt.error)) return false;
  if (!log_.fails_by_itself(failed.seq)) return false;
  if (failed.attempt.leaves_changed) {
    leaves_given_up_ = failed.attempt.leaves;
    leaves_stale_ = true;
  }
  return true;
}

}  // namespace pgsink
