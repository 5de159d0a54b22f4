#pragma once
// Salvage: which rows of a flight are left out, and which one is to blame. Pure, like the flight
// log: the lane tells it what became of each attempt, and it says what the next one sends.
//
// Where the server names the row, that row is left out and the rest is sent again. Where it does
// not, the shortest beginning of the flight that fails is searched by halves, each tried in a
// transaction that is rolled back: its last row is to blame, also if it only fails together with a
// row before it. Of k such rows among n, each costs at most log2(n) + 2 attempts. Before the first
// search of a flight one attempt sends no row at all: if that fails too (a statement trigger that
// always raises), the statement is to blame, and no row is left out.

#include <cstddef>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include <pgproto/error.h>

namespace pgsink {

/// may_be_row_fault says whether what a row holds can be the cause of the server's error: any error
/// that comes again with that row, whatever its SQLSTATE (triggers choose their own). Not what
/// passes by itself, nor what speaks of the connection, the server, privileges or the statement.
/// Whether a row is to blame is then found by Salvage. `reads_text` says that the statement hands
/// texts to input functions, which raise what they like without a word on where.
bool may_be_row_fault(const pgproto::Error& error, bool reads_text = false);

/// Rows count from 0 within the flight.
class Salvage {
 public:
  /// Whether the next attempt is a trial of rows [0, limit()), to be rolled back.
  bool searching() const { return limit_ != kNoLimit; }
  size_t limit() const { return limit_; }
  /// Whether the next attempt sends no row, to see whether the statement fails by itself.
  bool trying_no_rows() const { return limit_ == 0; }

  /// Rows left out, ascending.
  const std::vector<size_t>& left_out() const { return left_out_; }
  bool is_left_out(size_t row) const;
  /// The first row at or behind `row` that is left out; the greatest number if there is none.
  size_t next_left_out(size_t row) const;
  /// The n-th row, from 0, of those that are sent.
  size_t sent_row(size_t n) const;

  /// leave_out takes a row out of this attempt, if it was not sent yet, and of all that follow.
  void leave_out(size_t row);
  /// end_search: the row was named.
  void end_search() { limit_ = kNoLimit; }
  /// The attempt failed without a word on which of the flight's `rows` it was. Returns the row,
  /// once only one is left that it can be; leave_out() it then. Otherwise searching() goes on, or,
  /// if no row is left to blame, is over.
  std::optional<size_t> failed(size_t rows);
  /// The trial went well. Returns as failed() does: that row's error is what failed() heard last.
  std::optional<size_t> passed();

 private:
  static constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();

  size_t sent_between(size_t from, size_t to) const;
  std::optional<size_t> look_between();

  std::vector<size_t> left_out_;
  size_t good_ = 0;                ///< Rows [0, good_) went well.
  size_t bad_ = 0;                 ///< While searching: rows [0, bad_) failed.
  size_t limit_ = kNoLimit;        ///< Of the next attempt.
  bool statement_passed_ = false;  ///< Without rows.
};

}  // namespace pgsink
