#pragma once
// DeadLetter: a row that cannot be written, with all that is known of why. Where they go is said by
// the options dead_letter_table and dead_letter_file and by SinkOptions::on_dead_letters.

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include <pgproto/error.h>

namespace pgsink {

/// DeadLetter is one rejected row. Texts are UTF-8, "" where there is nothing to say.
struct DeadLetter {
  std::string connection;        ///< Name of the connection.
  std::string table;             ///< Target, as schema.table.
  uint64_t input_row = 0;        ///< Its number in the sink's input, from 1.
  uint64_t source_position = 0;  ///< RecordBatch::position of its batch.
  uint32_t attempts = 0;         ///< Transactions that were tried with it.
  std::string sqlstate;          ///< As the server reported it, or would have.
  std::string message;
  std::string detail;      ///< The server's DETAIL and CONTEXT.
  std::string constraint;  ///< Constraint that it violates.
  std::string column;      ///< Column that it fails at.
  /// All columns of the input as a JSON object. Bytes that are no text of PostgreSQL stand as
  /// "\\x…" in hexadecimal; a text longer than 16 MiB is cut there.
  std::string row;
  int64_t rejected_wall_us = 0;  ///< Microseconds since 1970.
};

/// RejectedInput is a piece of a host's input that never became a row, such as a malformed line of
/// text, for Sink::reject().
struct RejectedInput {
  uint64_t number = 0;   ///< Its number in the input, from 1: DeadLetter::input_row.
  std::string text;      ///< As it came in; any bytes. DeadLetter::row is {"input": text}.
  pgproto::Error error;  ///< Why: message, and as far as they are known sqlstate and column.
};

/// DeadLetterCallback takes rejected rows before the transaction of the good rows beside them
/// commits, in the thread of the lane: it must be thread-safe with parallelism above 1, and a row
/// may be told again by a later run if that transaction fails. The span is valid during the call.
/// An error stops the sink, with nothing of the transaction committed.
using DeadLetterCallback = std::function<pgproto::Status(std::span<const DeadLetter> letters)>;

}  // namespace pgsink
