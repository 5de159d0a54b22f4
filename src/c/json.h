#pragma once
// What the C interface hands out as JSON.

#include <span>
#include <string>
#include <vector>

#include <pgsink/dead_letter.h>
#include <pgsink/flight_event.h>
#include <pgsink/job.h>
#include <pgsink/metrics.h>
#include <pgsink/sink.h>

namespace pgsink::c {

std::string metrics_as_json(const SinkMetrics& metrics);
std::string columns_as_json(std::span<const TargetColumn> columns);
std::string report_as_json(const JobReport& report);
std::string texts_as_json(std::span<const std::string> texts);
/// Each as in a dead letter file.
std::string letters_as_json(std::span<const DeadLetter> letters);
std::string event_as_json(const FlightEvent& event);

}  // namespace pgsink::c
