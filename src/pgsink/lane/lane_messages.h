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

/// StopReport is what is known when a lane stops: of that lane, or of all lanes of a sink.
struct StopReport {
  std::string_view connection, table;
  uint64_t rows_committed = 0;
  /// The transaction that failed for good: its rows, and the first and last of them in the input.
  struct FailedFlight {
    uint64_t rows = 0, first = 0, last = 0;
  };
  std::optional<FailedFlight> failed;
  size_t flights_unknown = 0;  ///< Transactions whose outcome is not known.
  /// Flights that were on the wire beside the one that failed may have committed, and others before
  /// it may wait for another attempt: which rows are there then is not one number.
  enum class Rest : uint8_t {
    kNotWritten,   ///< Nothing after the failed one is there.
    kNoneFromRow,  ///< Nothing from `from_row` on is there.
    kPart,         ///< A part of what was accepted from `from_row` on is there.
  };
  Rest rest = Rest::kNotWritten;
  uint64_t from_row = 0;
  bool still_writing = false;  ///< Other lanes are: more rows will be committed.
};
/// describe_stop is the error that write(), flush() and close() return from then on: where it
/// happened, the cause, and what is and what is not in the table.
Error describe_stop(Error cause, const StopReport& report);

}  // namespace pgsink
