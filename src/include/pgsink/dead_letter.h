#pragma once
// DeadLetter: a row that cannot be written, with everything known about the reason. The options
// dead_letter_table and dead_letter_file and SinkOptions::on_dead_letters say where dead letters
// go.

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include <pgproto/error.h>

namespace pgsink {

/// DeadLetter is one rejected row. Texts are UTF-8, "" where nothing is known.
struct DeadLetter {
  std::string connection;        ///< Name of the connection.
  std::string table;             ///< The target, as schema.table.
  uint64_t input_row = 0;        ///< The row's number in the sink's input, from 1.
  uint64_t source_position = 0;  ///< RecordBatch::position of its batch.
  uint32_t attempts = 0;         ///< Number of transactions that were tried with it.
  std::string sqlstate;          ///< As the server reported it, or would have reported it.
  std::string message;           ///< Text of the error.
  std::string detail;            ///< The server's DETAIL and CONTEXT.
  std::string constraint;        ///< The constraint that it violates.
  std::string column;            ///< The column that has the fault.
  /// All columns of the input as a JSON object. Bytes that PostgreSQL cannot hold as text are
  /// written as "\\x…" in hexadecimal; a text longer than 16 MiB is cut off there.
  std::string row;
  int64_t rejected_wall_us = 0;  ///< Microseconds since 1970.
};

/// RejectedInput is a piece of a host's input that never became a row, such as a malformed line of
/// text, for Sink::reject().
struct RejectedInput {
  uint64_t number = 0;   ///< Its number in the input, from 1: DeadLetter::input_row.
  std::string text;      ///< As it was read; any bytes. DeadLetter::row is {"input": text}.
  pgproto::Error error;  ///< The reason: message, and if known sqlstate and column.
};

/// DeadLetterCallback receives rejected rows before the transaction of the good rows around them
/// commits, in the thread of the lane. It must be thread-safe with parallelism above 1. If that
/// transaction fails, a row may be reported again. The span is valid during the call. An error
/// stops the sink, with nothing of the transaction committed.
using DeadLetterCallback = std::function<pgproto::Status(std::span<const DeadLetter> letters)>;

}  // namespace pgsink
