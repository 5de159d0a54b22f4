// What a lane tells of itself: metrics, and errors with what was and was not written.

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "pgsink/lane/lane.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

/// The number of rows in a tag such as "INSERT 0 5", "COPY 5" or "DELETE 5"; 0 if it has none.
uint64_t tag_rows(std::string_view tag) {
  uint64_t rows = 0;
  const size_t space = tag.rfind(' ');
  if (space == std::string_view::npos) return 0;
  std::from_chars(tag.data() + space + 1, tag.data() + tag.size(), rows);
  return rows;
}

std::string_view first_statement(std::string_view text) { return text.substr(0, text.find(';')); }

}  // namespace

std::pair<const Piece*, size_t> Lane::Flight::locate(size_t row) const {
  for (const Piece& piece : pieces) {
    if (row < piece.rows.count) return {&piece, row};
    row -= piece.rows.count;
  }
  return {nullptr, 0};
}

uint64_t Lane::Flight::input_row(uint64_t n) const {
  const auto [piece, row] = locate(static_cast<size_t>(n));
  return piece == nullptr ? 0 : piece->input_row(row);
}

std::pair<uint64_t, uint64_t> Lane::Flight::input_rows() const {
  std::pair<uint64_t, uint64_t> ends{std::numeric_limits<uint64_t>::max(), 0};
  for (const Piece& piece : pieces) {
    if (piece.rows.count == 0) continue;
    ends.first = std::min(ends.first, piece.input_row(0));
    ends.second = std::max(ends.second, piece.input_row(piece.rows.count - 1));
  }
  return ends;
}

void Lane::note_error(const Error& error) {
  const Monitor::Lock lock(*metrics_monitor_);
  metrics_.count_error(error.sqlstate.is_set() ? error.sqlstate.view() : "");
  metrics_.last_error = error.to_string();
  metrics_.last_error_wall_us = env_.clock.wall_us();
}

void Lane::count_in_flight() {
  uint64_t rows = 0;
  for (const FlightLog::Seq seq : wire_) rows += flight(seq).rows;
  const Monitor::Lock lock(*metrics_monitor_);
  metrics_.in_flight_rows = rows;
}

void Lane::name_row(Error& error, uint64_t row) {
  error.message += " (input row " + std::to_string(row) + ")";
}

Error Lane::explain(Error cause) const {
  std::string text =
      "connection \"" + setup_.name + "\", table " + plan_.table + ": " + cause.message + ". ";
  uint64_t committed = 0;
  if (committer_ != nullptr) {
    committed = committer_->rows_committed();
  } else {
    const Monitor::Lock lock(*metrics_monitor_);
    committed = metrics_.rows_written;
  }
  text += std::to_string(committed) + " rows are committed";
  const FlightLog::Seq failed = log_.stop_seq();
  if (failed != 0 && !flights_.empty() && failed >= flights_.front().seq) {
    const Flight& flight = flights_[static_cast<size_t>(failed - flights_.front().seq)];
    const auto [first, last] = flight.input_rows();
    text += last - first + 1 == flight.rows ? "; rows "
                                            : "; " + std::to_string(flight.rows) + " of rows ";
    text += std::to_string(first) + " to " + std::to_string(last) +
            " were one transaction and were rolled back";
  }
  if (const size_t unknown = log_.unknown_count(); unknown > 0) {
    text +=
        "; of " + std::to_string(unknown) + " transactions it is not known whether they committed";
  }
  cause.message = text + what_else_is_there(failed);
  return cause;
}

// Flights that were on the wire beside the one that failed may have committed, and others before it
// may wait for another attempt: which rows are there then is not one number.
std::string Lane::what_else_is_there(FlightLog::Seq failed) const {
  if (flights_.empty() || committer_ != nullptr || failed == 0) {
    return "; what was accepted behind them was not written";
  }
  const bool in_part = std::ranges::any_of(flights_, &Flight::committed);
  if (!in_part && failed == flights_.front().seq) {
    return "; what was accepted behind them was not written";
  }
  const std::string from = std::to_string(flights_.front().input_rows().first);
  return in_part ? "; of what was accepted from row " + from + " on a part is there"
                 : "; what was accepted from row " + from + " on was not written";
}

void Lane::read_metrics(SinkMetrics& metrics) const {
  const Monitor::Lock lock(*metrics_monitor_);
  metrics.merge(metrics_);
}

// ---- statements --------------------------------------------------------------------------------

void Lane::count_call(std::string_view text, const Flight& flight, uint64_t rows, bool failed) {
  const TimePoint now = env_.clock.now();
  const Duration taken = now - std::max(answered_at_, flight.attempt.began);
  answered_at_ = now;
  const Monitor::Lock lock(*metrics_monitor_);
  metrics_.count_statement(text, std::chrono::duration<double>(taken).count(), rows, failed);
}

void Lane::count_statement(const Flight& flight, const pgproto::Event& event) {
  const Flight::Attempt& attempt = flight.attempt;
  const auto* complete = std::get_if<pgproto::CommandComplete>(&event.message);
  const bool failed = std::holds_alternative<pgproto::ErrorResponse>(event.message);
  const bool ready = std::holds_alternative<pgproto::ReadyForQuery>(event.message);
  const Statements& texts = plan_.statements;
  if (attempt.series) {
    // Its commit has no statement of its own: Sync does it.
    const bool ends = event.request == attempt.commit_request && ready;
    if (ends || failed) count_call(texts.apply, flight, attempt.applied ? flight.rows : 0, failed);
    return;
  }
  if (complete == nullptr && !failed) return;
  const std::string_view tag = complete != nullptr ? complete->tag : std::string_view();
  const uint64_t rows = tag_rows(tag);
  if (event.request == attempt.identify_request) {
    if (tag == "BEGIN") return count_call(first_statement(plan_.direct.begin), flight, 0, false);
    if (attempt.path == Path::kArrays) return;
    if (tag.starts_with("COPY ") || failed) return count_call(texts.copy, flight, rows, failed);
  } else if (attempt.leaves != nullptr && event.request < attempt.commit_request) {
    // Each partition's name would make a statement of its own.
    if (event.request != attempt.leaf_check) return count_call(texts.copy, flight, rows, failed);
  } else if (event.request == attempt.commit_request) {
    const bool undone = attempt.done_tag.empty();
    const std::string text = undone                  ? sql_text(Sql::kAbandon)
                             : committer_ != nullptr ? sql_text(Sql::kPrepare, {"$1"})
                                                     : plan_.commit;
    return count_call(text, flight, 0, failed);
  } else if (event.request >= attempt.letters_first && event.request <= attempt.letters_last) {
    return count_call(setup_.dead_letters->insert_sql(), flight, rows, failed);
  } else {
    return count_call(attempt.path == Path::kArrays ? texts.apply : texts.merge, flight, rows,
                      failed);
  }
}

}  // namespace pgsink
