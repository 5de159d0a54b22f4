#pragma once
// What is no error, but what whoever runs the sink should know before it writes.

#include <string>
#include <vector>

#include <pgsink/options.h>

#include "pgsink/client/connection.h"

namespace pgsink {

/// open_warnings gives a line for each such thing, with what to do about it.
/// `hosts` is how many there are to go to.
std::vector<std::string> open_warnings(const SinkOptions& options, size_t hosts,
                                       Connection& connection);

}  // namespace pgsink
