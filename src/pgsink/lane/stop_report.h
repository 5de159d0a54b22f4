#pragma once

#include "pgsink/lane/flight_queue.h"
#include "pgsink/lane/lane_delivery.h"
#include "pgsink/lane/lane_messages.h"
#include "pgsink/lane/lane_metrics.h"

namespace pgsink {

/// stop_report says what a lane that stopped has and has not written; where it wrote is left out.
StopReport stop_report(const FlightLog& log, const FlightQueue& flights,
                       const LaneDelivery& delivery, const LaneMetrics& metrics);

}  // namespace pgsink
