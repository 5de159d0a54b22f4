#pragma once
// RejectedRows: rows of a flight that cannot be written are left out and become dead letters, and
// the others are sent again. They are found by the encoder, before they are sent; by the server,
// which often names the row; or by the search of Salvage.

#include <optional>
#include <string>
#include <vector>

#include "pgsink/encode/rows/row_encoder.h"
#include "pgsink/lane/dead_letters.h"
#include "pgsink/lane/flight.h"
#include "pgsink/lane/lane_session.h"

namespace pgsink {

class RejectedRows {
 public:
  /// `letters` null: a rejected row stops the sink. `connection` and `table` are for the dead
  /// letters.
  RejectedRows(Clock& clock, DeadLetters* letters, std::string connection, std::string table)
      : clock_(clock),
        letters_(letters),
        connection_(std::move(connection)),
        table_(std::move(table)) {}

  /// Leaves out the rows that the encoder rejected among `rows`, which are those at the flight's
  /// cursor, and clears the list. A failure ends the attempt and stops the sink.
  std::optional<Failure> leave_out(Flight& flight, RowRange rows,
                                   std::vector<Rejection>& rejected) const;

  /// Forgets what is known of the flight's rows: they are encoded for another shape of the table.
  void forget(Flight& flight) const;

  /// Whether rejected rows become dead letters; otherwise one stops the sink.
  bool keeps_letters() const { return letters_ != nullptr; }
  /// The row of the flight that the server names.
  static std::optional<size_t> named_row(const Flight& flight, const Failure& failure);

  /// Sends the dead letters of an attempt that may commit, before its end.
  Status send_letters(Flight& flight, LaneSession& session) const;
  /// The statement that does that; "" if there is no table for them.
  std::string_view insert_sql() const {
    return letters_ == nullptr ? std::string_view() : std::string_view(letters_->insert_sql());
  }
  /// After an attempt that failed: whether it did because the database's encoding lacks a character
  /// of the dead letters, which the next attempt escapes.
  static bool escape_letters(Flight& flight, const Failure& failure);

  /// After a trial that succeeded, and was rolled back: the search continues, or has found a row. A
  /// failure stops the sink.
  Status trial_passed(Flight& flight) const;
  /// After an attempt that failed: whether the flight is sent again without a row, or to find one.
  /// It is not if `may_blame_row` is false. If it is not, `failure` is the error that stops the
  /// sink, with its row if that is known.
  bool salvage(Flight& flight, Failure& failure, bool may_blame_row) const;

 private:
  std::vector<DeadLetter> letters_of_inputs(const Flight& flight) const;
  Status leave_out(Flight& flight, size_t row, const Error& error) const;
  Status leave_out_found(Flight& flight, std::optional<size_t> row) const;

  Clock& clock_;
  DeadLetters* const letters_;
  const std::string connection_, table_;
};

}  // namespace pgsink
