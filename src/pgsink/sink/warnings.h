#pragma once
// What is not an error, but what the operator should know before the sink writes.

#include <string>
#include <vector>

#include <pgsink/options.h>

#include "pgsink/client/connection.h"

namespace pgsink {

/// open_warnings returns a line for each such condition, with what to do about it. `hosts` is the
/// number of hosts.
std::vector<std::string> open_warnings(const SinkOptions& options, size_t hosts,
                                       Connection& connection);

}  // namespace pgsink
