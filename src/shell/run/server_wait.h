#pragma once
// What the command says while a connection waits for its server.

#include <string>

#include <pgsink/options.h>

#include "shell/output/reporter.h"
#include "shell/output/signals.h"

namespace pgsink::shell {

/// server_wait makes the callback: it reports each pause once, and ends the waiting after a signal.
/// Both must outlive the callback.
ServerWaitCallback server_wait(const std::string& connection, const Signals& signals,
                               Reporter& reporter);

}  // namespace pgsink::shell
