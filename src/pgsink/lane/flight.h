#pragma once
// Flight: the rows of one transaction, from when they are taken until they are committed; and
// Attempt: one attempt to commit them. Data, with the few questions that only they can answer; the
// classes around them decide what happens to them.

#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pgproto/session.h>

#include <pgsink/dead_letter.h>
#include <pgsink/metrics.h>

#include "pgsink/delivery/flight_log.h"
#include "pgsink/delivery/salvage.h"
#include "pgsink/lane/failure.h"
#include "pgsink/lane/letter_form.h"
#include "pgsink/lane/piece.h"
#include "pgsink/partition/leaves.h"
#include "pgsink/plan/plan.h"

namespace pgsink {

/// AttemptPhase is how far the answers of the server have brought an attempt. It only grows.
enum class AttemptPhase : uint8_t {
  kSent,       ///< Nothing of interest was answered yet.
  kReceiving,  ///< The server waits for the rows: later errors are about them.
  kApplied,    ///< Of a series: the statement over its rows is done.
  kCommitted,  ///< The tag that its Ending expects came. Under two-phase commit: prepared.
};

/// EndingKind is what ends an attempt's transaction.
enum class EndingKind : uint8_t {
  kRollback,  ///< It is rolled back: it failed, or it was only a trial.
  kCommit,
  kPrepare,
  kSync,  ///< The Sync of a series, an extended-query series that is its own transaction.
};
/// ending_tag is the tag of the answer that proves that the transaction has ended this way; "" if
/// none does.
std::string_view ending_tag(EndingKind kind);

/// AttemptRequests are the requests of an attempt by what they are for; 0: not sent.
struct AttemptRequests {
  pgproto::RequestId first = 0;
  pgproto::RequestId identify = 0;                     ///< Begins and identifies the transaction.
  pgproto::RequestId apply = 0;                        ///< Of arrays: the statement over the rows.
  pgproto::RequestId leaf_check = 0;                   ///< See leaf_copier.h.
  pgproto::RequestId rows_first = 0, rows_last = 0;    ///< Of rows one by one.
  pgproto::RequestId shape_first = 0, shape_last = 0;  ///< The proof of plan/table_shape.h.
  pgproto::RequestId letters_first = 0, letters_last = 0;  ///< Of the dead letters.
  pgproto::RequestId commit = 0;                           ///< Ends it.

  /// Row by row: whether it applies a row. The last is known once all are sent.
  bool of_row(pgproto::RequestId request) const {
    return rows_first != 0 && rows_first <= request && (rows_last == 0 || request <= rows_last);
  }
  bool of_shape(pgproto::RequestId request) const {
    return shape_first <= request && request <= shape_last;
  }
  bool of_letters(pgproto::RequestId request) const {
    return letters_first <= request && request <= letters_last;
  }
};

/// RowCursor is the next row to encode: a row of a piece, which is a row of the flight.
struct RowCursor {
  size_t piece = 0, row = 0;
  size_t flight_row = 0;
};

/// LeafCopies is where the pieces of an attempt go that copies rows straight into partitions.
struct LeafCopies {
  std::shared_ptr<const Leaves> leaves;   ///< Null if all go through the parent.
  std::vector<const Leaf*> piece_leaves;  ///< Where each piece goes; null: through the parent.
  const Leaf* leaf = nullptr;             ///< Of the current COPY; null: of the parent.
};

struct Attempt {
  Path path = Path::kCopy;
  AttemptPhase phase = AttemptPhase::kSent;
  bool is_identified = false;  ///< Its transaction's id is known.
  EndingKind ending = EndingKind::kRollback;
  AttemptRequests requests;
  RowCursor next;
  LeafCopies copies;
  uint64_t number = 0;            ///< For attempt_mark.h; 0: it is not marked.
  uint64_t commit_end = 0;        ///< appended_position() after COMMIT; 0 while it is not appended.
  std::string gid;                ///< Two-phase commit.
  uint64_t partitions_known = 0;  ///< Partitioner::generation() when it was sent.
  uint64_t copied_rows = 0, encoded_bytes = 0;
  size_t rows_applied = 0;                      ///< Row by row: so many are answered.
  const RowStatement* row_statement = nullptr;  ///< Row by row: of the last row that was sent.
  uint64_t changed_rows = 0;                    ///< Of the target, as the server reported.
  TimePoint began{};
  /// It was given up for a flight in doubt, which needs the connection to itself.
  bool yields = false;
  std::string_view apply;          ///< The statement over arrays; the plan's.
  std::string_view proof;          ///< The statement that proves the table's shape; the plan's.
  std::optional<Failure> failure;  ///< The first.

