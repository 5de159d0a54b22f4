#pragma once

#include "pgsink/lane/flight_queue.h"
#include "pgsink/lane/lane_delivery.h"
#include "pgsink/lane/lane_messages.h"
#include "pgsink/lane/lane_metrics.h"

namespace pgsink {

/// stop_report says what a stopped lane has and has not written, without the name of the table.
StopReport stop_report(const FlightLog& log, const FlightQueue& flights,
                       const LaneDelivery& delivery, const LaneMetrics& metrics);

}  // namespace pgsink
