#pragma once
// FlightEncoder: the rows of a flight → the bytes of its COPY, straight into the session's output,
// or one array a column, or a statement a row.

#include <algorithm>
#include <optional>
#include <vector>

#include "pgsink/encode/rows/column_arrays.h"
#include "pgsink/encode/rows/row_encoder.h"
#include "pgsink/lane/rejected_rows.h"
#include "pgsink/lane/unchanged_rows.h"

namespace pgsink {

class FlightEncoder {
 public:
  /// What a plan's rows are encoded by.
  struct Codecs {
    RowEncoder rows;
    std::optional<ColumnArrays> arrays;  ///< If the plan has a path that needs them.
    /// `rows` leaves it to the server to check documents (JSON, XML): most loads have no fault in
    /// them, and looking for one takes longer than encoding the row.
    bool documents_unchecked = false;
    std::optional<UnchangedRows> unchanged{};  ///< If rows may leave columns unchanged.
  };
  static Result<Codecs> make_codecs(const Plan& plan);

  /// `plan` must live until the next one is adopted.
  FlightEncoder(const Plan& plan, Codecs codecs, const RejectedRows& rejects)
      : plan_(&plan), codecs_(std::move(codecs)), rejects_(rejects), row_(plan.columns.size()) {}
  /// Encodes by another plan from the next attempt on.
  void adopt(const Plan& plan, Codecs codecs);

  /// The server rejected a row that may have a faulty document: from the next attempt on documents
  /// are checked before they are sent, so that faults cost no more attempts. False if that is so
  /// already.
  bool check_documents();

  enum class Progress : uint8_t {
    kNone,  ///< There are no rows to encode at present.
    kSome,
    kFailed,  ///< Attempt::failure says why; the COPY is still open.
  };
  /// Encodes the next rows into the COPY that is open, at most up to where a chunk was sent: then
  /// answers may have come. Fails if the connection broke.
  Result<Progress> copy_some(Flight& flight, LaneSession& session);

  /// Encodes the next rows and sends the statement of each. Says kNone too while too many of them
  /// are not answered. Fails if the connection broke.
  Result<Progress> execute_some(Flight& flight, LaneSession& session);

  /// Whether some rows need statements of their own.
  bool needs_row_statements(const Flight& flight) const {
    return codecs_.unchanged && std::ranges::any_of(flight.pieces, [&](const Piece& piece) {
             return codecs_.unchanged->any(piece.batch(), piece.rows);
           });
  }

  /// Encodes all rows as arrays. A failure is the attempt's.
  void make_arrays(Flight& flight);
  size_t array_rows() const { return codecs_.arrays->row_count(); }
  /// The arrays that make_arrays() made last, as parameters; valid until the next call of it.
  /// Without rows they are empty arrays.
  std::vector<pgproto::Session::Parameter> array_parameters();
  /// The statement that applies them.
  const std::string& array_statement() const;

 private:
  void find_sent(RowRange rows);
  const RowStatement& choose_statement(const RecordBatch& batch, size_t i);
  Status execute_row(Attempt& attempt, LaneSession& session, const RecordBatch& batch, size_t i);

  const Plan* plan_;
  Codecs codecs_;
  const RejectedRows& rejects_;
  std::vector<Rejection> rejected_;
  std::vector<size_t> sent_;  ///< Rows of the batch that are in the arrays.
  std::vector<pgproto::Session::Parameter> row_, parameters_;  ///< Of the row at hand.
};

}  // namespace pgsink
