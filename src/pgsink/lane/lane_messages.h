#pragma once
// The sentences that a lane adds to an error. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "pgsink/lane/failure.h"

namespace pgsink {

/// describe_failure is the error of one attempt: what the server, the encoder or the dead letters
/// said, with a hint ("" for none) and the input row that it is about, if that is known.
Error describe_failure(const Failure& failure, std::string_view hint);

/// suggest_dead_letters adds to the error of a row what to do where rejected rows are not stored.
void suggest_dead_letters(Error& error);

/// StopReport is what is known when a lane stops: of that lane, or of all lanes of a sink.
struct StopReport {
  std::string_view connection, table;
  uint64_t rows_committed = 0;
  uint64_t rows_accepted = 0;  ///< By the sink so far, in all lanes.
  /// The transaction that failed permanently: its rows, and the first and last of them in the
  /// input.
  struct FailedFlight {
    uint64_t rows = 0, first = 0, last = 0;
  };
  std::optional<FailedFlight> failed{};
  size_t flights_unknown = 0;  ///< Transactions whose outcome is not known.
  /// Other flights on the wire may have committed, and earlier ones may wait for another attempt:
  /// then the written rows cannot be described by one number.
  enum class Rest : uint8_t {
    kNotWritten,   ///< No row after the failed one was written.
    kNoneFromRow,  ///< No row from `from_row` on was written.
    kPart,         ///< Only some of the rows accepted from `from_row` on were written.
  };
  Rest rest = Rest::kNotWritten;
  uint64_t from_row = 0;
  bool still_writing = false;  ///< Other lanes are: more rows will be committed.
};
/// describe_stop is the error that write(), flush() and close() return from then on: where it
/// happened, the cause, and which rows are in the table and which are not.
Error describe_stop(Error cause, const StopReport& report);

/// InterruptReport is what is known of the rows of a sink that was interrupted.
struct InterruptReport {
  std::string_view connection, table;
  uint64_t rows_committed = 0;
  uint64_t rows_unknown = 0;  ///< Sent, and no answer came.
  bool by_epochs = false;     ///< Two-phase commit: a part of an epoch is never committed.
};
/// describe_interrupt is the error of the calls that Sink::interrupt() ended, and of later ones.
Error describe_interrupt(Error cause, const InterruptReport& report);

}  // namespace pgsink
