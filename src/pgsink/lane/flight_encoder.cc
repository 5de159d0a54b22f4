#include "pgsink/lane/flight_encoder.h"

#include <algorithm>

#include "pgsink/encode/rows/changes.h"
#include "pgsink/lane/field_cursors.h"
#include "pgsink/lane/leaf_copier.h"

namespace pgsink {
namespace {

// What is appended before it is handed to the kernel, headers included. From 64 KiB up the cost of
// the call no longer shows; the chunk must stay in L2 while it is written, sent and written again.
// A multiple of 16 KiB, so that TLS makes whole records of it and none of a few bytes.
constexpr size_t kSendBytes = size_t{128} << 10;

// So many rows are encoded before they are sent: the arrays stay in the cache.
constexpr size_t kRowsTogether = 256;

// Requests that may be unanswered before rows wait: the session holds a little of each. More
// answers than the server keeps back in its buffer.
constexpr size_t kRequestsMax = size_t{1} << 16;

// Source: MaxAllocSize of the server.
constexpr size_t kParameterBytesMax = 0x3fffffff;

constexpr int16_t kBinary = 1;

}  // namespace

Result<FlightEncoder::Codecs> FlightEncoder::make_codecs(const Plan& plan) {
  auto rows = RowEncoder::create(plan.columns, plan.types);
  if (!rows) return fail(rows.error());
  Codecs codecs{.rows = std::move(*rows), .arrays = {}};
  // Rows that are not kept cannot be sent again without the one that the server rejects.
  if (!plan.atomic) codecs.documents_unchecked = codecs.rows.leave_documents_to_server(true);
  auto unchanged = UnchangedRows::create(plan);
  if (!unchanged) return fail(unchanged.error());
  codecs.unchanged = std::move(*unchanged);
  if (!plan.needs_arrays()) return codecs;
  auto arrays = ColumnArrays::create(plan.columns, plan.types);
  if (!arrays) return fail(arrays.error());
  codecs.arrays = std::move(*arrays);
  return codecs;
}

void FlightEncoder::adopt(const Plan& plan, Codecs codecs) {
  plan_ = &plan;
  codecs_ = std::move(codecs);
  row_.assign(plan.columns.size(), {});
}

bool FlightEncoder::check_documents() {
  if (!codecs_.documents_unchecked) return false;
  codecs_.rows.leave_documents_to_server(false);
  codecs_.documents_unchecked = false;
  return true;
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
    // If an encoder stops before the last row, the next row did not fit: the little room that is
    // left is not worth another call, nor a separate CopyData.
    space_wanted = step.rows > 0 ? kSendBytes : step.bytes_needed;
    attempt.encoded_bytes += step.bytes;
    attempt.next.row += step.rows;
    attempt.next.flight_row += step.rows;
    if (step.rows == rows->count) space_wanted = 1;
  }
  return progress;
}

Result<FlightEncoder::Progress> FlightEncoder::execute_some(Flight& flight, LaneSession& session) {
  if (session.protocol().pending_requests() > kRequestsMax) return Progress::kNone;
  Attempt& attempt = flight.attempt;
  auto rows = flight.next_rows();
  if (!rows) return Progress::kNone;
  rows->count = std::min(rows->count, kRowsTogether);
  codecs_.arrays->clear();
  const RecordBatch& batch = flight.pieces[attempt.next.piece].batch();
  codecs_.arrays->append(batch, *rows, rejected_);
  find_sent(*rows);
  if (auto failure = rejects_.leave_out(flight, *rows, rejected_)) {
    attempt.failure = std::move(failure);
    return Progress::kFailed;
  }
  attempt.next.row += rows->count;
  attempt.next.flight_row += rows->count;
  FieldCursors cursors(*codecs_.arrays, row_.size());
  for (size_t i = 0; i < codecs_.arrays->row_count(); ++i) {
    attempt.encoded_bytes += cursors.next(row_);
    if (auto sent = execute_row(attempt, session, batch, i); !sent) return fail(sent.error());
  }
  if (auto drained = session.drain(); !drained) return fail(drained.error());
  return Progress::kSome;
}

/// Which rows of the batch those in the arrays are, if that matters.
void FlightEncoder::find_sent(RowRange rows) {
  sent_.clear();
  if (!codecs_.unchanged) return;
  for (size_t i = 0; i < rows.count; ++i) {
    const size_t at = rows.begin + i;
    const size_t row = rows.indexes != nullptr ? rows.indexes[at] : at;
    if (std::ranges::find(rejected_, row, &Rejection::row) == rejected_.end()) sent_.push_back(row);
  }
}

/// The statement for the row in row_, with its parameters.
const RowStatement& FlightEncoder::choose_statement(const RecordBatch& batch, size_t i) {
  const Statements& statements = plan_->statements;
  const auto fill = [&](const RowStatement& statement) {
    parameters_.clear();
    for (const size_t column : statement.columns) parameters_.push_back(row_[column]);
  };
  const bool deletes =
      !statements.row_delete.sql.empty() && is_change(row_.front(), encode::kDeleteLetter);
  if (deletes && codecs_.unchanged) {
    if (const auto* key = codecs_.unchanged->moves_to(batch, sent_[i])) {
      fill(statements.row_move);
      parameters_.insert(parameters_.end(), key->begin(), key->end());
      return statements.row_move;
    }
  }
  const bool keeps =
      !deletes && plan_->has_unchanged() && row_[statements.unchanged].value.has_value();
  const RowStatement& statement =
      deletes ? statements.row_delete : (keeps ? statements.row_keeping : statements.row);
  fill(statement);
  return statement;
}

/// REQUIRES: row_ holds the fields of the i-th row of the arrays.
Status FlightEncoder::execute_row(Attempt& attempt, LaneSession& session, const RecordBatch& batch,
                                  size_t i) {
  const RowStatement& statement = choose_statement(batch, i);
  const auto executed = attempt.row_statement == &statement
                            ? session.execute_again(parameters_)
                            : session.execute(statement.sql, statement.types, parameters_);
  if (!executed) return fail(executed.error());
  attempt.row_statement = &statement;
  if (attempt.requests.rows_first == 0) attempt.requests.rows_first = executed->first;
  return {};
}

void FlightEncoder::make_arrays(Flight& flight) {
  codecs_.arrays->clear();
  codecs_.arrays->expect(flight.rows);
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

std::vector<pgproto::Session::Parameter> FlightEncoder::array_parameters() {
  std::vector<pgproto::Session::Parameter> parameters;
  parameters.reserve(plan_->columns.size());
  for (size_t i = 0; i < plan_->columns.size(); ++i) {
    parameters.push_back({.value = codecs_.arrays->array(i), .format = kBinary});
  }
  return parameters;
}

const std::string& FlightEncoder::array_statement() const {
  const Statements& statements = plan_->statements;
  return codecs_.arrays->ascending(statements.ascending_key) ? statements.apply_ascending
                                                             : statements.apply;
}

}  // namespace pgsink
