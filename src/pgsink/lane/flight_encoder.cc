#include "pgsink/lane/flight_encoder.h"

#include <algorithm>

#include "pgsink/lane/leaf_copier.h"

namespace pgsink {
namespace {

// What is appended before it is handed to the kernel, headers included. From 64 KiB up the cost of
// the call no longer shows; the chunk must stay in L2 while it is written, sent and written again.
// A multiple of 16 KiB, so that TLS makes whole records of it and none of a few bytes.
constexpr size_t kSendBytes = size_t{128} << 10;

// Source: MaxAllocSize of the server.
constexpr size_t kParameterBytesMax = 0x3fffffff;

}  // namespace

Result<FlightEncoder::Codecs> FlightEncoder::make_codecs(const Plan& plan) {
  auto rows = RowEncoder::create(plan.columns, plan.types);
  if (!rows) return fail(rows.error());
  Codecs codecs{.rows = std::move(*rows), .arrays = {}};
  if (plan.statements.apply.empty()) return codecs;
  auto arrays = ColumnArrays::create(plan.columns, plan.types);
  if (!arrays) return fail(arrays.error());
  codecs.arrays = std::move(*arrays);
  return codecs;
}

Result<FlightEncoder::Progress> FlightEncoder::copy_some(Flight& flight, LaneSession& session) {
  pgproto::Session& protocol = session.protocol();
  Attempt& attempt = flight.attempt;
  Progress progress = Progress::kNone;
  size_t space_wanted = 1;
  while (const auto rows = flight.next_rows()) {
    if (auto turned = LeafCopier::turn(attempt, session); !turned) return fail(turned.error());
    const size_t taken = protocol.output().size() + pgproto::kMessageHeaderBytes;
    const size_t space_left = kSendBytes - std::min(taken, kSendBytes);
    if (space_left < space_wanted && !protocol.output().empty()) {
      if (auto drained = session.drain(); !drained) return fail(drained.error());
      return Progress::kSome;  // Look at the answers once a chunk.
    }
    const MutableBytes space = protocol.copy_space(std::max(space_left, space_wanted));
    const RecordBatch& batch = flight.pieces[attempt.next.piece].batch();
    const RowEncoder::Step step = codecs_.rows.encode(batch, *rows, space, rejected_);
    if (step.bytes > 0) protocol.copy_commit(step.bytes);
    if (auto failure = rejects_.leave_out(flight, *rows, rejected_)) {
      attempt.failure = std::move(failure);
      return Progress::kFailed;
    }
    progress = Progress::kSome;
    // An encoder that stops before the last row has met one that does not fit: what little room is
    // left is not worth another look, nor a CopyData of its own.
    space_wanted = step.rows > 0 ? kSendBytes : step.bytes_needed;
    attempt.encoded_bytes += step.bytes;
    attempt.next.row += step.rows;
    attempt.next.flight_row += step.rows;
    if (step.rows == rows->count) space_wanted = 1;
  }
  return progress;
}

void FlightEncoder::make_arrays(Flight& flight) {
  codecs_.arrays->clear();
  Attempt& attempt = flight.attempt;
  while (const auto rows = flight.next_rows()) {
    codecs_.arrays->append(flight.pieces[attempt.next.piece].batch(), *rows, rejected_);
    if (auto failure = rejects_.leave_out(flight, *rows, rejected_)) {
      attempt.failure = std::move(failure);
      return;
    }
    attempt.next.row += rows->count;
    attempt.next.flight_row += rows->count;
  }
  if (codecs_.arrays->largest_bytes() <= kParameterBytesMax) return;
  Error error;
  error.code = Errc::kLimit;
  error.message = "a column of " + std::to_string(flight.rows) + " rows takes " +
                  std::to_string(codecs_.arrays->largest_bytes()) +
                  " bytes, the server's limit is 1 GiB: use a smaller transaction_size, or "
                  "use_copy = true";
  attempt.fail(std::move(error));
}

std::vector<pgproto::Session::Parameter> FlightEncoder::array_parameters(size_t columns) {
  constexpr int16_t kBinary = 1;
  std::vector<pgproto::Session::Parameter> parameters;
  parameters.reserve(columns);
  for (size_t i = 0; i < columns; ++i) {
    parameters.push_back({.value = codecs_.arrays->array(i), .format = kBinary});
  }
  return parameters;
}

}  // namespace pgsink
