#pragma once
// What an error of the server means for a flight. Pure, and tested row by row
// (tests/lane/failure_test.cc).

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <pgproto/error.h>

namespace pgsink {

using pgproto::Error;

/// AttemptPart is the part of an attempt's requests that an error answers.
enum class AttemptPart : uint8_t {
  kBegin,        ///< Everything before the rows.
  kRows,         ///< The rows, and what follows from them: a COMMIT that checks constraints too.
  kShapeProof,   ///< The proof that the table is the one that the rows are encoded for.
  kLeafCheck,    ///< The check that rows went into partitions of the table.
  kDeadLetters,  ///< The insert into the dead letter table.
};

/// FailureKind is what an error means for the flight, and so decides what is done about it.
enum class FailureKind : uint8_t {
  kOther,           ///< Nothing in particular: its class decides whether to try again.
  kRow,             ///< A row cannot be written: it may be left out.
  kNoPartition,     ///< No partition takes a row: one may be created.
  kShapeChanged,    ///< The table is not what the rows are encoded for, or may not be.
  kLeavesChanged,   ///< The partitions are not those that we know: send through the parent.
  kStaleStatement,  ///< A prepared statement was gone, and nothing ran: send the same again.
};

/// Failure is why an attempt did not succeed: an error of the server's, or one of our own.
struct Failure {
  Error error;
  FailureKind kind = FailureKind::kOther;
  AttemptPart part = AttemptPart::kBegin;
  /// Row by row: the n-th row that was sent, from 0.
  std::optional<size_t> sent_row{};
  /// By COPY: the same.
  std::optional<size_t> copied_row{};
  uint64_t input_row = 0;  ///< The row of the sink's input that it is about, from 1; 0: not known.
};

/// ServerFailure is the input of classify_failure().
struct ServerFailure {
  const Error& error;
  std::string_view routine;  ///< The server's function that raised it.
  AttemptPart part = AttemptPart::kBegin;
  bool into_leaves = false;         ///< The rows went straight into partitions.
  bool creates_partitions = false;  ///< The sink may create missing ones.
  bool reads_text = false;          ///< Statements::reads_text
  bool stale_statement = false;     ///< StatementCache::stale().
};
FailureKind classify_failure(const ServerFailure& failure);

}  // namespace pgsink
