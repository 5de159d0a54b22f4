#include "pgsink/lane/flight_sizes.h"

#include <utility>

namespace pgsink {
namespace {

constexpr size_t kGrowth = 4;
/// From here on only memory limits a flight.
constexpr size_t kRowsUnlimited = size_t{1} << 22;

}  // namespace

void FlightSizes::failed() {
  if (limits_.grow) rows_max_ = limits_.rows_first;
}

void FlightSizes::committed() {
  if (rows_max_ == kNoLimit) return;
  rows_max_ = rows_max_ >= kRowsUnlimited ? kNoLimit : rows_max_ * kGrowth;
}

bool FlightSizes::cut(Flight& flight, size_t row, LaneSession& session) {
  // What is as small as a batch stays one transaction.
  if (!limits_.grow || flight.rows <= limits_.rows_first || !flight.can_be_cut()) return false;
  const size_t at = limits_.whole_batches ? flight.batch_end(row) : row;
  if (at == 0 || at >= flight.rows) return false;
  flights_.insert_after(flight, flight.split_off(at));
  log_.step(FlightLog::Divided{flight.seq}, TimePoint{});
  session.flight_inserted_after(flight.seq);
  return true;
}

void FlightSizes::fit(Flight& flight, LaneSession& session) {
  if (flight.attempts == 0 && flight.rows > rows_max_) cut(flight, rows_max_, session);
}

}  // namespace pgsink
