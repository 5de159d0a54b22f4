#include "pgsink/lane/lane_messages.h"

#include <utility>

namespace pgsink {

Error describe_failure(const Failure& failure, std::string_view hint) {
  Error error = failure.error;
  if (failure.part == AttemptPart::kDeadLetters) {
    error.message = "dead_letter_table: " + error.message;
  }
  if (!hint.empty()) error.message += ": " + std::string(hint);
  if (failure.input_row > 0) {
    error.message += " (input row " + std::to_string(failure.input_row) + ")";
  }
  return error;
}

void suggest_dead_letters(Error& error) {
  error.message +=
      "; correct the row, or set dead_letter_table to store such rows and write the others";
}

Error describe_stop(Error cause, const StopReport& report) {
  const auto number = [](uint64_t value) { return std::to_string(value); };
  std::string text = "connection \"" + std::string(report.connection) + "\", table " +
                     std::string(report.table) + ": " + cause.message + ". " +
                     (report.still_writing ? "At least " : "") + number(report.rows_committed) +
                     " rows are committed";
  if (const auto& failed = report.failed) {
    const bool in_a_row = failed->last - failed->first + 1 == failed->rows;
    text += in_a_row ? "; rows " : "; " + number(failed->rows) + " of rows ";
    text += number(failed->first) + " to " + number(failed->last) +
            " were one transaction and were rolled back";
  }
  if (report.flights_unknown > 0) {
    text += "; of " + number(report.flights_unknown) +
            " transactions the outcome is unknown: they may have committed";
  }
  switch (report.rest) {
    case StopReport::Rest::kNotWritten:
      if (report.rows_accepted > (report.failed ? report.failed->last : report.rows_committed)) {
        text += "; rows accepted after " +
                (report.failed ? "row " + number(report.failed->last) : "them") +
                " were not written";
      }
      break;
    case StopReport::Rest::kNoneFromRow:
      text += "; rows accepted from row " + number(report.from_row) + " on were not written";
      break;
    case StopReport::Rest::kPart:
      text += "; of the rows accepted from row " + number(report.from_row) +
              " on, only some were written";
      break;
  }
  cause.message = std::move(text);
  return cause;
}

Error describe_interrupt(Error cause, const InterruptReport& report) {
  cause.message = "connection \"" + std::string(report.connection) + "\", table " +
                  std::string(report.table) + ": interrupted. " +
                  std::to_string(report.rows_committed) + " rows are committed; ";
  if (report.by_epochs) {
    cause.message += "those of an epoch that is not decided are not";
  } else if (report.rows_unknown > 0) {
    cause.message += "up to " + std::to_string(report.rows_unknown) +
                     " more were sent and may be committed; all others are not written";
  } else {
    cause.message += "all others are not written";
  }
  return cause;
}

}  // namespace pgsink