  bool is_series() const { return ending == EndingKind::kSync; }
  /// Whether it has sent a statement that writes the table.
  bool writes() const {
    if (path == Path::kArrays) return requests.apply != 0;
    return path != Path::kRows || requests.rows_first != 0;
  }
  bool is_committed() const { return phase == AttemptPhase::kCommitted; }
  void reach(AttemptPhase reached) { phase = std::max(phase, reached); }
  /// Notes an error of our own.
  void fail(Error error) { failure = Failure{.error = std::move(error)}; }
};

/// Rejects is what is known of the rows of a flight that cannot be written: see rejected_rows.h.
struct Rejects {
  Salvage salvage;
  std::optional<Error> suspicion;   ///< Of the last attempt that failed while searching.
  std::vector<DeadLetter> letters;  ///< Of the rows left out.
  LetterForm letter_form = LetterForm::kUtf8;
  size_t letters_told = 0;   ///< Number of them that file and callback have.
  bool inputs_told = false;  ///< Whether they have those of RecordBatch::rejected.

  bool any() const { return salvage.searching() || !salvage.left_out().empty(); }
  /// Takes what is known of the rows from `row` on, the first of which is `input_row`. REQUIRES: no
  /// search.
  Rejects split_off(size_t row, uint64_t input_row);
};

/// LeafSearch is which partitions the rows of a flight belong to: see leaf_copier.h.
struct LeafSearch {
  std::shared_ptr<const Leaves> leaves;  ///< Among which they were sought.
  std::vector<uint32_t> leaf_of_row;     ///< As far as found.
  size_t pieces_found = 0;
  std::vector<uint32_t> row_order;  ///< What the flight's pieces refer to, if they were cut …
  std::vector<Piece> uncut;         ///< … from these.
};

enum class FlightState : uint8_t {
  kOpen,    ///< Rows may join it.
  kClosed,  ///< It has all of its rows.
  kCommitted,
};

struct Flight {
  FlightLog::Seq seq = 0;
  FlightState state = FlightState::kOpen;
  std::vector<Piece> pieces;
  size_t rows = 0, memory_bytes = 0;
  size_t rows_let_go = 0;                      ///< The first ones, whose pieces are gone.
  uint64_t first_input_row = 0;                ///< Of the first piece that was added.
  BatchTrigger trigger = BatchTrigger::kRows;  ///< Why it was closed.
  TimePoint opened_at{};
  uint64_t last_batch = 0;        ///< That it has rows of.
  uint64_t through_batch = 0;     ///< The last batch that ends in it …
  HostPosition through_position;  ///< … and its position.
  Rejects rejects;
  LeafSearch search;
  bool row_by_row = false;  ///< Its rows must not go together.
  bool by_copy = false;     ///< Its rows go by COPY, which names the row that fails.
  uint32_t attempts = 0;    ///< So far.
  /// Which plan `rejects` and the last attempt go by: TargetPlan::generation.
  uint64_t generation = 0;
  /// The last attempt may have failed because the table has changed: that is asked before anything
  /// is concluded from it.
  bool in_doubt = false;
  uint32_t failures = 0;       ///< Of the attempts by this plan, which will not pass by themselves.
  uint32_t proofs_failed = 0;  ///< Attempts by it that could not prove the shape of the table.
  uint32_t changes = 0;        ///< How often the table has changed meanwhile.
  Attempt attempt;             ///< The last one.

  bool is_open() const { return state == FlightState::kOpen; }
  bool is_committed() const { return state == FlightState::kCommitted; }
  bool is_let_go() const { return rows_let_go > 0; }
  void add(Piece piece);
  /// Gives the memory of the pieces that were encoded back to the host: the flight cannot be sent
  /// again. REQUIRES: its rows follow each other in the sink's input.
  void let_go_of_sent();
  /// The rows that an attempt writes if it commits.
  size_t rows_kept() const { return rows - rejects.salvage.left_out().size(); }
  /// The rows of the target that it changed, once it is committed.
  uint64_t rows_changed() const {
    return attempt.is_committed() ? attempt.changed_rows : rows_kept();
  }
  /// The next rows to encode, all of one piece: those that are left out are passed over.
  std::optional<RowRange> next_rows();
  /// The number in the sink's input, from 1, of its n-th row (from 0).
  uint64_t input_row(size_t n) const;
  /// The first and the last number of its rows in the sink's input.
  std::pair<uint64_t, uint64_t> input_rows() const;
  /// Puts rows that were put into the order of their partitions back into the order in which they
  /// came, unless something is known of them by their place.
  void restore_order();
  /// Takes out rows that are not to be written. REQUIRES: nothing is known of its rows, which are
  /// in their order.
  void drop_if(const std::function<bool(const Piece&)>& is_gone);
  /// Whether split_off() may be called: no search is running, and the rows are in their order.
  bool can_be_cut() const { return search.row_order.empty() && !rejects.salvage.searching(); }
  /// Takes the rows from `row` on, and what is known of them, into a flight of their own. This one
  /// is closed. REQUIRES: 0 < row < rows, and can_be_cut().
  Flight split_off(size_t row);
  /// Where the first batch ends that has rows at or after `row`, counted in rows of the flight.
  size_t batch_end(size_t row) const;
  /// The piece that holds a row of the flight, and which of its rows that is.
  std::pair<const Piece*, size_t> locate(size_t row) const;
};

}  // namespace pgsink
