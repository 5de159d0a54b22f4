#include "pgsink/lane/stop_report.h"

#include <algorithm>

namespace pgsink {

StopReport stop_report(const FlightLog& log, const FlightQueue& flights,
                       const LaneDelivery& delivery, const LaneMetrics& metrics) {
  using Rest = StopReport::Rest;
  StopReport report;
  const auto rows_of_epochs = delivery.rows_of_epochs();
  report.rows_committed = rows_of_epochs.value_or(metrics.rows_written());
  report.flights_unknown = log.unknown_count();
  const FlightLog::Seq failed = log.stop_seq();
  const Flight* const flight = failed == 0 ? nullptr : flights.find(failed);
  if (flight != nullptr) {
    const auto [first, last] = flight->input_rows();
    report.failed = {.rows = flight->rows, .first = first, .last = last};
  }
  if (flights.empty() || rows_of_epochs || failed == 0) return report;
  const bool in_part = std::ranges::any_of(flights.all(), &Flight::is_committed);
  if (!in_part && failed == flights.front().seq) return report;
  report.rest = in_part ? Rest::kPart : Rest::kNoneFromRow;
  report.from_row = flights.front().input_rows().first;
  return report;
}

}  // namespace pgsink
