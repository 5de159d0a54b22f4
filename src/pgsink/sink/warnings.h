#pragma once
// What is no error, but what whoever runs the sink should know before it writes.

#include <string>
#include <vector>

#include <pgsink/options.h>

#include "pgsink/client/connection.h"

namespace pgsink {

/// open_warnings gives a line for each such thing, with what to do about it.
std::vector<std::string> open_warnings(const SinkOptions& options, const ServerIdentity& server);

}  // namespace pgsink
