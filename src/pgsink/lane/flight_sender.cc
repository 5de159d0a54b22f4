// Flights that go as arrays: one statement applies all rows, one parameter a column.
//
// Where no setting, role, epoch row or PREPARE stands between, such a flight is one extended-query
// series: Bind/Execute that identifies it (and guards its order), Bind/Execute of the rows, Sync.
// The server runs a series as one transaction, which Sync commits or an error before it rolls back;
// without BEGIN and COMMIT it answers, and wakes us, once instead of three times.
// Source: PostgreSQL documentation, "Pipelining" of the extended query protocol.

#include <utility>

#include "pgsink/lane/lane.h"
#include "pgsink/sql/sql.h"

namespace pgsink {

Status Lane::encode_arrays(Flight& current) {
  // Source: MaxAllocSize of the server.
  constexpr size_t kParameterBytesMax = 0x3fffffff;
  arrays_->clear();
  Flight::Attempt& attempt = current.attempt;
  while (const auto rows = next_rows(current)) {
    arrays_->append(current.pieces[attempt.piece].batch(), *rows, rejected_);
    if (const Status kept = leave_out_rejected(current, *rows); !kept) return kept;
    attempt.row += rows->count;
    attempt.flight_row += rows->count;
  }
  if (arrays_->largest_bytes() > kParameterBytesMax) {
    return fail(Errc::kLimit, "a column of " + std::to_string(current.rows) + " rows takes " +
                                  std::to_string(arrays_->largest_bytes()) +
                                  " bytes, the server's limit is 1 GiB: use a smaller "
                                  "transaction_size, or use_copy = true");
  }
  return {};
}

/// Whether the flight needs no statement beside the one that identifies it and the one that applies
/// its rows. A batch without rows still has a position, but nothing to apply.
bool Lane::makes_series(const Flight& flight) const {
  const bool alone = flight.letters.empty() && !flight.salvage.searching();
  return sql_->series && alone && !flight.attempt.error && arrays_->row_count() > 0;
}

/// Identifies the flight, and says which request of the session that begins with; 0 if it goes
/// without.
Result<pgproto::RequestId> Lane::open_series(FlightLog::Seq seq) {
  if (sql_->open_series.empty()) return 0;
  pgproto::Session& session = connection_->session();
  const uint64_t prepared_before = statements_->prepared();
  const auto name = statements_->prepare(sql_->open_series);
  if (!name) return fail(name.error());
  const bool parsed = statements_->prepared() != prepared_before;
  const std::string before = std::to_string(seq - 1);
  const std::string number = std::to_string(seq);
  std::vector<pgproto::Session::Parameter> parameters;
  if (sql_->guarded) {
    parameters.push_back({.value = pgproto::as_bytes(before)});
    parameters.push_back({.value = pgproto::as_bytes(number)});
  }
  const auto bound = session.bind("", *name, parameters);
  if (!bound) return bound;
  const auto executed = session.execute("");
  if (!executed) return executed;
  flight(seq).attempt.identify_request = *executed;
  return *bound - (parsed ? 1 : 0);
}

/// The rows of a flight as one statement over arrays, and its end.
void Lane::send_arrays(Flight& current) {
  Flight::Attempt& attempt = current.attempt;
  if (!attempt.error && arrays_->row_count() > 0) {
    const auto executed = execute_arrays();
    if (!executed) return lost(executed.error());
    attempt.apply_request = *executed;
    const pgproto::RequestId sync = connection_->session().sync();
    if (attempt.series) {
      attempt.done_tag = "Sync";  // No tag of the server's: only for messages.
      attempt.commit_request = sync;
      attempt.commit_end = connection_->session().appended_position();
    }
  }
  if (!attempt.error) {
    if (const Status told = send_letters(current); !told) attempt.error = told.error();
  }
  if (!connection_) return;
  if (!attempt.series) end_transaction(current, !attempt.error ? ending(current) : undoing());
  if (!connection_) return;
  const auto drained = connection_->drain_output(0, kNoDeadline);
  if (!drained) lost(drained.error());
}

Result<pgproto::RequestId> Lane::execute_arrays() {
  pgproto::Session& session = connection_->session();
  const uint64_t prepared_before = statements_->prepared();
  const auto name = statements_->prepare(plan_.statements.apply, plan_.statements.array_types);
  if (!name) return fail(name.error());
  const bool parsed = statements_->prepared() != prepared_before;
  constexpr int16_t kBinary = 1;
  std::vector<pgproto::Session::Parameter> parameters;
  uint64_t bytes = 0;
  for (size_t i = 0; i < plan_.columns.size(); ++i) {
    parameters.push_back({.value = arrays_->array(i), .format = kBinary});
    bytes += parameters.back().value->size();
  }
  Flight::Attempt& attempt = flight(wire_.back()).attempt;
  attempt.encoded_bytes = bytes;
  const auto bound = session.bind("", *name, parameters);
  if (!bound) return fail(bound.error());
  if (attempt.first_request == 0) attempt.first_request = *bound - (parsed ? 1 : 0);
  return session.execute("");
}

}  // namespace pgsink
