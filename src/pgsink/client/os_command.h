#pragma once
// Runs a command of the system's shell.

#include <string>

#include "pgsink/client/env.h"

namespace pgsink {

/// run_for_line implements Files::line_of().
Result<std::string> run_for_line(const std::string& command, Duration longest);

}  // namespace pgsink
