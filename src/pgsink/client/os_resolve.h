#pragma once
// Names to addresses, within a deadline, which getaddrinfo() does not know.

#include <string>
#include <vector>

#include "pgsink/client/env.h"

namespace pgsink {

/// resolve_host returns the numeric addresses of a host name, in the resolver's order. A numeric
/// address is returned as it is, without asking anybody. Fails with kConnect if there is none, with
/// kTimeout at the deadline; then the question goes on in the background and its answer is dropped.
Result<std::vector<std::string>> resolve_host(const std::string& host, Deadline deadline);

}  // namespace pgsink
