#pragma once
// What sinks tell of their connections, as lines of the log.

#include <pgsink/options.h>

#include "shell/output/reporter.h"

namespace pgsink::shell {

/// report_event writes one line at the level of its kind. Any thread.
void report_event(const LogEvent& event, Reporter& reporter);

}  // namespace pgsink::shell
