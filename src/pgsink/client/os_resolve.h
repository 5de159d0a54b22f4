#pragma once
// Resolves names to addresses within a deadline, which getaddrinfo() does not support.

#include <string>
#include <vector>

#include "pgsink/client/env.h"

namespace pgsink {

/// resolve_host returns the numeric addresses of a host name, in the resolver's order. A numeric
/// address is returned unchanged, without a lookup. Fails with kConnect if there is none, with
/// kTimeout at the deadline; then the lookup continues in the background and its result is dropped.
Result<std::vector<std::string>> resolve_host(const std::string& host, Deadline deadline);

}  // namespace pgsink
