#include "pgsink/lane/leaf_copier.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "pgsink/sql/control.h"

namespace pgsink {
namespace {

constexpr Duration kLookEvery = std::chrono::seconds(30);

/// Puts the flight's rows into the order of their partitions, and within each as they came. Rows
/// that go through the parent come first, even if there are none: this locks the parent before its
/// partitions, the order that DETACH uses, so that the two cannot deadlock.
void cut_by_partitions(Flight& flight, std::span<const uint32_t> numbers) {
  const Leaves& leaves = *flight.search.leaves;
  std::vector<uint32_t>& order = flight.search.row_order;
  std::vector<size_t> places(leaves.count() + 1);  // Of the next row of each partition.
  for (const uint32_t number : numbers) ++places[number];
  size_t place = places.back();
  for (size_t& rows : std::span(places).first(leaves.count())) place += std::exchange(rows, place);
  places.back() = 0;
  order.resize(flight.rows);
  std::vector<std::vector<Piece>> cut(places.size());
  std::vector<const Piece*> cut_of(places.size());  // The piece that each last part is cut from.
  size_t row = 0;
  for (const Piece& piece : flight.pieces) {
    for (size_t i = piece.rows.begin; i < piece.rows.begin + piece.rows.count; ++i) {
      const size_t number = numbers[row++];
      const size_t at = places[number]++;
      order[at] = piece.rows.indexes != nullptr ? piece.rows.indexes[i] : static_cast<uint32_t>(i);
      if (std::exchange(cut_of[number], &piece) != &piece) {
        cut[number].push_back(
            {.source = piece.source, .rows = {.begin = at, .indexes = order.data()}});
      }
      ++cut[number].back().rows.count;
    }
  }
  flight.search.uncut = std::exchange(flight.pieces, {});
  std::ranges::rotate(cut, cut.end() - 1);
  std::vector<const Leaf*>& piece_leaves = flight.attempt.copies.piece_leaves;
  for (size_t i = 0; i < cut.size(); ++i) {
    const size_t number = i == 0 ? leaves.count() : i - 1;
    piece_leaves.insert(piece_leaves.end(), cut[i].size(), leaves.leaf(number));
    std::ranges::move(cut[i], std::back_inserter(flight.pieces));
  }
}

}  // namespace

void LeafCopier::adopt(LeafCatalog* catalog, std::optional<LeafFinder> finder,
                       FlightQueue& flights) {
  catalog_ = catalog;
  finder_ = std::move(finder);
  for (Flight& flight : flights.all()) {
    if (flight.attempts == 0) flight.search = {};
  }
}

bool LeafCopier::wants_look(const Flight& flight, Path path) const {
  return serves(path) && flight.attempts == 0 && is_stale_ &&
         clock_.now() - looked_at_ >= kLookEvery;
}

void LeafCopier::look(Connection& connection) {
  looked_at_ = clock_.now();
  is_stale_ = false;
  std::ignore = catalog_->refresh(connection, looked_at_ + kAskTimeout);
}

void LeafCopier::find_some(FlightQueue& flights) {
  if (catalog_ == nullptr) return;
  auto all = flights.all();
  const auto next = std::ranges::find_if(all, [](const Flight& flight) {
    return flight.attempts == 0 && flight.search.pieces_found < flight.pieces.size();
  });
  if (next != all.end()) find(*next);
}

/// Of the flight's next piece.
void LeafCopier::find(Flight& flight) {
  LeafSearch& search = flight.search;
  if (search.pieces_found == 0) search.leaves = catalog_->leaves();
  const Piece& piece = flight.pieces[search.pieces_found++];
  const size_t found = search.leaf_of_row.size();
  search.leaf_of_row.resize(found + piece.rows.count);
  finder_->find(*search.leaves, piece.batch(), piece.rows,
                std::span(search.leaf_of_row).subspan(found));
}

void LeafCopier::route(Flight& flight) {
  LeafSearch& search = flight.search;
  if (flight.rejects.any() || flight.rows == 0) return;
  if (search.leaves == given_up_ && search.leaves != nullptr) return;
  while (search.pieces_found < flight.pieces.size()) find(flight);
  const std::vector<uint32_t> numbers = std::exchange(search.leaf_of_row, {});
  std::vector<size_t> counts(search.leaves->count() + 1);
  for (const uint32_t number : numbers) ++counts[number];
  if (counts.back() > 0) is_stale_ = true;
  const auto used = static_cast<size_t>(
      std::count_if(counts.begin(), counts.end() - 1, [](size_t rows) { return rows > 0; }));
  if (!catalog_->pays(flight.rows, used)) return;
  flight.attempt.copies.leaves = search.leaves;
  cut_by_partitions(flight, numbers);
}

Status LeafCopier::turn(Attempt& attempt, LaneSession& session) {
  LeafCopies& copies = attempt.copies;
  if (copies.leaves == nullptr) return {};
  const Leaf* const next = copies.piece_leaves[attempt.next.piece];
  if (next == copies.leaf) return {};
  session.append_copy(copy_trailer());
  session.protocol().copy_done();
  copies.leaf = next;
  const auto begun = session.protocol().query(next->copy, pgproto::Session::Copy::kIn);
  if (!begun) return fail(begun.error());
  session.append_copy(copy_header());
  return {};
}

Status LeafCopier::check(Attempt& attempt, LaneSession& session) {
  const LeafCopies& copies = attempt.copies;
  if (copies.leaves == nullptr) return {};
  std::vector<const Leaf*> used;
  for (const Leaf* leaf : copies.piece_leaves) {
    if (leaf != nullptr && (used.empty() || used.back() != leaf)) used.push_back(leaf);
  }
  const auto asked = session.protocol().query(copies.leaves->check(used));
  if (!asked) return fail(asked.error());
  attempt.requests.leaf_check = *asked;
  return {};
}

void LeafCopier::give_up(const Attempt& attempt) {
  given_up_ = attempt.copies.leaves;
  is_stale_ = true;
}

}  // namespace pgsink
